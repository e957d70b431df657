"""Features in HDF5, with their provenance in the attributes (data/README).

A file has one row per video, or is ragged: each video has a number of vectors of its own, those of windows that slide
over it. Vectors other than the mean of a video carry their time: `starts` and `ends` in seconds, `start_frames` and
`end_frames` (exclusive), all of the video file; and each video its `fps`, NaN if unknown.

Shapes: `N` videos, `D` channels; between them, in some files, the clips of a video and the times of a clip. In a ragged
file `W` vectors, of which video i has those from `offsets[i]` up to, but not including, `offsets[i + 1]`.
"""

import json
import math
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from vtdl_cli.data.hdf5.layout import INTERVAL_COLUMNS, TEXT, Column, Layout, class_names_in, intervals_in
from vtdl_cli.data.hdf5.layout_checks import check_finite_rows
from vtdl_cli.data.hdf5.rows import RowsFile, open_rows, write_rows
from vtdl_cli.data.lists.class_numbers import MOST_CLASSES
from vtdl_cli.data.lists.label_sets import LabelSet, label_set
from vtdl_cli.data.lists.rows import UNKNOWN_CLASS
from vtdl_cli.data.video.timeline import name_samples
from vtdl_cli.runtime import Warn, ignore_warning

FEATURE_SCHEMA, RAGGED_SCHEMA = 1, 2
FEATURE_COLUMNS = {
    "features": Column("vectors", "<f4", kinds="fiu", axes=(1, 3), per="vector"),
    "labels": Column("integers", "<i8", kinds="iu", limits=(UNKNOWN_CLASS, MOST_CLASSES - 1)),
    "num_frames": Column("integers", "<i8", kinds="iu"),
    "paths": Column("text", TEXT),
}
TIME_COLUMNS = {
    "starts": Column("numbers", "<f8", kinds="fiu", axes=(0, 2), per="vector"),
    "ends": Column("numbers", "<f8", kinds="fiu", axes=(0, 2), per="vector"),
    "start_frames": Column("integers", "<i8", kinds="iu", axes=(0, 2), per="vector"),
    "end_frames": Column("integers", "<i8", kinds="iu", axes=(0, 2), per="vector"),
    "fps": Column("numbers", "<f8", kinds="fiu"),
}
"""Of vectors that stand for a part of their video."""
OFFSETS = "offsets"
RAGGED_COLUMNS = {OFFSETS: Column("integers", "<i8", kinds="iu", per="edge")}
FEATURE_LAYOUT = Layout(
    "features",
    command="vtdl extract",
    first="vtdl extract --weights runs/pretrained --list lists/train_split_1.txt --out {path}",
    again="Extract again",
    schemas=(FEATURE_SCHEMA, RAGGED_SCHEMA),
    columns=FEATURE_COLUMNS,
    from_elsewhere=True,
    optional=(INTERVAL_COLUMNS, TIME_COLUMNS, RAGGED_COLUMNS),
)
OPTIONAL_COLUMNS = tuple(name for group in FEATURE_LAYOUT.optional for name in group)
FEATURE_BLOCK_BYTES = 2**24  # of features in memory at a time

