"""The bookkeeping around the steps of a training, the same for pretraining and finetuning.

The loops are in `pretrain.py` and `finetune.py`, the step is in `step.py`:

    for epoch in training.epochs():
        train_epoch(training, ddp_model, forward)
        training.close_epoch(metrics)

All ranks run it in step, each with its part of every batch.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from vtdl_cli import ranks
from vtdl_cli.config import Config, TrainingSection
from vtdl_cli.data.clips.datasets import Batch, VideoClips
from vtdl_cli.data.clips.epoch_batches import EpochBatches
from vtdl_cli.data.lists.video_list import VideoList
from vtdl_cli.engine.networks.bad_videos import BadVideos
from vtdl_cli.engine.networks.checkpoint import Stage, describe_model
from vtdl_cli.engine.networks.machine import Machine
from vtdl_cli.engine.networks.selection import Selection
from vtdl_cli.engine.request import Execution
from vtdl_cli.engine.train.checkpointing import Checkpointing
from vtdl_cli.engine.train.health import gradient_metrics
from vtdl_cli.engine.train.optimization import ParameterGroup
from vtdl_cli.engine.train.progress import bar_fields, describe_early_stop, epoch_line
from vtdl_cli.engine.train.rank_batches import RankReport, SmallBatches
from vtdl_cli.engine.train.run_folder import EpochMetrics, RunFolder
from vtdl_cli.engine.train.state import TrainingState
from vtdl_cli.engine.train.tuning import tune
from vtdl_cli.errors import Interrupted
from vtdl_cli.runtime import Reporter, StopRequest, default_workers, seed_torch
from vtdl_cli.text import counted

StepBatches = list[tuple[Batch, int]]
"""The batches of one step: this rank's part of each, and the number of videos of all ranks."""

REFRESH_SECONDS = 1.0  # between two fetches of the metrics beside the bar: each waits for the device


