"""The rows of a list in any format, as its reader returns them: names of classes are not numbered yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vtdl_cli.errors import UsageError

UNKNOWN_CLASS = -1
"""The class of an unlabelled video."""


@dataclass(frozen=True, eq=False)
class ListRows:
    """The N rows of a list.

    Attributes:
        columns: how the rows were read, for messages.
        names: paths [N], UTF-8.
        numbers: int64 [N], line numbers in the file, from 1.
        labels: int64 [N], classes from 0, -1 for unlabelled videos; or class names [N], empty for unlabelled videos.
        frames: int64 [N], frame counts, 0 where the list has none.
        classes: class names in the order of their numbers, if the list gives the order.
        intervals: float64 [N, 2], start and end in seconds, NaN for a whole video; None: all videos are whole.
    """

    columns: str
    names: Sequence[bytes]
    numbers: NDArray[np.int64]
    labels: NDArray[np.int64] | Sequence[str]
    frames: NDArray[np.int64]
    classes: list[str] | None = None
    intervals: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class ListPlace:
    """Where a list is, and where its videos are.

    Attributes:
        source: the list's file.
        root: the folder that relative paths start from.
        strip_prefix: a folder to drop from the start of paths; may be empty.
    """

    source: Path
    root: Path
    strip_prefix: str = ""

    def line(self, number: int) -> str:
        """Name a line in an error message."""
        return f"list '{self.source}:{number}'"

    @property
    def prefix(self) -> bytes:
        """What to strip from paths: ends in a slash, or is empty."""
        return self.strip_prefix.rstrip("/").encode() + b"/" if self.strip_prefix else b""

    def check_prefix(self, names: Sequence[bytes]) -> None:
        """Make sure that the prefix is one of some name, or line.

        Raises:
            UsageError: it is not.
        """
        if not any(name.startswith(self.prefix) for name in names):
            rule = f"starts no line of list '{self.source}', whose first is '{shortened(names[0].decode())}'"
            raise UsageError(
                f"--strip-prefix '{self.strip_prefix}' {rule}. Give whole folders from the start of its paths"
            )


def shortened(text: str, length: int = 80) -> str:
    """Return a text of at most `length` characters for a message."""
    return text if len(text) <= length else f"{text[: length - 3]}..."