FeatureRows = Mapping[str, Any]
"""A block of rows: `features` (n, ..., D), `labels` (n,), `num_frames` (n,), n `paths`; of some files also
INTERVAL_COLUMNS (n,) and TIME_COLUMNS (n, ...)."""


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
        warn: called if the file has no checksums, or is ragged.

    Raises:
        UsageError: `path` is not a file of features, is damaged, or has values that are not finite.
    """
    with open_features(path, warn) as file:
        (number,), attributes = file.shape("labels"), file.attributes
        if is_ragged(file):
            warn(f"features '{path}' are of sliding windows: each video is the mean of its windows")
        values, labels = np.empty((number, file.shape("features")[-1]), np.float32), np.empty(number, np.int64)
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
    """Yield all rows in blocks of some megabytes.

    A row of a ragged file is a vector, with the columns of its video.

    Args:
        file: the file.
        average: over clips and times, so that features are (n, D), without TIME_COLUMNS; of a ragged file also over the
            vectors of each video, in a single block.

    Raises:
        UsageError: they are damaged, which may be raised after the last block.
    """
    if is_ragged(file):
        yield from [_average_ragged(file)] if average else _read_ragged(file)
        return
    for block in file.blocks(file.columns, rows_at_a_time(file)):
        values = block["features"]
        yield _without_times(block, values.mean(axis=tuple(range(1, values.ndim - 1)))) if average else block


def is_ragged(file: RowsFile) -> bool:
    """Whether each video has a number of vectors of its own."""
    return OFFSETS in file.columns


def read_videos(file: RowsFile) -> FeatureRows:
    """Read the columns that have a row for each video, and the offsets of a ragged file."""
    return {name: file.read(name) for name, column in _all_columns(file).items() if column.per != "vector"}


def read_vectors(file: RowsFile) -> Iterator[FeatureRows]:
    """Yield the columns that have a row for each vector, in blocks of some megabytes."""
    names = [name for name, column in _all_columns(file).items() if column.per == "vector"]
    yield from file.blocks(names, rows_at_a_time(file))


def _all_columns(file: RowsFile) -> dict[str, Column]:
    return FEATURE_LAYOUT.columns_in(file.columns)


def _read_ragged(file: RowsFile) -> Iterator[FeatureRows]:
    videos, first = dict(read_videos(file)), 0
    owner = _owners(videos.pop(OFFSETS))
    for block in read_vectors(file):
        rows = owner[first : first + len(block["features"])]
        paths = videos["paths"]
        taken = {name: values[rows] for name, values in videos.items() if name != "paths"}
        yield {**taken, "paths": [paths[row] for row in rows.tolist()], **block}
        first += len(rows)


def _average_ragged(file: RowsFile) -> FeatureRows:
    videos, first = dict(read_videos(file)), 0
    offsets = videos.pop(OFFSETS)
    owner, sums = _owners(offsets), np.zeros((len(offsets) - 1, file.shape("features")[-1]))
    for block in read_vectors(file):
        values = block["features"].reshape(len(block["features"]), -1, sums.shape[1]).mean(1)
        np.add.at(sums, owner[first : first + len(values)], values)
        first += len(values)
    return _without_times(videos, (sums / np.diff(offsets)[:, None]).astype(np.float32))


def _owners(offsets: np.ndarray) -> np.ndarray:
    """Return the video of each vector, (W,)."""
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


def _without_times(rows: FeatureRows, features: np.ndarray) -> FeatureRows:
    return {**{name: values for name, values in rows.items() if name not in TIME_COLUMNS}, "features": features}


def rows_at_a_time(file: RowsFile) -> int:
    """Return the number of rows of a block."""
    return max(1, FEATURE_BLOCK_BYTES // (4 * math.prod(file.shape("features")[1:])))


def write_features(
    path: Path,
    shape: tuple[int, ...],
    blocks: Iterable[FeatureRows],
    attributes: Mapping[str, Any],
    *,
    optional: Container[str] = (),
    num_videos: int | None = None,
) -> None:
    """Write a file atomically, block by block, with a checksum of each column.

    Args:
        path: the file.
        shape: of the features of all blocks together, (N, ..., D), or (W, D) of a ragged file.
        blocks: the rows, in order; a block may lack a column, but not one of INTERVAL_COLUMNS alone: that is one of
            whole videos.
        attributes: their provenance.
        optional: names of the optional columns that the blocks have.
        num_videos: N of a ragged file.
    """
    columns = FEATURE_LAYOUT.columns_in({name for name in OPTIONAL_COLUMNS if name in optional})
    schema = FEATURE_SCHEMA if num_videos is None else RAGGED_SCHEMA
    number = shape[0] if num_videos is None else num_videos
    with write_rows(path, {"schema": schema, **attributes}) as file:
        for name, column in columns.items():
            vectors = shape if name == "features" else shape[:-1]
            file.add_column(name, column, {"vector": vectors, "edge": (number + 1,)}.get(column.per, (number,)))
        for block in blocks:
            whole = dict.fromkeys(INTERVAL_COLUMNS, np.full(len(block.get("labels", ())), np.nan))
            for name in columns:
                if name in (rows := {**whole, **block}):
                    file.append(name, rows[name])


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
