"""What pretraining and finetuning share around their loops: batches, bookkeeping, checkpoints, resuming, stopping.

The loops themselves are in `pretrain.py` and `finetune.py`:

    for epoch in training.epochs():
        for batch in training.batches():
            loss = ...
            training.learn(loss), training.record(loss=loss, ...)
        training.close_epoch(metrics)

last.pt says where a run stands. What else an epoch leaves follows from it, and is written after it (`_publish`).

Several processes go through it in step, each with its part of every batch.
"""

import math
import re
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor, nn

from vtdl_cli import ranks
from vtdl_cli.config import Config
from vtdl_cli.config import Training as TrainingSection
from vtdl_cli.data.clips.datasets import Batch, EpochBatches, Unreadable, VideoClips
from vtdl_cli.data.lists.video_list import VideoList
from vtdl_cli.engine.networks.bad_videos import BadVideos
from vtdl_cli.engine.networks.checkpoint import (
    Checkpoint,
    Stage,
    describe_model,
    load_checkpoint,
    load_every_tensor,
    load_optimizer,
    save_checkpoint,
)
from vtdl_cli.engine.networks.checkpoint_content import State, check_checkpoint
from vtdl_cli.engine.networks.machine import Machine
from vtdl_cli.engine.networks.selection import Selection
from vtdl_cli.engine.request import Execution
from vtdl_cli.engine.train.gradients import gradient_metrics
from vtdl_cli.engine.train.meter import Meter
from vtdl_cli.engine.train.optimization import build_optimizer, build_schedule
from vtdl_cli.engine.train.resuming import check_same_run, standing, warnings
from vtdl_cli.engine.train.run_folder import RunFolder
from vtdl_cli.errors import Interrupted, UsageError, VtdlError
from vtdl_cli.runtime import Reporter, StopRequest, random_state, restore_random_state, seed_torch

REFRESH_SECONDS = 1.0  # between two looks at the device's numbers: each look waits for it


class Note(NamedTuple):
    """What one process tells the others before a step."""

    signal: str
    save_is_due: bool
    num_videos: int
    unreadable: list[Unreadable]


def check_batch(stage: Stage, batch_size: int) -> None:
    """Refuse at the start batches that have not a video for each process.

    Raises:
        UsageError: they are so small.
    """
    if batch_size < ranks.world_size():
        raise UsageError(
            f"{stage}.batch_size {batch_size} is that of all {ranks.world_size()} processes: "
            "less than one video for each. "
            f"--set {stage}.batch_size={ranks.world_size()} or more, or start fewer processes"
        )


