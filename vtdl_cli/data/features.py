"""Features in HDF5: one row a video, with where they came from in the attributes (README).

Shapes: `N` videos, `D` channels; between them, in some files, the clips of a video and the times of a clip.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np

from vtdl_cli.data.label_sets import LabelSet, label_set
from vtdl_cli.errors import UsageError
from vtdl_cli.runtime import replacing

SCHEMA = 1
COLUMNS = ("features", "labels", "paths", "num_frames")
BLOCK_BYTES = 2**24  # of features in memory at a time

Columns = Mapping[str, Any]
"""Some rows: `features` (n, ..., D), `labels` (n,), `num_frames` (n,) and n `paths`."""


@dataclass(frozen=True)
class Features:
    """What an HDF5 file holds, clips and times averaged: (N, D), (N,) and N paths, with the file's attributes."""

    path: Path
    values: np.ndarray
    labels: np.ndarray
    paths: list[str]
    attributes: dict[str, Any]

    @property
    def label_set(self) -> LabelSet:
        """What its labels stand for."""
        return label_set(f"features '{self.path}'", class_names_in(self.attributes), self.labels)

    def rows(self, chosen: np.ndarray) -> Self:
        """The videos that a bool (N,) chooses."""
        paths = [path for path, take in zip(self.paths, chosen, strict=True) if take]
        return replace(self, values=self.values[chosen], labels=self.labels[chosen], paths=paths)


def read_features(path: Path) -> Features:
    """Read what an extraction wrote, a vector a video.

    Raises:
        UsageError: `path` is no such file, or its network gave numbers that are not finite.
    """
    with open_features(path) as file:
        shape, attributes = file["features"].shape, dict(file.attrs)
        labels, paths = file["labels"][:], file["paths"].asstr()[:].tolist()
        values = np.empty((shape[0], shape[-1]), np.float32)
        at = 0
        for block in read_blocks(file, average=True):
            here = slice(at, at := at + len(block["labels"]))
            values[here] = block["features"]
    finite = np.isfinite(values).all(1)
    if not finite.all():
        raise UsageError(
            f"features '{path}' have numbers that are not finite, those of '{paths[int(finite.argmin())]}' to begin "
            "with: their network has diverged. Train it again at a lower rate"
        )
    return Features(path, values, labels, paths, attributes)


@contextmanager
def open_features(path: Path) -> Iterator[h5py.File]:
    """Open what an extraction wrote, held to be whole and of this schema.

    A file without a schema passes: so features from elsewhere can be measured.

    Raises:
        UsageError: it is not there, cut short, of another schema, or something else; each in words of its own.
    """
    if flaw := _flaw(path):
        raise UsageError(f"features '{path}' {flaw}")
    with h5py.File(path) as file:
        yield file


def _flaw(path: Path) -> str:
    """What is wrong with a file, and what to do; empty where nothing is."""
    if not path.exists():
        return f"are not there. First: vtdl extract ... --out {path}"
    if not path.is_file():
        return "are a folder. Name an HDF5 file"
    if not path.stat().st_size:
        return "are an empty file. Extract them again"
    if not h5py.is_hdf5(path):
        return "are no HDF5 file. Name one that vtdl extract wrote"
    try:
        with h5py.File(path) as file:
            return _content_flaw(file)
    except (OSError, RuntimeError, ValueError, KeyError):  # h5py's, by where in the file the damage is
        return "are cut short or damaged. Extract them again"


def _content_flaw(file: h5py.File) -> str:
    if (schema := file.attrs.get("schema", SCHEMA)) != SCHEMA:
        return f"have schema {schema}, and this version reads {SCHEMA}. Extract them again"
    missing = [name for name in COLUMNS if not isinstance(file.get(name), h5py.Dataset)]
    if missing or file["features"].ndim < 2:
        what = f"it has no '{missing[0]}'" if missing else "its 'features' are no vectors"
        return f"are an HDF5 file of something else: {what}. Name one that vtdl extract wrote"
    counts = {name: len(file[name]) for name in COLUMNS}
    if len(set(counts.values())) > 1:
        return f"do not fit together: rows of {', '.join(f'{name} {n}' for name, n in counts.items())}. Extract again"
    if not counts["features"]:
        return "hold no video. Extract those of another list"
    return _names_flaw(file)


def _names_flaw(file: h5py.File) -> str:
    try:
        names = class_names_in(file.attrs)
    except ValueError:
        return "have 'classes' that are no list of names. Extract them again"
    if names is not None and (highest := int(file["labels"][:].max())) >= len(names):
        return f"name {len(names)} classes and have class {highest}. Extract them again"
    return ""


def class_names_in(attributes: Mapping[str, Any]) -> list[str] | None:
    """The names of classes, by number; none where the list had none, or in a file of an earlier version.

    Raises:
        ValueError: something else stands in their place.
    """
    if "classes" not in attributes:
        return None
    names = json.loads(str(attributes["classes"]))
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(names)
    return names


def read_blocks(file: h5py.File, *, average: bool = False) -> Iterator[Columns]:
    """All rows in order, some megabytes at a time; `average` over clips and times, which leaves features (n, D)."""
    features = file["features"]
    step = max(1, BLOCK_BYTES // (features.dtype.itemsize * math.prod(features.shape[1:])))
    for start in range(0, len(features), step):
        here = slice(start, start + step)
        values = features[here]
        yield {
            "features": values.mean(axis=tuple(range(1, values.ndim - 1))) if average else values,
            "labels": file["labels"][here],
            "num_frames": file["num_frames"][here],
            "paths": file["paths"].asstr()[here].tolist(),
        }


def write_features(
    path: Path, shape: tuple[int, ...], blocks: Iterable[Columns], attributes: Mapping[str, Any]
) -> None:
    """Write a file whole, block by block.

    Args:
        path: the file.
        shape: of the features of all blocks together, (N, ..., D).
        blocks: the rows.
        attributes: where they came from.
    """
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        columns = {
            "features": file.create_dataset("features", shape, np.float32),
            "labels": file.create_dataset("labels", shape[0], np.int64),
            "num_frames": file.create_dataset("num_frames", shape[0], np.int64),
            "paths": file.create_dataset("paths", shape[0], h5py.string_dtype()),
        }
        at = 0
        for block in blocks:
            here = slice(at, at := at + len(block["labels"]))
            for name, column in columns.items():
                column[here] = block[name]
        file.attrs.update({"schema": SCHEMA, **attributes})


def values_of(attribute: Any) -> list[str]:
    """What an attribute says: one thing, or in a file of several origins one for each."""
    text = str(attribute)
    return json.loads(text) if text.startswith('["') else [text]


def join_values(values: Iterable[str]) -> str:
    """An attribute of rows of several origins: one value where they agree, else a JSON list."""
    distinct = list(dict.fromkeys(values))
    return distinct[0] if len(distinct) == 1 else json.dumps(distinct)


def network_of(attributes: Mapping[str, Any]) -> dict[str, str]:
    """What features must have in common to be compared; fresh weights, which have no hash, go by their seed."""
    names = ("backbone", "layer", "modality")
    weights = attributes.get("weights_sha256") or attributes.get("weights", "")
    return {name: str(attributes.get(name, "")) for name in names} | {"weights_sha256": str(weights)}
