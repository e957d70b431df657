"""Scores in HDF5: what a classifier said of every video, and of each clip of it (README, Files).

Shapes: `N` videos, `V` views (clips, or crops of clips) of each, `C` classes.
"""

import json
import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from vtdl_cli import ranks
from vtdl_cli.data.label_sets import LabelSet, label_set
from vtdl_cli.errors import UsageError
from vtdl_cli.runtime import cannot_write, replacing

SCHEMA = 1
BLOCK_BYTES = 2**24  # of clip scores in memory at a time


@dataclass(frozen=True)
class Scores:
    """What a file of scores holds, but for the clips apart.

    Attributes:
        values: float32 (N, C), one row a video: the mean of its views' softmax, or of their logits.
        labels: int64 (N,).
        paths: N, as the list has them.
        classes: C names.
        attributes: of the file: `protocol`, `aggregate`, `weights_sha256`, `list_sha256`, `skipped`.
    """

    values: np.ndarray
    labels: np.ndarray
    paths: list[str]
    classes: list[str]
    attributes: dict[str, Any] = field(default_factory=dict)

    def label_set(self, path: Path) -> LabelSet:
        """What its columns stand for; `path` is the file's, for messages."""
        return label_set(f"scores '{path}'", self.classes, np.arange(len(self.classes)))


class ClipSpool:
    """Clip scores under way, in a file without a name: memory stays flat, and nothing is left whatever happens.

    Args:
        folder: on the disk that the scores are to go to.
        shape: (V, C) of a video.
    """

    def __init__(self, folder: Path, shape: tuple[int, int]) -> None:
        self.folder, self.shape = folder, shape
        self._file = tempfile.TemporaryFile(buffering=0, dir=folder)  # noqa: SIM115  # open until `close`

    @ranks.by_first
    def add(self, clips: np.ndarray) -> None:
        """Keep (B, V, C).

        Raises:
            VtdlError: the disk is full.
        """
        try:
            content = memoryview(clips.astype(np.float32).tobytes())
            while content:  # a nearly full disk takes a part
                content = content[self._file.write(content) :]
        except OSError as error:
            raise cannot_write(self.folder, error) from error

    def blocks(self) -> Iterator[np.ndarray]:
        """All of them in their order, (some, V, C) at a time."""
        row_bytes = 4 * math.prod(self.shape)
        self._file.seek(0)
        while content := self._file.read(max(1, BLOCK_BYTES // row_bytes) * row_bytes):
            yield np.frombuffer(content, np.float32).reshape(-1, *self.shape)

    def close(self) -> None:
        """Give the disk its room back."""
        self._file.close()


def write_scores(path: Path, scores: Scores, clips: ClipSpool | None = None) -> None:
    """Write the file, whole or not at all.

    Raises:
        VtdlError: the disk is full, or the folder cannot be written.
    """
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        file["scores"], file["labels"] = scores.values.astype(np.float32), scores.labels.astype(np.int64)
        file["paths"] = scores.paths
        if clips is not None:
            target = file.create_dataset("clip_logits", (len(scores.labels), *clips.shape), np.float32)
            at = 0
            for block in clips.blocks():
                target[at : at + len(block)] = block
                at += len(block)
        file.attrs.update({**scores.attributes, "schema": SCHEMA, "classes": json.dumps(scores.classes)})


def read_scores(path: Path) -> Scores:
    """Read what an evaluation wrote.

    Raises:
        UsageError: `path` is no such file, is cut short, or has another schema; each in words of its own.
    """
    if not path.is_file():
        raise UsageError(f"scores '{path}' are not there. First: vtdl evaluate ... --out {path.parent}")
    try:
        with h5py.File(path) as file:
            if flaw := _flaw(file):
                raise UsageError(f"scores '{path}' {flaw}")
            classes, attributes = json.loads(file.attrs["classes"]), dict(file.attrs)
            scores = Scores(
                file["scores"][:], file["labels"][:], file["paths"].asstr()[:].tolist(), classes, attributes
            )
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:  # h5py's, by where the damage is
        raise UsageError(
            f"scores '{path}' are damaged, cut short, or no scores.h5 of vtdl evaluate. Name that file"
        ) from error
    if scores.values.shape != (len(scores.paths), len(classes)) or len(scores.labels) != len(scores.paths):
        raise UsageError(f"scores '{path}' do not fit together: as many rows and columns as videos and classes are due")
    finite = np.isfinite(scores.values).all(1)
    if not finite.all():
        raise UsageError(
            f"scores '{path}' have numbers that are not finite, those of '{scores.paths[int(finite.argmin())]}' to "
            "begin with. Run vtdl evaluate again, with weights that have not diverged"
        )
    return scores


def _flaw(file: h5py.File) -> str:
    """What is wrong with the content, and what to do; empty where nothing is."""
    missing = [name for name in ("scores", "labels", "paths") if not isinstance(file.get(name), h5py.Dataset)]
    missing += [name for name in ("classes", "protocol", "aggregate") if name not in file.attrs]
    schema = file.attrs.get("schema")
    if not missing and schema != SCHEMA:
        return f"have schema '{schema}', this version reads {SCHEMA}. Run vtdl evaluate again"
    return f"are no scores.h5 of this version: '{missing[0]}' is not in it. Run vtdl evaluate again" if missing else ""


def align(scores: Scores, keys: Sequence[str], wanted: Sequence[str]) -> Scores:
    """The same videos in another order: `keys` say which is which, (N,), and `wanted` in which order."""
    place = {key: row for row, key in enumerate(keys)}
    rows = [place[key] for key in wanted]
    return replace(
        scores, values=scores.values[rows], labels=scores.labels[rows], paths=[scores.paths[row] for row in rows]
    )
