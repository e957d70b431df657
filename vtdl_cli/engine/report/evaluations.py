"""Folders of `vtdl evaluate` and files of `vtdl retrieve`, read for a report."""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vtdl_cli.analysis.report.content import ClassScore, Evaluation, Example, Remark, Retrieval
from vtdl_cli.data.hdf5.scores import Scores, read_scores
from vtdl_cli.data.video.decoding import read_middle_frame
from vtdl_cli.data.video.timeline import Interval, interval_at
from vtdl_cli.engine.evaluate.results import CONFUSION_FILE, METRICS_FILE, SCORES_FILE
from vtdl_cli.errors import DamagedFile, UnreadableVideo, UsageError
from vtdl_cli.metrics import class_metrics, confusion, most_confused, softmax
from vtdl_cli.runtime import Reporter
from vtdl_cli.text import result_rows

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
REQUIRED_METRICS = ("top1", "mean_class")
"""In every metrics.json; top-5 is not, as it is always 100% of five classes or fewer."""

EVALUATION_ORIGIN = (
    "list", "list_sha256", "root", "decoder", "weights", "weights_sha256", "precision", "torch_version", "seconds",
)  # fmt: skip
"""Entries of metrics.json that say how an evaluation was made."""

RETRIEVAL_WORDS = {
    "query": "queries",
    "num_gallery": "videos in the gallery",
    "num_query": "number of queries",
    "dim": "dimensions of the features",
    "gallery_weights": "weights of the gallery's features",
    "gallery_weights_sha256": "sha256 of the gallery's weights",
    "query_weights": "weights of the queries' features",
    "query_weights_sha256": "sha256 of the queries' weights",
    "intervals": "95% interval",
    "intervals_by": "intervals count each",
    "group_by": "regex of the groups",
    "num_groups": "groups",
    "picture": "figure",
    "per_query": "table of all queries",
}
"""For keys of `vtdl retrieve --json`; other keys are words already."""
QUERIES_LISTED = 10  # on the page, with their neighbours, where there are no classes

EXAMPLES = 6  # correct videos on the page, and as many misclassified ones


# ---- evaluations


def find_evaluations(run: Path, given: Sequence[Path], reporter: Reporter) -> list[Evaluation]:
    """Read the evaluations in and below the given folders, or else the run's.

    Raises:
        UsageError: a given folder holds none, or other files of the same name.
    """
    if given:
        return [read_evaluation(folder, str(folder), reporter) for top in given for folder in results_folders(top)]
    found = []
    for folder in sorted(path.parent for path in run.rglob(METRICS_FILE)):
        try:
            name = str(folder.relative_to(run)) if folder != run else "results"
            found.append(read_evaluation(folder, name, reporter))
        except UsageError as error:
            reporter.warn(f"left out: {error}")
    return found


def _evaluate(out: Path) -> str:
    """Return the command that writes results into a folder."""
    command = "vtdl evaluate --weights runs/finetuned --list lists/test_split_1.txt --root videos"
    return f"{command} --out {shlex.quote(str(out))}"


def results_folders(top: Path) -> list[Path]:
    """Return the folders of results in and below `top`.

    Raises:
        UsageError: there are none.
    """
    folders = sorted(path.parent for path in top.rglob(METRICS_FILE))
    if not folders:
        raise UsageError(f"results '{top}' hold no {METRICS_FILE}. First: {_evaluate(top)}")
    return folders


def read_evaluation(folder: Path, name: str, reporter: Reporter) -> Evaluation:
    """Read one folder, shown on the page as `name`.

    Raises:
        UsageError: its metrics.json is damaged or not of `vtdl evaluate`, or its scores are damaged.
    """
    metrics = read_metrics(folder / METRICS_FILE)
    if "tests" in metrics:  # the summary of several evaluations, each in a folder of its own
        return Evaluation(name, metrics)
    remarks = []
    file = folder / CONFUSION_FILE
    figure = file.read_bytes() if file.is_file() else b""
    if not figure.startswith(PNG_SIGNATURE):
        figure = b""
        again = f"{_evaluate(folder)} --overwrite"
        remarks.append(Remark(f"No confusion matrix: {CONFUSION_FILE} is absent or damaged.", again))
    try:
        scores = read_scores(folder / SCORES_FILE, reporter.warn)
    except DamagedFile:
        raise
    except UsageError as error:
        remarks.append(Remark(f"No classes and no examples: {error}."))
        if (folder / SCORES_FILE).exists():
            reporter.warn(f"left out: {error}")
        return Evaluation(name, metrics, confusion=figure or None, remarks=remarks)
    examples, reasons = read_examples(scores, metrics)
    if reasons:
        remarks.append(Remark(f"{len(reasons)} of {len(examples)} videos cannot be shown: {reasons[0]}."))
    return Evaluation(name, metrics, score_classes(scores), figure or None, examples, remarks)


