"""Checks of an HDF5 file against its layout."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np

from vtdl_cli.data.hdf5.layout import Column, Layout, class_names_in, is_list_of_skipped, plain
from vtdl_cli.errors import DamagedFile, UsageError


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


def _of_another_kind(path: Path, layout: Layout, flaw: str) -> UsageError:
    return layout.refusal(path, f"are an HDF5 file of something else: {flaw}. Name one that {layout.command} wrote")


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
