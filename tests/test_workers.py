import multiprocessing
import os
import signal

from vtdl_cli.runtime import StopRequest
from vtdl_cli.workers import give_way_to_parent, leave_signals_to_parent


def test_leave_signals_to_parent__ignores_ctrl_c() -> None:
    before = {number: signal.getsignal(number) for number in StopRequest.SIGNALS}
    try:
        leave_signals_to_parent()
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGUSR1)] == [signal.SIG_IGN] * 2
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_give_way_to_parent__has_the_lowest_priority() -> None:
    """Oracle: POSIX: 19 is the nicest a process can be; this one stays as it is."""
    before = os.nice(0)
    with multiprocessing.get_context("fork").Pool(1, initializer=give_way_to_parent) as pool:
        assert pool.apply(os.nice, (0,)) == 19
    assert os.nice(0) == before
