"""Features that other programs computed: read from .npy, .npz, .csv and .parquet.

In a table the columns that are named as in lists (`path`, `start`, `end`, `label`, ...; see `lists.tables`) say which
video a row is of, and all others are channels; so what `feature_tables` writes can be read back.

Shapes: `N` rows, `D` channels; between them may be the clips of a video and the times of a clip.
"""

import csv
import importlib
import importlib.util
import itertools
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vtdl_cli.data.hdf5.feature_tables import FRAMES, NUMBERS
from vtdl_cli.data.hdf5.features import FEATURE_COLUMNS
from vtdl_cli.data.lists.list_file import ListFile, shortened
from vtdl_cli.data.lists.tables import find_column, has_known_name, parse_seconds, split_header
from vtdl_cli.data.video.timeline import name_samples
from vtdl_cli.errors import UsageError
from vtdl_cli.text import counted

UNREADABLE = (ValueError, EOFError, OSError, NotImplementedError, zipfile.BadZipFile, zlib.error, csv.Error)
"""What NumPy, csv and pyarrow raise."""
HEADER_BYTES = 2**20  # more than a line with the names of any columns
VECTORS, PATHS = "features", "paths"
"""Names of arrays in an .npz file."""


@dataclass(frozen=True)
class ForeignFeatures:
    """Features (N, ..., D) as they are in a file, and what identifies their N samples; None: the order of a list."""

    path: Path
    values: np.ndarray
    names: list[str] | None


def read_foreign_features(path: Path) -> ForeignFeatures:
    """Read features by the suffix of their file.

    Raises:
        UsageError: the suffix is another, the file is missing or damaged, or it does not hold vectors of numbers.
    """
    if path.suffix not in READERS:
        raise UsageError(f"features '{path}' do not end in {', '.join(READERS)}. Save them in one of these formats")
    if not path.is_file():
        raise UsageError(f"features '{path}' do not exist. Name a file of features")
    try:
        with np.errstate(over="ignore"):  # what exceeds float32 becomes infinite, and is refused as such
            values, names = READERS[path.suffix](path)
    except UNREADABLE as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")
        raise UsageError(
            f"features '{path}' cannot be read: {reason}. Save vectors of one length, as float32"
        ) from error
    _check_vectors(path, values)
    if names is not None and len(names) != len(values):
        raise UsageError(
            f"features '{path}' have {counted(len(values), 'row')}, but {counted(len(names), 'path')}. Give "
            "each row its path"
        )
    return ForeignFeatures(path, values, names)


def _check_vectors(path: Path, values: np.ndarray) -> None:
    column, shape = FEATURE_COLUMNS[VECTORS], list(values.shape)
    if values.dtype.kind not in column.kinds:
        raise UsageError(f"features '{path}' hold values of type {values.dtype}, not numbers. Save them as float32")
    if shape[:1] == [0]:
        raise UsageError(f"features '{path}' have no rows. Save one for each video")
    if not column.axes[0] <= values.ndim - 1 <= column.axes[1] or 0 in shape:
        raise UsageError(
            f"features '{path}' have shape {shape}, not [videos, channels], [videos, clips, channels] or [videos, "
            "clips, times, channels]. Reshape them"
        )


Read = tuple[np.ndarray, list[str] | None]


def read_npy(path: Path) -> Read:
    """Map an array, so that it need not fit into memory."""
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(array, np.ndarray):
        array.close()
        raise ValueError("it is an archive of arrays, whose name ends in .npz")
    return array, None


def read_npz(path: Path) -> Read:
    """Read the array `features`, or the only one besides `paths`."""
    if not zipfile.is_zipfile(path):
        raise ValueError("it is not an archive of arrays")
    with np.load(path, allow_pickle=False) as arrays:
        names = [name for name in arrays.files if name != PATHS]
        if len(names) != 1 and VECTORS not in names:
            raise UsageError(
                f"features '{path}' hold the arrays {', '.join(arrays.files) or 'none'}. Name one of them '{VECTORS}'"
            )
        paths = [_decode(name) for name in arrays[PATHS].tolist()] if PATHS in arrays.files else None
        return arrays[VECTORS if VECTORS in names else names[0]], paths


