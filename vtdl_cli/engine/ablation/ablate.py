"""Ablation: rows of settings, each with several seeds, compared by the accuracies of their networks.

A cell is one row with one seed (`cell.py`), and consists of parts (`part.py`) that are computed once. What the numbers
say is in `statistics.py`.
"""

import csv
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vtdl_cli.analysis.ablation import draw_ablation
from vtdl_cli.config import Config
from vtdl_cli.engine.ablation.grid import Grid, Values, remove_cells
from vtdl_cli.engine.ablation.measures import Measures
from vtdl_cli.engine.ablation.rows import Row, apply_budget
from vtdl_cli.engine.ablation.running import run_grid
from vtdl_cli.engine.ablation.statistics import as_dict, compare_with, describe, estimate
from vtdl_cli.engine.request import Execution, ListSource
from vtdl_cli.engine.stages import StageReporter
from vtdl_cli.engine.train.run_folder import refuse_used_folder
from vtdl_cli.errors import UsageError
from vtdl_cli.locks import lock_folder, releasing_locks
from vtdl_cli.runtime import Reporter, atomic_write, write_json

TABLE, FIGURE, RESULT = "ablation.csv", "ablation.png", "ablation.json"


@releasing_locks
def ablate(
    config: Config,
    rows: Sequence[Row],
    lists: tuple[ListSource, ListSource],
    out: Path,
    execution: Execution,
    reporter: Reporter,
    *,
    num_seeds: int = 5,
    measures: Measures = Measures(),
    budget: str = "steps",
    against: str | None = None,
    jobs: int = 1,
) -> dict[str, Any]:
    """Pretrain and measure every row with every seed, and compare the rows.

    Args:
        config: the preset that rows change.
        rows: at least one.
        lists: to train on, and to test on; `{seed}` in a path stands for the seed.
        out: folder for everything.
        execution: the first seed, and how to run.
        reporter: for progress and a line for each part.
        num_seeds: the seeds are as many numbers from the first on.
        measures: what is measured of every network.
        budget: see `rows.apply_budget`.
        against: the row to compare with; none: `moco`, or the first row if there is none.
        jobs: how many parts are computed at once.

    Returns:
        `estimates` and `differences` by metric and row, the `titles` of the metrics, the `verdict` in a sentence, the
        `results` by seed and row, the same for each of the `draws` of labels, `table` and `figure`; for a dry run the
        plan.

    Raises:
        UsageError, ListError, ConfigError: something does not fit; nothing has been computed.
        PartFailed: computing a part failed; what was done before is kept.
        Interrupted: by a signal, after saving.
    """
    began = time.monotonic()
    rows = apply_budget(rows, budget)
    refuse_used_folder(out, "folder", resume=execution.resume, overwrite=execution.overwrite)
    grid = Grid(config, rows, lists, out, execution, reporter, StageReporter(reporter), num_seeds, measures)
    against = choose_reference(rows, against)
    plan = {"out": str(out), **grid.describe(), "against": against}
    forecast = grid.check()
    if execution.dry_run:
        return plan | forecast
    lock_folder(out, reporter)
    if execution.overwrite:
        remove_old(grid)
    run_grid(grid, jobs, partial(write_table, grid))
    write_table(grid)
    result = plan | summarise(grid, against)
    result["seconds"] = round(time.monotonic() - began, 1)
    write_json(out / RESULT, result, indent=2)
    return result


def choose_reference(rows: Sequence[Row], against: str | None) -> str:
    """Return the row to compare with.

    Raises:
        UsageError: there is no such row.
    """
    names = [row.name for row in rows]
    if against is None:
        return "moco" if "moco" in names else names[0]
    if against not in names:
        raise UsageError(f"--against '{against}' is not one of the rows {', '.join(names)}. Choose one of them")
    return against


def remove_old(grid: Grid) -> None:
    """Delete the outputs of an earlier ablation."""
    for name in (TABLE, FIGURE, RESULT):
        (grid.out / name).unlink(missing_ok=True)
    remove_cells(grid.folder)


def write_table(grid: Grid) -> None:
    """Write ablation.csv, a line for each row, seed and metric that is known so far."""
    with atomic_write(grid.out / TABLE) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["row", "seed", "metric", "value"])
        for seed, rows in mean_over_draws(grid.values()).items():
            for row, results in rows.items():
                writer.writerows([row, seed, metric, value] for metric, value in results.items())


def mean_over_draws(values: Values) -> dict[int, dict[str, dict[str, float]]]:
    """Return the mean of each metric over the draws of labels: seed -> row -> metric -> mean."""
    return {
        seed: {row: {metric: float(np.mean(each)) for metric, each in found.items()} for row, found in rows.items()}
        for seed, rows in values.items()
    }


def by_metric(
    rows: Sequence[str], metrics: Iterable[str], results: Mapping[int, Mapping[str, Mapping[str, float]]]
) -> dict[str, dict[str, list[float]]]:
    """Return the values of each seed: metric -> row -> (S,), without rows in which the metric is not measured.

    Args:
        rows: their names.
        metrics: the metrics.
        results: seed -> row -> metric -> value.
    """
    seeds = list(results.values())
    return {
        metric: {row: [of[row][metric] for of in seeds] for row in rows if all(metric in of[row] for of in seeds)}
        for metric in metrics
    }


def summarise(grid: Grid, against: str) -> dict[str, Any]:
    """Return the statistics over the seeds, and draw them."""
    drawn, titles = grid.values(), grid.measures.titles
    results = mean_over_draws(drawn)
    values = by_metric(grid.names, titles, results)
    estimates = {metric: {name: estimate(each) for name, each in rows.items()} for metric, rows in values.items()}
    differences = compare_with(values, against)
    with atomic_write(grid.out / FIGURE) as temporary:
        intervals = {metric: {name: each.interval for name, each in rows.items()} for metric, rows in estimates.items()}
        draw_ablation(values, intervals, titles, temporary)
    return {
        "titles": titles,
        "estimates": as_dict(estimates),
        "differences": as_dict(differences),
        "verdict": describe({titles[name]: rows for name, rows in differences.items()}, against, grid.num_seeds),
        "results": {str(seed): rows for seed, rows in results.items()},
        "draws": {str(seed): rows for seed, rows in drawn.items()},
        "table": str(grid.out / TABLE),
        "figure": str(grid.out / FIGURE),
    }
