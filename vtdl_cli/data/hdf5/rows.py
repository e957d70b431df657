"""Read and write HDF5 files with one row per video, and a checksum of each column that is verified on reading.

Features and scores are such files. The attribute `checksums` has the CRC-32 of each column; the rest of the file,
including its attributes, is covered by its seal (`seal.py`).
"""

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from vtdl_cli.data.hdf5.disk import ErrorTolerantFile, signals_deferred
from vtdl_cli.data.hdf5.layout import TEXT, Column, Layout, plain
from vtdl_cli.data.hdf5.layout_checks import check_file, check_layout
from vtdl_cli.data.hdf5.seal import SEAL_BYTES, Extent, is_sealed, write_seal
from vtdl_cli.runtime import Warn, atomic_write, ignore_warning

CHECKSUMS = "checksums"

ColumnRows = np.ndarray | list[str]


def wait_for(pending: Iterable[Future[None]]) -> None:
    """Wait for futures, and raise the first exception."""
    for each in pending:
        each.result()


class Checksum:
    """CRC-32 of a column, independent of how its rows are split into blocks.

    Args:
        shape: of the whole column.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._value = zlib.crc32(repr(tuple(shape)).encode())

    def add(self, rows: ColumnRows) -> None:
        """Update the checksum with the next rows, in the column's dtype."""
        content = "".join(f"{text}\0" for text in rows).encode() if isinstance(rows, list) else rows.data
        self._value = zlib.crc32(content, self._value)

    def __str__(self) -> str:
        return f"{self._value:08x}"


class RowsWriter:
    """Writes a file; see `write_rows`.

    Args:
        disk: the empty file to write to.
    """

    @signals_deferred()
    def __init__(self, disk: ErrorTolerantFile) -> None:
        self._disk, self._file = disk, h5py.File(disk, "w", userblock_size=SEAL_BYTES)
        self._checksums: dict[str, Checksum] = {}
        self._ends: dict[str, int] = {}

    @signals_deferred()
    def add_column(self, name: str, column: Column, shape: tuple[int, ...]) -> None:
        """Create a column of a given shape."""
        kind = h5py.string_dtype() if column.dtype == TEXT else column.dtype
        self._file.create_dataset(name, shape, kind)
        self._checksums[name], self._ends[name] = Checksum(shape), 0

    @signals_deferred()
    def append(self, name: str, rows: Any) -> None:
        """Append rows to a column.

        Raises:
            OSError: the disk is full.
        """
        dataset, start = self._file[name], self._ends[name]
        typed = list(rows) if h5py.check_string_dtype(dataset.dtype) else np.ascontiguousarray(rows, dataset.dtype)
        self._ends[name] = start + len(typed)
        dataset[start : self._ends[name]] = typed
        self._checksums[name].add(typed)
        self._disk.check()

    @signals_deferred()
    def finish(self, attributes: Mapping[str, Any]) -> None:
        """Write the attributes and the checksums of the columns."""
        checksums = {name: str(checksum) for name, checksum in self._checksums.items()}
        self._file.attrs.update({**attributes, CHECKSUMS: json.dumps(checksums)})

    @signals_deferred()
    def close(self) -> None:
        """Close the file, complete or not."""
        self._file.close()

    def extents(self) -> list[Extent]:
        """Return the byte ranges of the numeric columns; the rows of text columns are only references to the text."""
        columns = [
            self._file[name].id for name in self._checksums if not h5py.check_string_dtype(self._file[name].dtype)
        ]
        return [(column.get_offset(), column.get_offset() + column.get_storage_size()) for column in columns]


@contextmanager
def write_rows(path: Path, attributes: Mapping[str, Any]) -> Iterator[RowsWriter]:
    """Write a file atomically.

    Raises:
        VtdlError: the disk is full, or the folder cannot be written.
    """
    with atomic_write(path) as temporary:
        with temporary.open("w+b", buffering=0) as file:
            disk = ErrorTolerantFile(file)
            with disk.first_error(), closing(RowsWriter(disk)) as writer:
                yield writer
                writer.finish(attributes)
                extents = writer.extents()
        write_seal(temporary, extents)


