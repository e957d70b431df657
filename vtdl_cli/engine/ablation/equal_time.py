"""How many epochs of a row take the time of another: measured once, in the first seed, and kept for all.

Time is that of the clock. Where several jobs share a machine, the epochs of both rows are timed beside other jobs.
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
from vtdl_cli.runtime import SilentReporter, atomic_write

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
        with atomic_write(self.file) as temporary:
            kept[row] = {**kept.get(row, {}), training: epochs}
            temporary.write_text(json.dumps(kept) + "\n", encoding="utf-8")

    def _read(self) -> dict[str, dict[str, int]]:
        """Read the file; an earlier version had epochs of pretraining alone."""
        kept = json.loads(self.file.read_text(encoding="utf-8")) if self.file.exists() else {}
        return {row: each if isinstance(each, dict) else {PRETRAINING: each} for row, each in kept.items()}


def measure_epochs(cell: Cell, training: str, reference: Cell, pilot: Path) -> int:
    """Return how many epochs of a training take as long as the reference.

    Args:
        cell: of the row that takes another's time.
        training: pretraining, to take as long as the reference's; or finetuning, to take as long as both of its.
        reference: of the other row, whose trainings are done.
        pilot: folder for a few epochs at the cell's settings, where the reference did not train at the same.
    """
    taken = [epoch_seconds(reference.run_of(each)) for each in dict.fromkeys((PRETRAINING, training))]
    if _is_same_work(cell, reference, training):
        return count_epochs(taken, epoch_seconds(reference.run_of(training)))
    _run_pilot(cell, training, pilot)
    pace = epoch_seconds(pilot)[1:]
    shutil.rmtree(pilot)
    return count_epochs(taken, pace)


def _is_same_work(cell: Cell, reference: Cell, training: str) -> bool:
    """Whether an epoch of two rows is the same work, so that none has to be timed."""
    mine, other = cell.configure(training), reference.configure(training)
    return all(getattr(mine, section) == getattr(other, section) for section in SECTIONS[training])


def _run_pilot(cell: Cell, training: str, run: Path) -> None:
    config = with_epochs(cell.configure(training), training, PACE_EPOCHS)
    if training == PRETRAINING:
        pretrain(config, cell.videos.train_source, run, cell.execution, SilentReporter())
    else:
        finetune(config, cell.labelled(training), None, run, cell.execution, SilentReporter())


def count_epochs(taken: Iterable[Sequence[float]], pace: Sequence[float]) -> int:
    """Return how many epochs take as long as some runs together.

    Args:
        taken: seconds of each epoch of those runs. Medians, so that a pause of the machine counts little.
        pace: seconds of some epochs of the other settings.
    """
    seconds = sum(len(run) * float(np.median(run)) for run in taken)
    return max(1, round(seconds / float(np.median(pace))))
