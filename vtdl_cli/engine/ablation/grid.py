"""The grid of an ablation: its cells, and what is known of them."""

import json
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vtdl_cli.config import Config
from vtdl_cli.engine.ablation.cell import Cell
from vtdl_cli.engine.ablation.equal_time import MeasuredEpochs, measure_epochs
from vtdl_cli.engine.ablation.measures import Measures
from vtdl_cli.engine.ablation.rows import Row
from vtdl_cli.engine.ablation.tasks import Task
from vtdl_cli.engine.ablation.videos import Videos, check_videos, read_videos
from vtdl_cli.engine.request import Execution, ListSource
from vtdl_cli.errors import Interrupted, UsageError
from vtdl_cli.runtime import Reporter

CELLS = "cells"  # the folder of all cells, below --out
DRAWS = "draws"  # in CELLS: lists of a few labels
EPOCHS_FILE = "epochs.json"  # of the rows that train as long as another, once measured

Values = dict[int, dict[str, dict[str, list[float]]]]
"""Seed -> row -> metric -> a value for each draw, or one."""


@dataclass(frozen=True)
class Grid:
    """All cells, and the folder that they are in.

    Attributes:
        base: the preset that rows change.
        rows: the rows.
        lists: to train on, and to test on.
        out: the folder.
        execution: the first seed, and how to run.
        reporter: for a line for each part.
        stage_reporter: the one of the stages.
        num_seeds: how many seeds there are.
        measures: what is measured.
    """

    base: Config
    rows: Sequence[Row]
    lists: tuple[ListSource, ListSource]
    out: Path
    execution: Execution
    reporter: Reporter
    stage_reporter: Reporter
    num_seeds: int
    measures: Measures

    @property
    def seeds(self) -> range:
        """The seeds."""
        return range(self.execution.seed, self.execution.seed + self.num_seeds)

    @property
    def names(self) -> list[str]:
        """The names of the rows."""
        return [row.name for row in self.rows]

    @property
    def folder(self) -> Path:
        """The folder of the cells."""
        return self.out / CELLS

    @property
    def measured_epochs(self) -> MeasuredEpochs:
        """The epochs of the rows that take another's time."""
        return MeasuredEpochs(self.folder / EPOCHS_FILE)

    def cell(self, row: Row, seed: int, videos: Videos) -> Cell:
        """Return one cell; it resumes whatever there is of it."""
        return Cell(
            row,
            row.build_config(self.base),
            self.measured_epochs.of(row.name),
            videos,
            self.folder / f"seed-{seed}" / row.name,
            self.folder / DRAWS,
            self.measures,
            replace(self.execution, seed=seed, resume=True, overwrite=False, dry_run=False),
            self.stage_reporter,
        )

    def cells(self) -> list[Cell]:
        """Return all cells, seed by seed."""
        return [self.cell(row, seed, videos) for seed, videos in self._videos().items() for row in self.rows]

    def _videos(self) -> dict[int, Videos]:
        """Read the lists of each seed."""
        return {seed: read_videos(self.lists, seed, needs_classes=self.measures.finetunes) for seed in self.seeds}

    def describe(self) -> dict[str, Any]:
        """Return what is compared, on which videos and by which metrics."""
        train, test = (str(source.path) for source in self.lists)
        return {
            "rows": {row.name: row.describe() for row in self.rows},
            "first_seed": self.execution.seed,
            "seeds": self.num_seeds,
            "train_list": train,
            "val_list": test,
            "metrics": ", ".join(self.measures.titles),
        }

    def check(self) -> dict[str, Any]:
        """Check all cells, and return how much there is to compute.

        Raises:
            UsageError, ListError, ConfigError: something does not fit, or was begun with other settings.
        """
        refuse_idle_rows(self.rows, self.measures)
        cells = self.cells()
        for cell in cells[:: len(self.rows)]:
            check_videos(cell.videos, self.measures)
        kept = [] if self.execution.overwrite else cells
        for part in (part for cell in kept for part in cell.parts()):
            part.check()
        firsts = cells[: len(self.rows)]
        refuse_same_rows(firsts)
        return self._forecast({cell.row.name: cell.check_runs() for cell in firsts}, kept)

    def _forecast(self, plans: dict[str, dict[str, Any]], cells: Sequence[Cell]) -> dict[str, Any]:
        """Return how much there is to compute, and for how long pretraining will run once some of it is finished.

        Args:
            plans: of the pretraining of each row; empty without one.
            cells: those that are not computed anew.
        """
        steps = {name: plan["epochs"] * plan["steps_per_epoch"] for name, plan in plans.items() if plan}
        for row in self.rows:
            if row.pretrains and row.as_long_as and not self.measured_epochs.of(row.name):
                steps[row.name] = steps[row.as_long_as]  # a guess
        finished = [
            (steps[cell.row.name], results["pretraining_seconds"])
            for cell in cells
            if cell.row.pretrains and (results := next(cell.parts()).results())
        ]
        done, seconds = (sum(each) for each in zip(*finished, strict=True)) if finished else (0, 0.0)
        left = self.num_seeds * sum(steps.values()) - done
        return {
            "cells": len(self.rows) * self.num_seeds,
            "cells_done": sum(cell.values() is not None for cell in cells),
            "pretraining_steps": steps,
            "pretraining_steps_left": left,
            "pretraining_hours_left": seconds / done * left / 3600 if done else "unknown until a row is pretrained",
        }

    def compute(self, task: Task) -> int | None:
        """Compute a task, and return the epochs that it measured, if it measured any.

        Raises:
            Interrupted: by a signal, after saving.
        """
        videos = read_videos(self.lists, task.seed, needs_classes=self.measures.finetunes)
        cell = self.cell(next(row for row in self.rows if row.name == task.row), task.seed, videos)
        try:
            if task.measured:
                cells = {row.name: self.cell(row, task.seed, videos) for row in self.rows}
                reference = cells[cell.row.as_long_as or ""]
                pilot = self.folder / f"pace-{task.row}-{cell.run_of(task.measured).name}"
                return measure_epochs(cell, task.measured, reference, list(cells.values()), pilot)
            next(part for part in cell.parts() if part.name == task.name).run()
        except KeyboardInterrupt:  # which an evaluation raises on any signal
            raise Interrupted(f"interrupted in {task}: what was done before is saved. Resume with --resume") from None
        return None

    def values(self) -> Values:
        """Return the results of the finished cells, by seed and row."""
        found: Values = {seed: {} for seed in self.seeds}
        for cell in self.cells():
            if (values := cell.values()) is not None:
                found[cell.execution.seed][cell.row.name] = values
        return found


