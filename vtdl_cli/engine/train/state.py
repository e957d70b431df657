"""How far a training has come: what a checkpoint holds, and what a resumed run takes over."""

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from vtdl_cli import ranks
from vtdl_cli.config import TrainingSection
from vtdl_cli.engine.networks.bad_videos import BadVideos
from vtdl_cli.engine.networks.checkpoint import Checkpoint, load_every_tensor
from vtdl_cli.engine.networks.selection import Selection
from vtdl_cli.engine.train.meter import Meter
from vtdl_cli.engine.train.optimization import ParameterGroup, build_optimizer, build_schedule, load_optimizer
from vtdl_cli.runtime import random_state, restore_random_state


class TrainingState:
    """The state of a training after some number of steps.

    Args:
        identity: what makes it this run: stage, configuration, list, classes, seed and origin.
        options: the configuration's section of the stage.
        model: everything that is saved.
        groups: of the parameters that the optimizer updates.
        scaler: of the loss, for fp16.
        bad_videos: the account of unreadable videos.
        steps_per_epoch: steps of the optimizer in an epoch.
        selection: how the best epoch is chosen; none: the last validated one is the best.
        patience: epochs without a better one after which the training stops early; 0: never.

    Attributes:
        meter: the metrics of the current epoch.
        step: steps done, counted over all epochs.
        skipped_steps: those of them whose gradients overflowed in fp16, and which left the weights as they were.
        best: the metrics of the best epoch so far, and its number; empty before the first.
        validated_epoch: the last epoch that had the metric which chooses; 0 before the first.
    """

    def __init__(
        self,
        identity: Checkpoint,
        options: TrainingSection,
        *,
        model: nn.Module,
        groups: list[ParameterGroup],
        scaler: torch.amp.GradScaler,
        bad_videos: BadVideos,
        steps_per_epoch: int,
        selection: Selection | None,
        patience: int = 0,
    ) -> None:
        self.identity, self.options, self.model = identity, options, model
        self.optimizer, self.schedule = build_optimizer(options, groups), build_schedule(options)
        self.scaler, self.skipped_steps = scaler, 0
        self.bad_videos, self.steps_per_epoch, self.selection = bad_videos, steps_per_epoch, selection
        self.patience = patience
        self.meter = Meter()
        self.step = self.validated_epoch = 0
        self.best: dict[str, float] = {}

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        return self.options.epochs * self.steps_per_epoch

    @property
    def epoch(self) -> int:
        """Epochs done, whole ones."""
        return self.step // self.steps_per_epoch

    @property
    def between_epochs(self) -> bool:
        """Whether no step of the current epoch has been done; a run may also resume in the middle of one."""
        return self.step % self.steps_per_epoch == 0

    @property
    def stopped_early(self) -> bool:
        """Whether the epoch just validated is the last of `patience` epochs without a better one."""
        is_validated = self.between_epochs and self.epoch == self.validated_epoch
        return bool(self.patience and self.best and is_validated and self.epoch - self.best["epoch"] >= self.patience)

    @property
    def is_finished(self) -> bool:
        """Whether no step is left."""
        return self.step >= self.total_steps or self.stopped_early

    def lr_at(self, step: int) -> float:
        """The learning rate of a step, numbered from 0 over all epochs."""
        return self.options.optimizer.lr * self.schedule(step / self.steps_per_epoch)

    def choose_best(self, metrics: Mapping[str, float], best_by: str) -> None:
        """Make the epoch that has just ended the best, if it has the metric and no list selects, or beats the best."""
        chosen = self.selection is None or metrics.get(best_by, -math.inf) > self.best.get(best_by, -math.inf)
        if best_by in metrics:
            self.validated_epoch = self.epoch
            self.best = {"epoch": self.epoch, **metrics} if chosen else self.best

    def to_checkpoint(self) -> Checkpoint:
        """The content of a checkpoint; all ranks have to call it."""
        ranks.average_statistics(self.model)
        random, *others = ranks.gather_objects(random_state(self._device()))
        return {
            **self.identity,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict() or None,
            "skipped_steps": self.skipped_steps,
            "step": self.step,
            "epoch": self.step / self.steps_per_epoch,
            "best": self.best,
            "validated_epoch": self.validated_epoch,
            "selection": self.selection,
            "bad_videos": self.bad_videos.found,
            **self.meter.state(),
            "random": random,
            "random_of_others": others,
        }

    def load(self, content: Checkpoint, path: Path) -> None:
        """Take over the content of the checkpoint at `path`.

        Raises:
            CheckpointError: its tensors do not fit.
        """
        self.identity["origin"] = content["origin"]
        load_every_tensor(self.model, content["model"], content)
        load_optimizer(self.optimizer, content["optimizer"]["state"], path)
        random_states = [content["random"], *content.get("random_of_others", [])]
        if ranks.rank() < len(random_states):  # with more ranks than before, the additional ones keep their own seed
            restore_random_state(random_states[ranks.rank()], self._device())
        self.meter.load(content, self._device())
        if self.scaler.is_enabled() and content.get("scaler"):  # absent if the run has been in another precision
            self.scaler.load_state_dict(content["scaler"])
        self.skipped_steps = content.get("skipped_steps", 0)
        self.step, self.best, self.validated_epoch = content["step"], content["best"], content.get("validated_epoch", 0)
        self.bad_videos.found = {int(index): tuple(value) for index, value in content["bad_videos"].items()}

    def _device(self) -> torch.device:
        return next(self.model.parameters()).device
