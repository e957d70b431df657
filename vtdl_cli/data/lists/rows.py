"""The rows of a list as the reader of its format returns them: classes may still be names."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

UNKNOWN_CLASS = -1
"""The class of an unlabelled video."""


@dataclass(frozen=True, eq=False)
class ListRows:
    """The N rows of a list.

    Attributes:
        columns: how the rows were read, for messages.
        names: paths [N], UTF-8.
        numbers: int64 [N], line numbers in the file, or numbers of the entries of a JSON file, from 1.
        labels: int64 [N], classes, -1 for unlabelled videos; or class names [N], empty for unlabelled videos.
        frames: int64 [N], frame counts, 0 where the list has none.
        classes: class names in the order of their numbers, if the list gives the order.
        intervals: float64 [N, 2], start and end in seconds, NaN for a whole video; None: all videos are whole.
        sides: the part of the split that each video belongs to [N]: train, val or test.
        groups: the group of each video [N].
        other_names: second names [N] under which the videos may be stored.
    """

    columns: str
    names: Sequence[bytes]
    numbers: NDArray[np.int64]
    labels: NDArray[np.int64] | Sequence[str]
    frames: NDArray[np.int64]
    classes: list[str] | None = None
    intervals: NDArray[np.float64] | None = None
    sides: Sequence[str] | None = None
    groups: Sequence[str] | None = None
    other_names: Sequence[str] | None = None
