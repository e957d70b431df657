"""What HDF5 files of rows, one a video, have to hold, and what is wrong with one before any row is read."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from vtdl_cli.errors import DamagedFile, UsageError
from vtdl_cli.text import has_lone_surrogate

TEXT = "text"


@dataclass(frozen=True)
class Column:
    """What the rows of a column are.

    Attributes:
        words: for people.
        dtype: of the numbers, or TEXT.
        kinds: NumPy's letters of the numbers that are taken for them.
        axes: the fewest and the most that a row may have.
        limits: of whole numbers, both included.
    """

    words: str
    dtype: str
    kinds: str = ""
    axes: tuple[int, int] = (0, 0)
    limits: tuple[int, int] | None = None

    def takes(self, dataset: h5py.Dataset) -> bool:
        """Whether a dataset is one."""
        if dataset.shape is None or not self.axes[0] <= dataset.ndim - 1 <= self.axes[1]:
            return False
        if self.dtype == TEXT:
            return h5py.check_string_dtype(dataset.dtype) is not None
        return dataset.dtype.kind in self.kinds and h5py.check_enum_dtype(dataset.dtype) is None


@dataclass(frozen=True)
class Layout:
    """What files of one kind hold.

    Attributes:
        what: they are called, such as `features`.
        command: that writes them.
        first: what to type where one is not there; `{path}` is its place.
        again: what to do where one is damaged.
        schema: its number.
        columns: by name, of one length.
        attributes: that have to be there.
        from_elsewhere: whether a file without a schema passes.
    """

    what: str
    command: str
    first: str
    again: str
    schema: int
    columns: Mapping[str, Column]
    attributes: Sequence[str] = ()
    from_elsewhere: bool = False

    def refusal(self, path: Path, flaw: str) -> UsageError:
        """The error for a file that cannot be taken; the flaw says what to do."""
        return UsageError(f"{self.what} '{path}' {flaw}")

    def damage(self, path: Path, flaw: str) -> DamagedFile:
        """The error for a file that is not as it was written."""
        return DamagedFile(f"{self.what} '{path}' {flaw}. {self.again}")

    @contextmanager
    def damage_on_error(self, path: Path) -> Iterator[None]:
        """Turn whatever h5py raises into one line: what it is depends on where in the file the damage is.

        Raises:
            DamagedFile: in place of it.
        """
        try:
            yield
        except UnicodeDecodeError as error:
            raise self.damage(path, "hold text that is not UTF-8") from error
        except (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            raise self.damage(path, "are cut short or damaged") from error


def check_file(path: Path, layout: Layout) -> None:
    """Look at a file from outside.

    Raises:
        UsageError: it is not there, or is something else.
        DamagedFile: not even its beginning is left.
    """
    if not path.exists():
        raise layout.refusal(path, f"are not there. First: {layout.first.format(path=path)}")
    if not path.is_file():
        raise layout.refusal(path, "are a folder. Name an HDF5 file")
    if not path.stat().st_size:
        raise layout.damage(path, "are an empty file")
    if not h5py.is_hdf5(path):
        raise DamagedFile(f"{layout.what} '{path}' are no HDF5 file. Name one that {layout.command} wrote")


def check_layout(file: h5py.File, path: Path, layout: Layout) -> None:
    """Hold an open file to its layout, before any row is read.

    Raises:
        UsageError: it is of another schema, or something else.
        DamagedFile: columns do not fit together, or hold less than they say.
    """
    schema = file.attrs.get("schema", layout.schema if layout.from_elsewhere else None)
    if schema is not None and not np.array_equal(schema, layout.schema):
        flaw = f"have schema {plain(schema)}, and this version reads {layout.schema}"
        raise layout.refusal(path, f"{flaw}. {layout.again}")
    flaws = [_column_flaw(file, name, column) for name, column in layout.columns.items()]
    flaws += [f"it has no '{name}'" for name in layout.attributes if name not in file.attrs]
    if flaw := next(filter(None, flaws), "it has no 'schema'" if schema is None else ""):
        what = f"are an HDF5 file of something else: {flaw}"
        raise layout.refusal(path, f"{what}. Name one that {layout.command} wrote")
    counts = {name: len(file[name]) for name in layout.columns}
    if len(set(counts.values())) > 1:
        rows = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise layout.damage(path, f"do not fit together: rows of {rows}")
    if not min(counts.values()):
        raise layout.refusal(path, "hold no video. Take those of another list")
    for name, count in counts.items():
        if not _holds_its_rows(file, file[name]):
            raise layout.damage(path, f"are cut short or damaged: they declare {count} rows of {name}, and hold fewer")
    if not lists_videos(json.loads(file.attrs.get("skipped", "[]"))):
        raise layout.damage(path, "are damaged: their 'skipped' lists no videos")
    try:
        names = class_names_in(file.attrs)
    except (ValueError, RecursionError):
        raise layout.damage(path, "have 'classes' that are no list of names") from None
    if names is not None and (highest := int(file["labels"][:].max())) >= len(names):
        raise layout.damage(path, f"name {len(names)} classes and have class {highest}")


def class_names_in(attributes: Mapping[str, Any]) -> list[str] | None:
    """The names of classes, by number; none where the list had none, or in a file of an earlier version.

    Raises:
        ValueError: something else stands in their place.
    """
    if "classes" not in attributes:
        return None
    names = json.loads(str(attributes["classes"]))
    if not isinstance(names, list) or not all(map(_is_text, names)):
        raise ValueError(names)
    return names


def _column_flaw(file: h5py.File, name: str, column: Column) -> str:
    if isinstance(file.get(name, getlink=True), h5py.ExternalLink):
        return f"its '{name}' lie in another file"
    dataset = file.get(name)
    if not isinstance(dataset, h5py.Dataset):
        return f"it has no '{name}'"
    if not column.takes(dataset) or 0 in dataset.shape[1:]:
        return f"its '{name}' are no {column.words}"
    return f"its '{name}' lie in another file" if dataset.external or dataset.is_virtual else ""


def _holds_its_rows(file: h5py.File, dataset: h5py.Dataset) -> bool:
    """Whether the rows that a dataset declares are in the file: HDF5 fills in zeros for others, terabytes of them."""
    if dataset.chunks is not None:
        chunks = (-(-length // chunk) for length, chunk in zip(dataset.shape, dataset.chunks, strict=True))
        return bool(dataset.id.get_num_chunks() >= math.prod(chunks))
    size, start = dataset.size * dataset.id.get_type().get_size(), dataset.id.get_offset() or 0
    return bool(dataset.id.get_storage_size() >= size and start + size <= file.id.get_filesize())


def _is_text(value: Any) -> bool:
    """Whether something read from JSON, which can spell anything out, is text that can be written again."""
    return isinstance(value, str) and not has_lone_surrogate(value)


def lists_videos(videos: Any) -> bool:
    """Whether something read from JSON is a list of skipped videos, each with path and reason."""
    keys = ("path", "reason")
    return isinstance(videos, list) and all(
        isinstance(video, dict) and all(_is_text(video.get(key)) for key in keys) for video in videos
    )


def plain(value: Any) -> Any:
    """An attribute as text or a number; what is neither, as it prints."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, str):  # bytes that are not UTF-8 come as lone surrogates, which cannot be printed
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return value if isinstance(value, int | float) else str(value)
