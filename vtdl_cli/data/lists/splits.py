"""Split videos into training, validation and test, draw from them, and find groups that have to stay together.

The split functions are pure: the same arguments give the same split on every machine.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from vtdl_cli.errors import UsageError

TRAIN, VAL, TEST = SIDES = ("train", "val", "test")
"""The sides of a split: to train on, to choose epochs and settings with, and to report accuracy on."""

Share = float | Collection[str]
"""What a side gets: a fraction of every class, from 0 up to 1, or groups by name."""

_MOST_KEYS_SHOWN = 20  # in one error line


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
            quoted = [f'"{name}"' if "," in name else name for name in existing[:_MOST_KEYS_SHOWN]]  # as they are typed
            listed = ", ".join(quoted) + (", ..." if len(existing) > _MOST_KEYS_SHOWN else "")
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


GROUP_SOURCES: dict[str, Callable[[str], str]] = {
    "name": lambda path: path.rsplit("/", 1)[-1],
    "path": lambda path: path,
    "parent": lambda path: path.rsplit("/", 2)[-2] if "/" in path else "",
}
"""What the regex of a grouping searches: the file name, the path as listed, or the folder that holds the video."""
WHOLE = "(.+)"  # a regex whose key is all of it


def grouping(regex: str | None, source: str = "name") -> str | None:
    """Return a grouping as one text, `REGEX`, `path:REGEX` or `parent:REGEX`; None for no groups.

    Raises:
        UsageError: `source` is unknown, or needs a regex.
    """
    if source not in GROUP_SOURCES:
        raise UsageError(f"--group-from '{source}' is not one of {', '.join(GROUP_SOURCES)}")
    if source == "name":
        return regex
    if regex is None and source == "path":
        raise UsageError("--group-from 'path' needs to know what in a path is the key. Add --group-by '/([^/]+)/'")
    return f"{source}:{regex or WHOLE}"


def group_keys(names: Iterable[str], group_by: str) -> list[str]:
    """Return the key of each path's group, in Unicode's composed form.

    Args:
        names: paths.
        group_by: a grouping, see `grouping`; the first group of its regex is the key.

    Raises:
        UsageError: the regex is malformed, has no group, or does not match a name.
    """
    source, colon, regex = group_by.partition(":")
    if not colon or source not in GROUP_SOURCES:
        source, regex = "name", group_by
    try:
        pattern = re.compile(normalize("NFC", regex))
    except re.error as error:
        raise UsageError(
            f"--group-by '{group_by}' is not a regular expression: {error}. Try '^([a-z0-9]+)_'"
        ) from error
    if not pattern.groups:
        raise UsageError(
            f"--group-by '{group_by}' has no group in parentheses. Put them around the key: '^([a-z0-9]+)_'"
        )
    keys = []
    for name in names:
        match = pattern.search(normalize("NFC", GROUP_SOURCES[source](name)))
        if match is None or match[1] is None:
            searched = {"name": "file name", "parent": "video's folder"}.get(source, source)
            raise UsageError(f"--group-by '{group_by}' finds no key in '{name}'. Every {searched} must match")
        keys.append(match[1])
    return keys


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
