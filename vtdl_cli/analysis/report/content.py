"""What a page says, as plain data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vtdl_cli.metrics import ACCURACIES

ACCURACY_TITLES = {name: accuracy.title for name, accuracy in ACCURACIES.items()}
"""Accuracies of metrics.json, and what readers call them."""

Row = Mapping[str, float]
Pairs = Sequence[tuple[str, str]]
"""Names and values."""


@dataclass(frozen=True)
class Note:
    """Why something is not there, and the command that would add it."""

    text: str
    command: str = ""


@dataclass(frozen=True)
class Sample:
    """One test video and what was said of it.

    Attributes:
        path: as the list has it.
        true: name of its class.
        predicted: name of the class that it was taken for.
        probability: of that class, from 0 to 1.
        frame: from its middle, (H, W, 3) uint8; none: it could not be read.
    """

    path: str
    true: str
    predicted: str
    probability: float
    frame: np.ndarray | None


@dataclass(frozen=True)
class ClassScore:
    """One class: how many videos, how many right, and what the others were most often taken for."""

    name: str
    videos: int
    right: int
    confused_with: str


@dataclass(frozen=True)
class Result:
    """One folder of `vtdl evaluate`.

    Attributes:
        name: for people.
        metrics: what metrics.json holds.
        classes: that have videos, best first; empty where unknown.
        confusion: a PNG; none: it is not there.
        samples: right ones first.
        notes: what is not there.
    """

    name: str
    metrics: Mapping[str, Any]
    classes: Sequence[ClassScore] = ()
    confusion: bytes | None = None
    samples: Sequence[Sample] = ()
    notes: Sequence[Note] = ()


@dataclass(frozen=True)
class Retrieval:
    """What a user kept of `vtdl retrieve`: its numbers, or its picture (PNG)."""

    name: str
    values: Pairs = ()
    picture: bytes | None = None


@dataclass(frozen=True)
class Report:
    """All that a page says.

    Attributes:
        name: of the run.
        summary: one line: what it is.
        settings: the main ones.
        configuration: all of them, as YAML; empty where unknown.
        rows: one an epoch, as in metrics.jsonl.
        results: of evaluations.
        retrievals: what was given.
        skipped: (where, path, reason) of every video that could not be read; none: nothing tells.
        provenance: weights, lists, versions.
        notes: by section (`accuracy`, `training`, `settings`, `retrieval`, `provenance`): what is not there.
    """

    name: str
    summary: str
    settings: Pairs = ()
    configuration: str = ""
    rows: Sequence[Row] = ()
    results: Sequence[Result] = ()
    retrievals: Sequence[Retrieval] = ()
    skipped: Sequence[tuple[str, str, str]] | None = None
    provenance: Pairs = ()
    notes: Mapping[str, Sequence[Note]] = field(default_factory=dict)
