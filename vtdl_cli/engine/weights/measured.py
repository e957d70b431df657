"""Accuracies of a network, as its run and its evaluations measured them, for a model card."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vtdl_cli.engine.evaluate.results import METRICS_FILE
from vtdl_cli.engine.networks.selection import read_selection
from vtdl_cli.engine.report.evaluations import read_metrics, results_folders
from vtdl_cli.engine.train.run_folder import METRICS, read_log
from vtdl_cli.engine.weights.converted import Converted, Wanted
from vtdl_cli.errors import UsageError, VtdlError
from vtdl_cli.metrics import ACCURACIES
from vtdl_cli.runtime import Reporter

FROM_METRICS = (
    "protocol", "aggregate", *ACCURACIES, "intervals", "num_videos", "list_sha256", "selected_on_this_list",
    "precision", "decoder",
)  # fmt: skip
"""Entries of an evaluation's metrics.json that a model card repeats."""

VALIDATION, KNN = "val_", "knn"  # beginnings of a run's metrics


def find_measured(converted: Converted, wanted: Wanted, reporter: Reporter) -> list[dict[str, Any]]:
    """Return what was measured of these weights: the run's validation, and evaluations given or in the run folder.

    Raises:
        UsageError: given results are not of vtdl evaluate, or of other weights.
    """
    run = converted.run
    given = [folder for top in wanted.results for folder in results_folders(top)]
    folders = given if wanted.results else sorted(path.parent for path in run.rglob(METRICS_FILE)) if run else []
    found = [*_read_validation(converted, reporter)]
    for folder in folders:
        try:
            found += _read_evaluation(folder / METRICS_FILE, converted)
        except UsageError as error:
            if wanted.results:
                raise
            reporter.warn(f"left out: {error}")
    return found


def _read_evaluation(path: Path, converted: Converted) -> Iterator[dict[str, Any]]:
    """Yield an evaluation; the summary of several yields nothing, as each of them has a folder of its own."""
    metrics = read_metrics(path)
    if "tests" in metrics:
        return
    if metrics.get("weights_sha256") != converted.sha256:
        weights = f"--weights {shlex.quote(str(converted.path))}"
        again = f"vtdl evaluate {weights} --list lists/test_split_1.txt --root videos --out results"
        raise UsageError(f"results '{path}' are of other weights than '{converted.path}'. First: {again}")
    skipped = {"num_skipped": len(metrics.get("skipped", []))}
    yield {name: metrics[name] for name in FROM_METRICS if name in metrics} | skipped


def _read_validation(converted: Converted, reporter: Reporter) -> Iterator[dict[str, Any]]:
    """Yield the metrics on labels of the epoch that the weights are of, if the run's log has it."""
    if converted.run is None:
        return
    try:
        rows = read_log(converted.run / METRICS)
    except VtdlError as error:
        reporter.warn(f"left out: {error}")
        return
    epoch = converted.checkpoint.get("epoch")
    row: dict[str, Any] = next((row for row in reversed(rows) if row["epoch"] == epoch), {})
    found = {name.removeprefix(VALIDATION): row[name] for name in row if name.startswith((VALIDATION, KNN))}
    if not found:
        return
    if converted.checkpoint["stage"] == "pretrain":
        yield {"protocol": "kNN on the training list", **found}
        return
    selection = read_selection(converted.checkpoint, converted.path)
    videos = {"num_videos": len(selection["videos"])} if selection and "videos" in selection else {}
    listed = converted.checkpoint["origin"].get("val_list_sha256")
    yield {"protocol": "clip@1", **found, **videos, "list_sha256": listed, "selected_on_this_list": bool(selection)}
