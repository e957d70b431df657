"""The layouts of HDF5 files with one row per video: their columns, and what their attributes hold."""

import json
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from vtdl_cli.errors import DamagedFile, UsageError
from vtdl_cli.text import has_lone_surrogate

TEXT = "text"


@dataclass(frozen=True)
class Column:
    """The type of a column's rows.

    Attributes:
        description: for messages.
        dtype: of the numbers, or TEXT.
        kinds: NumPy's letters of the kinds of numbers that are accepted.
        axes: minimum and maximum number of axes of a row.
        limits: of integers, inclusive.
        per: what a row stands for: a `video`, or a `vector`, of which a ragged file has any number for each video; the
            `edge`s are where the vectors of a video begin and end, one more than videos.
    """

    description: str
    dtype: str
    kinds: str = ""
    axes: tuple[int, int] = (0, 0)
    limits: tuple[int, int] | None = None
    per: str = "video"

    def accepts(self, dataset: h5py.Dataset) -> bool:
        """Whether a dataset has this type."""
        if dataset.shape is None or not self.axes[0] <= dataset.ndim - 1 <= self.axes[1]:
            return False
        if self.dtype == TEXT:
            return h5py.check_string_dtype(dataset.dtype) is not None
        return dataset.dtype.kind in self.kinds and h5py.check_enum_dtype(dataset.dtype) is None


@dataclass(frozen=True)
class Layout:
    """What files of one kind hold.

    Attributes:
        what: the kind, such as `features`.
        command: writes such files.
        first: what to type if a file is missing; `{path}` stands for its path.
        again: what to do if a file is damaged.
        schemas: the versions of the layout that can be read.
        columns: by name.
        optional: groups of further columns, by name: a file has all of a group or none.
        attributes: that are required.
        from_elsewhere: whether a file without a schema is accepted.
    """

    what: str
    command: str
    first: str
    again: str
    schemas: Sequence[int]
    columns: Mapping[str, Column]
    attributes: Sequence[str] = ()
    from_elsewhere: bool = False
    optional: Sequence[Mapping[str, Column]] = ()

    def columns_in(self, names: Container[str]) -> dict[str, Column]:
        """Return the columns that a file with these should have."""
        groups = (group for group in self.optional if any(name in names for name in group))
        return {name: column for group in (self.columns, *groups) for name, column in group.items()}

    def refusal(self, path: Path, flaw: str) -> UsageError:
        """Build the error for a file that cannot be used; `flaw` includes the next step."""
        return UsageError(f"{self.what} '{path}' {flaw}")

    def damage(self, path: Path, flaw: str) -> DamagedFile:
        """Build the error for a file that has changed since it was written."""
        return DamagedFile(f"{self.what} '{path}' {flaw}. {self.again}")

    @contextmanager
    def damage_on_error(self, path: Path) -> Iterator[None]:
        """Turn any exception of h5py into `DamagedFile`; its class depends on where in the file the damage is.

        Raises:
            DamagedFile: h5py raised an exception.
        """
        try:
            yield
        except UnicodeDecodeError as error:
            raise self.damage(path, "hold text that is not UTF-8") from error
        except (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            raise self.damage(path, "are cut short or damaged") from error


INTERVAL_COLUMNS = {
    "interval_starts": Column("numbers", "<f8", kinds="fiu"),
    "interval_ends": Column("numbers", "<f8", kinds="fiu"),
}
"""Of samples that are parts of videos: in seconds, NaN for a whole video."""


def interval_columns(intervals: NDArray[np.float64] | None) -> dict[str, NDArray[np.float64]]:
    """Return INTERVAL_COLUMNS of intervals (N, 2); empty without intervals."""
    return {} if intervals is None else dict(zip(INTERVAL_COLUMNS, intervals.T, strict=True))


def intervals_in(columns: Mapping[str, Any]) -> NDArray[np.float64] | None:
    """Return the intervals (N, 2) in columns that were read; None if there are none."""
    found = [columns[name] for name in INTERVAL_COLUMNS if name in columns]
    return np.stack(found, 1) if found else None


def class_names_in(attributes: Mapping[str, Any]) -> list[str] | None:
    """Return the class names by number; None if the list had none, or for a file of an earlier version.

    Raises:
        ValueError: the attribute is not a list of names.
    """
    if "classes" not in attributes:
        return None
    names = json.loads(str(attributes["classes"]))
    if not isinstance(names, list) or not all(map(_is_text, names)):
        raise ValueError(names)
    return names


def _is_text(value: Any) -> bool:
    """Whether a value read from JSON is text that can be encoded as UTF-8; JSON can escape any code point."""
    return isinstance(value, str) and not has_lone_surrogate(value)


def is_list_of_skipped(videos: Any) -> bool:
    """Whether a value read from JSON is a list of skipped videos, each with path and reason."""
    keys = ("path", "reason")
    return isinstance(videos, list) and all(
        isinstance(video, dict) and all(_is_text(video.get(key)) for key in keys) for video in videos
    )


def plain(value: Any) -> Any:
    """Convert an attribute to text or a number; anything else by `str`."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, str):  # h5py returns bytes that are not UTF-8 as surrogates, which cannot be printed
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return value if isinstance(value, int | float) else str(value)