def _decode(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def read_csv(path: Path) -> Read:
    """Read a table; without names of columns all of them are channels."""
    with path.open("rb") as file:
        first, delimiter = split_header(ListFile(path, file.read(HEADER_BYTES), path.parent))
    has_header = not all(map(_is_number, first))
    header = first if has_header else [str(number) for number in range(len(first))]
    named = _named_columns(header) if has_header else {}
    channels = [header.index(name) for name in (_channels(header) if has_header else header)]
    vectors, cells = list[np.ndarray](), list[list[str]]()
    for number, row in _rows(path, delimiter, len(header), has_header=has_header):
        try:
            vectors.append(np.array([row[place] for place in channels], np.float32))
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from error
        cells.append([row[header.index(name)] for name in named.values()])
    columns = dict(zip(named, zip(*cells, strict=True), strict=True)) if cells else {}
    return np.array(vectors), _sample_names(columns)


def _rows(path: Path, delimiter: str, num_cells: int, *, has_header: bool) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and cells of each row; blank lines, and comments before the first row, are left out."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = csv.reader(file, delimiter=delimiter)
        filled = ((lines.line_num, row) for row in lines if row)
        rows = itertools.dropwhile(lambda each: each[1][0].startswith("#"), filled)
        if has_header:
            next(rows, None)
        for number, row in rows:
            if len(row) != num_cells:
                raise ValueError(f"line {number} has {len(row)} cells, but the first has {num_cells}")
            yield number, row


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def read_parquet(path: Path) -> Read:
    """Read a table: each channel in a column of its own, or all of them as lists in one column."""
    if importlib.util.find_spec("pyarrow") is None:
        raise UsageError(f"features '{path}' need pyarrow. Type pip install pyarrow, or save them as .csv or .npy")
    parquet: Any = importlib.import_module("pyarrow.parquet")
    table = parquet.read_table(path)
    channels = [table[name] for name in _channels(table.column_names)]
    named = {content: table[name].to_pylist() for content, name in _named_columns(table.column_names).items()}
    columns = [np.array(channel.to_pylist()) for channel in channels]
    is_vectors = len(columns) == 1 and columns[0].ndim > 1
    return columns[0] if is_vectors else np.stack(columns, 1), _sample_names(named)


def _channels(header: Sequence[str]) -> list[str]:
    """Return the columns that are channels: those without a name that lists or our own tables give a column.

    Raises:
        ValueError: there are none, two have one name, or one is an index of pandas.
    """
    if any(not name.strip() or name.startswith("__index_level_") for name in header):
        raise ValueError("one of its columns has no name, such as an index of pandas, which index=False leaves out")
    channels = [name for name in header if not has_known_name(name) and name not in (*FRAMES, *NUMBERS)]
    if not channels:
        raise ValueError(f"it has no column of features besides {shortened(', '.join(header))}")
    if len(set(header)) < len(header):
        raise ValueError("two of its columns have the same name")
    return channels


def _named_columns(header: Sequence[str]) -> dict[str, str]:
    """Return what identifies a sample -> its column, for those that the table has."""
    found = {content: find_column(header, content) for content in ("path", "start", "end")}
    return {content: name for content, name in found.items() if name is not None}


def _sample_names(columns: Mapping[str, Sequence[Any]]) -> list[str] | None:
    """Name the samples of a table by path and, where there are any, start and end in seconds."""
    if "path" not in columns:
        return None
    paths = list(map(str, columns["path"]))
    if not columns.keys() >= {"start", "end"}:
        return name_samples(paths, None)
    seconds = [[_seconds(cell) for cell in columns[name]] for name in ("start", "end")]
    return name_samples(paths, np.array(seconds).T)


def _seconds(cell: Any) -> float:
    return parse_seconds("" if cell is None or cell != cell else str(cell))  # NaN differs from itself


READERS: dict[str, Callable[[Path], Read]] = {
    ".npy": read_npy,
    ".npz": read_npz,
    ".csv": read_csv,
    ".parquet": read_parquet,
}
"""By the suffix of the file."""
