"""What folders of `vtdl evaluate` and files of `vtdl retrieve` say, for a page."""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vtdl_cli.analysis.report.content import ClassScore, Note, Result, Retrieval
from vtdl_cli.data.hdf5.scores import Scores, read_scores
from vtdl_cli.engine.evaluate.results import CONFUSION_FILE, METRICS_FILE, SCORES_FILE
from vtdl_cli.engine.report.samples import show_samples
from vtdl_cli.errors import DamagedFile, UsageError
from vtdl_cli.metrics import confusion, most_confused
from vtdl_cli.runtime import Reporter

PNG_START = b"\x89PNG\r\n\x1a\n"
ALWAYS = ("top1", "mean_class")
"""Metrics of every metrics.json: top-5 says nothing of five classes or fewer."""

ORIGINS = (
    "list", "list_sha256", "root", "decoder", "weights", "weights_sha256", "precision", "torch_version", "seconds",
)  # fmt: skip
"""Of metrics.json: what an evaluation was made of."""


def find_results(run: Path, given: Sequence[Path], reporter: Reporter) -> list[Result]:
    """The results in and below the folders that were given, or of the run.

    Raises:
        UsageError: a folder that was given holds none, or something else under their name.
    """
    if given:
        return [read_result(folder, str(folder), reporter) for top in given for folder in _result_folders(top)]
    found = []
    for folder in sorted(path.parent for path in run.rglob(METRICS_FILE)):
        try:
            name = str(folder.relative_to(run)) if folder != run else "results"
            found.append(read_result(folder, name, reporter))
        except UsageError as error:
            reporter.warn(f"left out: {error}")
    return found


def _result_folders(top: Path) -> list[Path]:
    folders = sorted(path.parent for path in top.rglob(METRICS_FILE))
    if not folders:
        raise UsageError(f"results '{top}' hold no {METRICS_FILE}. First: vtdl evaluate --weights RUN ... --out {top}")
    return folders


def read_result(folder: Path, name: str, reporter: Reporter) -> Result:
    """One folder, by the name that the page gives it.

    Raises:
        UsageError: its metrics.json is not what `vtdl evaluate` writes, or its scores are damaged.
    """
    metrics = _read_metrics(folder / METRICS_FILE)
    if "tests" in metrics:  # the summary of several evaluations, which stand in folders of their own
        return Result(name, metrics)
    notes = []
    drawn = folder / CONFUSION_FILE
    picture = drawn.read_bytes() if drawn.is_file() else b""
    if not picture.startswith(PNG_START):
        picture = b""
        notes.append(Note(f"No picture of the confusion: {CONFUSION_FILE} is absent or damaged.", _again(folder)))
    try:
        scores = read_scores(folder / SCORES_FILE, reporter.warn)
    except DamagedFile:
        raise
    except UsageError as error:
        notes.append(Note(f"No classes and no samples: {error}."))
        if (folder / SCORES_FILE).exists():
            reporter.warn(f"left out: {error}")
        return Result(name, metrics, confusion=picture or None, notes=notes)
    samples, reasons = show_samples(scores, metrics)
    return Result(name, metrics, class_scores(scores), picture or None, samples, [*notes, *reasons])


def _read_metrics(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        content = None
    metrics: dict[str, Any] = content if isinstance(content, dict) else {}
    if not isinstance(metrics.get("protocol"), str) or not all(_is_metric(metrics.get(name)) for name in ALWAYS):
        raise UsageError(f"results '{path}' are damaged, or not of vtdl evaluate. Name a folder that it wrote")
    return metrics


def _is_metric(value: Any) -> bool:
    """A number, or mean and deviation of several."""
    return isinstance(value, int | float) or (isinstance(value, dict) and {"mean", "std"} <= value.keys())


def _again(folder: Path) -> str:
    return f"vtdl evaluate --out {shlex.quote(str(folder))} --overwrite --weights RUN --list LIST ..."


def class_scores(scores: Scores) -> list[ClassScore]:
    """The classes that have videos, best first; of equal ones that with more videos."""
    counts = confusion(scores.values.argmax(1), scores.labels, len(scores.classes))
    found = []
    for number, (row, other) in enumerate(zip(counts, most_confused(counts), strict=True)):
        confused = "" if other is None else scores.classes[other]
        if row.any():
            found.append(ClassScore(scores.classes[number], int(row.sum()), int(row[number]), confused))
    return sorted(found, key=lambda each: (-each.right / each.videos, -each.videos))


def result_provenance(results: Sequence[Result]) -> Iterator[tuple[str, str]]:
    """What each evaluation was made of."""
    for result in results:
        for path in result.metrics.get("inputs", {}):
            yield f"{result.name}, fused from", path
        known = [(name, result.metrics[name]) for name in ORIGINS if result.metrics.get(name)]
        if known:
            yield result.name, "; ".join(f"{name.replace('_', ' ')} {value}" for name, value in known)


def skipped_by(results: Sequence[Result]) -> Iterator[tuple[str, str, str]]:
    """(name of the result, path, reason) of every video that an evaluation could not read."""
    for result in results:
        for video in result.metrics.get("skipped", []):
            yield result.name, video["path"], video["reason"]


def read_retrieval(path: Path) -> Retrieval:
    """What `vtdl retrieve` printed as JSON, or drew.

    Raises:
        UsageError: it is neither.
    """
    if not path.is_file():
        raise UsageError(f"--retrieval '{path}' is not there. First: vtdl retrieve ... --json > {path}")
    content = path.read_bytes()
    if content.startswith(PNG_START):
        return Retrieval(path.name, picture=content)
    try:
        values = json.loads(content)
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise UsageError(f"--retrieval '{path}' is neither JSON nor PNG. Give what vtdl retrieve printed or drew")
    return Retrieval(path.name, list(_flatten(values)))


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Names and values of nested JSON; of an interval its ends, of other lists their length."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name} ")
        elif isinstance(value, list) and len(value) == 2 and all(isinstance(end, float) for end in value):
            yield prefix + name, f"{value[0]:.4g} to {value[1]:.4g}"
        elif isinstance(value, list):
            yield prefix + name, f"{len(value)} entries"
        else:
            yield prefix + name, f"{value:.4g}" if isinstance(value, float) else str(value)
