"""The parts of a split that a list holds or is converted to: as listed, by the videos' folders, or drawn."""

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vtdl_cli.data.lists.layouts import side_of
from vtdl_cli.data.lists.rows import UNKNOWN_CLASS
from vtdl_cli.data.lists.splits import SIDES, TEST, TRAIN, VAL, Share, check_shares, split_videos
from vtdl_cli.data.lists.video_list import ParsedList, VideoList
from vtdl_cli.errors import UsageError
from vtdl_cli.text import counted


class Parts(NamedTuple):
    """The part of each of the N videos of a list.

    Attributes:
        sides: train, val or test [N]; None: the list is not split.
        origin: where they come from, for the summary.
    """

    sides: Sequence[str] | None
    origin: str | None


def assign_parts(parsed: ParsedList, kept: NDArray[np.intp], val_fraction: float, seed: int) -> Parts:
    """Return the part of the split that each video of a list belongs to.

    Without a column of parts, the videos' folders tell it, if all lie in one such as train, val or test; or some videos
    are drawn for validation. Groups, and the intervals of one video, stay together.

    Args:
        parsed: the list.
        kept: indices of the videos that are written.
        val_fraction: fraction of each class to draw; 0: none.
        seed: seed of the draw.

    Raises:
        UsageError: `val_fraction` is out of range, or the list has parts already.
    """
    sides, origin = (parsed.sides, "as listed") if parsed.sides else (sides_of_folders(parsed.videos), "the folders")
    if not val_fraction:
        return Parts(sides, origin if sides else None)
    if sides:
        held = ", ".join(sorted(set(sides)))
        raise UsageError(f"--val-fraction '{val_fraction}' draws videos of a list that has parts: {held}. Leave it out")
    names = [parsed.videos.name(int(index)) for index in kept]
    groups = [parsed.groups[index] for index in kept] if parsed.groups else names
    shares: dict[str, Share] = {VAL: float(val_fraction), TEST: 0.0}
    check_shares(groups, shares)
    drawn = np.full(len(parsed.videos), SIDES[0], "<U8")
    drawn[kept] = split_videos(parsed.videos.labels[kept], groups, shares, seed)
    return Parts([str(side) for side in drawn], f"drawn, seed {seed}")


def sides_of_folders(videos: VideoList) -> list[str] | None:
    """Return the part that the folders of each video name; None if some name none, or all name the same."""
    sides = [side for side, _ in _named_sides(videos)]
    return sides if all(sides) and len(set(sides)) > 1 else None


def describe_held_out(videos: VideoList) -> str:
    """Return a warning if some videos of a folder are in one for validation or test; empty if none or all of them are.

    Args:
        videos: those found below a folder, all of which are trained on.
    """
    places = list(_named_sides(videos))
    counts = Counter(side for side, _ in places)
    found = [f"{counts[side]} in folders named for {side}" for side in (VAL, TEST) if counts[side]]
    if not found or counts[VAL] + counts[TEST] == len(places):
        return ""
    training = {folder for side, folder in places if side == TRAIN}
    remedy = f"vtdl prepare-lists folder --root {shlex.quote(str(videos.source))} --out lists"
    if len(training) == 1:
        remedy = f"--train-list {shlex.quote(str(videos.source / training.pop()))}"
    where = f"folder '{videos.source}' is trained on whole: of its {len(places)} videos {' and '.join(found)}"
    return f"{where}. To leave these out: {remedy}"


def _named_sides(videos: VideoList) -> Iterator[tuple[str, str]]:
    """Yield for each video the part that its folders name, and the path of that folder; both empty if none does."""
    for index in range(len(videos)):
        folders = videos.name(index).split("/")[:-1]
        sides = map(side_of, folders)
        yield next(((side, "/".join(folders[: depth + 1])) for depth, side in enumerate(sides) if side), ("", ""))


def find_shared_groups(groups: Sequence[str], sides: Sequence[str], kept: NDArray[np.intp]) -> list[str]:
    """Return the groups, sorted, that have videos in several parts."""
    counts = Counter(group for group, _ in {(groups[index], sides[index]) for index in kept.tolist()})
    return sorted(group for group, number in counts.items() if number > 1)


def find_duplicates(videos: VideoList, kept: NDArray[np.intp]) -> list[int]:
    """Return the indices of rows that repeat the video and interval of a row before them."""
    seen: set[str] = set()
    repeated = []
    for index in kept.tolist():
        name = videos.sample_name(index)
        if name in seen:
            repeated.append(index)
        seen.add(name)
    return repeated


def find_contradictions(videos: VideoList, kept: Iterable[int]) -> list[list[int]]:
    """Return the indices of the rows of each video, or interval, that is listed with several classes."""
    rows_of: dict[str, list[int]] = {}
    for index in kept:
        if videos.labels[index] != UNKNOWN_CLASS:
            rows_of.setdefault(videos.sample_name(index), []).append(index)
    return [rows for rows in rows_of.values() if len(set(videos.labels[rows].tolist())) > 1]


def describe_contradictions(videos: VideoList, contradictions: Sequence[Sequence[int]]) -> str:
    """Return the line that counts contradictions, at least one, and names two rows of the first."""
    first, *others = contradictions[0]
    second = next(index for index in others if videos.labels[index] != videos.labels[first])
    classes = " and ".join(videos.label_set.describe(int(videos.labels[index])) for index in (first, second))
    what = counted(len(contradictions), "video is listed", "videos are listed")
    where = f"class {classes} in lines {videos.line(first)} and {videos.line(second)}"
    return f"{what} with several classes; the first is '{videos.sample_name(first)}', with {where}. Correct the list"
