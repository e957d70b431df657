"""The grid of an ablation: its cells, in the order in which they are computed."""

import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vtdl_cli.config import Config
from vtdl_cli.engine.ablation.cell import Cell, Measures, Videos, check_videos
from vtdl_cli.engine.ablation.part import Results
from vtdl_cli.engine.ablation.rows import Row
from vtdl_cli.engine.request import Execution, ListSource
from vtdl_cli.engine.stages import epoch_seconds
from vtdl_cli.engine.train.pretrain import pretrain
from vtdl_cli.errors import Interrupted, UsageError
from vtdl_cli.runtime import Reporter, SilentReporter, StopRequest, atomic_write
from vtdl_cli.settings import build_config

CELLS = "cells"  # the folder of all cells, below --out
EPOCHS_FILE = "epochs.json"  # of the rows that train as long as another, once measured
PACE_EPOCHS = 4  # to measure how long an epoch takes; the first includes start-up
SEED = "{seed}"  # in the path of a list: each seed has its own


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
    def folder(self) -> Path:
        """The folder of the cells."""
        return self.out / CELLS

    def cell(self, row: Row, seed: int, videos: Videos) -> Cell:
        """Return one cell; it resumes whatever there is of it."""
        config, folder = row.build_config(self.base), self.folder / f"seed-{seed}"
        if (epochs := self._measured_epochs().get(row.name)) is not None:
            config = with_epochs(config, epochs)
        execution = replace(self.execution, seed=seed, resume=True, overwrite=False, dry_run=False)
        return Cell(
            row, config, videos, folder / row.name, self.folder / "draws", self.measures, execution, self.stage_reporter
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
            "metrics": ", ".join(self.measures.metrics),
        }

    def check(self) -> dict[str, Any]:
        """Check all cells, and return how much there is to compute.

        Raises:
            UsageError, ListError, ConfigError: something does not fit, or was begun with other settings.
        """
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
            if row.as_long_as and row.name not in self._measured_epochs():
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
            "cells_done": sum(cell.results() is not None for cell in cells),
            "pretraining_steps": steps,
            "pretraining_steps_left": left,
            "pretraining_hours_left": seconds / done * left / 3600 if done else "unknown until a row is pretrained",
        }

    def remove_cells(self) -> None:
        """Delete the cells of an earlier ablation in the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self) -> Iterator[None]:
        """Compute what is not done yet; yields after each cell.

        Raises:
            Interrupted: by a signal, after saving.
        """
        in_order = sorted(self.rows, key=lambda row: row.as_long_as is not None)  # a time has to be known to be taken
        total = len(self.rows) * self.num_seeds
        with StopRequest() as stop, self.reporter.progress(total, "ablation") as bar:
            for seed, videos in self._videos().items():
                for row in in_order:
                    if row.as_long_as:
                        self._measure_epochs(row, seed, videos)
                    self._run_cell(self.cell(row, seed, videos), stop)
                    bar.advance()
                    yield

    def _run_cell(self, cell: Cell, stop: StopRequest) -> None:
        for part in cell.parts():
            if part.results() is None:
                what = f"{cell.row.name}, seed {cell.execution.seed}: {part.name}"
                self.reporter.line(what)
                part.run()
                if signal := stop.received():  # training stops sooner by itself
                    raise Interrupted(f"{signal} after {what}: saved. Resume with --resume")

    def _measure_epochs(self, row: Row, seed: int, videos: Videos) -> None:
        """Determine, once for all seeds, how many epochs of a row take the time of the row that it is compared with."""
        known = self._measured_epochs()
        if row.name in known or row.as_long_as is None:
            return
        self.reporter.line(f"{row.name}: measuring how many epochs take as long as {row.as_long_as}")
        [reference] = (each for each in self.rows if each.name == row.as_long_as)
        run, cell = self.cell(reference, seed, videos).pretraining, self.cell(row, seed, videos)
        pilot = self.folder / f"pace-{row.name}"
        pretrain(with_epochs(cell.config, PACE_EPOCHS), videos.train_source, pilot, cell.execution, SilentReporter())
        epochs = count_epochs(epoch_seconds(run), epoch_seconds(pilot)[1:])
        with atomic_write(self.folder / EPOCHS_FILE) as temporary:
            temporary.write_text(json.dumps({**known, row.name: epochs}) + "\n", encoding="utf-8")
        shutil.rmtree(pilot)

    def _measured_epochs(self) -> dict[str, int]:
        file = self.folder / EPOCHS_FILE
        return dict(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else {}

    def results(self) -> dict[int, dict[str, Results]]:
        """Return the results of the finished cells, by seed and row."""
        found: dict[int, dict[str, Results]] = {seed: {} for seed in self.seeds}
        for cell in self.cells():
            if (results := cell.results()) is not None:
                found[cell.execution.seed][cell.row.name] = results
        return found


def read_videos(lists: tuple[ListSource, ListSource], seed: int, *, needs_classes: bool) -> Videos:
    """Read the lists of one seed; `needs_classes`: every training video must have one."""
    train, test = (replace(source, path=Path(str(source.path).replace(SEED, str(seed)))) for source in lists)
    return Videos(train, test, train.read(needs_classes=needs_classes), test.read())


def with_epochs(config: Config, epochs: int) -> Config:
    """Return a configuration with another number of epochs of pretraining."""
    return build_config(config.to_dict(), [f"pretrain.epochs={epochs}"])


def count_epochs(reference: Sequence[float], pace: Sequence[float]) -> int:
    """Return how many epochs take as long as a run.

    Args:
        reference: seconds of each epoch of that run.
        pace: seconds of some epochs of the other settings. Medians, so that a pause of the machine counts little.
    """
    return max(1, round(len(reference) * float(np.median(reference)) / float(np.median(pace))))


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
