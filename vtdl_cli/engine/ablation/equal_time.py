"""How many epochs of a row take the time of another: measured once, in the first seed, and kept for all.

Time is that of the clock. The load of a machine changes, above all where several jobs share it: an epoch counts as the
median over all runs of the seed that do the same work, most of which ran while the other row did.
"""

import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vtdl_cli.engine.ablation.cell import PRETRAINING, SECTIONS, Cell, with_epochs
from vtdl_cli.engine.stages import epoch_seconds
from vtdl_cli.engine.train.finetune import finetune
from vtdl_cli.engine.train.pretrain import pretrain
from vtdl_cli.runtime import SilentReporter, write_json

PACE_EPOCHS = 4  # to measure how long an epoch takes; the first includes start-up


@dataclass(frozen=True)
class MeasuredEpochs:
    """The file of what has been measured: row -> training -> epochs."""

    file: Path

    def of(self, row: str) -> dict[str, int]:
        """Return the epochs of a row's trainings, as far as they are known."""
        return self._read().get(row, {})

    def keep(self, row: str, training: str, epochs: int) -> None:
        """Add one."""
        kept = self._read()
        kept[row] = {**kept.get(row, {}), training: epochs}
        write_json(self.file, kept)

    def _read(self) -> dict[str, dict[str, int]]:
        """Read the file; an earlier version had epochs of pretraining alone."""
        kept = json.loads(self.file.read_text(encoding="utf-8")) if self.file.exists() else {}
        return {row: each if isinstance(each, dict) else {PRETRAINING: each} for row, each in kept.items()}


def measure_epochs(cell: Cell, training: str, reference: Cell, cells: Sequence[Cell], pilot: Path) -> int:
    """Return how many epochs of a training take as long as the reference.

    Args:
        cell: of the row that takes another's time.
        training: pretraining, to take as long as the reference's; or finetuning, to take as long as both of its.
        reference: of the other row, whose trainings are done.
        cells: of all rows with this seed, some of whose trainings may be done.
        pilot: folder for a few epochs at the cell's settings, where no row has trained at the same.
    """
    taken = [
        (reference.epochs_of(each), _same_epochs(reference, each, cells))
        for each in dict.fromkeys((PRETRAINING, training))
    ]
    if not (pace := _same_epochs(cell, training, cells)):
        _run_pilot(cell, training, pilot)
        pace = epoch_seconds(pilot)[1:]
        shutil.rmtree(pilot)
    return count_epochs(taken, pace)


def _same_epochs(cell: Cell, training: str, cells: Sequence[Cell]) -> list[float]:
    """Return the seconds of epochs, in any row, that are the same work as those of a cell's training.

    Runs that have just begun are left out: their first epoch includes start-up.
    """
    mine, sections = cell.configure(training), SECTIONS[training]
    same = [
        each
        for each in cells
        if all(getattr(mine, section) == getattr(each.configure(training), section) for section in sections)
    ]
    runs = [(epoch_seconds(run), each.epochs_of(training)) for each in same for run in each.runs_of(training)]
    return [second for seconds, epochs in runs if len(seconds) >= min(epochs, PACE_EPOCHS) for second in seconds]


def _run_pilot(cell: Cell, training: str, run: Path) -> None:
    config = with_epochs(cell.configure(training), training, PACE_EPOCHS)
    if training == PRETRAINING:
        pretrain(config, cell.videos.train_source, run, cell.execution, SilentReporter())
    else:
        finetune(config, cell.labelled(training), None, run, cell.execution, SilentReporter())


def count_epochs(taken: Iterable[tuple[int, Sequence[float]]], pace: Sequence[float]) -> int:
    """Return how many epochs take as long as some trainings together.

    Args:
        taken: of each training its number of epochs, and the seconds of epochs that are the same work. Medians count,
            so that a pause of the machine counts little.
        pace: seconds of some epochs of the other settings.
    """
    seconds = sum(epochs * float(np.median(each)) for epochs, each in taken)
    return max(1, round(seconds / float(np.median(pace))))