class Training:
    """One run's state, and everything that happens around a step.

    Args:
        stage: `pretrain` or `finetune`: the section of the configuration that rules.
        config: of all stages; kept in the run and its checkpoints.
        videos: the training list.
        dataset: its samples.
        model: all that is saved.
        parameters: what the optimiser moves.
        machine: where and how.
        run: the output folder.
        execution: seed, resuming.
        reporter: who is told.
        drop_last: leave out an epoch's incomplete last batch.
        origin: what else the checkpoints are to say of where they come from.
        selection: how the best epoch is chosen; none: there is nothing to choose, the last one validated is the best.
    """

    def __init__(
        self,
        stage: Stage,
        config: Config,
        *,
        videos: VideoList,
        dataset: VideoClips,
        model: nn.Module,
        parameters: list[nn.Parameter],
        machine: Machine,
        run: RunFolder,
        execution: Execution,
        reporter: Reporter,
        drop_last: bool,
        origin: dict[str, Any] | None = None,
        selection: Selection | None = None,
    ) -> None:
        self.options: TrainingSection = config.pretrain if stage == "pretrain" else config.finetune
        self.config, self.model, self.run, self.reporter = config, model, run, reporter
        self.identity: Checkpoint = {
            "stage": stage,
            "config": config.to_dict(),
            "classes": videos.classes,
            "num_classes": videos.num_classes,
            "list_sha256": videos.sha256,
            "seed": execution.seed,
            **describe_model(model),
            "origin": origin or {},
        }
        self.optimizer = build_optimizer(self.options, parameters)
        self.schedule = build_schedule(self.options)
        self.order = EpochBatches(
            len(videos),
            self.options.batch_size,
            epochs=self.options.epochs,
            seed=execution.seed,
            shuffle=True,
            drop_last=drop_last,
            rank=ranks.rank(),
            world_size=ranks.world_size(),
        )
        self.loader = machine.load(dataset, self.order)
        self.bad_videos = BadVideos(len(videos), config.data.max_bad_fraction)
        self.step, self.total_steps = 0, self.order.epochs * self.order.steps_per_epoch
        self.best: dict[str, float] = {}
        self.selection = selection
        self._meter = Meter()
        self._own_videos = self._num_videos = 0  # of the batch: this process's, and those of all
        self._saved_at = self._shown_at = 0.0
        self._saved_step = 0
        self._stop, self._told = StopRequest(), set[str]()
        if ranks.rank():  # the same first weights in all processes, and other draws in each from here on
            seed_torch(int(np.random.SeedSequence((execution.seed, ranks.rank())).generate_state(1)[0]))

    # ---- the loop's three verbs

    def epochs(self) -> Iterator[int]:
        """Epoch numbers from 0, from where the run stands to its end; then the curves are drawn."""
        if self.step < self.total_steps:
            yield from self._epochs_left()
        self.run.close()

    def _epochs_left(self) -> Iterator[int]:
        self._saved_at = time.monotonic()
        self._meter.restart_clock()
        with self._stop, self.reporter.progress(self.total_steps, self.identity["stage"], start=self.step) as self._bar:
            self._stream = iter(self.loader)
            while self.step < self.total_steps:
                yield self.step // self.order.steps_per_epoch

    def batches(self) -> Iterator[Batch]:
        """The rest of this epoch's batches; between two of them signals are answered and checkpoints saved on time."""
        while True:
            with self._meter.waiting():
                batch = next(self._stream)
            notes = ranks.gather_objects(self._note(batch))
            self._answer(notes)
            sizes = self._count_videos(notes)
            for group in self.optimizer.param_groups:
                group["lr"] = self._rate()
            if all(sizes):
                self._tell_alone(sizes)
                yield batch
                self._meter.add_clips(sum(sizes) * batch.windows.shape[1])
            elif any(sizes):
                self._tell_left_out(sum(sizes))
            self.step += 1
            self._show()
            if self.between_epochs:
                ranks.average_statistics(self.model)
                return

    def learn(self, loss: Tensor) -> None:
        """Move the weights against the gradient of `loss`, the mean over this process's videos of the batch.

        Gradients are averaged over processes: the loss counts by its share of the videos.
        """
        self.optimizer.zero_grad()
        (loss * (ranks.world_size() * self._own_videos / self._num_videos)).backward()
        self.optimizer.step()

    @property
    def between_epochs(self) -> bool:
        """Whether no step of the epoch has been made yet: a run may be resumed in the middle of one."""
        return self.step % self.order.steps_per_epoch == 0

    def record(self, **metrics: Tensor) -> None:
        """Add one step's scalars, means over this process's videos, to the epoch's; they stay on the device."""
        self._meter.record(metrics, self._own_videos, self._num_videos)

    def close_epoch(self, metrics: dict[str, float], best_by: str = "") -> dict[str, float]:
        """Save and log the epoch with `metrics` of its own; returns all of its metrics.

        Args:
            metrics: beside those of its steps.
            best_by: the one of them, where it is there, that has to beat all epochs before to make this one the best;
                where no list selects an epoch, the last that has it is.
        """
        epoch = self.step // self.order.steps_per_epoch
        row = {"epoch": epoch, "step": self.step, **self._meter.means(), **metrics, **self._pace()}
        self._meter.restart()  # saving counts to the next epoch: the seconds of all are the run's
        self._check_finite(row)
        chosen = self.selection is None or metrics.get(best_by, -math.inf) > self.best.get(best_by, -math.inf)
        if best_by in metrics and chosen:
            self.best = {"epoch": epoch, **metrics}
        gradients = gradient_metrics(self.model) if self.options.log_gradients else {}
        self.run.open(self.config.to_yaml)
        self.run.put_aside(row, {"epoch": epoch, "step": self.step, **gradients} if gradients else {})
        self.save()
        self._publish()
        shown = " ".join(f"{name} {value:.4g}" for name, value in row.items() if _SHOWN.fullmatch(name))
        self.reporter.line(f"epoch {epoch}/{self.order.epochs} {shown}")
        return row

    # ---- saving and resuming

    def save(self) -> None:
        """Write last.pt; the first makes the run folder, so that a start that fails leaves none."""
        self._check_finite(*ranks.gather_objects(self._meter.latest()))
        self.run.open(self.config.to_yaml)
        content = self._content()
        if ranks.is_rank_0():
            save_checkpoint(self.run.last, content)
        self._saved_at, self._saved_step = time.monotonic(), self.step

    def _publish(self) -> None:
        """Log the epoch that last.pt ends with, and copy last.pt to where it is to stay: best.pt, epoch_0012.pt.

        A resumed run does so, too, in case it was killed before it had.
        """
        self.run.log(self.step)
        epoch = self.step // self.order.steps_per_epoch
        if not self.between_epochs or not epoch:
            return
        if self.best.get("epoch") == epoch:
            self.run.keep(self.run.best)
        if self.options.keep_every and epoch % self.options.keep_every == 0:
            self.run.keep(self.run.checkpoints / f"epoch_{epoch:04d}.pt")

    def resume(self) -> None:
        """Go on from last.pt, where there is one.

        Raises:
            CheckpointError: it belongs to another configuration, list or seed.
            UsageError: there is none, and starting from the beginning would replace what is there.
        """
        if not self.run.resumes:
            self.run.refuse_to_replace(self.config.to_yaml())
            self.reporter.line(f"run folder '{self.run.path}' has no checkpoint yet: starting from the beginning")
            return
        content = load_checkpoint(self.run.last, self.reporter.warn)
        check_checkpoint(content, self.run.last, State)
        check_same_run(content, self.identity, str(self.run.path))
        self._load(content)
        self.reporter.line(standing(content, self.options, str(self.run.path)))
        for warning in warnings(content, self.options, self.run.rows()):
            self.reporter.warn(warning)
        self.run.rewind(self.step)
        self._publish()

    def _load(self, content: Checkpoint) -> None:
        """Take over what a checkpoint holds."""
        self.identity["origin"] = content["origin"]
        load_every_tensor(self.model, content["model"], content)
        load_optimizer(self.optimizer, content["optimizer"]["state"], self.run.last)
        device = next(self.model.parameters()).device
        random_states = [content["random"], *content.get("random_of_others", [])]
        if ranks.rank() < len(random_states):  # of more processes than there were, the new ones draw anew
            restore_random_state(random_states[ranks.rank()], device)
        self._meter.load(content, device)
        self.step, self.best = content["step"], content["best"]
        self._saved_step = self.step
        self.bad_videos.found = {int(index): tuple(value) for index, value in content["bad_videos"].items()}
        self.order.start_step = self.step

    def plan(self, machine: Machine) -> dict[str, Any]:
        """What this run will do, for a dry run and for the result."""
        return {
            "stage": self.identity["stage"],
            "out": str(self.run.path),
            "videos": self.order.num_videos,
            "classes": self.identity["num_classes"],
            "epochs": self.order.epochs,
            "steps_per_epoch": self.order.steps_per_epoch,
            "batch_size": self.order.batch_size,
            "clip": f"{self.options.clip_len_frames} frames, stride {self.options.stride_frames}, "
            f"{self.config.data.crop_size} pixels of {self.config.data.modality}",
            "parameters": sum(p.numel() for group in self.optimizer.param_groups for p in group["params"]),
            "machine": machine.describe(),
        }

    def _content(self) -> Checkpoint:
        ranks.average_statistics(self.model)
        random, *others = ranks.gather_objects(random_state(next(self.model.parameters()).device))
        return {
            **self.identity,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "epoch": self.step / self.order.steps_per_epoch,
            "best": self.best,
            "selection": self.selection,
            "bad_videos": self.bad_videos.found,
            **self._meter.state(),
            "random": random,
            "random_of_others": others,
        }

    # ---- between steps

    def _note(self, batch: Batch) -> Note:
        """What all processes have to know of this one before a step."""
        save_is_due = time.monotonic() - self._saved_at > 60 * self.options.checkpoint_minutes
        return Note(self._stop.name, save_is_due, len(batch), batch.unreadable)

    def _answer(self, notes: list[Note]) -> None:
        """Save where it is due or where a signal came to any process, and stop in that case.

        What was saved at an epoch's end stays: what a method has drawn for the next one since, it will draw again.
        """
        signal = next(filter(None, (note.signal for note in notes)), "")
        if (signal or notes[0].save_is_due) and self.step != self._saved_step:
            self.save()
        if signal:
            self.run.draw()
            saved = "saved" if self.step else "there is nothing to save yet"
            raise Interrupted(f"{signal} after step {self.step} of {self.total_steps}: {saved}. Resume with --resume")

    def _count_videos(self, notes: list[Note]) -> list[int]:
        """How many videos of the batch each process has; those that could not be read are counted by all."""
        self.bad_videos.add([video for note in notes for video in note.unreadable], self.reporter)
        sizes = [note.num_videos for note in notes]
        self._own_videos, self._num_videos = sizes[ranks.rank()], sum(sizes)
        return sizes

    def _tell_left_out(self, num_videos: int) -> None:
        rule = f"{num_videos} videos are too few for {ranks.world_size()} processes: left out, as such steps will be"
        self._tell_once("left out", rule)

    def _tell_alone(self, sizes: list[int]) -> None:
        """Of a process with one video; see `models.normalisation`."""
        if 1 in sizes and any(isinstance(layer, nn.BatchNorm3d) and layer.training for layer in self.model.modules()):
            rule = "batch norm has a single video to go by, or running averages where its map is a single position"
            self._tell_once("alone", f"{rule}. Another {self.identity['stage']}.batch_size avoids that")

    def _tell_once(self, what: str, text: str) -> None:
        """An epoch's last batch may be so small in every epoch."""
        if what not in self._told:
            self._told.add(what)
            self.reporter.warn(f"step {self.step}: {text}")

    def _rate(self) -> float:
        return self.options.optimizer.lr * self.schedule(self.step / self.order.steps_per_epoch)

    def _used_rate(self) -> float:
        """Of the step that was made last."""
        rate: float = self.optimizer.param_groups[0]["lr"]
        return rate

    def _show(self) -> None:
        """Move the bar; now and then fetch the numbers beside it."""
        recent = time.monotonic() - self._shown_at < REFRESH_SECONDS and self.step < self.total_steps
        if recent or not ranks.is_rank_0():
            self._bar.advance()
            return
        self._shown_at = time.monotonic()
        latest = self._meter.latest()
        self._check_finite(latest)
        shown = {**latest, **self._pace()}
        self._bar.advance(
            1, **{label: form.format(shown[name]) for name, (label, form) in _FIELDS.items() if name in shown}
        )

    def _pace(self) -> dict[str, float]:
        return {"lr": self._used_rate(), **self._meter.pace(), "skipped": len(self.bad_videos.found)}

    def _check_finite(self, *metrics: dict[str, float]) -> None:
        loss = sum(each.get("loss", 0.0) for each in metrics)
        if not math.isfinite(loss):
            raise VtdlError(
                f"loss '{loss}' is not finite at step {self.step}, learning rate {self._used_rate():.3g}; "
                f"checkpoint '{self.run.last}' is from before. Lower the learning rate, or --set "
                f"{self.identity['stage']}.precision=fp32"
            )


_FIELDS = {
    "loss": ("loss", "{:.3f}"),
    "positive_probability": ("positive", "{:.3f}"),
    "lr": ("rate", "{:.2g}"),
    "clips_per_second": ("clips/s", "{:.1f}"),
    "data_time_share": ("waiting", "{:.0%}"),
}
"""Metric -> label and form beside the bar."""

_SHOWN = re.compile(r"loss|positive_probability|spread|\w+_top[15]|clips_per_second")
"""Metrics of an epoch's line."""
