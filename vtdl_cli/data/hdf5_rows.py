"""HDF5 files of rows, one a video: written with a checksum of each column, and held to it as they are read.

Features and scores are such files. The attribute `checksums` has the CRC-32 of each column; all else in a file, its
attributes among it, is covered by its seal (`hdf5_seal.py`).
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

from vtdl_cli.data.hdf5_disk import ForgivingFile, undisturbed
from vtdl_cli.data.hdf5_layout import TEXT, Column, Layout, check_content, check_file, plain
from vtdl_cli.data.hdf5_seal import SEAL_BYTES, Extent, is_sealed, write_seal
from vtdl_cli.runtime import Warn, replacing, silent

CHECKSUMS = "checksums"

Rows = np.ndarray | list[str]


def finish(pending: Iterable[Future[None]]) -> None:
    """Wait, and raise what was raised there."""
    for each in pending:
        each.result()


class Checksum:
    """CRC-32 of a column, which does not depend on where its rows are cut into blocks.

    Args:
        shape: of the whole column.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._value = zlib.crc32(repr(tuple(shape)).encode())

    def add(self, rows: Rows) -> None:
        """Take in the next rows, of the column's own type."""
        content = "".join(f"{text}\0" for text in rows).encode() if isinstance(rows, list) else rows.data
        self._value = zlib.crc32(content, self._value)

    def __str__(self) -> str:
        return f"{self._value:08x}"


class RowsWriter:
    """A file under way; see `write_rows`.

    Args:
        disk: where it goes, empty.
    """

    @undisturbed()
    def __init__(self, disk: ForgivingFile) -> None:
        self._disk, self._file = disk, h5py.File(disk, "w", userblock_size=SEAL_BYTES)
        self._checksums: dict[str, Checksum] = {}
        self._ends: dict[str, int] = {}

    @undisturbed()
    def add_column(self, name: str, column: Column, shape: tuple[int, ...]) -> None:
        """Make room for all its rows."""
        kind = h5py.string_dtype() if column.dtype == TEXT else column.dtype
        self._file.create_dataset(name, shape, kind)
        self._checksums[name], self._ends[name] = Checksum(shape), 0

    @undisturbed()
    def append(self, name: str, rows: Any) -> None:
        """Write the next rows of a column.

        Raises:
            OSError: the disk is full.
        """
        dataset, start = self._file[name], self._ends[name]
        typed = list(rows) if h5py.check_string_dtype(dataset.dtype) else np.ascontiguousarray(rows, dataset.dtype)
        self._ends[name] = start + len(typed)
        dataset[start : self._ends[name]] = typed
        self._checksums[name].add(typed)
        self._disk.check()

    @undisturbed()
    def finish(self, attributes: Mapping[str, Any]) -> None:
        """Write the attributes, and the checksums of the columns."""
        checksums = {name: str(checksum) for name, checksum in self._checksums.items()}
        self._file.attrs.update({**attributes, CHECKSUMS: json.dumps(checksums)})

    @undisturbed()
    def close(self) -> None:
        """End it, whole or not."""
        self._file.close()

    def extents(self) -> list[Extent]:
        """Where the rows of numbers lie; text lies elsewhere, and HDF5 has only references to it in its rows."""
        columns = [
            self._file[name].id for name in self._checksums if not h5py.check_string_dtype(self._file[name].dtype)
        ]
        return [(column.get_offset(), column.get_offset() + column.get_storage_size()) for column in columns]


@contextmanager
def write_rows(path: Path, attributes: Mapping[str, Any]) -> Iterator[RowsWriter]:
    """Write a file, whole or not at all.

    Raises:
        VtdlError: the disk is full, or the folder cannot be written.
    """
    with replacing(path) as temporary:
        with temporary.open("w+b", buffering=0) as file:
            disk = ForgivingFile(file)
            with closing(RowsWriter(disk)) as writer:
                yield writer
                writer.finish(attributes)
                extents = writer.extents()
            disk.check()
        write_seal(temporary, extents)


