"""The demo on generated videos: what pretraining without labels gains, in minutes and without any data.

It is an ablation of one seed on videos of its own, whose accuracies are compared over draws of labels; or, on request,
one of several seeds that adds one step of the method after another. Its folder:

    videos/seed-0  lists/seed-0    generated
    cells/seed-0/ROW               pretraining, features and finetuning of a row, see engine/ablation
    cells/draws                    the lists of drawn labels
    demo.json  results.png  triplet.png
"""

import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

from vtdl_cli.analysis.bars import draw_bars
from vtdl_cli.config import Config
from vtdl_cli.data.video.motion import CLASSES
from vtdl_cli.engine.ablation.cell import FEW_SHOT, PRETRAINING, Cell
from vtdl_cli.engine.ablation.grid import CELLS, Grid, Values, remove_cells
from vtdl_cli.engine.ablation.processes import start_server
from vtdl_cli.engine.ablation.running import run_grid
from vtdl_cli.engine.demo.comparisons import DRAWS, STEPS, Comparison
from vtdl_cli.engine.demo.verdict import conclude
from vtdl_cli.engine.demo.videos import BEGUN_FILE, GeneratedVideos
from vtdl_cli.engine.report.triplet import draw_triplet
from vtdl_cli.engine.request import Execution
from vtdl_cli.engine.stages import StageReporter
from vtdl_cli.engine.train.freezing import check_freezing
from vtdl_cli.engine.train.run_folder import is_in_use, refuse_used_folder
from vtdl_cli.errors import UsageError
from vtdl_cli.locks import lock_folder, releasing_locks
from vtdl_cli.runtime import Reporter, atomic_write, write_json
from vtdl_cli.system import available_cores

RESULT_FILE, FIGURE, TRIPLET = "demo.json", "results.png", "triplet.png"
CHANCE = 100 / len(CLASSES)  # percent
MOST_JOBS = 4  # by default; a pretraining takes .4 GB of its own


@releasing_locks
def demo(
    config: Config,
    out: Path,
    execution: Execution,
    reporter: Reporter,
    *,
    videos_per_class: int,
    ablation: bool = False,
    jobs: int | None = None,
) -> dict[str, Any]:
    """Generate videos, pretrain without labels, and compare with training from scratch on few labels.

    Args:
        config: configuration of all stages.
        out: folder for everything.
        execution: the first seed, of videos and training; how to run.
        reporter: for progress and a line for each part.
        videos_per_class: videos to generate for each seed, about a quarter of them to test on.
        ablation: compare every step of the method, over several seeds, each with its own videos.
        jobs: how many parts are computed at once; none: one for each core, at most MOST_JOBS. A network of this size
            gains nothing from a second thread.

    Returns:
        `estimates` by metric and row, `differences` and what they say, the `verdict`; `results` by seed, row and
        metric, with a value for each draw of labels; `chance`; numbers of videos; `training_seconds` of each row;
        `pictures`, files; `seconds` of this call; for a dry run the plan.

    Raises:
        UsageError: `out` is in use, or was begun with something else.
        PartFailed: computing a part failed; what was done before is kept.
        Interrupted: by a signal, after saving.
    """
    began = time.monotonic()
    comparison = STEPS if ablation else DRAWS
    for row in comparison.rows:
        row.build_config(config)
    check_freezing(config.finetune, trained=False, linear_probe=False)  # some of the networks begin from scratch
    refuse_used_folder(out, "folder", resume=execution.resume, overwrite=execution.overwrite)
    if is_in_use(out) and not (out / BEGUN_FILE).exists():
        raise UsageError(f"folder '{out}' is not empty, and holds no demo. Choose another --out")
    plan = {"out": str(out), "videos": videos_per_class * len(CLASSES), **describe(comparison, execution.seed)}
    if execution.dry_run:
        return plan
    lock_folder(out, reporter)
    jobs = jobs or min(available_cores(), MOST_JOBS)
    if jobs > 1 and not (out / RESULT_FILE).exists():
        start_server(jobs)  # it imports while videos are generated
    videos = GeneratedVideos(out, videos_per_class, execution, reporter, StageReporter(reporter))
    videos.begin({"seed": execution.seed, "ablation": ablation})
    if execution.overwrite:
        remove_old(out)
    grid = build_grid(config, comparison, videos)
    for seed in grid.seeds:
        videos.generate(seed)
    grid.check()
    run_grid(grid, jobs)
    result = plan | summarise(grid, comparison)
    result["seconds"] = round(time.monotonic() - began, 1)
    write_json(out / RESULT_FILE, result, indent=2)
    return result


def describe(comparison: Comparison, seed: int) -> dict[str, Any]:
    """Return what will be compared."""
    return {
        "rows": {row.name: row.describe() for row in comparison.rows},
        "first_seed": seed,
        "seeds": comparison.num_seeds,
        "probe_draws": comparison.measures.draws,
        "finetuned_draws": comparison.measures.finetune_draws,
        "chance": CHANCE,
    }


def remove_old(out: Path) -> None:
    """Delete the outputs of an earlier demo."""
    remove_cells(out / CELLS)
    for folder in (out / "videos", out / "lists"):
        for of_seed in folder.glob("seed-*"):
            shutil.rmtree(of_seed)
    for name in (RESULT_FILE, FIGURE, TRIPLET):
        (out / name).unlink(missing_ok=True)


def build_grid(config: Config, comparison: Comparison, videos: GeneratedVideos) -> Grid:
    """Return the ablation of the generated videos."""
    return Grid(
        config,
        comparison.rows,
        videos.lists,
        videos.out,
        videos.execution,
        videos.reporter,
        videos.stage_reporter,
        comparison.num_seeds,
        comparison.measures,
    )


def summarise(grid: Grid, comparison: Comparison) -> dict[str, Any]:
    """Return the results and what they say, and draw the figures."""
    values, out = grid.values(), grid.out
    found = conclude(comparison, values)
    shown = next(cell for cell in grid.cells() if cell.row.name == comparison.shown)
    with atomic_write(out / FIGURE) as temporary:
        draw_bars(found["estimates"], found["titles"], CHANCE, temporary)
    draw_triplet(shown.config, shown.videos.train, out / TRIPLET, seed=shown.execution.seed)
    return {
        "pretraining_videos": len(shown.videos.train),
        "labelled_videos": len(shown.labelled(FEW_SHOT).read()),
        "test_videos": len(shown.videos.test),
        **found,
        "training_seconds": training_seconds(values),
        "results": {str(seed): rows for seed, rows in values.items()},
        "files": describe_files(shown),
        "pictures": [str(out / FIGURE), str(shown.run_of(PRETRAINING) / "curves.png"), str(out / TRIPLET)],
    }


def training_seconds(values: Values) -> dict[str, float]:
    """Return how long pretraining and one finetuning took: row -> mean over seeds and draws."""
    seconds: dict[str, list[float]] = {}
    for row, found in (item for rows in values.values() for item in rows.items()):
        once = np.mean(found["few_shot_finetuning_seconds"]) + sum(found.get("pretraining_seconds", []))
        seconds.setdefault(row, []).append(float(once))
    return {row: float(np.mean(each)) for row, each in seconds.items()}


def describe_files(cell: Cell) -> dict[str, str]:
    """Return where the first seed's pretraining, lists and features are, for further commands."""
    train, val = cell.features
    return {
        "pretraining": str(cell.run_of(PRETRAINING)),
        "labelled_list": str(cell.labelled(FEW_SHOT).path),
        "val_list": str(cell.videos.test_source.path),
        "root": str(cell.videos.test_source.root),
        "train_features": str(train),
        "val_features": str(val),
    }
