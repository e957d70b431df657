"""Learning-rate schedules: functions from epochs done, a real number, to a factor on the learning rate."""

import math
from collections.abc import Callable, Sequence

Schedule = Callable[[float], float]


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