class RowsFile:
    """A file that is open for reading.

    Attributes:
        attributes: in plain types.
        checksums: by column; none: written elsewhere, or by an earlier version.
    """

    def __init__(self, file: h5py.File, path: Path, layout: Layout, *, sealed: bool) -> None:
        self._file, self._path, self._layout = file, path, layout
        self.attributes = plain_attributes(file)
        self.checksums: dict[str, str] | None = json.loads(file.attrs[CHECKSUMS]) if sealed else None

    def shape(self, name: str) -> tuple[int, ...]:
        """Of a whole column."""
        shape: tuple[int, ...] = self._file[name].shape
        return shape

    def read(self, name: str) -> Any:
        """All rows of one column: an array, or a list of text.

        Raises:
            DamagedFile: they are not as they were written.
        """
        (block,) = self.blocks([name], self.shape(name)[0])
        return block[name]

    def blocks(self, names: Sequence[str], num_rows: int) -> Iterator[dict[str, Any]]:
        """All rows of some columns in order, so many at a time; held to their checksums after the last block.

        Checksums are computed beside the reading of the next block, so that they cost no time where a core is free.

        Raises:
            DamagedFile: they are not as they were written.
        """
        checksums = {name: Checksum(self.shape(name)) for name in names}
        pending: list[Future[None]] = []
        with ThreadPoolExecutor(1) as beside:
            for start in range(0, self.shape(names[0])[0], num_rows):
                block = {name: self._read(name, slice(start, start + num_rows)) for name in names}
                finish(pending)  # before the next is read: there are two blocks in memory at most
                if self.checksums is not None:
                    pending = [beside.submit(checksums[name].add, rows) for name, rows in block.items()]
                yield block
            finish(pending)
        for name, checksum in checksums.items():
            self._compare(name, str(checksum))

    def verify(self, num_rows: int) -> None:
        """Read all columns.

        Raises:
            DamagedFile: they are not as they were written.
        """
        for _ in self.blocks(list(self._layout.columns), num_rows):
            pass

    def _read(self, name: str, here: slice) -> Rows:
        column, dataset = self._layout.columns[name], self._file[name]
        with self._layout.reading(self._path):
            if column.dtype == TEXT:
                texts: list[str] = dataset.asstr()[here].tolist()
                if "\0" in "".join(texts):
                    raise self._layout.damage(self._path, f"have a zero byte in their '{name}'")
                return texts
            with np.errstate(over="ignore"):  # of wider numbers from elsewhere: they become infinite
                numbers: np.ndarray = dataset[here].astype(column.dtype, copy=False)
        if column.limits and not (column.limits[0] <= numbers.min() and numbers.max() <= column.limits[1]):
            least, most = column.limits
            odd = numbers[(numbers < least) | (numbers > most)][0]
            raise self._layout.damage(self._path, f"have {odd} in their '{name}', which go from {least} to {most}")
        return numbers

    def _compare(self, name: str, found: str) -> None:
        if self.checksums is not None and self.checksums.get(name) != found:
            flaw = f"are damaged: their {name} do not match the checksum that they were written with"
            raise self._layout.damage(self._path, flaw)


@contextmanager
def open_rows(path: Path, layout: Layout, warn: Warn = silent) -> Iterator[RowsFile]:
    """Open a file that is held to its layout; its rows are held to their checksums when they are read.

    Args:
        path: the file.
        layout: what it has to hold.
        warn: who is told where it has no checksums.

    Raises:
        UsageError: it is not there, of another schema, or something else; each in words of its own.
        DamagedFile: it is cut short, or its attributes are not as they were written.
    """
    check_file(path, layout)
    with layout.reading(path):
        sealed = is_sealed(path)
        file = h5py.File(path)
    with file:
        with layout.reading(path):
            check_content(file, path, layout)
            if CHECKSUMS in file.attrs and not sealed:
                raise ValueError
            rows = RowsFile(file, path, layout, sealed=sealed)
        if rows.checksums is None:
            warn(f"{layout.what} '{path}' are of an earlier version, without checksums: damage would not be noticed")
        yield rows


def plain_attributes(file: h5py.File) -> dict[str, Any]:
    """All attributes but the checksums, in plain types."""
    return {name: plain(value) for name, value in sorted(file.attrs.items()) if name != CHECKSUMS}
