"""Optimizers, their steps, and lr schedules: functions from epochs done, a real number, to a factor on the lr."""

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypedDict

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from vtdl_cli.config import TrainingSection
from vtdl_cli.errors import CheckpointError

Schedule = Callable[[float], float]

SHORT_WARMUP = 0.1  # of the run, in place of a warm-up that would not end before the run does


class ParameterGroup(TypedDict):
    """Parameters that share a learning rate.

    Attributes:
        params: those that are trained.
        lr_scale: their learning rate, as a multiple of the run's.
    """

    params: list[nn.Parameter]
    lr_scale: float


def group_parameters(lr_scales: Iterable[tuple[nn.Module, float]]) -> list[ParameterGroup]:
    """Group the trained parameters of modules with an `lr_scale` each; modules without any have no group."""
    groups = [
        ParameterGroup(params=[each for each in module.parameters() if each.requires_grad], lr_scale=scale)
        for module, scale in lr_scales
    ]
    return [group for group in groups if group["params"]]


def build_optimizer(options: TrainingSection, groups: list[ParameterGroup]) -> Optimizer:
    """Build SGD or AdamW; the learning rate is set before every step.

    On a GPU the step is one kernel for many parameters, torch's `fused`: the same formula, which may round differently.
    """
    kind, parameters, fused = options.optimizer, [dict(group) for group in groups], _on_gpu(groups) or None
    if kind.name == "adamw":
        return torch.optim.AdamW(parameters, lr=kind.lr, weight_decay=kind.weight_decay, fused=fused)
    momentum, decay = kind.momentum, kind.weight_decay
    return torch.optim.SGD(parameters, lr=kind.lr, momentum=momentum, weight_decay=decay, fused=fused)


def _on_gpu(groups: list[ParameterGroup]) -> bool:
    return all(each.device.type == "cuda" for group in groups for each in group["params"])


def trained_parameters(optimizer: Optimizer) -> list[nn.Parameter]:
    """Return the parameters of all groups."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


OPTIMIZER_STATE_KEYS = {torch.optim.AdamW: {"step", "exp_avg", "exp_avg_sq"}, torch.optim.SGD: {"momentum_buffer"}}
"""What each optimiser stores per parameter: its step is a scalar, all else has the parameter's shape."""


def load_optimizer(optimizer: Optimizer, state: dict[int, dict[str, Any]], path: Path) -> None:
    """Load the per-parameter state of an optimiser; its hyperparameters stay those of the configuration.

    It gets the parameters' layout of memory, which fused steps insist on, whatever layout it was saved in.

    Raises:
        CheckpointError: the state is of another optimiser, or of other parameters.
    """
    parameters = trained_parameters(optimizer)
    for number, kept in state.items():
        fits = number < len(parameters) and kept.keys() == OPTIMIZER_STATE_KEYS[type(optimizer)]
        if not fits or any(
            value.shape != (() if name == "step" else parameters[number].shape) for name, value in kept.items()
        ):
            raise CheckpointError(
                f"weights '{path}' cannot be resumed from: their optimizer.state.{number} does not fit this network. "
                "Use another checkpoint of the run"
            )
    laid_out = {
        number: {name: _laid_out_like(parameters[number], value) for name, value in kept.items()}
        for number, kept in state.items()
    }
    optimizer.load_state_dict({"state": laid_out, "param_groups": optimizer.state_dict()["param_groups"]})


def _laid_out_like(parameter: Tensor, value: Tensor) -> Tensor:
    """Return the value in the parameter's layout of memory, if it is of its shape."""
    if value.shape != parameter.shape:
        return value
    return torch.empty_like(parameter, dtype=value.dtype, device=value.device).copy_(value)


def set_lr(optimizer: Optimizer, lr: float) -> None:
    """Set the learning rate of each group: `lr`, times the group's own scale."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_scale"]


def warmup_epochs(options: TrainingSection) -> float:
    """Return the epochs of warm-up: those of the schedule or, if the run has no more epochs than that, a tenth of it.

    Otherwise a short run of a preset for a long one would end before its lr has risen.
    """
    asked = options.schedule.warmup_epochs
    return asked if asked < options.epochs else SHORT_WARMUP * options.epochs


def build_schedule(options: TrainingSection) -> Schedule:
    """Build the function from epochs done to a factor on the learning rate."""
    schedules = {
        "constant": constant,
        "step": step_decay(options.schedule.milestones, options.schedule.factor),
        "cosine": cosine(options.epochs),
    }
    return with_warmup(schedules[options.schedule.name], warmup_epochs(options))


def constant(_epoch: float) -> float:
    """The full learning rate throughout."""
    return 1.0


def step_decay(milestones: Sequence[int], factor: float) -> Schedule:
    """Multiply by `factor` once each milestone, counted in epochs done, has passed (method/README)."""
    return lambda epoch: math.prod(factor for milestone in milestones if epoch >= milestone)


def cosine(epochs: int) -> Schedule:
    """Half a cosine from the full learning rate down to 0 after `epochs`."""
    return lambda epoch: 0.5 * (1 + math.cos(math.pi * min(epoch / epochs, 1)))


def with_warmup(schedule: Schedule, warmup_epochs: float) -> Schedule:
    """Rise linearly from 0 to the schedule's own factor over the first `warmup_epochs`."""
    if warmup_epochs == 0:
        return schedule
    return lambda epoch: schedule(epoch) * min(epoch / warmup_epochs, 1)
