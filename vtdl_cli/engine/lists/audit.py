"""Statistics of the videos in a set of lists, and warnings about what needs attention."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vtdl_cli.data.lists.splits import group_keys
from vtdl_cli.data.video.probe import VideoFacts
from vtdl_cli.engine.lists.recordings import RECORDING
from vtdl_cli.errors import UsageError
from vtdl_cli.runtime import file_sha256
from vtdl_cli.text import counted

_MOST_CLASSES_SHOWN = 5  # in one warning
MOST_RATE_RATIO = 1.5  # of the highest frame rate to the lowest, without a warning
PERSON = "^([^_]+)_"
"""A regex for --group-by: its first group is the beginning of a file name, as in anna_walk.avi."""
OWN_SPLIT = f"vtdl prepare-lists folder --root videos --out lists --group-by '{RECORDING}'"


class ListedVideo(NamedTuple):
    """One line of a list."""

    name: str  # relative to the root
    label: int
    facts: VideoFacts


Sides = dict[str, list[ListedVideo]]
"""The listed videos of each side; see `data.lists.splits.SIDES`."""


def describe_videos(sides: Sides, classes: Sequence[str], root: Path) -> dict[str, Any]:
    """Count videos by side and class, summarise their properties, and find files with the same content."""
    videos = [video for side in sides.values() for video in side]
    by_side = {side: Counter(video.label for video in listed) for side, listed in sides.items()}
    rates = [video.facts.frame_rate for video in videos if video.facts.frame_rate]
    return {
        "total": len(videos),
        "splits": {side: len(listed) for side, listed in sides.items()},
        "classes": {name: {side: by_side[side][label] for side in sides} for label, name in enumerate(classes)},
        "frames": min_median_max([video.facts.num_frames for video in videos]),
        "frame_rates": min_median_max(rates) if rates else None,
        "resolutions": _frequencies(f"{video.facts.width}x{video.facts.height}" for video in videos),
        "codecs": _frequencies(video.facts.codec for video in videos),
        "declared_otherwise": [
            video.name for video in videos if video.facts.declared_frames not in (0, video.facts.num_frames)
        ],
        **_find_duplicates(sides, root),
    }


def describe_rates(frame_rates: dict[str, float] | None) -> str:
    """Return a warning where one clip length stands for very different times, else an empty text."""
    if frame_rates is None or frame_rates["max"] <= MOST_RATE_RATIO * frame_rates["min"]:
        return ""
    slowest, median, fastest = (frame_rates[name] for name in ("min", "median", "max"))
    what = f"frame rates run from {slowest:.4g} to {fastest:.4g} a second: clips of as many frames last up to"
    return f"{what} {fastest / slowest:.1f} times as long. To sample by time: --set data.frame_rate={median:.3g}"


def min_median_max(values: Sequence[float]) -> dict[str, float]:
    """Return the smallest value, the median and the largest value."""
    return {"min": min(values), "median": float(np.median(values)), "max": max(values)}


def _frequencies(values: Iterable[str]) -> dict[str, int]:
    """Count each value, the most frequent first."""
    return dict(Counter(values).most_common())


def _find_duplicates(sides: Sides, root: Path) -> dict[str, list[list[str]]]:
    """Find files with the same bytes: all groups of them, and the groups that span several sides."""
    of_size: dict[int, list[tuple[str, str]]] = {}
    for side, listed in sides.items():
        for video in listed:
            of_size.setdefault(video.facts.num_bytes, []).append((side, video.name))
    of_content: dict[str, list[tuple[str, str]]] = {}
    for size, files in of_size.items():
        if size and len(files) > 1:  # a file of unique size need not be read
            for side, name in files:
                of_content.setdefault(file_sha256(root / name), []).append((side, name))
    groups = [group for group in of_content.values() if len(group) > 1]
    return {
        "duplicates": [[name for _, name in group] for group in groups],
        "on_both_sides": [[name for _, name in group] for group in groups if len({side for side, _ in group}) > 1],
    }


def find_key_of_copies(names: Sequence[str], labels: NDArray[np.int64], copies: Sequence[Sequence[str]]) -> str | None:
    """Return the regex for --group-by that keeps copies in one list; None if the names have no such key.

    Args:
        names: paths of the N videos to divide.
        labels: int64 [N].
        copies: the paths of each group of copies.
    """
    try:
        keys = dict(zip(names, group_keys(names, PERSON), strict=True))
    except UsageError:
        return None
    groups = set(zip(labels.tolist(), keys.values(), strict=True))
    is_refused = len(groups) == len(set(labels.tolist())) > 1  # by `divide`: each class is one group
    return None if is_refused or any(len({keys[name] for name in group}) > 1 for group in copies) else PERSON


def audit_warnings(
    audit: dict[str, Any], files: dict[str, str], redraw: str | None, key_of_copies: str | None
) -> list[str]:
    """Return a line for everything in the audit that needs attention.

    Args:
        audit: the audit, but for its warnings.
        files: the file name of each side's list.
        redraw: the options without which `--group-by` has no effect on lists that folders stand for; empty if they are
            drawn or published, None if there are none.
        key_of_copies: see `find_key_of_copies`.
    """
    warnings, sides = [], audit["splits"]
    in_both = f"in both {' and '.join(sides)}" if len(sides) < 3 else f"in more than one of {', '.join(sides)}"
    if rejected := audit["rejected"]:
        first = f"'{rejected[0]['path']}': {rejected[0]['reason']}"
        warnings.append(
            f"{counted(len(rejected), 'video is', 'videos are')} left out, see rejected.txt; the first is {first}"
        )
    if ignored := audit["ignored"]:
        what = counted(len(ignored), "file or folder holds no video and is", "files or folders hold no video and are")
        warnings.append(f"{what} ignored; the first is '{ignored[0]}'")
    if both := audit["on_both_sides"]:
        what = (
            f"{counted(len(both), 'video is', 'videos are')} {in_both} under two names; the first is "
            f"'{both[0][0]}', also '{both[0][1]}'"
        )
        group = ""
        if audit["dataset"] == "folder" and redraw is not None and key_of_copies:
            group = f", or keep copies in one list: {_group_by(key_of_copies, redraw)}"
        warnings.append(f"{what}. Delete all but one of each{group}")
    if both := audit["groups_on_both_sides"]:
        what = f"{counted(len(both), 'recording has', 'recordings have')} clips {in_both}; the first is '{both[0]}'"
        own_split = "" if redraw is None else f"; for one of your own: {redraw or OWN_SPLIT}"
        warnings.append(f"{what}. This is how the split was published{own_split}")
    if both := audit["recordings_on_both_sides"]:
        what = (
            f"{counted(len(both), 'recording seems', 'recordings seem')} to have clips {in_both}, by "
            f"their file names; the first is '{both[0]}'"
        )
        remedy = "move each into the folder of one list"
        if redraw is not None:
            remedy = f"keep each in one list: {_group_by(RECORDING, redraw)}"
        warnings.append(f"{what}. If so, {remedy}")
    for side, number in sides.items():
        absent = [name for name, counts in audit["classes"].items() if not counts[side]]
        if not number:
            warnings.append(f"no video is left for {side}: {files[side]} is not written")
        elif absent:
            named = ", ".join(absent[:_MOST_CLASSES_SHOWN]) + (", ..." if len(absent) > _MOST_CLASSES_SHOWN else "")
            warnings.append(f"{len(absent)} of {len(audit['classes'])} classes have no video in {side}: {named}")
    if line := describe_rates(audit["frame_rates"]):
        warnings.append(line)
    per_class = audit["options"]["per_class"] or 0
    if few := [name for name, counts in audit["classes"].items() if counts["train"] < per_class]:
        warnings.append(
            f"{counted(len(few), 'class has', 'classes have')} fewer than --per-class {per_class} videos; "
            f"the first is {few[0]}"
        )
    return warnings


def _group_by(regex: str, redraw: str) -> str:
    return f"{redraw} --group-by '{regex}'".lstrip()


def escape_non_utf8(name: str) -> str:
    """Escape the bytes of a file name that are not UTF-8, so that it can be written to a file."""
    return name.encode(errors="backslashreplace").decode()
