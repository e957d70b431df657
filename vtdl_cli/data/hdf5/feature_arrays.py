"""Export features to .npz: the columns of the HDF5 file as arrays, block by block."""

import json
import zipfile
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from vtdl_cli.data.hdf5.features import FEATURE_BLOCK_BYTES, read_blocks
from vtdl_cli.data.hdf5.layout import class_names_in
from vtdl_cli.data.hdf5.rows import RowsFile

ATTRIBUTES, CLASSES = "attributes", "classes"


def write_array(file: BinaryIO, dtype: str, shape: tuple[int, ...], blocks: Iterable[np.ndarray]) -> None:
    """Write an array as a .npy file; not a memory map, where a full disk kills the process."""
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
    for block in blocks:
        file.write(np.ascontiguousarray(block, dtype).tobytes())


def write_npz(path: Path, file: RowsFile, *, average: bool = False) -> tuple[int, ...]:
    """Write all columns; returns the shape of the features.

    `attributes` is text: JSON of the file's attributes. `classes` are the names of the classes, if there are any.

    Args:
        path: the file to write.
        file: of features.
        average: over the clips, times and windows of each video.
    """
    names = class_names_in(file.attributes)
    texts = {ATTRIBUTES: np.array(json.dumps(file.attributes)), **({CLASSES: np.array(names)} if names else {})}
    with zipfile.ZipFile(path, "w", allowZip64=True) as archive:
        shape = _write_average(archive, file) if average else _write_columns(archive, file)
        _write_arrays(archive, texts)
    return shape


def _write_columns(archive: zipfile.ZipFile, file: RowsFile) -> tuple[int, ...]:
    shape = file.shape("features")
    _write_arrays(archive, {"paths": np.array(file.read("paths"))})
    for name in (name for name in file.columns if name != "paths"):
        of_column = file.shape(name)
        row_bytes = 8 * int(np.prod(of_column[1:], dtype=np.int64))
        blocks = (block[name] for block in file.blocks([name], max(1, FEATURE_BLOCK_BYTES // row_bytes)))
        first = next(blocks)
        with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
            write_array(member, first.dtype.str, of_column, chain([first], blocks))  # type: ignore[arg-type]
    return shape


def _write_average(archive: zipfile.ZipFile, file: RowsFile) -> tuple[int, ...]:
    blocks = list(read_blocks(file, average=True))
    columns: dict[str, Any] = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    _write_arrays(archive, columns)
    shape: tuple[int, ...] = columns["features"].shape
    return shape


def _write_arrays(archive: zipfile.ZipFile, arrays: Mapping[str, np.ndarray]) -> None:
    for name, values in arrays.items():
        with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
            np.lib.format.write_array(member, values, allow_pickle=False)
