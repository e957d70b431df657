"""Timing against functions of known length."""

import multiprocessing
import time
from collections.abc import Callable
from functools import partial

import pytest
import torch

from vtdl_cli.engine.bench.timing import SHORTEST_SECONDS, Clock, Timing, median_timing, time_in_turn, total
from vtdl_cli.runtime import SilentReporter
from vtdl_cli.system import cpu_seconds

CPU = torch.device("cpu")


def work(seconds: float) -> None:
    """Compute for so much CPU time."""
    began = time.process_time()
    while time.process_time() - began < seconds:
        pass


def test_time_in_turn__tells_waiting_from_work() -> None:
    """Oracle: a sleep takes no CPU time, a loop until the process's clock says so takes that long."""
    called: list[str] = []

    def call(name: str, function: Callable[[float], None]) -> None:
        called.append(name)
        function(SHORTEST_SECONDS)

    functions = {"sleep": partial(call, "sleep", time.sleep), "work": partial(call, "work", work)}
    timings = time_in_turn(functions, CPU, 2, SilentReporter())
    assert called == ["sleep", "sleep", "work", "work", *["sleep", "work"] * 2]
    assert timings["sleep"].seconds >= SHORTEST_SECONDS
    assert timings["sleep"].cpu_seconds < SHORTEST_SECONDS / 2
    assert timings["work"].seconds >= timings["work"].cpu_seconds * 0.9
    assert timings["work"].cpu_seconds == pytest.approx(SHORTEST_SECONDS, rel=0.3)


def test_time_in_turn__calls_short_functions_often() -> None:
    """Ten of a hundredth of a second or so make a tenth; the time is of one."""
    calls: list[int] = []

    def short() -> None:
        calls.append(1)
        time.sleep(0.01)

    timing = time_in_turn({"short": short}, CPU, 1, SilentReporter())["short"]
    assert 3 < len(calls) <= 2 + SHORTEST_SECONDS / 0.01
    assert 0.01 <= timing.seconds < SHORTEST_SECONDS


def test_timing__adds_up() -> None:
    timings = [Timing(1.0, 2.0), Timing(3.0, 5.0), Timing(8.0, 3.0)]
    assert total(timings) == Timing(12.0, 10.0)
    assert median_timing(timings) == Timing(3.0, 3.0)
    assert Timing(1.0, 2.0) * 0.5 == Timing(0.5, 1.0)


def test_cpu_seconds__count_children_running_and_ended() -> None:
    """Oracle: what a child has computed by its own clock; /proc counts hundredths of a second."""
    clock = Clock(CPU)
    context = multiprocessing.get_context("fork")  # as workers are started
    computed, may_end = context.Event(), context.Event()

    def child() -> None:
        work(0.2)
        computed.set()
        may_end.wait(60)

    process = context.Process(target=child)
    process.start()
    assert computed.wait(60)
    assert clock.read().cpu_seconds >= 0.18
    may_end.set()
    process.join()
    before, own = clock.read().cpu_seconds, time.process_time()
    assert before >= 0.18
    assert cpu_seconds() >= own + 0.18
