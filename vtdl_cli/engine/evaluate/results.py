"""The results folder, of one network or of several fused: metrics, scores, accuracy of each class, confusion matrix."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vtdl_cli import ranks
from vtdl_cli.analysis.confusion import draw_confusion
from vtdl_cli.data.hdf5.scores import ClipSpool, Scores, write_scores
from vtdl_cli.engine.lists.groups import Groups
from vtdl_cli.errors import UsageError
from vtdl_cli.metrics import accuracies, accuracy_intervals, class_metrics, confusion, most_confused
from vtdl_cli.runtime import atomic_write, check_writable, write_json, write_text
from vtdl_cli.text import counted

METRICS_FILE, SCORES_FILE, CONFUSION_FILE = "metrics.json", "scores.h5", "confusion.png"
SCORES_ORIGIN = ("weights_sha256", "list_sha256", "root", "precision", "torch_version")
"""Entries of metrics.json that scores.h5 repeats as attributes."""

PER_CLASS_COLUMNS = (
    "class", "name", "videos", "correct", "top1", "most_confused_with", "predicted", "precision", "recall", "f1",
)  # fmt: skip

OUTPUTS = (METRICS_FILE, SCORES_FILE, "per_class.csv", CONFUSION_FILE)


def refuse_results(out: Path, overwrite: bool) -> None:
    """Refuse, before anything is computed, a folder that cannot be written or that holds results.

    Raises:
        UsageError: it is such a folder.
    """
    check_writable(out)
    present = [name for name in OUTPUTS if (out / name).exists()]
    if present and not overwrite:
        raise UsageError(f"output '{out / present[0]}' exists. Use --overwrite, or another --out")


@ranks.on_rank_0
def remove_stale_results(out: Path, keep: Sequence[Path]) -> None:
    """Remove what an earlier evaluation, of more lists or of one, left in `out` beside the folders to `keep`."""
    for folder in (out, *out.glob("[0-9]*_*")):
        if folder not in keep and (folder / METRICS_FILE).exists():
            for name in OUTPUTS:
                (folder / name).unlink(missing_ok=True)
            if folder != out and not any(folder.iterdir()):
                folder.rmdir()


def measure_accuracies(scores: Scores, groups: Groups) -> dict[str, Any]:
    """Return accuracies, the 95% interval of each, and how videos are grouped for the intervals."""
    return {
        **accuracies(scores.values, scores.labels),
        "intervals": accuracy_intervals(scores.values, scores.labels, groups.keys(scores.paths)),
        **groups.describe(scores.paths),
    }


@ranks.on_rank_0
def write_results(out: Path, metrics: dict[str, Any], scores: Scores, clips: ClipSpool | None = None) -> None:
    """Write all files of a measurement. Old metrics are removed once there are new scores; new ones come last."""
    counts = confusion(scores.values.argmax(1), scores.labels, len(scores.classes))
    write_scores(out / SCORES_FILE, scores, clips)
    (out / METRICS_FILE).unlink(missing_ok=True)
    write_text(out / "per_class.csv", _format_classes(counts, scores.classes))
    with atomic_write(out / CONFUSION_FILE) as temporary:
        title = f"{metrics['protocol']}, {counted(len(scores.labels), 'video')}: top-1 {metrics['top1']:.1f}%"
        draw_confusion(counts, scores.classes, title, temporary)
    write_metrics(out, metrics)


@ranks.on_rank_0
def write_metrics(out: Path, metrics: dict[str, Any]) -> None:
    """Write metrics.json."""
    write_json(out / METRICS_FILE, metrics, indent=2)


def _format_classes(counts: np.ndarray, classes: list[str]) -> str:
    """Format a CSV: each class, its `class_metrics`, and the class most often predicted instead.

    Its top-1 is its recall. Percentages that are not defined are left empty.
    """
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(PER_CLASS_COLUMNS)
    metrics = zip(*class_metrics(counts), strict=True)
    for number, (name, each, other) in enumerate(zip(classes, metrics, most_confused(counts), strict=True)):
        videos, predicted, correct, *percentages = each
        recall, precision, f1 = ("" if np.isnan(value) else f"{value:.2f}" for value in percentages)
        confused = "" if other is None else classes[other]
        writer.writerow((number, name, videos, correct, recall, confused, predicted, precision, recall, f1))
    return table.getvalue()
