"""Scores in HDF5: a classifier's output for every video and each of its clips (data/README).

Shapes: `N` videos, `V` views (clips, or crops of clips) of each, `C` classes.
"""

import json
import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from vtdl_cli import ranks
from vtdl_cli.data.hdf5.layout import (
    INTERVAL_COLUMNS,
    TEXT,
    Column,
    Layout,
    class_names_in,
    interval_columns,
    intervals_in,
)
from vtdl_cli.data.hdf5.layout_checks import check_finite_rows
from vtdl_cli.data.hdf5.rows import open_rows, write_rows
from vtdl_cli.data.lists.label_sets import LabelSet, label_set
from vtdl_cli.data.video.timeline import name_samples
from vtdl_cli.runtime import Warn, ignore_warning, write_error
from vtdl_cli.text import counted

SCORE_SCHEMA = 1
SCORE_BLOCK_BYTES = 2**24  # of clip scores in memory at a time
SCORE_COLUMNS = {
    "scores": Column("vectors", "<f4", kinds="f", axes=(1, 1)),
    "labels": Column("integers", "<i8", kinds="iu"),
    "paths": Column("text", TEXT),
}
CLIP_LOGITS = Column("clips of vectors", "<f4", kinds="f", axes=(2, 2))
SCORE_LAYOUT = Layout(
    "scores",
    command="vtdl evaluate",
    first="vtdl evaluate --weights runs/finetuned --list lists/test_split_1.txt --out {path.parent}",
    again="Evaluate again",
    schemas=(SCORE_SCHEMA,),
    columns=SCORE_COLUMNS,
    attributes=("classes", "protocol", "aggregate"),
    optional=(INTERVAL_COLUMNS,),
)


@dataclass(frozen=True)
class Scores:
    """Scores of a file, without those of single clips.

    Attributes:
        values: float32 (N, C), one row per video: the mean of its views' softmax, or of their logits.
        labels: int64 (N,).
        paths: N, as in the list.
        classes: C names.
        attributes: of the file: `protocol`, `aggregate`, `weights_sha256`, `list_sha256`, `skipped`.
        intervals: float64 (N, 2), starts and ends in seconds, NaN for a whole video; None: all videos are whole.
    """

    values: np.ndarray
    labels: np.ndarray
    paths: list[str]
    classes: list[str]
    attributes: dict[str, Any] = field(default_factory=dict)
    intervals: np.ndarray | None = None

    @property
    def names(self) -> list[str]:
        """What identifies the videos: their paths, and their intervals as in `clip.mp4#t=2,3`."""
        return name_samples(self.paths, self.intervals)

    def label_set(self, path: Path) -> LabelSet:
        """Return the classes of the columns; `path` is the file's, for messages."""
        return label_set(f"scores '{path}'", self.classes, np.arange(len(self.classes)))


class ClipSpool:
    """Spools clip scores to an unnamed temporary file: memory use is constant, and nothing is ever left behind.

    Args:
        folder: on the disk to which the scores are written in the end.
        shape: (V, C) of a video.
    """

    def __init__(self, folder: Path, shape: tuple[int, int]) -> None:
        self.folder, self.shape = folder, shape
        self._file = tempfile.TemporaryFile(buffering=0, dir=folder)  # noqa: SIM115  # open until `close`

    @ranks.on_rank_0
    def add(self, clips: np.ndarray) -> None:
        """Append the scores of clips (B, V, C).

        Raises:
            VtdlError: the disk is full.
        """
        try:
            content = memoryview(clips.astype(np.float32).tobytes())
            while content:  # on a nearly full disk a write may be partial
                content = content[self._file.write(content) :]
        except OSError as error:
            raise write_error(self.folder, error) from error

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield all scores in order, in blocks (n, V, C)."""
        row_bytes = 4 * math.prod(self.shape)
        self._file.seek(0)
        while content := self._file.read(max(1, SCORE_BLOCK_BYTES // row_bytes) * row_bytes):
            yield np.frombuffer(content, np.float32).reshape(-1, *self.shape)

    def close(self) -> None:
        """Free the disk space."""
        self._file.close()


def write_scores(path: Path, scores: Scores, clips: ClipSpool | None = None) -> None:
    """Write a file atomically, with a checksum of each column.

    Raises:
        VtdlError: the disk is full, or the folder cannot be written.
    """
    attributes = {**scores.attributes, "schema": SCORE_SCHEMA, "classes": json.dumps(scores.classes)}
    with write_rows(path, attributes) as file:
        columns: dict[str, Any] = {"scores": scores.values, "labels": scores.labels, "paths": scores.paths}
        for name, rows in (columns | interval_columns(scores.intervals)).items():
            file.add_column(name, {**SCORE_COLUMNS, **INTERVAL_COLUMNS}[name], np.shape(rows))
            file.append(name, rows)
        if clips is not None:
            file.add_column("clip_logits", CLIP_LOGITS, (len(scores.labels), *clips.shape))
            for block in clips.blocks():
                file.append("clip_logits", block)


def read_scores(path: Path, warn: Warn = ignore_warning) -> Scores:
    """Read the scores of videos, without those of single clips.

    Args:
        path: the file.
        warn: called if the file has no checksums.

    Raises:
        UsageError: `path` is not a file of scores, is damaged, has another schema, or values that are not finite.
    """
    with open_rows(path, SCORE_LAYOUT, warn) as file:
        columns = {name: file.read(name) for name in file.columns}
        values, labels, paths = (columns[name] for name in SCORE_COLUMNS)
        classes, attributes = class_names_in(file.attributes) or [], file.attributes
    if values.shape[1] != len(classes) or labels.min() < 0:  # labels beyond the classes were refused on opening
        counts = (
            f"{counted(len(classes), 'class')}, {counted(values.shape[1], 'score')} per "
            f"video, labels {labels.min()} to {labels.max()}"
        )
        raise SCORE_LAYOUT.damage(path, f"are inconsistent: {counts}")
    check_finite_rows(values, paths, path, SCORE_LAYOUT, "Their network has diverged: evaluate other weights")
    return Scores(values, labels, paths, classes, attributes, intervals_in(columns))


def align(scores: Scores, keys: Sequence[str], wanted: Sequence[str]) -> Scores:
    """Reorder the videos: `keys` (N,) identify them, `wanted` is the order."""
    place = {key: row for row, key in enumerate(keys)}
    rows = [place[key] for key in wanted]
    return replace(
        scores,
        values=scores.values[rows],
        labels=scores.labels[rows],
        paths=[scores.paths[row] for row in rows],
        intervals=None if scores.intervals is None else scores.intervals[rows],
    )
