"""Export features to .npy, .csv and .parquet, block by block.

A table has one line per video, or per vector of a ragged file: `path`, `label`, the `class` name if the file has names,
`num_frames`, `f0`, `f1`, ... After the path come `start` and `end` in seconds if the file has intervals (empty for a
whole video). A vector of a ragged file has `start` and `end` of its own, `start_frame`, `end_frame` and `fps`, and the
interval of its video is `interval_start` and `interval_end`. An array has the features only.
"""

import csv
import importlib
import importlib.util
import itertools
import shlex
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vtdl_cli.data.hdf5.feature_arrays import write_array
from vtdl_cli.data.hdf5.features import FeatureRows
from vtdl_cli.errors import UsageError

Shape = tuple[int, ...]
Names = Sequence[str] | None  # of the classes
TableWriter = Callable[[Path, Shape, Iterable[FeatureRows], Names], None]


def write_npy(path: Path, shape: Shape, blocks: Iterable[FeatureRows], names: Names = None) -> None:  # noqa: ARG001
    """Write a plain array, float32 (N, ..., D)."""
    with path.open("wb") as file:
        write_array(file, "<f4", shape, (block["features"] for block in blocks))


def write_csv(path: Path, shape: Shape, blocks: Iterable[FeatureRows], names: Names = None) -> None:
    """Write text, with nine digits, which represent each float32 exactly."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        for number, block in enumerate(blocks):
            columns = _first_columns(block, names)
            if not number:
                writer.writerow((*columns, *_channels(shape)))
            columns |= {name: _format_numbers(columns[name]) for name in (*SECONDS, *NUMBERS) if name in columns}
            rows = zip(*columns.values(), block["features"].tolist(), strict=True)
            writer.writerows((*first, *(f"{value:.9g}" for value in vector)) for *first, vector in rows)


def write_parquet(path: Path, shape: Shape, blocks: Iterable[FeatureRows], names: Names = None) -> None:
    """Write Parquet, one row group per block."""
    arrow: Any = importlib.import_module("pyarrow")
    parquet: Any = importlib.import_module("pyarrow.parquet")
    kinds = {"path": arrow.string(), "class": arrow.string()} | dict.fromkeys((*SECONDS, *NUMBERS), arrow.float64())
    rest = iter(blocks)
    first = next(rest)
    schema = [(name, kinds.get(name, arrow.int64())) for name in _first_columns(first, names)]
    schema = arrow.schema([*schema, *((name, arrow.float32()) for name in _channels(shape))])
    with parquet.ParquetWriter(path, schema) as writer:
        for block in itertools.chain([first], rest):
            channels = np.ascontiguousarray(block["features"].T)  # (D, n)
            columns = [*_first_columns(block, names).values(), *channels]
            writer.write_table(arrow.table([arrow.array(column) for column in columns], schema=schema))


SECONDS = ("start", "end")
NUMBERS = ("interval_start", "interval_end", "fps")
FRAMES = ("start_frame", "end_frame")


def _first_columns(block: FeatureRows, names: Names) -> dict[str, Any]:
    """Return the columns before the features; a video without a class has an empty name."""
    is_timed = "starts" in block
    own = (*SECONDS, *FRAMES, *NUMBERS) if is_timed else NUMBERS[:2]
    times = {name.removeprefix("" if is_timed else "interval_"): _find(block, name) for name in own}
    class_names = {"class": [names[label] if label >= 0 else "" for label in block["labels"]]} if names else {}
    return {
        "path": block["paths"],
        **{name: values for name, values in times.items() if values is not None},
        "label": block["labels"],
        **class_names,
        "num_frames": block["num_frames"],
    }


def _find(block: FeatureRows, name: str) -> np.ndarray | None:
    """Return a column of the file, which are plural, except for `fps`."""
    values: np.ndarray | None = block.get(name if name == "fps" else f"{name}s")
    return values


def _format_numbers(values: np.ndarray) -> list[str]:
    return ["" if np.isnan(value) else f"{value:.12g}" for value in values]


def _channels(shape: Shape) -> list[str]:
    return [f"f{channel}" for channel in range(shape[-1])]


ARRAY, ARRAYS, CSV, PARQUET = ".npy", ".npz", ".csv", ".parquet"
EXPORTS = (ARRAY, ARRAYS, CSV, PARQUET)
"""Suffixes of files that features are exported to."""

WRITERS: dict[str, TableWriter] = {ARRAY: write_npy, CSV: write_csv, PARQUET: write_parquet}
"""By the suffix of the file; ARRAYS hold all columns, see `feature_arrays`."""

HDF5 = (".h5", ".hdf5", "")


def writer_for(path: Path) -> TableWriter:
    """Return the writer for a file's suffix.

    Raises:
        UsageError: there is none, or its library is not installed.
    """
    if path.suffix not in WRITERS:
        raise UsageError(f"--out '{path}' does not end in {', '.join(EXPORTS)}. Choose one of these suffixes")
    if path.suffix == PARQUET and importlib.util.find_spec("pyarrow") is None:
        raise UsageError(f"--out '{path}' needs pyarrow. Type pip install pyarrow, or choose .csv")
    return WRITERS[path.suffix]


def check_is_hdf5(path: Path) -> None:
    """Refuse a name that says that the file will be something else than HDF5.

    Raises:
        UsageError: its suffix is that of an export, or another than HDF5's.
    """
    if path.suffix in EXPORTS:
        hdf5 = shlex.quote(str(path.with_suffix(".h5")))
        raise UsageError(
            f"--out '{path}' ends in {path.suffix}, but the file will be HDF5. Use --out {hdf5}, then: "
            f"vtdl features export {hdf5} --out {shlex.quote(str(path))}"
        )
    if path.suffix.lower() not in HDF5 and not path.is_dir():  # which has a message of its own
        raise UsageError(
            f"--out '{path}' does not end in {' or '.join(HDF5[:2])}, and the file will be HDF5. "
            f"Use --out {shlex.quote(f'{path}.h5')}"
        )
