"""Features in HDF5: one row a video, with where they came from in the attributes (README).

Shapes: `N` videos, `D` channels; between them, in some files, the clips of a video and the times of a clip.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from vtdl_cli.data.hdf5.layout import TEXT, Column, Layout, class_names_in
from vtdl_cli.data.hdf5.rows import RowsFile, open_rows, write_rows
from vtdl_cli.data.lists.label_sets import LabelSet, label_set
from vtdl_cli.data.lists.video_list import MOST_CLASSES, UNKNOWN_CLASS
from vtdl_cli.errors import UsageError
from vtdl_cli.runtime import Warn, ignore_warning

FEATURE_SCHEMA = 1
FEATURE_COLUMNS = {
    "features": Column("vectors", "<f4", kinds="fiu", axes=(1, 3)),
    "labels": Column("whole numbers", "<i8", kinds="iu", limits=(UNKNOWN_CLASS, MOST_CLASSES - 1)),
    "num_frames": Column("whole numbers", "<i8", kinds="iu"),
    "paths": Column("text", TEXT),
}
FEATURE_LAYOUT = Layout(
    "features",
    command="vtdl extract",
    first="vtdl extract ... --out {path}",
    again="Extract them again",
    schema=FEATURE_SCHEMA,
    columns=FEATURE_COLUMNS,
    from_elsewhere=True,
)
FEATURE_BLOCK_BYTES = 2**24  # of features in memory at a time

FeatureRows = Mapping[str, Any]
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


def read_features(path: Path, warn: Warn = ignore_warning) -> Features:
    """Read what an extraction wrote, a vector a video.

    Args:
        path: the file.
        warn: who is told where damage in it would not be noticed.

    Raises:
        UsageError: `path` is no such file, is damaged, or its network gave numbers that are not finite.
    """
    with open_features(path, warn) as file:
        shape, attributes = file.shape("features"), file.attributes
        values, labels = np.empty((shape[0], shape[-1]), np.float32), np.empty(shape[0], np.int64)
        paths: list[str] = []
        for block in read_blocks(file, average=True):
            here = slice(len(paths), len(paths) + len(block["paths"]))
            values[here], labels[here] = block["features"], block["labels"]
            paths += block["paths"]
    finite = np.isfinite(values).all(1)
    if not finite.all():
        raise UsageError(
            f"features '{path}' have numbers that are not finite, those of '{paths[int(finite.argmin())]}' to begin "
            "with: their network has diverged. Train it again at a lower rate"
        )
    return Features(path, values, labels, paths, attributes)


def open_features(path: Path, warn: Warn = ignore_warning) -> AbstractContextManager[RowsFile]:
    """Open what an extraction wrote, held to be of this schema; see `open_rows`.

    A file without a schema passes: so features from elsewhere can be measured.
    """
    return open_rows(path, FEATURE_LAYOUT, warn)


def read_blocks(file: RowsFile, *, average: bool = False) -> Iterator[FeatureRows]:
    """All rows in order, some megabytes at a time; `average` over clips and times, which leaves features (n, D).

    Raises:
        UsageError: they are damaged, which may be told after the last block.
    """
    for block in file.blocks(list(FEATURE_COLUMNS), rows_at_a_time(file)):
        values = block["features"]
        mean = values.mean(axis=tuple(range(1, values.ndim - 1))) if average else values
        yield {**block, "features": mean}


def rows_at_a_time(file: RowsFile) -> int:
    """As many as a block has."""
    return max(1, FEATURE_BLOCK_BYTES // (4 * math.prod(file.shape("features")[1:])))


def write_features(
    path: Path, shape: tuple[int, ...], blocks: Iterable[FeatureRows], attributes: Mapping[str, Any]
) -> None:
    """Write a file whole, block by block, with a checksum of each column.

    Args:
        path: the file.
        shape: of the features of all blocks together, (N, ..., D).
        blocks: the rows.
        attributes: where they came from.
    """
    with write_rows(path, {"schema": FEATURE_SCHEMA, **attributes}) as file:
        for name, column in FEATURE_COLUMNS.items():
            file.add_column(name, column, shape if name == "features" else shape[:1])
        for block in blocks:
            for name in FEATURE_COLUMNS:
                file.append(name, block[name])


def values_of(attribute: Any) -> list[str]:
    """What an attribute says: one thing, or in a file of several origins one for each."""
    text = str(attribute)
    try:
        values: Any = json.loads(text) if text.startswith('["') else None
    except (ValueError, RecursionError):
        values = None
    is_list = isinstance(values, list) and all(isinstance(value, str) for value in values)
    return values if is_list else [text]


def join_values(values: Iterable[str]) -> str:
    """An attribute of rows of several origins: one value where they agree, else a JSON list."""
    distinct = list(dict.fromkeys(values))
    return distinct[0] if len(distinct) == 1 else json.dumps(distinct)


def network_of(attributes: Mapping[str, Any]) -> dict[str, str]:
    """What features must have in common to be compared; fresh weights, which have no hash, go by their seed."""
    names = ("backbone", "layer", "modality")
    weights = attributes.get("weights_sha256") or attributes.get("weights", "")
    return {name: str(attributes.get(name, "")) for name in names} | {"weights_sha256": str(weights)}
