"""Optimizers, and lr schedules: functions from epochs done, a real number, to a factor on the learning rate."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import nn

from vtdl_cli.config import TrainingSection

Schedule = Callable[[float], float]


def build_optimizer(options: TrainingSection, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """Build SGD or AdamW; the learning rate is set before every step."""
    kind = options.optimizer
    if kind.name == "adamw":
        return torch.optim.AdamW(parameters, lr=kind.lr, weight_decay=kind.weight_decay)
    return torch.optim.SGD(parameters, lr=kind.lr, momentum=kind.momentum, weight_decay=kind.weight_decay)


def build_schedule(options: TrainingSection) -> Schedule:
    """Build the function from epochs done to a factor on the learning rate."""
    schedules = {
        "constant": constant,
        "step": step_decay(options.schedule.milestones, options.schedule.factor),
        "cosine": cosine(options.epochs),
    }
    return with_warmup(schedules[options.schedule.name], options.schedule.warmup_epochs)


def constant(_epoch: float) -> float:
    """The full learning rate throughout."""
    return 1.0


def step_decay(milestones: Sequence[int], factor: float) -> Schedule:
    """Multiply by `factor` once each milestone, counted in epochs done, has passed (README, Method)."""
    return lambda epoch: math.prod(factor for milestone in milestones if epoch >= milestone)


def cosine(epochs: int) -> Schedule:
    """Half a cosine from the full learning rate down to 0 after `epochs`."""
    return lambda epoch: 0.5 * (1 + math.cos(math.pi * min(epoch / epochs, 1)))


def with_warmup(schedule: Schedule, warmup_epochs: float) -> Schedule:
    """Rise linearly from 0 to the schedule's own factor over the first `warmup_epochs`."""
    if warmup_epochs == 0:
        return schedule
    return lambda epoch: schedule(epoch) * min(epoch / warmup_epochs, 1)