class Training:
    """One run: its state, its batches, its checkpoints, and what is shown of it.

    Args:
        stage: whose section of the configuration applies.
        config: of all stages; kept in the run folder and its checkpoints.
        videos: the training list.
        dataset: its samples.
        model: everything that is saved.
        groups: of the parameters that the optimizer updates.
        machine: device, precision and workers.
        run: the output folder.
        execution: seed and resuming.
        reporter: shows progress.
        drop_last: leave out an epoch's incomplete last batch.
        origin: further provenance, kept in the checkpoints.
        selection: how the best epoch is chosen; none: the last validated one is the best.
        patience: epochs without a better one after which the training stops early; 0: never.
        balanced_labels: the classes of the videos, if each epoch is to have each class equally often.
    """

    def __init__(
        self,
        stage: Stage,
        config: Config,
        *,
        videos: VideoList,
        dataset: VideoClips,
        model: nn.Module,
        groups: list[ParameterGroup],
        machine: Machine,
        run: RunFolder,
        execution: Execution,
        reporter: Reporter,
        drop_last: bool,
        origin: dict[str, Any] | None = None,
        selection: Selection | None = None,
        patience: int = 0,
        balanced_labels: NDArray[np.int64] | None = None,
    ) -> None:
        self.options: TrainingSection = config.pretrain if stage == "pretrain" else config.finetune
        self.config, self.machine, self.run, self.reporter = config, machine, run, reporter
        self.order = EpochBatches(
            len(videos),
            self.options.batch_size,
            epochs=self.options.epochs,
            seed=execution.seed,
            shuffle=True,
            balanced_labels=balanced_labels,
            drop_last=drop_last,
            accumulate_steps=self.options.accumulate_steps,
            rank=ranks.rank(),
            world_size=ranks.world_size(),
        )
        self.dataset, self.loader = dataset, machine.load(dataset, self.order)
        self.state = TrainingState(
            {
                "stage": stage,
                "config": config.to_dict(),
                **describe_model(model),
                "classes": videos.classes,
                "num_classes": videos.num_classes,
                "list_sha256": videos.sha256,
                "seed": execution.seed,
                "deterministic": execution.deterministic,
                "threads": machine.threads,
                "origin": origin or {},
            },
            self.options,
            model=model,
            groups=groups,
            scaler=machine.build_scaler(),
            bad_videos=BadVideos(len(videos), config.data.max_bad_fraction),
            steps_per_epoch=self.order.steps_per_epoch,
            selection=selection,
            patience=patience,
        )
        self.checkpointing = Checkpointing(self.state, run, config, reporter)
        self._small_batches = SmallBatches(stage, model, reporter)
        self._stop = StopRequest()
        self._shown_at = 0.0
        if ranks.rank():  # all ranks have drawn the same weights; from here on each draws its own numbers
            seed_torch(int(np.random.SeedSequence((execution.seed, ranks.rank())).generate_state(1)[0]))

    @property
    def effective_batch_size(self) -> int:
        """Videos in a step of the optimizer."""
        return min(self.order.batches_in(0) * self.options.batch_size, self.order.num_videos)

    @property
    def inference_clips(self) -> int:
        """Clips that a rank forwards at once between epochs: without gradients, one takes less than half the memory."""
        return 2 * self.order.local_batch_size

    # ---- epochs and steps

    def check_start(self) -> None:
        """Check and report what `start` would resume from, for a dry run: nothing is locked or written."""
        if self.run.resume:
            self.checkpointing.load()

    @contextmanager
    def started(self) -> Iterator[None]:
        """Start; if what follows fails before the first save, other than by a signal, nothing has happened."""
        try:
            self.start()
            yield
        except Exception as error:
            if not isinstance(error, Interrupted):
                self.run.withdraw()
            raise

    def start(self) -> None:
        """Claim the run folder, load the state that a resumed run was saved in, and make the steps fast."""
        self.run.claim(self.reporter)
        if self.run.resume:
            self.checkpointing.resume()
        elif self.run.overwrite:
            self.run.announce(self.config.to_yaml())
        if not self.state.is_finished:
            videos, crop_size = self.order.local_batch_size, self.config.data.crop_size
            chosen = {"videos": videos, "crop_size": crop_size, "deterministic": self.state.identity["deterministic"]}
            self.machine = tune(self.machine, self.state.model, self.options, self.reporter, **chosen)

    def epochs(self) -> Iterator[int]:
        """The epochs that are left, numbered from 0; after the last one the curves are drawn."""
        if not self.state.is_finished:
            yield from self._epochs_left()
        self.run.close()

    def _epochs_left(self) -> Iterator[int]:
        state, stage = self.state, self.state.identity["stage"]
        self.order.start_step = state.step
        self.checkpointing.restart_clock()
        state.meter.restart_clock()
        title = f"{stage} (may stop early)" if state.patience else stage
        with self._stop, self.reporter.progress(state.total_steps, title, start=state.step) as self._bar:
            self._fill_cache()
            self._stream = iter(self.loader)
            while not state.is_finished:
                yield state.epoch
            del self._stream  # ends its workers, which after an early stop are still loading
        if state.stopped_early:
            self.reporter.line(describe_early_stop(state))

    def _fill_cache(self) -> None:
        """Decode the videos that are kept in memory, until a signal comes; it is answered before the first step."""
        if not self.options.cache_gb:
            return
        num_videos, cache = self.order.num_videos, self.dataset.cache
        with self.state.meter.data_time():
            for number, _ in enumerate(self.dataset.fill_cache(default_workers()), start=1):
                self._bar.advance(0, decoded=f"{number}/{num_videos}")
                if self._stop.name:
                    return
        self.reporter.line(
            f"in memory: {len(cache)} of {counted(num_videos, 'video')}, {cache.used_bytes / 1e9:.2g} GB decoded"
        )

    def steps(self) -> Iterator[StepBatches]:
        """The steps that are left of the epoch.

        Before each, signals are answered and a checkpoint is saved if due: never between the batches of a step. A batch
        that leaves a rank without videos is left out, and so is a step without batches. After each, `finish_step` has
        to be called.
        """
        state = self.state
        for step in range(state.step % state.steps_per_epoch, state.steps_per_epoch):
            with state.meter.data_time():
                batches = [next(self._stream) for _ in range(self.order.batches_in(step))]
            by_rank = ranks.gather_objects([self._report(batch) for batch in batches])
            reports = [report for of_one_rank in by_rank for report in of_one_rank]
            self._answer(reports)
            state.bad_videos.add([video for report in reports for video in report.unreadable], self.reporter)
            by_batch = [[report.num_videos for report in of_one_batch] for of_one_batch in zip(*by_rank, strict=True)]
            if complete := self._complete(batches, by_batch):
                yield complete
            else:
                self.finish_step()
        ranks.average_statistics(state.model)

    def _complete(self, batches: list[Batch], sizes: list[list[int]]) -> StepBatches:
        """Return the batches that leave no rank without videos, by their sizes on each rank; count their clips."""
        complete = []
        for batch, of_ranks in zip(batches, sizes, strict=True):
            self._small_batches.check(of_ranks, self.state.step)
            if all(of_ranks):
                self.state.meter.add_clips(sum(of_ranks) * batch.windows.shape[1])
                complete.append((batch, sum(of_ranks)))
        return complete

    def _report(self, batch: Batch) -> RankReport:
        return RankReport(self._stop.name, self.checkpointing.is_due, len(batch), batch.unreadable)

    def _answer(self, reports: list[RankReport]) -> None:
        """Save if that is due or a signal has reached any rank, and stop in that case.

        What was saved at an epoch's end is not saved again: what a method has drawn since for the next epoch, the
        resumed run draws again.
        """
        signal = next(filter(None, (report.signal for report in reports)), "")
        if signal or reports[0].save_is_due:
            self.save()
        if signal:
            self.run.close()
            step, saved = self.state.step, "saved" if self.state.step else "there is nothing to save yet"
            raise Interrupted(f"{signal} after step {step} of {self.state.total_steps}: {saved}. Resume with --resume")

    # ---- metrics

    def finish_step(self) -> None:
        """Count a step and advance the bar; once a second fetch the metrics beside it and check the loss."""
        self.state.step += 1
        self._bar.advance(1, **self._fetch_fields())

    def _fetch_fields(self) -> dict[str, str]:
        """Return new text for the fields beside the bar; empty unless a fetch is due."""
        is_recent = time.monotonic() - self._shown_at < REFRESH_SECONDS and self.state.step < self.state.total_steps
        if is_recent or not ranks.is_rank_0():
            return {}
        self._shown_at = time.monotonic()
        latest = self.state.meter.latest()
        self.checkpointing.check_finite_metrics(latest)
        return bar_fields({**latest, **self._pace()})

    def _pace(self) -> EpochMetrics:
        state = self.state
        skipped_steps = {"skipped_steps": state.skipped_steps} if state.scaler.is_enabled() else {}
        pace = {"lr": state.lr_at(state.step - 1), **state.meter.pace(), **skipped_steps}
        return {**pace, "skipped": len(state.bad_videos.found)}

    def save(self) -> None:
        """Save, unless last.pt already holds the current step.

        Call it before random numbers are drawn between epochs: whoever resumes there draws them again.
        """
        if not self.checkpointing.is_saved:
            self.checkpointing.save()

    def close_epoch(self, metrics: EpochMetrics, best_by: str = "") -> EpochMetrics:
        """End an epoch: log it and save, at once unless it was very short.

        Args:
            metrics: of the whole epoch, beside the means over its steps.
            best_by: which of them chooses the best epoch; see `TrainingState.choose_best`.

        Returns:
            All metrics of the epoch.
        """
        state = self.state
        row = {"epoch": state.epoch, "step": state.step, **state.meter.means(), **metrics, **self._pace()}
        state.meter.restart()  # saving counts as part of the next epoch: the epochs' seconds add up to the run's
        self.checkpointing.check_finite_metrics(row)
        state.choose_best(metrics, best_by)
        sizes = gradient_metrics(state.model) if self.options.log_gradients else {}
        self.checkpointing.end_epoch(row, {"epoch": state.epoch, "step": state.step, **sizes} if sizes else {})
        self.reporter.line(epoch_line(row, self.options.epochs, best_by))
        return row
