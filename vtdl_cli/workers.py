"""Processes that work for this one: what each does at its start, and what is said when one of them ends unbidden.

`data.datasets` starts them through torch's DataLoader, and `engine.parallel` by itself.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess

LOWEST_PRIORITY = 19  # of a process, in POSIX
KILL = 9  # SIGKILL, which Windows has not
HELD = (signal.SIGINT, signal.SIGUSR1)  # the signals that a worker ignores


def leave_signals_to_parent() -> None:
    """In a worker process: Ctrl-C is the parent's to answer, SIGTERM ends the worker as usual, and so does its end."""
    for number in HELD:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _mask(block=False)
    end_with_parent()


def give_way_to_parent() -> None:
    """In a worker process whose parent computes on the same cores: run where the parent leaves them.

    Each of the parent's parallel operations waits for its slowest thread, which is the one that a worker has pushed off
    its core. Finetuning the demo's network took 1.3 to 1.5 times as long without this (2 cores, three pairs in turn).
    """
    leave_signals_to_parent()
    os.nice(LOWEST_PRIORITY)


def end_with_parent() -> None:
    """In a worker process: end as soon as the parent has, however that was killed."""
    if (parent := multiprocessing.parent_process()) is not None:
        threading.Thread(target=_follow, args=(parent,), daemon=True).start()


def _follow(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


@contextmanager
def blocked_signals() -> Iterator[None]:
    """Start processes in this block: a Ctrl-C that comes before they ignore it reaches this one alone, and later."""
    _mask(block=True)
    try:
        yield
    finally:
        _mask(block=False)


def _mask(*, block: bool) -> None:
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK if block else signal.SIG_UNBLOCK, HELD)


def failed_exit_code(workers: Sequence[BaseProcess], wait_seconds: float = 0.0) -> int | None:
    """The exit code of one of them that has ended otherwise than it should, or ends so while this waits."""
    ended = wait([worker.sentinel for worker in workers], wait_seconds)
    for worker in workers:
        if worker.sentinel in ended:  # it has let go of its files, which comes a moment before its end
            worker.join(wait_seconds)
    return next((worker.exitcode for worker in workers if worker.exitcode), None)


def is_killed(exit_code: int | None) -> bool:
    """Whether a process ended by SIGKILL, as the system ends those that take the last of its memory."""
    return exit_code == -KILL


def explain_dead_worker(exit_code: int | None) -> str:
    """What is said of a loader's worker that ended unbidden; none: nobody knows how."""
    again = "and start again, with --resume where the command has it"
    if is_killed(exit_code):
        return (
            "a worker process was killed by the system, most often because memory ran out. Use fewer --workers "
            f"or a smaller batch, {again}"
        )
    if exit_code == -getattr(signal, "SIGBUS", 7):
        return (
            "a worker process found no room in shared memory (/dev/shm). Give the container more of it (docker run "
            f"--shm-size 8g) or use --workers 0, {again}"
        )
    if exit_code is None:
        ended_by = "exit code unknown"
    else:
        ended_by = f"exit code {exit_code}" if exit_code > 0 else f"signal {signal.strsignal(-exit_code)}"
    return (
        f"a worker process ended by itself ({ended_by}), most often in a decoder. Find the video: vtdl lists check "
        f"--open; leave it out or choose another data.decoder, {again}"
    )


def describe_dead_worker(error: BaseException) -> str:
    """`explain_dead_worker` for what torch raises, at any moment, once a worker is gone; empty for any other error."""
    if not isinstance(error, RuntimeError) or "DataLoader worker (pid" not in str(error):
        return ""
    told = f"{error} {error.__cause__}"
    exit_codes = (-number for number in signal.valid_signals() if f"signal: {signal.strsignal(number)}" in told)
    return explain_dead_worker(next(exit_codes, None))
