"""Find the videos in class folders, and split them into training, validation and test.

The split functions are pure: the same arguments give the same split on every machine.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vtdl_cli.data.lists.writable import unlistable
from vtdl_cli.data.video.disk import is_folder, is_video, sorted_entries
from vtdl_cli.errors import UsageError

TRAIN, VAL, TEST = SIDES = ("train", "val", "test")
"""The sides of a split: to train on, to choose epochs and settings with, and to report accuracy on."""

Share = float | Collection[str]
"""What a side gets: a fraction of every class, from 0 up to 1, or groups by name."""

_MOST_KEYS_SHOWN = 20  # in one error line


class ClassFolders(NamedTuple):
    """The content of a folder of class folders; paths are relative to it, with forward slashes."""

    classes: list[str]  # sorted; the index is the class
    videos: list[tuple[str, int]]  # (path, class), sorted by class, then by name
    ignored: list[str]  # neither a video nor a folder of frames; folders end in a slash


def scan_class_folders(root: str | Path, *, flow: bool = False) -> ClassFolders:
    """Find `<class>/<video>` below `root`: video files by their suffix, and folders of numbered jpg or png frames.

    Sub-folders without a video are ignored: an empty class would only add an untrained output to the classifier. Hidden
    files and folders are ignored too. No video is opened.

    Args:
        root: the folder of class folders.
        flow: look for folders of optical flow instead, see `data.video.flow_folder`.

    Raises:
        UsageError: `root` is not a folder, cannot be listed, or has no class folder with a video in it; or the name of
            a class cannot be written to a list.
    """
    root = Path(root)
    if not root.is_dir():
        raise UsageError(f"--root '{root}' is not a folder. Name the folder that holds the class folders")
    found = ClassFolders([], [], [])
    try:
        for entry in sorted_entries(root):
            _scan_entry(entry, found, flow=flow)
    except OSError as error:
        raise UsageError(
            f"folder '{error.filename}' cannot be listed ({error.strerror}). Check its permissions"
        ) from error
    if not found.classes:
        hint = "Name the folder that holds one sub-folder for each class, with its videos directly in it"
        raise UsageError(f"--root '{root}' has no class folder with a video in it. {hint}, or add --labels none")
    return found


def split_videos(
    labels: NDArray[np.int64], groups: Sequence[str] | None, held_out: Mapping[str, Share], seed: int
) -> NDArray[np.str_]:
    """Assign videos to sides without breaking up groups; the rest is for training.

    Named groups go to the side that names them. From the other videos each side draws about its fraction of every
    class: groups (single videos if `groups` is None) are visited in random order, and taken if that brings the counts
    of their classes closer to the targets. A class of two videos or more keeps at least one for training, then gives
    one to each side while there are more. A side's draw does not depend on the sides after it.

    Args:
        labels: int64 [N].
        groups: the key of each video's group [N], or None.
        held_out: the share of each side other than training, in the order of the draw.
        seed: seed of the random order.

    Returns:
        str [N], the side of each video.
    """
    sides = np.full(len(labels), TRAIN, "<U8")
    for side, share in held_out.items():
        if not isinstance(share, float):
            sides[[group in share for group in groups or ()]] = side
    fractions = {side: share for side, share in held_out.items() if isinstance(share, float)}
    free = np.flatnonzero(sides == TRAIN)
    members: dict[str | int, list[int]] = {}
    for index in free.tolist():
        members.setdefault(index if groups is None else groups[index], []).append(index)
    order = [list(members.values())[place] for place in np.random.default_rng(seed).permutation(len(members))]
    for side, missing in zip(fractions, _targets(labels[free], list(fractions.values())), strict=True):
        order = _draw_groups(side, order, missing, labels, sides)
    return sides


def _draw_groups(
    side: str,
    order: Sequence[list[int]],
    missing: dict[int, float],
    labels: NDArray[np.int64],
    sides: NDArray[np.str_],
) -> list[list[int]]:
    """Assign groups of indices to `side` while that brings its classes closer to their targets; return the others."""
    left = []
    for indices in order:
        counts = Counter(labels[indices].tolist())
        if sum(abs(missing[label] - n) - abs(missing[label]) for label, n in counts.items()) < 0:
            sides[indices] = side
            for label, n in counts.items():
                missing[label] -= n
        else:
            left.append(indices)
    return left


def check_shares(groups: Sequence[str] | None, held_out: Mapping[str, Share]) -> None:
    """Refuse shares that cannot be assigned.

    Raises:
        UsageError: a fraction is out of range, or all of them leave nothing to train on; a group does not exist, or is
            named by two sides.
    """
    fractions = {side: share for side, share in held_out.items() if isinstance(share, float)}
    for side, fraction in fractions.items():
        if not 0 <= fraction < 1:
            raise UsageError(
                f"--{side}-fraction '{fraction}' is not a share: it must be at least 0 and less than 1. Try 0.25"
            )
    if sum(fractions.values()) >= 1:
        options = " and ".join(f"--{side}-fraction {fraction}" for side, fraction in fractions.items())
        raise UsageError(f"{options} leave nothing to train on: their sum must be less than 1. Lower one of them")
    owners: dict[str, str] = {}
    for side, share in held_out.items():
        if not isinstance(share, float):
            _check_groups(side, share, groups or (), owners)


def _check_groups(side: str, wanted: Collection[str], groups: Sequence[str], owners: dict[str, str]) -> None:
    existing = sorted(set(groups))
    for group in sorted(wanted):
        if group not in existing:
            listed = ", ".join(existing[:_MOST_KEYS_SHOWN]) + (", ..." if len(existing) > _MOST_KEYS_SHOWN else "")
            raise UsageError(f"--{side}-groups '{group}' is not a group of these videos. The groups are {listed}")
        if (owner := owners.setdefault(group, side)) != side:
            raise UsageError(f"--{side}-groups '{group}' is also one of --{owner}-groups. Name each group once")


def draw_per_class(labels: NDArray[np.int64], number: int, seed: int) -> NDArray[np.bool_]:
    """Draw `number` videos of every class, or all if a class has fewer.

    Args:
        labels: int64 [N].
        number: videos of each class; at least 1.
        seed: seed of the draw; the draw of a class does not depend on other classes.

    Returns:
        bool [N], true for the videos drawn.
    """
    return _draw(labels, lambda _: number, seed)


def draw_fraction(labels: NDArray[np.int64], fraction: float, seed: int) -> NDArray[np.bool_]:
    """Draw a fraction of every class, rounded, at least one video; a smaller draw is a subset of a larger one.

    Args:
        labels: int64 [N].
        fraction: above 0, at most 1.
        seed: seed of the draw; the draw of a class does not depend on other classes.

    Returns:
        bool [N], true for the videos drawn.
    """
    return _draw(labels, lambda count: max(1, round(fraction * count)), seed)


def _draw(labels: NDArray[np.int64], number_of: Callable[[int], int], seed: int) -> NDArray[np.bool_]:
    drawn = np.zeros(len(labels), dtype=np.bool_)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        order = np.random.default_rng((seed, int(label) % 2**32)).permutation(members)  # -1: unlabelled
        drawn[order[: number_of(len(members))]] = True
    return drawn


def group_keys(names: Iterable[str], regex: str) -> list[str]:
    """Return what the first group of `regex` matches in the file name (not the folders) of each path.

    Raises:
        UsageError: `regex` is malformed, has no group, or does not match a name.
    """
    try:
        pattern = re.compile(regex)
    except re.error as error:
        raise UsageError(f"--group-by '{regex}' is not a regular expression: {error}. Try '^([a-z0-9]+)_'") from error
    if not pattern.groups:
        raise UsageError(f"--group-by '{regex}' has no group in parentheses. Put them around the key: '^([a-z0-9]+)_'")
    keys = []
    for name in names:
        match = pattern.search(name.rsplit("/", 1)[-1])
        if match is None or match[1] is None:
            raise UsageError(f"--group-by '{regex}' finds no key in '{name}'. Every file name must match")
        keys.append(match[1])
    return keys


def _scan_entry(entry: os.DirEntry[str], found: ClassFolders, *, flow: bool) -> None:
    """Add an entry of the root to `found`: a class with its videos, or something ignored."""
    if entry.name.startswith(".") or not is_folder(entry):
        found.ignored.append(_shown(entry))
        return
    videos, others = [], []
    for inner in sorted_entries(entry.path):
        if is_video(inner, flow=flow):
            videos.append((f"{entry.name}/{inner.name}", len(found.classes)))
        else:
            others.append(f"{entry.name}/{_shown(inner)}")
    found.ignored.extend(others or ([] if videos else [_shown(entry)]))
    if videos:
        if reason := unlistable(entry.name):
            raise UsageError(f"class folder {entry.name!a} cannot be written to a list: {reason}. Rename it")
        found.classes.append(entry.name)
        found.videos.extend(videos)


def _shown(entry: os.DirEntry[str]) -> str:
    return f"{entry.name}/" if is_folder(entry) else entry.name


def _targets(labels: NDArray[np.int64], fractions: Sequence[float]) -> list[dict[int, float]]:
    """Return how many videos of each class each side should get; fractions of a video are allowed."""
    targets: list[dict[int, float]] = [{} for _ in fractions]
    for label, n in Counter(labels.tolist()).items():
        left = float(n - 1)  # one is for training
        for place, fraction in enumerate(fractions):
            others = sum(later > 0 for later in fractions[place + 1 :])
            most = max(left - others, min(left, 1.0))
            targets[place][label] = min(max(fraction * n, 1.0), most) if fraction else 0.0
            left -= targets[place][label]
    return targets
