"""What lists hold, in numbers, and what in that needs a look."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vtdl_cli.data.video.probe import VideoFacts

_NAMED_AT_MOST = 5  # classes in one warning


class Listed(NamedTuple):
    """One line of a list."""

    name: str  # relative to the root
    label: int
    facts: VideoFacts


Sides = dict[str, list[Listed]]
"""What is listed, by side; see `data.splits.SIDES`."""


def count(sides: Sides, classes: Sequence[str], root: Path) -> dict[str, Any]:
    """Videos by side and class; how long, how large, how fast and how coded they are; which are the same."""
    rows = [row for side in sides.values() for row in side]
    by_side = {side: Counter(row.label for row in listed) for side, listed in sides.items()}
    rates = [row.facts.frame_rate for row in rows if row.facts.frame_rate]
    return {
        "total": len(rows),
        "splits": {side: len(listed) for side, listed in sides.items()},
        "classes": {name: {side: by_side[side][label] for side in sides} for label, name in enumerate(classes)},
        "frames": spread([row.facts.num_frames for row in rows]),
        "frame_rates": spread(rates) if rates else None,
        "resolutions": _common(f"{row.facts.width}x{row.facts.height}" for row in rows),
        "codecs": _common(row.facts.codec for row in rows),
        "declared_otherwise": [row.name for row in rows if row.facts.declared_frames not in (0, row.facts.num_frames)],
        **_same_content(sides, root),
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Smallest, middle and largest."""
    return {"min": min(values), "median": float(np.median(values)), "max": max(values)}


def _common(values: Iterable[str]) -> dict[str, int]:
    """How often each comes, the most common first."""
    return dict(Counter(values).most_common())


def _same_content(sides: Sides, root: Path) -> dict[str, list[list[str]]]:
    """Files of the same bytes: all groups of them, and those that stand on several sides."""
    of_size: dict[int, list[tuple[str, str]]] = {}
    for side, listed in sides.items():
        for row in listed:
            of_size.setdefault(row.facts.num_bytes, []).append((side, row.name))
    places: dict[bytes, list[tuple[str, str]]] = {}
    for size, files in of_size.items():
        if size and len(files) > 1:  # others need not be read
            for side, name in files:
                places.setdefault(_digest(root / name), []).append((side, name))
    groups = [group for group in places.values() if len(group) > 1]
    return {
        "duplicates": [[name for _, name in group] for group in groups],
        "on_both_sides": [[name for _, name in group] for group in groups if len({side for side, _ in group}) > 1],
    }


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def warnings_of(audit: dict[str, Any], files: dict[str, str]) -> list[str]:
    """What in the audit needs a look, one line each."""
    warnings, sides = [], audit["splits"]
    in_both = "in train and in val" if len(sides) < 3 else f"in more than one of {', '.join(sides)}"
    if rejected := audit["rejected"]:
        first = f"'{rejected[0]['path']}': {rejected[0]['reason']}"
        warnings.append(f"{len(rejected)} videos are left out, see rejected.txt; the first is {first}")
    if ignored := audit["ignored"]:
        warnings.append(f"{len(ignored)} files or folders hold no video and are ignored; the first is '{ignored[0]}'")
    if both := audit["on_both_sides"]:
        warnings.append(f"{len(both)} videos are {in_both} under two names; the first is '{both[0][0]}'")
    if both := audit["groups_on_both_sides"]:
        warnings.append(f"{len(both)} recordings have clips {in_both}; the first is '{both[0]}'")
    for side, number in sides.items():
        absent = [name for name, counts in audit["classes"].items() if not counts[side]]
        if not number:
            warnings.append(f"no video is left for {side}: {files[side]} is not written")
        elif absent:
            named = ", ".join(absent[:_NAMED_AT_MOST]) + (", ..." if len(absent) > _NAMED_AT_MOST else "")
            warnings.append(f"{len(absent)} of {len(audit['classes'])} classes have no video in {side}: {named}")
    per_class = audit["options"]["per_class"] or 0
    if few := [name for name, counts in audit["classes"].items() if counts["train"] < per_class]:
        warnings.append(f"{len(few)} classes have fewer than --per-class {per_class} videos; the first is {few[0]}")
    return warnings


def printable(name: str) -> str:
    """The name with what is not UTF-8 in it spelled out, for files and terminals."""
    return name.encode(errors="backslashreplace").decode()


def line_of(name: str) -> str:
    """The name on one line, whatever is in it."""
    return name.replace("\r", "\\r").replace("\n", "\\n")
