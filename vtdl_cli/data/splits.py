"""Where the videos of a folder of classes come from, and how they are split into training and validation.

The split functions are pure: the same arguments give the same split on every machine.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vtdl_cli.data.disk import is_folder, is_video, sorted_entries
from vtdl_cli.data.lists import unlistable
from vtdl_cli.errors import UsageError

_NAMED_AT_MOST = 20  # group keys in one error line


class ClassFolders(NamedTuple):
    """What lies under a root of class folders; every path is relative to it, with forward slashes."""

    classes: list[str]  # sorted; the index is the class
    videos: list[tuple[str, int]]  # (path, class), sorted by class, then by name
    ignored: list[str]  # neither a video nor a folder of frames; folders end in a slash


def scan_class_folders(root: str | Path, *, flow: bool = False) -> ClassFolders:
    """Find `<class>/<video>` under `root`: video files by their suffix, and folders of numbered jpg or png frames.

    A sub-folder without a single video is ignored, not a class: an empty class would cost the network an output
    that nothing trains. Hidden files and folders are ignored too. Nothing is opened. `flow` looks for optical flow
    instead, see `data.flow_folder`.

    Raises:
        UsageError: `root` is no folder, cannot be listed, or has no class folder with a video in it; or the name of
            a class cannot stand in a list.
    """
    root = Path(root)
    if not root.is_dir():
        raise UsageError(f"--root '{root}' is not a folder. Name the folder that holds the class folders")
    found = ClassFolders([], [], [])
    try:
        for entry in sorted_entries(root):
            _scan_entry(entry, found, flow=flow)
    except OSError as error:
        raise UsageError(f"folder '{error.filename}' cannot be listed ({error.strerror}). Check its rights") from error
    if not found.classes:
        hint = "Name the folder that holds one sub-folder for each class, with its videos directly in it"
        raise UsageError(f"--root '{root}' has no class folder with a video in it. {hint}")
    return found


def split_fraction(
    labels: NDArray[np.int64], groups: Sequence[str] | None, fraction: float, seed: int
) -> NDArray[np.bool_]:
    """Draw close to `fraction` of every class for validation, groups kept whole.

    Groups (single videos when None) are visited in a seeded order; one goes to validation where that brings the
    counts of its classes nearer to their targets. A class of two videos or more aims for one on each side at least.

    Args:
        labels: int64 [N].
        groups: a key for each video, or None.
        fraction: of each class, 0 <= fraction < 1.
        seed: of the order.

    Returns:
        bool [N], true for validation.

    Raises:
        UsageError: `fraction` is out of range.
    """
    check_fraction(fraction)
    validation = np.zeros(len(labels), dtype=np.bool_)
    missing = _targets(labels, fraction)
    members: dict[str | int, list[int]] = {}
    for index in range(len(labels)):
        members.setdefault(index if groups is None else groups[index], []).append(index)
    keys = list(members)
    for position in np.random.default_rng(seed).permutation(len(keys)):
        indices = members[keys[position]]
        counts = Counter(labels[indices].tolist())
        if sum(abs(missing[label] - n) - abs(missing[label]) for label, n in counts.items()) < 0:
            validation[indices] = True
            for label, n in counts.items():
                missing[label] -= n
    return validation


def check_fraction(fraction: float) -> None:
    """Refuse what cannot be a share of the videos.

    Raises:
        UsageError: not 0 <= fraction < 1.
    """
    if not 0 <= fraction < 1:
        raise UsageError(
            f"--val-fraction '{fraction}' is not a share: it lies from 0 up to, not including, 1. Try 0.25"
        )


def split_groups(groups: Sequence[str], val_groups: Iterable[str]) -> NDArray[np.bool_]:
    """Put the videos of the named groups into validation.

    Returns:
        bool [N], true for validation.

    Raises:
        UsageError: no video belongs to a named group.
    """
    existing, wanted = sorted(set(groups)), set(val_groups)
    if unknown := sorted(wanted.difference(existing)):
        listed = ", ".join(existing[:_NAMED_AT_MOST]) + (", ..." if len(existing) > _NAMED_AT_MOST else "")
        raise UsageError(f"--val-groups '{unknown[0]}' is not a group of these videos. The groups are {listed}")
    return np.array([group in wanted for group in groups], dtype=np.bool_)


def draw_per_class(labels: NDArray[np.int64], number: int, seed: int) -> NDArray[np.bool_]:
    """Draw `number` videos of every class, or all where a class has fewer.

    Args:
        labels: int64 [N].
        number: of each class; at least 1.
        seed: of the draw; that of a class does not depend on the others.

    Returns:
        bool [N], true for those drawn.
    """
    return _draw(labels, lambda _: number, seed)


def draw_fraction(labels: NDArray[np.int64], fraction: float, seed: int) -> NDArray[np.bool_]:
    """Draw a share of every class, rounded, and one video at least; a smaller share is part of a larger one.

    Args, returns: see `draw_per_class`; 0 < fraction <= 1.
    """
    return _draw(labels, lambda count: max(1, round(fraction * count)), seed)


def _draw(labels: NDArray[np.int64], number_of: Callable[[int], int], seed: int) -> NDArray[np.bool_]:
    drawn = np.zeros(len(labels), dtype=np.bool_)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        order = np.random.default_rng((seed, int(label))).permutation(members)
        drawn[order[: number_of(len(members))]] = True
    return drawn


def group_keys(names: Iterable[str], regex: str) -> list[str]:
    """The first group of `regex`, searched in the file name (not the folders) of each path.

    Raises:
        UsageError: `regex` is malformed, has no group, or finds nothing in a name.
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
    """Add one entry of the root to `found`: a class with its videos, or something ignored."""
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
            raise UsageError(f"class folder {entry.name!a} cannot be named in a list: {reason}. Rename it")
        found.classes.append(entry.name)
        found.videos.extend(videos)


def _shown(entry: os.DirEntry[str]) -> str:
    return f"{entry.name}/" if is_folder(entry) else entry.name


def _targets(labels: NDArray[np.int64], fraction: float) -> dict[int, float]:
    """How many videos of each class validation should get; a share of a video is allowed."""
    counts = Counter(labels.tolist())
    return {label: min(max(fraction * n, 1), n - 1) if fraction else 0 for label, n in counts.items()}
