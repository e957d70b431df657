"""When a run is saved, which checkpoints it keeps, and how it resumes.

last.pt is the state of a run. Whatever else an epoch leaves, log lines and copies of last.pt, is written after it and
derived from it (`_publish`), so that a kill at any moment loses nothing that had been saved: at most an epoch, or
where epochs are short, as long as a hundred saves take (SAVING_SHARE).
"""

import math
import time
from collections.abc import Mapping

from vtdl_cli import ranks
from vtdl_cli.config import Config
from vtdl_cli.engine.networks.checkpoint import load_checkpoint, save_checkpoint
from vtdl_cli.engine.networks.checkpoint_content import State, check_checkpoint
from vtdl_cli.engine.train.resuming import changes_since, check_same_run, describe_position
from vtdl_cli.engine.train.run_folder import EpochMetrics, Gradients, RunFolder
from vtdl_cli.engine.train.state import TrainingState
from vtdl_cli.errors import VtdlError
from vtdl_cli.runtime import Reporter
from vtdl_cli.text import counted

SAVING_SHARE = 0.01
"""Of a run's time, that saving at the ends of epochs may take.

A save takes 20 to 40 ms where the network is small. In `vtdl demo`, where an epoch is one step of 40 ms, saving every
epoch took as long as training.
"""


class Checkpointing:
    """The checkpoints of one run.

    Args:
        state: what they hold.
        run: where they are.
        config: of all stages; written beside them.
        reporter: receives messages on resuming.
    """

    def __init__(self, state: TrainingState, run: RunFolder, config: Config, reporter: Reporter) -> None:
        self.state, self.run, self.config, self.reporter = state, run, config, reporter
        self._saved_step, self._saving_seconds = 0, 0.0
        self._epochs: list[tuple[EpochMetrics, Gradients]] = []  # that have ended since the last save
        self.restart_clock()

    def restart_clock(self) -> None:
        """Count the minutes to the next save from now on."""
        self._saved_at = time.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether `checkpoint_minutes` have passed since the last save."""
        return time.monotonic() - self._saved_at > 60 * self.state.options.checkpoint_minutes

    @property
    def is_saved(self) -> bool:
        """Whether last.pt already holds the current step; at step 0 there is nothing to save."""
        return self.state.step == self._saved_step

    def save(self) -> None:
        """Write last.pt, log the epochs since the last save, and copy last.pt where that is due.

        The first save creates the run folder, so that a start that fails leaves none; nor does a first save that fails.

        Raises:
            VtdlError: the loss of a step was not finite, or a file cannot be written; last.pt stays as it was.
        """
        began = time.monotonic() - self.run.tracking_seconds  # which an epoch takes however often the run is saved
        self.check_finite_metrics(self.state.meter.means())
        content = self.state.to_checkpoint()
        try:
            self.run.open(self.config.to_yaml)
            self.run.write_pending(self._epochs)
            if ranks.is_rank_0():
                save_checkpoint(self.run.last, content)
        except VtdlError:
            self.run.abandon()
            raise
        self._epochs, self._saved_step = [], self.state.step
        self._publish()
        self.restart_clock()
        self._saving_seconds = self._saved_at - self.run.tracking_seconds - began

    def end_epoch(self, row: EpochMetrics, gradients: Gradients) -> None:
        """Save at the end of an epoch, unless it was so short that saving would take more than SAVING_SHARE."""
        self._epochs.append((row, gradients))
        if ranks.from_rank_0(self._leaves_copies or self.state.is_finished or self._is_long_ago):
            self.save()
        self.run.draw_when_due()

    @property
    def _is_long_ago(self) -> bool:
        return SAVING_SHARE * (time.monotonic() - self._saved_at) >= self._saving_seconds

    @property
    def _leaves_copies(self) -> bool:
        """Whether the epoch that has just ended is kept in a checkpoint of its own."""
        return self._is_best or self._is_kept

    @property
    def _is_best(self) -> bool:
        return self.state.best.get("epoch") == self.state.epoch

    @property
    def _is_kept(self) -> bool:
        keep_every = self.state.options.keep_every
        return bool(keep_every) and self.state.epoch % keep_every == 0

    def check_finite_metrics(self, metrics: Mapping[str, float]) -> None:
        """Refuse to train on with a loss that is not finite.

        Raises:
            VtdlError: it is not.
        """
        loss, state = metrics.get("loss", 0.0), self.state
        if not math.isfinite(loss):
            stage, lr = state.identity["stage"], state.lr_at(max(state.step - 1, 0))
            before = f"; checkpoint '{self.run.last}' was saved before that" if self.run.last.exists() else ""
            raise VtdlError(
                f"loss '{loss}' is not finite at step {state.step}, lr {lr:.3g}{before}. "
                f"Lower {stage}.optimizer.lr, or --set {stage}.precision=fp32"
            )

    def _publish(self) -> None:
        """Log the epochs up to last.pt, and copy last.pt where that is due: best.pt, epoch_0012.pt.

        A resumed run does so as well, in case it was killed in between.
        """
        self.run.log_pending(self.state.step)
        if not self.state.between_epochs or not self.state.epoch:
            return
        if self._is_best:
            self.run.copy_last(self.run.best)
        if self._is_kept:
            self.run.copy_last(self.run.checkpoints / f"epoch_{self.state.epoch:04d}.pt")

    def resume(self) -> None:
        """Resume from last.pt, if it exists.

        Raises:
            CheckpointError, UsageError: as `load`.
        """
        self.load()
        if self.run.resumes:
            if later := sum(row["step"] > self.state.step for row in self.run.rows()):
                epochs = counted(later, "epoch was", "epochs were")
                self.reporter.warn(f"{epochs} logged after the last checkpoint, and removed from the log")
            self.run.rewind(self.state.step)
            self._publish()

    def load(self) -> None:
        """Load last.pt, if it exists, and report where the run resumes; nothing is written.

        Raises:
            CheckpointError: it belongs to another configuration, list or seed.
            UsageError: it does not exist, and starting from the beginning would replace other files of a run.
        """
        if not self.run.resumes:
            self.run.refuse_to_replace(self.config.to_yaml())
            whose = " of the run that is to replace the one in it" if self.run.is_replaced else ""
            self.reporter.line(
                f"run folder '{self.run.path}' has no checkpoint{whose} yet: starting from the beginning"
            )
            return
        content = load_checkpoint(self.run.last, self.reporter.warn)
        check_checkpoint(content, self.run.last, State)
        check_same_run(content, self.state.identity, str(self.run.path))
        self.state.load(content, self.run.last)
        self._saved_step = self.state.step
        self.reporter.line(describe_position(self.state, str(self.run.path)))
        for change in changes_since(content, self.state.identity, self.state.options):
            self.reporter.warn(change)
