"""Features in HDF5: one row per video, with their provenance in the attributes (README).

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

from vtdl_cli.data.hdf5.layout import (
    INTERVAL_COLUMNS,
    TEXT,
    Column,
    Layout,
    check_finite_rows,
    class_names_in,
    intervals_in,
)
from vtdl_cli.data.hdf5.rows import RowsFile, open_rows, write_rows
from vtdl_cli.data.lists.class_numbers import MOST_CLASSES
from vtdl_cli.data.lists.label_sets import LabelSet, label_set
from vtdl_cli.data.lists.rows import UNKNOWN_CLASS
from vtdl_cli.data.video.timeline import name_samples
from vtdl_cli.runtime import Warn, ignore_warning

FEATURE_SCHEMA = 1
FEATURE_COLUMNS = {
    "features": Column("vectors", "<f4", kinds="fiu", axes=(1, 3)),
    "labels": Column("integers", "<i8", kinds="iu", limits=(UNKNOWN_CLASS, MOST_CLASSES - 1)),
    "num_frames": Column("integers", "<i8", kinds="iu"),
    "paths": Column("text", TEXT),
}
FEATURE_LAYOUT = Layout(
    "features",
    command="vtdl extract",
    first="vtdl extract ... --out {path}",
    again="Extract again",
    schema=FEATURE_SCHEMA,
    columns=FEATURE_COLUMNS,
    from_elsewhere=True,
    optional=INTERVAL_COLUMNS,
)
FEATURE_BLOCK_BYTES = 2**24  # of features in memory at a time

FeatureRows = Mapping[str, Any]
"""A block of rows: `features` (n, ..., D), `labels` (n,), `num_frames` (n,), n `paths`; of a file with intervals also
`starts` and `ends` (n,), seconds."""


@dataclass(frozen=True)
class Features:
    """Features of a file, averaged over clips and times: (N, D), (N,) and N paths, with the file's attributes.

    `intervals` (N, 2) are starts and ends in seconds, NaN for a whole video; None: all videos are whole.
    """

    path: Path
    values: np.ndarray
    labels: np.ndarray
    paths: list[str]
    attributes: dict[str, Any]
    intervals: np.ndarray | None = None

    @property
    def names(self) -> list[str]:
        """What identifies the videos: their paths, and their intervals as in `clip.mp4#t=2,3`."""
        return name_samples(self.paths, self.intervals)

    @property
    def label_set(self) -> LabelSet:
        """The classes of the labels."""
        return label_set(f"features '{self.path}'", class_names_in(self.attributes), self.labels)

    def rows(self, chosen: np.ndarray) -> Self:
        """Select videos by a bool mask (N,)."""
        paths = [path for path, take in zip(self.paths, chosen, strict=True) if take]
        intervals = None if self.intervals is None else self.intervals[chosen]
        return replace(self, values=self.values[chosen], labels=self.labels[chosen], paths=paths, intervals=intervals)


def read_features(path: Path, warn: Warn = ignore_warning) -> Features:
    """Read features, averaged to one vector per video.

    Args:
        path: the file.
        warn: called if the file has no checksums.

    Raises:
        UsageError: `path` is not a file of features, is damaged, or has values that are not finite.
    """
    with open_features(path, warn) as file:
        shape, attributes = file.shape("features"), file.attributes
        values, labels = np.empty((shape[0], shape[-1]), np.float32), np.empty(shape[0], np.int64)
        paths: list[str] = []
        intervals = []
        for block in read_blocks(file, average=True):
            here = slice(len(paths), len(paths) + len(block["paths"]))
            values[here], labels[here] = block["features"], block["labels"]
            paths += block["paths"]
            intervals += [found] if (found := intervals_in(block)) is not None else []
    check_finite_rows(values, paths, path, FEATURE_LAYOUT, "Their network has diverged: train it again with a lower lr")
    return Features(path, values, labels, paths, attributes, np.concatenate(intervals) if intervals else None)


def open_features(path: Path, warn: Warn = ignore_warning) -> AbstractContextManager[RowsFile]:
    """Open a file of features; see `open_rows`.

    A file without a schema is accepted, so that features of other programs can be evaluated.
    """
    return open_rows(path, FEATURE_LAYOUT, warn)


def read_blocks(file: RowsFile, *, average: bool = False) -> Iterator[FeatureRows]:
    """Yield all rows in blocks of some megabytes; `average` over clips and times gives features (n, D).

    Raises:
        UsageError: they are damaged, which may be raised after the last block.
    """
    for block in file.blocks(file.columns, rows_at_a_time(file)):
        values = block["features"]
        mean = values.mean(axis=tuple(range(1, values.ndim - 1))) if average else values
        yield {**block, "features": mean}


def rows_at_a_time(file: RowsFile) -> int:
    """Return the number of rows of a block."""
    return max(1, FEATURE_BLOCK_BYTES // (4 * math.prod(file.shape("features")[1:])))


def write_features(
    path: Path,
    shape: tuple[int, ...],
    blocks: Iterable[FeatureRows],
    attributes: Mapping[str, Any],
    *,
    has_intervals: bool = False,
) -> None:
    """Write a file atomically, block by block, with a checksum of each column.

    Args:
        path: the file.
        shape: of the features of all blocks together, (N, ..., D).
        blocks: the rows.
        attributes: their provenance.
        has_intervals: whether blocks may have starts and ends; a block without them is of whole videos.
    """
    columns = {**FEATURE_COLUMNS, **(INTERVAL_COLUMNS if has_intervals else {})}
    with write_rows(path, {"schema": FEATURE_SCHEMA, **attributes}) as file:
        for name, column in columns.items():
            file.add_column(name, column, shape if name == "features" else shape[:1])
        for block in blocks:
            whole = np.full(len(block["labels"]), np.nan)
            for name in columns:
                file.append(name, block.get(name, whole) if name in INTERVAL_COLUMNS else block[name])


def values_of(attribute: Any) -> list[str]:
    """Return the values of an attribute: one, or several in a file merged from several extractions."""
    text = str(attribute)
    try:
        values: Any = json.loads(text) if text.startswith('["') else None
    except (ValueError, RecursionError):
        values = None
    is_list = isinstance(values, list) and all(isinstance(value, str) for value in values)
    return values if is_list else [text]


def join_values(values: Iterable[str]) -> str:
    """Join the values of an attribute of several extractions: a single value if they agree, else a JSON list."""
    distinct = list(dict.fromkeys(values))
    return distinct[0] if len(distinct) == 1 else json.dumps(distinct)


def network_of(attributes: Mapping[str, Any]) -> dict[str, str]:
    """Return what features must share to be comparable; randomly initialised weights have a seed in place of a hash."""
    names = ("backbone", "layer", "modality")
    weights = attributes.get("weights_sha256") or attributes.get("weights", "")
    return {name: str(attributes.get(name, "")) for name in names} | {"weights_sha256": str(weights)}