def read_metrics(path: Path) -> dict[str, Any]:
    """Read a metrics.json.

    Raises:
        UsageError: it is damaged or not of `vtdl evaluate`.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        content = None
    metrics: dict[str, Any] = content if isinstance(content, dict) else {}
    if not isinstance(metrics.get("protocol"), str) or not all(map(_is_accuracy, map(metrics.get, REQUIRED_METRICS))):
        raise UsageError(f"results '{path}' are damaged, or not of vtdl evaluate. Name a folder that it wrote")
    return metrics


def _is_accuracy(value: Any) -> bool:
    """Return whether it is a number, or mean and standard deviation of several."""
    return isinstance(value, int | float) or (isinstance(value, dict) and {"mean", "std"} <= value.keys())


def score_classes(scores: Scores) -> list[ClassScore]:
    """Return the classes that have videos, best first; of equal ones, those with more videos first."""
    counts = confusion(scores.values.argmax(1), scores.labels, len(scores.classes))
    metrics, others = class_metrics(counts), most_confused(counts)
    found = []
    for number in np.flatnonzero(metrics.videos):
        videos, predicted, correct = (int(each[number]) for each in metrics[:3])
        precision = float(metrics.precision[number]) if predicted else None
        confused = "" if (other := others[number]) is None else scores.classes[other]
        f1 = float(metrics.f1[number])
        found.append(ClassScore(scores.classes[number], videos, correct, precision, f1, confused))
    return sorted(found, key=lambda each: (-each.correct / each.videos, -each.videos))


# ---- examples


def read_examples(scores: Scores, metrics: Mapping[str, Any]) -> tuple[list[Example], list[str]]:
    """Return some test videos with their middle frames, and the reason for each frame that is missing.

    Args:
        scores: of the evaluation.
        metrics: its metrics.json, with the `root` and the `decoder` of the videos.
    """
    predicted = scores.values.argmax(1)
    probabilities = softmax(scores.values) if metrics.get("aggregate") == "logits" else scores.values
    examples, reasons, names = [], [], scores.names
    for row in choose_rows(predicted == scores.labels):
        frame, reason = _read_frame(scores.paths[row], interval_at(scores.intervals, row), metrics)
        true, other = (scores.classes[label] for label in (scores.labels[row], predicted[row]))
        examples.append(Example(names[row], true, other, float(probabilities[row, predicted[row]]), frame))
        reasons += [reason] if frame is None else []
    return examples, reasons


def choose_rows(correct: np.ndarray, number: int = EXAMPLES) -> Iterator[int]:
    """Yield rows of bool (N,): `number` correct ones, then as many incorrect ones, spread evenly over the list."""
    for outcome in (True, False):
        rows = np.flatnonzero(correct == outcome)
        if len(rows):
            yield from rows[np.linspace(0, len(rows) - 1, min(number, len(rows))).round().astype(int)].tolist()


def _read_frame(path: str, interval: Interval | None, metrics: Mapping[str, Any]) -> tuple[np.ndarray | None, str]:
    """Return the middle frame of a video or an interval, or why there is none."""
    if "root" not in metrics or "decoder" not in metrics:
        return None, "the results, of a fusion or an older version, do not name the folder of the videos"
    try:
        return read_middle_frame(Path(metrics["root"]) / path, metrics["decoder"], interval), ""
    except (UnreadableVideo, UsageError) as error:
        return None, str(error)


# ---- provenance and skipped videos


def list_origins(evaluations: Sequence[Evaluation]) -> Iterator[tuple[str, str]]:
    """List how each evaluation was made."""
    for each in evaluations:
        for path in each.metrics.get("inputs", {}):
            yield f"{each.name}, fused from", path
        known = [(name, each.metrics[name]) for name in EVALUATION_ORIGIN if each.metrics.get(name)]
        if known:
            yield each.name, "; ".join(f"{name.replace('_', ' ')} {value}" for name, value in known)


def list_skipped(evaluations: Sequence[Evaluation]) -> Iterator[tuple[str, str, str]]:
    """List name of the evaluation, path and reason for every video that an evaluation could not read."""
    for each in evaluations:
        for video in each.metrics.get("skipped", []):
            yield each.name, video["path"], video["reason"]


# ---- retrieval


def read_retrieval(path: Path) -> Retrieval:
    """Read the JSON or the figure of `vtdl retrieve`.

    Raises:
        UsageError: it is neither.
    """
    if not path.is_file():
        raise UsageError(
            f"--retrieval '{path}' does not exist. "
            f"First: vtdl retrieve --gallery train.h5 --query val.h5 --json > {path}"
        )
    content = path.read_bytes()
    if content.startswith(PNG_SIGNATURE):
        return Retrieval(path.name, figure=content)
    try:
        values = json.loads(content)
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise UsageError(f"--retrieval '{path}' is neither JSON nor PNG. Name an output of vtdl retrieve")
    neighbours = values.pop("neighbours", [])
    try:
        listed = list(_describe_neighbours(neighbours))
    except (TypeError, KeyError, ValueError) as error:
        raise UsageError(f"--retrieval '{path}' has damaged neighbours. Name an output of vtdl retrieve") from error
    return Retrieval(path.name, [*result_rows(dict(map(_in_words, values.items()))), *listed])


def _in_words(entry: tuple[str, Any]) -> tuple[str, Any]:
    name, value = entry
    return (f"{name}, %" if name.startswith("R@") else RETRIEVAL_WORDS.get(name, name)), value


def _describe_neighbours(neighbours: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield the first queries, each with its neighbours and their cosines, and the number of the others."""
    for each in neighbours[:QUERIES_LISTED]:
        nearest = ", ".join(f"{video['path']} ({video['cosine']:.3f})" for video in each["nearest"])
        yield f"nearest to {each['query']}", f"by cosine: {nearest}"
    if (left := len(neighbours) - QUERIES_LISTED) > 0:
        yield "further queries", f"{left}, in the JSON"
