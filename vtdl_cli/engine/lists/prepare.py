"""Prepare lists from class folders, from unlabelled videos, or from the split files of a published dataset."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vtdl_cli.data.lists.layouts import AUTO, NONE
from vtdl_cli.data.lists.official import OFFICIAL, Located, OfficialSplit, count_by_class, locate
from vtdl_cli.data.lists.splits import TEST, VAL, Share, grouping
from vtdl_cli.data.video.decoding import FLOW
from vtdl_cli.engine.lists.audit import escape_non_utf8
from vtdl_cli.engine.lists.build_lists import Candidates, PrepareOptions, build_lists
from vtdl_cli.engine.lists.classes import find_labelled_videos
from vtdl_cli.engine.lists.division import divide
from vtdl_cli.engine.lists.outputs import refuse_existing
from vtdl_cli.errors import ListError, UsageError
from vtdl_cli.locks import lock_folder, releasing_locks
from vtdl_cli.text import counted

_MOST_PATHS_SHOWN = 3  # of other videos, in the error that none of the split was found


@releasing_locks
def prepare_folder(
    root: Path,
    options: PrepareOptions,
    *,
    labels: str = AUTO,
    split_from: str = AUTO,
    val_fraction: float | None = None,
    test_fraction: float = 0.0,
    group_by: str | None = None,
    group_from: str = "name",
    val_groups: Sequence[str] = (),
    test_groups: Sequence[str] = (),
) -> dict[str, Any]:
    """Write lists of the videos of a folder, with the classes and lists that its folders stand for, and an audit.

    A list without a folder is drawn from the training videos: by fraction of those outside the named groups.

    Args:
        root: the folder; listed paths are relative to it.
        options: options common to all sources.
        labels: one of `data.lists.layouts.LABELS`.
        split_from: one of `data.lists.layouts.SPLIT_SOURCES`.
        val_fraction: fraction of each class for validation, 0 <= val_fraction < 1; 0 writes no validation list. None:
            `division.VAL_FRACTION`, or 0 if folders stand for lists or there are no classes.
        test_fraction: fraction of each class for the test, which neither trains nor validates; 0 writes no test list.
        group_by: a regex; its first group is the key of a group that is kept together.
        group_from: one of `data.lists.splits.GROUP_SOURCES`: what the regex searches.
        val_groups: the groups to validate on, instead of a random draw.
        test_groups: the groups to test on, instead of a random draw.

    Returns:
        The audit, as in audit.json.

    Raises:
        UsageError: an option or a folder is invalid, or an output exists.
        ListError: no video can be read.
        VtdlError: an output cannot be written.
    """
    refuse_existing(options.out, 1, overwrite=options.overwrite)
    lock_folder(options.out, options.reporter)
    found = find_labelled_videos(root, labels, split_from, flow=options.decoder == FLOW)
    if found.layout.labels == NONE and options.per_class is not None:
        raise UsageError(
            f"--per-class {options.per_class} has no meaning without classes. Use --fraction, or --labels folder"
        )
    asked: dict[str, Share | None] = {VAL: val_groups or val_fraction, TEST: test_groups or test_fraction}
    division = divide(found, asked, grouping(group_by, group_from), options.seed)  # before any video is opened
    candidates = Candidates(
        "folder",
        root,
        found.classes,
        found.names,
        found.labels,
        division.assign_sides,
        {"labels": found.layout.labels, **division.options},
        groups=division.groups,
        sides=division.sides,
        ignored=found.ignored,
        warnings=found.warnings,
        redraw=found.redraw,
    )
    options.reporter.line(found.description)
    return build_lists(candidates, options)


@releasing_locks
def prepare_official(
    dataset: str, root: Path, splits: Path, options: PrepareOptions, *, split: int = 1
) -> dict[str, Any]:
    """Write the lists of an official split, in its order, for the videos that are on the disk.

    Args:
        dataset: one of `data.lists.official.OFFICIAL`.
        root: the folder of its videos, in class folders or not; listed paths are relative to it.
        splits: the folder of its split files; for Kinetics the annotations, a folder or one CSV.
        options: options common to all sources.
        split: number of the split.

    Returns:
        The audit, as in audit.json; it also names videos that are missing, found twice, or not in the split.

    Raises:
        UsageError: an option or a folder is invalid, or an output exists.
        ListError: no video was found, or none can be read.
        VtdlError: an output cannot be written.
    """
    refuse_existing(options.out, split, overwrite=options.overwrite)
    lock_folder(options.out, options.reporter)
    official = OFFICIAL[dataset](splits, split)
    if not official.videos:
        raise UsageError(f"--splits '{splits}' lists no video for split {split}. Use the files of a complete download")
    located = _locate(root, official, flow=options.decoder == FLOW)
    videos = [video for _, video in located.found]
    sides = np.array([video.side for video in videos])
    candidates = Candidates(
        dataset,
        root,
        official.classes,
        [name for name, _ in located.found],
        np.array([video.label for video in videos], dtype=np.int64),
        lambda kept: sides[kept],
        {"splits": escape_non_utf8(str(splits)), "split": split},
        split=split,
        groups=[video.group for video in videos],
        findings=_findings(official, located),
        warnings=_location_warnings(official, located),
    )
    return build_lists(candidates, options)


def _locate(root: Path, official: OfficialSplit, *, flow: bool) -> Located:
    located = locate(root, official, flow=flow)
    if not located.found:
        shown = ", ".join(f"'{escape_non_utf8(name)}'" for name in located.unlisted[:_MOST_PATHS_SHOWN])
        raise ListError(
            f"--root '{root}' has none of the {len(official.videos)} videos of the split: expected names like "
            f"'{official.videos[0].name}', found {shown or 'no video'}. Name the folder of the videos"
        )
    return located


def _findings(official: OfficialSplit, located: Located) -> dict[str, Any]:
    return {
        "expected": len(official.videos),
        "missing": [video.name for video in located.missing],
        "missing_by_class": count_by_class(located.missing, official.classes),
        "twice": [{"taken": escape_non_utf8(taken), "left": escape_non_utf8(left)} for taken, left in located.twice],
        "not_in_split": [escape_non_utf8(name) for name in located.unlisted],
    }


def _location_warnings(official: OfficialSplit, located: Located) -> list[str]:
    warnings = []
    if located.missing:
        warnings.append(
            f"{len(located.missing)} of the {len(official.videos)} videos of the split are missing, from "
            f"{counted(len(count_by_class(located.missing, official.classes)), 'class')}; "
            f"the first is '{located.missing[0].name}'"
        )
    if located.twice:
        taken, left = (escape_non_utf8(name) for name in located.twice[0])
        warnings.append(
            f"{counted(len(located.twice), 'video was', 'videos were')} found twice; the first is listed as "
            f"'{taken}', not '{left}'"
        )
    return warnings
