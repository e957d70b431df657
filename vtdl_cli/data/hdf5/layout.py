"""The layouts of HDF5 files with one row per video, and the checks of a file against its layout."""

import json
import math
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


def check_file(path: Path, layout: Layout) -> None:
    """Check that a file exists and is an HDF5 file, without opening it.

    Raises:
        UsageError: it does not exist, or is a folder.
        DamagedFile: it is empty, or not an HDF5 file.
    """
    if not path.exists():
        raise layout.refusal(path, f"do not exist. First: {layout.first.format(path=path)}")
    if not path.is_file():
        raise layout.refusal(path, "are a folder. Name an HDF5 file")
    if not path.stat().st_size:
        raise layout.damage(path, "are an empty file")
    if not h5py.is_hdf5(path):
        raise DamagedFile(f"{layout.what} '{path}' are not an HDF5 file. Name one that {layout.command} wrote")


def check_layout(file: h5py.File, path: Path, layout: Layout) -> None:
    """Check an open file against its layout, before any row is read.

    Raises:
        UsageError: it has another schema, or is an HDF5 file of another kind.
        DamagedFile: its columns differ in length, or have fewer rows than they declare.
    """
    if (first := next(iter(layout.columns))) not in file:
        raise _of_another_kind(path, layout, f"it has no '{first}'")
    schema = file.attrs.get("schema", layout.schemas[0] if layout.from_elsewhere else None)
    if schema is not None and not any(np.array_equal(schema, known) for known in layout.schemas):
        flaw = f"have schema {plain(schema)}, and this version reads {' and '.join(map(str, layout.schemas))}"
        raise layout.refusal(path, f"{flaw}. {layout.again}")
    columns = layout.columns_in(file)
    flaws = [_column_flaw(file, name, column) for name, column in columns.items()]
    flaws += [f"it has no '{name}'" for name in layout.attributes if name not in file.attrs]
    if flaw := next(filter(None, flaws), "it has no 'schema'" if schema is None else ""):
        raise _of_another_kind(path, layout, flaw)
    counts = {name: len(file[name]) for name in columns}
    if not _counts_agree(counts, columns):
        rows = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise layout.damage(path, f"are inconsistent: rows of {rows}")
    if flaw := _vectors_flaw(file, columns):
        raise layout.damage(path, f"are inconsistent: {flaw}")
    if not min(counts.values()):
        raise layout.refusal(path, "hold no videos. Use those of another list")
    for name, count in counts.items():
        if not _holds_its_rows(file, file[name]):
            raise layout.damage(path, f"are cut short or damaged: they declare {count} rows of {name}, and hold fewer")
    if not is_list_of_skipped(json.loads(file.attrs.get("skipped", "[]"))):
        raise layout.damage(path, "are damaged: their 'skipped' is not a list of videos")
    try:
        names = class_names_in(file.attrs)
    except (ValueError, RecursionError):
        raise layout.damage(path, "are damaged: their 'classes' is not a list of names") from None
    if names is not None and (highest := int(file["labels"][:].max())) >= len(names):
        raise layout.damage(path, f"are inconsistent: {len(names)} class names, and class {highest}")


def _of_another_kind(path: Path, layout: Layout, flaw: str) -> UsageError:
    return layout.refusal(path, f"are an HDF5 file of something else: {flaw}. Name one that {layout.command} wrote")


def check_finite_rows(values: np.ndarray, paths: Sequence[str], path: Path, layout: Layout, next_step: str) -> None:
    """Check that the vectors (N, ...) of a file are finite.

    Args:
        values: the vectors.
        paths: of their N videos.
        path: the file.
        layout: of the file.
        next_step: what to do, for the message.

    Raises:
        UsageError: one of them has a NaN or an infinite value.
    """
    finite = np.isfinite(values).all(axis=tuple(range(1, values.ndim)))
    if not finite.all():
        first = paths[int(finite.argmin())]
        raise layout.refusal(path, f"have values that are not finite, the first for '{first}'. {next_step}")


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


def _column_flaw(file: h5py.File, name: str, column: Column) -> str:
    if isinstance(file.get(name, getlink=True), h5py.ExternalLink):
        return f"its '{name}' are in another file"
    dataset = file.get(name)
    if not isinstance(dataset, h5py.Dataset):
        return f"it has no '{name}'"
    if not column.accepts(dataset) or 0 in dataset.shape[1:]:
        return f"its '{name}' are not {column.description}"
    return f"its '{name}' are in another file" if dataset.external or dataset.is_virtual else ""


def _counts_agree(counts: Mapping[str, int], columns: Mapping[str, Column]) -> bool:
    """Whether the columns have one row for each video; in a ragged file, which has edges, or for each vector."""
    by_kind: dict[str, set[int]] = {}
    for name, count in counts.items():
        by_kind.setdefault(columns[name].per, set()).add(count)
    if (edges := by_kind.pop("edge", None)) is None:
        return len(set(counts.values())) == 1
    return all(len(found) == 1 for found in by_kind.values()) and edges == {min(by_kind["video"]) + 1}


def _vectors_flaw(file: h5py.File, columns: Mapping[str, Column]) -> str:
    """Return why the columns of vectors do not fit together; '' if they do."""
    shapes = {
        name: file[name].shape[: file[name].ndim - column.axes[0]]
        for name, column in columns.items()
        if column.per == "vector"
    }
    if len(set(shapes.values())) > 1:
        return "shapes of " + ", ".join(f"{name} {' x '.join(map(str, shape))}" for name, shape in shapes.items())
    for name in (name for name, column in columns.items() if column.per == "edge"):
        edges, (number, *_) = file[name][:], next(iter(shapes.values()))
        if edges[0] != 0 or edges[-1] != number or (np.diff(edges) < 1).any():
            return f"their '{name}' do not divide {number} vectors among {len(edges) - 1} videos"
    return ""


def _holds_its_rows(file: h5py.File, dataset: h5py.Dataset) -> bool:
    """Whether all declared rows are in the file: HDF5 returns zeros for missing ones, even terabytes of them."""
    if dataset.chunks is not None:
        chunks = (-(-length // chunk) for length, chunk in zip(dataset.shape, dataset.chunks, strict=True))
        return bool(dataset.id.get_num_chunks() >= math.prod(chunks))
    size, start = dataset.size * dataset.id.get_type().get_size(), dataset.id.get_offset() or 0
    return bool(dataset.id.get_storage_size() >= size and start + size <= file.id.get_filesize())


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
