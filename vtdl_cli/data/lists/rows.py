"""A list's file, and its rows as the reader of its format returns them: classes may still be names."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vtdl_cli.errors import ListError, UsageError

UNKNOWN_CLASS = -1
"""The class of an unlabelled video."""

SIDE_NAMES = {
    "train": "train training",
    "val": "val valid validate validation dev",
    "test": "test testing",
}
"""Part of a split -> names that lists give it; case is ignored."""

_SIDES = {name: side for side, names in SIDE_NAMES.items() for name in names.split()}
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


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


@dataclass(frozen=True, eq=False)
class ListFile:
    """The content of a list's file, and how to read it.

    Attributes:
        source: the file.
        content: its bytes, UTF-8.
        root: the folder that relative paths start from.
        strip_prefix: a folder to drop from the start of paths; may be empty.
        chosen: what a column holds -> its name, for columns of a table that the user chose.
    """

    source: Path
    content: bytes
    root: Path
    strip_prefix: str = ""
    chosen: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The content, without a byte order mark."""
        return self.content.removeprefix(BYTE_ORDER_MARK).decode()

    @cached_property
    def json(self) -> Any:
        """The content of a JSON file; None for other files.

        Raises:
            ListError: a file with the suffix of JSON is none.
        """
        if self.content.removeprefix(BYTE_ORDER_MARK).lstrip()[:1] not in (b"[", b"{"):
            return None
        try:
            return json.loads(self.text)
        except ValueError as error:
            if self.source.suffix.lower() != ".json":
                return None
            raise ListError(f"list '{self.source}' is not JSON: {error}. Correct the file") from error

    @property
    def prefix(self) -> bytes:
        """What to strip from paths: ends in a slash, or is empty."""
        return self.strip_prefix.replace("\\", "/").rstrip("/").encode() + b"/" if self.strip_prefix else b""

    def line(self, number: int) -> str:
        """Name a row in an error message."""
        return f"list '{self.source}:{number}'" if self.json is None else f"list '{self.source}', entry {number},"

    def beside(self, *names: str) -> Path | None:
        """Return the first of these files that lies in the list's folder."""
        return next((path for path in map(self.source.with_name, names) if path.is_file()), None)

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


def path_exists(path: Path) -> bool:
    """Whether the path exists and can be reached."""
    try:
        return path.exists()
    except OSError:  # the name is too long, or a folder on the way may not be entered
        return False


def parse_side(text: str) -> str:
    """Return the part of a split that a list names.

    Raises:
        ValueError: it is none of `SIDE_NAMES`.
    """
    if text.strip().lower() not in _SIDES:
        raise ValueError(text)
    return _SIDES[text.strip().lower()]
