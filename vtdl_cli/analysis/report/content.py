"""What a page shows, as plain data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vtdl_cli.analysis.curves import Epoch
from vtdl_cli.metrics import ACCURACIES

ACCURACY_TITLES = {name: accuracy.title for name, accuracy in ACCURACIES.items()}
"""Accuracies of metrics.json, and their names on the page."""

Pairs = Sequence[tuple[str, str]]
"""Names and values."""


@dataclass(frozen=True)
class Remark:
    """A sentence about something missing or doubtful, and the command that would help."""

    text: str
    command: str = ""


@dataclass(frozen=True)
class Example:
    """One test video and its prediction.

    Attributes:
        path: as in the list.
        true: name of its class.
        predicted: name of the predicted class.
        probability: of the predicted class, 0 to 1.
        frame: its middle frame, (H, W, 3) uint8; none: it could not be read.
    """

    path: str
    true: str
    predicted: str
    probability: float
    frame: np.ndarray | None

    @property
    def correct(self) -> bool:
        """Whether the prediction is the true class."""
        return self.true == self.predicted


@dataclass(frozen=True)
class ClassScore:
    """One class.

    Attributes:
        name: of the class.
        videos: of the class.
        correct: those predicted as it.
        precision: correct share of the videos predicted as the class, in percent; none: it was never predicted.
        f1: in percent; see `metrics.ClassMetrics`.
        confused_with: the class most often predicted instead; empty: none.
    """

    name: str
    videos: int
    correct: int
    precision: float | None
    f1: float
    confused_with: str


@dataclass(frozen=True)
class Evaluation:
    """One results folder of `vtdl evaluate` or `vtdl fuse`.

    Attributes:
        name: on the page.
        metrics: content of metrics.json.
        classes: those with videos, best first; empty where unknown.
        confusion: a PNG; none: absent or damaged.
        examples: correct ones first.
        remarks: on what is missing.
    """

    name: str
    metrics: Mapping[str, Any]
    classes: Sequence[ClassScore] = ()
    confusion: bytes | None = None
    examples: Sequence[Example] = ()
    remarks: Sequence[Remark] = ()


@dataclass(frozen=True)
class Retrieval:
    """Output of `vtdl retrieve`: its numbers, or its figure (PNG)."""

    name: str
    values: Pairs = ()
    figure: bytes | None = None


@dataclass(frozen=True)
class Report:
    """Everything on the page.

    Attributes:
        name: of the run.
        summary: of the run, one line.
        settings: the main ones.
        configuration: all settings, as YAML; empty where unknown.
        epochs: lines of metrics.jsonl.
        evaluations: of the run's weights.
        retrievals: as given.
        skipped: (where, path, reason) of every unreadable video; none: unknown.
        provenance: weights, lists, versions.
        remarks: by section (`accuracy`, `training`, `settings`, `retrieval`, `provenance`).
    """

    name: str
    summary: str
    settings: Pairs = ()
    configuration: str = ""
    epochs: Sequence[Epoch] = ()
    evaluations: Sequence[Evaluation] = ()
    retrievals: Sequence[Retrieval] = ()
    skipped: Sequence[tuple[str, str, str]] | None = None
    provenance: Pairs = ()
    remarks: Mapping[str, Sequence[Remark]] = field(default_factory=dict)
