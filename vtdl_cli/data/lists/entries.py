"""Entries of annotation files, each a video or an interval of one, as rows of a list."""

import math
import re
from typing import NamedTuple

import numpy as np

from vtdl_cli.data.lists.list_file import ListFile
from vtdl_cli.data.lists.rows import UNKNOWN_CLASS, ListRows
from vtdl_cli.errors import ListError

_SURROGATE = re.compile("[\ud800-\udfff]")
_NO_INTERVAL = (float("nan"), float("nan"))


class Entry(NamedTuple):
    """One video, or one interval of a video."""

    number: int  # of the entry or line, from 1
    name: str
    label: str | int = UNKNOWN_CLASS
    frames: int = 0
    interval: tuple[float, float] = _NO_INTERVAL
    side: str = ""
    other_name: str = ""


def rows_of_entries(file: ListFile, columns: str, entries: list[Entry], classes: list[str] | None = None) -> ListRows:
    """Return entries as rows of a list.

    Args:
        file: the list.
        columns: how they were read, for messages.
        entries: all with a class number, or all with a class name.
        classes: class names in the order of their numbers, if known.

    Raises:
        ListError: a name or class is no Unicode text, as the escapes of JSON allow.
    """
    for entry in entries:
        for text in (entry.name, str(entry.label)):
            if _SURROGATE.search(text):
                raise ListError(
                    f"{file.line(entry.number)} has the text {text!a}, which is no Unicode. Correct the file"
                )
    intervals = np.array([entry.interval for entry in entries], np.float64).reshape(-1, 2)
    labels = [entry.label for entry in entries]
    sides = [entry.side for entry in entries]
    others = [entry.other_name for entry in entries]
    is_numbered = all(isinstance(label, int) for label in labels)
    return ListRows(
        columns,
        [entry.name.encode() for entry in entries],
        np.array([entry.number for entry in entries], np.int64),
        np.array(labels, np.int64) if is_numbered else [str(label) for label in labels],
        np.array([entry.frames for entry in entries], np.int64),
        classes,
        None if np.isnan(intervals).all() else intervals,
        sides if any(sides) else None,
        None,
        others if any(others) else None,
    )


def check_interval(file: ListFile, number: int, start: float, end: float) -> tuple[float, float]:
    """Return an interval in seconds.

    Raises:
        ListError: it starts before 0, or does not start before it ends.
    """
    if not 0 <= start < end < math.inf:
        rule = "which does not start from 0, and before it ends"
        raise ListError(f"{file.line(number)} has the interval {start:g} to {end:g} s, {rule}. Correct it")
    return start, end


def name_clip(youtube_id: str, start: float, end: float) -> str:
    """Return the name that downloaders of Kinetics give a clip: its id with its first and last second."""
    return f"{youtube_id}_{round(start):06d}_{round(end):06d}"
