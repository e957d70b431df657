"""Optimizers, and learning-rate schedules: functions from epochs done, a real number, to a factor on the rate."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import nn

from vtdl_cli.config import Training

Schedule = Callable[[float], float]


def build_optimizer(training: Training, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """SGD or AdamW; the rate is set anew before every step."""
    options = training.optimizer
    if options.name == "adamw":
        return torch.optim.AdamW(parameters, lr=options.lr, weight_decay=options.weight_decay)
    return torch.optim.SGD(parameters, lr=options.lr, momentum=options.momentum, weight_decay=options.weight_decay)


def build_schedule(training: Training) -> Schedule:
    """From epochs done to a factor on the learning rate."""
    options = training.schedule
    schedules = {
        "constant": constant,
        "step": step_decay(options.milestones, options.factor),
        "cosine": cosine(training.epochs),
    }
    return with_warmup(schedules[options.name], options.warmup_epochs)


def constant(_epoch: float) -> float:
    """The full rate throughout."""
    return 1.0


def step_decay(milestones: Sequence[int], factor: float) -> Schedule:
    """Multiply by `factor` once each milestone, counted in epochs done, has passed (README, Method)."""
    return lambda epoch: math.prod(factor for milestone in milestones if epoch >= milestone)


def cosine(epochs: int) -> Schedule:
    """Half a cosine from the full rate down to 0 after `epochs`."""
    return lambda epoch: 0.5 * (1 + math.cos(math.pi * min(epoch / epochs, 1)))


def with_warmup(schedule: Schedule, warmup_epochs: float) -> Schedule:
    """Rise linearly from 0 to the schedule's own rate over the first `warmup_epochs`."""
    if warmup_epochs == 0:
        return schedule
    return lambda epoch: schedule(epoch) * min(epoch / warmup_epochs, 1)