def refuse_idle_rows(rows: Iterable[Row], measures: Measures) -> None:
    """Raise UsageError where the finetuning of a row is to take another's time, and nothing is finetuned."""
    for row in rows:
        if row.finetunes_longer and not measures.finetunes:
            raise UsageError(
                f"row '{row.name}' takes the time of '{row.as_long_as}' to finetune, but nothing is finetuned. "
                "Add --finetune or --finetune-draws 3, or leave it out"
            )


def refuse_same_rows(cells: Iterable[Cell]) -> None:
    """Raise UsageError where two rows would give the same numbers."""
    known: dict[str, str] = {}
    for cell in cells:
        key = json.dumps([[part.name, part.depends_on] for part in cell.parts()], sort_keys=True)
        if (other := known.setdefault(key, cell.row.name)) != cell.row.name:
            raise UsageError(
                f"rows '{other}' and '{cell.row.name}' are the same in everything that is measured. Leave one out, or "
                "measure more: --finetune"
            )


def remove_cells(folder: Path) -> None:
    """Delete the cells of an earlier ablation, and nothing else in the folder."""
    for cells in (*folder.glob("seed-*"), *folder.glob("pace-*")):
        shutil.rmtree(cells)
    draws = folder / DRAWS
    for file in (*draws.glob("draw-*.csv"), folder / EPOCHS_FILE):
        file.unlink(missing_ok=True)
    for emptied in (draws, folder):
        with suppress(OSError):  # it holds what others have put there, or there is none
            emptied.rmdir()