class RowsFile:
    """A file open for reading.

    Attributes:
        attributes: in plain types.
        checksums: by column; None if it was written by an earlier version or by another program.
    """

    def __init__(self, file: h5py.File, path: Path, layout: Layout, *, sealed: bool) -> None:
        self._file, self._path, self._layout = file, path, layout
        self.attributes = plain_attributes(file)
        self._columns = layout.columns_in(file)
        self.checksums: dict[str, str] | None = json.loads(file.attrs[CHECKSUMS]) if sealed else None

    @property
    def columns(self) -> list[str]:
        """The names of the columns that the file has."""
        return list(self._columns)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a column."""
        shape: tuple[int, ...] = self._file[name].shape
        return shape

    def read(self, name: str) -> Any:
        """Read a column: an array, or a list of text.

        Raises:
            DamagedFile: it does not match its checksum.
        """
        (block,) = self.blocks([name], self.shape(name)[0])
        return block[name]

    def blocks(self, names: Sequence[str], num_rows: int) -> Iterator[dict[str, Any]]:
        """Yield columns of one length in blocks of `num_rows` rows; checksums are verified after the last block.

        They are computed in a thread while the next block is read, so that they take no extra time if a core is free.

        Raises:
            DamagedFile: a column does not match its checksum.
        """
        checksums = {name: Checksum(self.shape(name)) for name in names}
        pending: list[Future[None]] = []
        with ThreadPoolExecutor(1) as thread:
            for start in range(0, self.shape(names[0])[0], num_rows):
                block = {name: self._read(name, slice(start, start + num_rows)) for name in names}
                wait_for(pending)  # so that at most two blocks are in memory
                if self.checksums is not None:
                    pending = [thread.submit(checksums[name].add, rows) for name, rows in block.items()]
                yield block
            wait_for(pending)
        for name, checksum in checksums.items():
            self._compare(name, str(checksum))

    def verify(self, num_rows: int) -> None:
        """Read all columns, and verify their checksums.

        Raises:
            DamagedFile: a column does not match its checksum.
        """
        by_count: dict[int, list[str]] = {}
        for name in self.columns:
            by_count.setdefault(self.shape(name)[0], []).append(name)
        for names in by_count.values():
            for _ in self.blocks(names, num_rows):
                pass

    def _read(self, name: str, here: slice) -> ColumnRows:
        column, dataset = self._columns[name], self._file[name]
        with self._layout.damage_on_error(self._path):
            if column.dtype == TEXT:
                texts: list[str] = dataset.asstr()[here].tolist()
                if "\0" in "".join(texts):
                    raise self._layout.damage(self._path, f"are damaged: a null byte in their '{name}'")
                return texts
            with np.errstate(over="ignore"):  # wider numbers from elsewhere become infinite
                numbers: np.ndarray = dataset[here].astype(column.dtype, copy=False)
        if column.limits and not (column.limits[0] <= numbers.min() and numbers.max() <= column.limits[1]):
            least, most = column.limits
            invalid = numbers[(numbers < least) | (numbers > most)][0]
            raise self._layout.damage(self._path, f"have {invalid} in their '{name}', outside of {least} to {most}")
        return numbers

    def _compare(self, name: str, found: str) -> None:
        if self.checksums is not None and self.checksums.get(name) != found:
            flaw = f"are damaged: their {name} do not match their checksum"
            raise self._layout.damage(self._path, flaw)


@contextmanager
def open_rows(path: Path, layout: Layout, warn: Warn = ignore_warning) -> Iterator[RowsFile]:
    """Open a file and check it against its layout; checksums are verified as rows are read.

    Args:
        path: the file.
        layout: its expected layout.
        warn: called if it has no checksums.

    Raises:
        UsageError: it does not exist, has another schema, or is of another kind.
        DamagedFile: it is cut short, or does not match its seal.
    """
    check_file(path, layout)
    with layout.damage_on_error(path):
        sealed = is_sealed(path)
        file = h5py.File(path)
    with file:
        with layout.damage_on_error(path):
            check_layout(file, path, layout)
            if CHECKSUMS in file.attrs and not sealed:
                raise ValueError
            rows = RowsFile(file, path, layout, sealed=sealed)
        if rows.checksums is None:
            warn(f"{layout.what} '{path}' are of an earlier version, without checksums: damage would not be noticed")
        yield rows


def plain_attributes(file: h5py.File) -> dict[str, Any]:
    """Return all attributes except the checksums, in plain types."""
    return {name: plain(value) for name, value in sorted(file.attrs.items()) if name != CHECKSUMS}
