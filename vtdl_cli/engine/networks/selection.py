"""Which list chose the weights of a run, and whether it is the one that they are measured on.

best.pt is the epoch that does best on the validation list. On that list its accuracy is optimistic: it is the maximum
over all epochs. What is reported should come from other videos, or from last.pt, which is not chosen.
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
"""How best.pt is chosen among the epochs of a run: by which `metric` on which list, `list_sha256` and `videos`, the
fingerprints of its videos as a tensor. An empty one: not known."""

UNKNOWN_SELECTION: Selection = {}
NEVER_CHOSEN = re.compile(r"last\.pt|epoch_\d+\.pt")


def select_by(metric: str, videos: VideoList) -> Selection:
    """What checkpoints of a run say whose best epoch is the one with the highest `metric` on `videos`."""
    return {"metric": metric, "list_sha256": videos.sha256, "videos": torch.from_numpy(fingerprints(videos))}


def read_selection(checkpoint: dict[str, Any], path: Path) -> Selection | None:
    """How the weights in a file were chosen; none: not at all.

    They were where their epoch is the best of their run, unless the file's name says that it was taken as it came:
    last.pt may happen to be the best. Checkpoints of earlier versions know the validation list by its bytes alone.
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
    """Whether videos of this list had a part in choosing the weights; none: not known."""
    if selection is None:
        return False
    if selection.get("list_sha256") == videos.sha256:
        return True
    if "videos" not in selection:
        return None
    return bool(find_shared(fingerprints(videos), selection["videos"].numpy()).any())


def combine_selected(selected: Iterable[bool | None]) -> bool | None:
    """Of several measurements together: one that was selected is enough, and one that is not known leaves doubt."""
    answers = list(selected)
    return True if True in answers else None if None in answers else False


def report_selection(weights: str, listed: str, selected: bool | None, reporter: Reporter) -> None:
    """Say so where a list that is measured on has chosen the weights, or may have."""
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
        reporter.line(f"weights '{weights}' do not say whether list '{listed}' was used to choose them")
