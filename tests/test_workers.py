import multiprocessing
import os
import signal

import pytest

from vtdl_cli.system import STOP_SIGNALS
from vtdl_cli.workers import blocked_signals, describe_dead_worker, give_way_to_parent, leave_signals_to_parent


def test_leave_signals_to_parent__ignores_ctrl_c() -> None:
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    try:
        leave_signals_to_parent()
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGUSR1)] == [signal.SIG_IGN] * 2
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_give_way_to_parent__has_the_lowest_priority() -> None:
    """Oracle: POSIX: 19 is the lowest priority; that of this process does not change."""
    before = os.nice(0)
    with multiprocessing.get_context("fork").Pool(1, initializer=give_way_to_parent) as pool:
        assert pool.apply(os.nice, (0,)) == 19
    assert os.nice(0) == before


def test_blocked_signals__leaves_blocked_what_was() -> None:
    """A process that leaves Ctrl-C to its parent may start workers of its own."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        with blocked_signals():
            with blocked_signals():
                pass
            assert {signal.SIGINT, signal.SIGUSR1} <= signal.pthread_sigmask(signal.SIG_BLOCK, ())
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@pytest.mark.parametrize(
    ("text", "cause", "says"),
    [
        ("DataLoader worker (pid 7) is killed by signal: Killed. ", "", "was killed by the system, most often"),
        (
            "DataLoader worker (pid(s) 7) exited unexpectedly",
            "DataLoader worker (pid 7) is killed by signal: Segmentation fault. ",
            "died (signal Segmentation fault)",
        ),
        ("DataLoader worker (pid(s) 7) exited unexpectedly", "", "died (exit code unknown)"),
    ],
)
def test_describe_dead_worker__by_torchs_message(text: str, cause: str, says: str) -> None:
    """Oracle: torch's own words, torch/csrc/DataLoader.cpp and torch/utils/data/dataloader.py of 2.14."""
    error = RuntimeError(text)
    error.__cause__ = RuntimeError(cause)
    assert says in describe_dead_worker(error)
    assert describe_dead_worker(RuntimeError("mat1 and mat2 shapes cannot be multiplied")) == ""
