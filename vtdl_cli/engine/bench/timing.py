"""Time functions side by side: wall-clock and CPU time, in turn, so that whatever else runs slows all of them alike."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch

from vtdl_cli.engine.networks.machine import wait_for
from vtdl_cli.runtime import Reporter
from vtdl_cli.system import cpu_seconds

SHORTEST_SECONDS = 0.1  # that a measurement takes: a shorter function is called several times
MOST_CALLS = 100  # in a measurement
LONG_SECONDS = 2.0  # a call that takes so long, even to warm up, is a measurement by itself


@dataclass(frozen=True)
class Timing:
    """What one call of a function takes.

    Attributes:
        seconds: by the clock.
        cpu_seconds: of all cores, in this process and its children.
    """

    seconds: float
    cpu_seconds: float

    def __mul__(self, factor: float) -> "Timing":
        """Return the time of `factor` calls."""
        return Timing(self.seconds * factor, self.cpu_seconds * factor)

    def __add__(self, other: "Timing") -> "Timing":
        """Return the time of both, one after the other."""
        return Timing(self.seconds + other.seconds, self.cpu_seconds + other.cpu_seconds)


NOTHING = Timing(0.0, 0.0)


def total(timings: Iterable[Timing]) -> Timing:
    """Return the time of all, one after the other."""
    return sum(timings, start=NOTHING)


class Clock:
    """Measures spans of a program, waiting for the device at their ends.

    Args:
        device: that computes.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.restart()

    def restart(self) -> None:
        """Begin a span."""
        wait_for(self.device)
        self._cpu_seconds, self._began = cpu_seconds(), time.perf_counter()

    def read(self) -> Timing:
        """Return the time since the span began."""
        wait_for(self.device)
        return Timing(time.perf_counter() - self._began, cpu_seconds() - self._cpu_seconds)


def time_in_turn(
    functions: Mapping[str, Callable[[], Any]], device: torch.device, repeats: int, reporter: Reporter
) -> dict[str, Timing]:
    """Call each function once or twice to warm up, then all of them in turn `repeats` times.

    Args:
        functions: by name.
        device: that they compute on.
        repeats: rounds.
        reporter: shows progress.

    Returns:
        The median time of a call of each.
    """
    clock = Clock(device)
    calls = {name: _count_calls(function, clock) for name, function in functions.items()}
    measured: dict[str, list[Timing]] = {name: [] for name in functions}
    with reporter.progress(repeats * len(functions), "bench") as bar:
        for _ in range(repeats):
            for name, function in functions.items():
                measured[name].append(_time_calls(function, calls[name], clock))
                bar.advance()
    return {name: median_timing(timings) for name, timings in measured.items()}


def median_timing(timings: list[Timing]) -> Timing:
    """Return the median of each time."""
    return Timing(median(each.seconds for each in timings), median(each.cpu_seconds for each in timings))


def _count_calls(function: Callable[[], Any], clock: Clock) -> int:
    """Warm a function up, and return how many calls make a measurement."""
    if _time_calls(function, 1, clock).seconds >= LONG_SECONDS:
        return 1
    seconds = max(_time_calls(function, 1, clock).seconds, SHORTEST_SECONDS / MOST_CALLS)
    return max(1, round(SHORTEST_SECONDS / seconds))


def _time_calls(function: Callable[[], Any], calls: int, clock: Clock) -> Timing:
    clock.restart()
    for _ in range(calls):
        function()
    return clock.read() * (1 / calls)
