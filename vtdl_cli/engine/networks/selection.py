"""Model selection: on which list the weights of a run were selected, and whether they are evaluated on the same one.

best.pt is the epoch with the best metric on the validation list. On that list its accuracy is optimistic: it is the
maximum over all epochs. Report results on other videos, or of last.pt, which is not selected.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from vtdl_cli.data.lists.same_videos import find_shared, fingerprints
from vtdl_cli.data.lists.video_list import VideoList
from vtdl_cli.runtime import Reporter

Selection = dict[str, Any]
"""How best.pt was selected among the epochs of a run: by `metric`, on the list with `list_sha256` and `videos`, the
fingerprints of its videos as a tensor. Empty: unknown."""

UNKNOWN_SELECTION: Selection = {}
NEVER_CHOSEN = re.compile(r"last\.pt|epoch_\d+\.pt")


def select_by(metric: str, videos: VideoList) -> Selection:
    """Return the selection of the epoch with the highest `metric` on `videos`, for a run's checkpoints."""
    return {"metric": metric, "list_sha256": videos.sha256, "videos": torch.from_numpy(fingerprints(videos))}


def read_selection(checkpoint: dict[str, Any], path: Path) -> Selection | None:
    """Return how the weights in a file were selected; None: they were not.

    They were if theirs is the best epoch of the run, unless by its name the file is not a selected one: last.pt may
    happen to be the best. Checkpoints of earlier versions have only the checksum of the validation list.
    """
    origin, best = checkpoint.get("origin", {}), checkpoint.get("best", {})
    if "selection" not in checkpoint and "val_list_sha256" not in origin:
        return UNKNOWN_SELECTION
    if NEVER_CHOSEN.fullmatch(path.name) or best.get("epoch") != checkpoint.get("epoch"):
        return None
    if "selection" not in checkpoint:
        once = checkpoint["config"]["finetune"].get("validate_every") == 0
        return None if once else {"list_sha256": origin["val_list_sha256"]}
    selection: Selection | None = checkpoint["selection"]
    return selection


def is_selected_on(selection: Selection | None, videos: VideoList) -> bool | None:
    """Whether the weights were selected on videos of this list; None: unknown."""
    if selection is None:
        return False
    if selection.get("list_sha256") == videos.sha256:
        return True
    if "videos" not in selection:
        return None
    return bool(find_shared(fingerprints(videos), selection["videos"].numpy()).any())


def combine_selected(selected: Iterable[bool | None]) -> bool | None:
    """Combine the answers for several weights: True if one is, else None if one is unknown."""
    answers = list(selected)
    return True if True in answers else None if None in answers else False


def report_selection(weights: str, listed: str, selected: bool | None, reporter: Reporter) -> None:
    """Warn if the weights were selected on the list that they are evaluated on; report if that is unknown."""
    if selected:
        last = Path(weights).with_name("last.pt")
        other = (
            f"or use --weights {last}, which" if last.is_file() else "or use the last checkpoint of their run, which"
        )
        reporter.warn(
            f"weights '{weights}' were chosen on videos of list '{listed}': this accuracy is optimistic. "
            f"Evaluate on other videos, {other} was not chosen on any"
        )
    elif selected is None:
        reporter.line(f"weights '{weights}' do not record whether they were chosen on list '{listed}'")
