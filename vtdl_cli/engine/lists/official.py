"""Make the lists of an official split for as many of its videos as are on the disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vtdl_cli.data.lists.official import OFFICIAL, Located, OfficialSplit, by_class, locate
from vtdl_cli.data.video.decoding import FLOW
from vtdl_cli.engine.lists.audit import printable
from vtdl_cli.engine.lists.prepare import Candidates, Making, make_lists, refuse_outputs
from vtdl_cli.errors import ListError, UsageError
from vtdl_cli.locks import lock_folder, releasing_locks

SHOWN_PATHS = 3  # of what was found, where nothing was that was looked for


@releasing_locks
def prepare_official(dataset: str, root: Path, splits: Path, making: Making, *, split: int = 1) -> dict[str, Any]:
    """Write the lists of an official split for as many of its videos as are there, in the split's order.

    Args:
        dataset: one of `data.official.OFFICIAL`.
        root: where its videos lie, in class folders or not; listed paths are relative to it.
        splits: the folder of its split files; of Kinetics' annotations, or one of them.
        making: where to, and how.
        split: which of the official ones.

    Returns:
        The audit, as audit.json holds it: also what is missing, there twice, or there and not in the split.

    Raises:
        UsageError: an option or a folder cannot be right, or an output exists.
        ListError: none of the videos is there, or can be read.
        VtdlError: an output cannot be written.
    """
    refuse_outputs(making, split)
    lock_folder(making.out, making.reporter)
    official = OFFICIAL[dataset](splits, split)
    if not official.videos:
        raise UsageError(f"--splits '{splits}' lists no video for split {split}. Take the files from a whole download")
    located = locate(root, official, flow=making.decoder == FLOW)
    if not located.found:
        shown = ", ".join(f"'{printable(name)}'" for name in located.unlisted[:SHOWN_PATHS])
        raise ListError(
            f"--root '{root}' has none of the {len(official.videos)} videos of the split: expected names like "
            f"'{official.videos[0].name}', found {shown or 'no video'}. Name the folder that the videos lie in"
        )
    videos = [video for _, video in located.found]
    sides = np.array([video.side for video in videos])
    candidates = Candidates(
        official.classes,
        [name for name, _ in located.found],
        np.array([video.label for video in videos], dtype=np.int64),
        lambda kept: sides[kept],
        groups=[video.group for video in videos],
        findings=_findings(official, located),
        warnings=_against_the_disk(official, located),
    )
    options = {"splits": printable(str(splits)), "split": split}
    return make_lists(dataset, root, candidates, options, making, split=split)


def _findings(official: OfficialSplit, located: Located) -> dict[str, Any]:
    return {
        "expected": len(official.videos),
        "missing": [video.name for video in located.missing],
        "missing_by_class": by_class(located.missing, official.classes),
        "twice": [{"taken": printable(taken), "left": printable(left)} for taken, left in located.twice],
        "not_in_split": [printable(name) for name in located.unlisted],
    }


def _against_the_disk(official: OfficialSplit, located: Located) -> list[str]:
    warnings = []
    if located.missing:
        warnings.append(
            f"{len(located.missing)} of the split's {len(official.videos)} videos are not there, of "
            f"{len(by_class(located.missing, official.classes))} classes; the first is '{located.missing[0].name}'"
        )
    if located.twice:
        taken, left = (printable(name) for name in located.twice[0])
        warnings.append(f"{len(located.twice)} videos are there twice; of the first, '{taken}' is listed, not '{left}'")
    return warnings
