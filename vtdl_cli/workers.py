"""Worker processes: their initialisation, and the error messages for one that dies.

`data.clips.loading` starts them through torch's DataLoader, `engine.lists.process_pool` directly.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess

from vtdl_cli.system import IGNORED_BY_WORKERS, KILL, blocked, lower_priority, mask_signals


def leave_signals_to_parent() -> None:
    """Initialise a worker process: it ignores Ctrl-C, which its parent handles, and ends on SIGTERM or with it."""
    for number in IGNORED_BY_WORKERS:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    mask_signals(IGNORED_BY_WORKERS, block=False)
    end_with_parent()


def give_way_to_parent() -> None:
    """Initialise a worker process that shares the CPU with its parent's computation: lower its priority.

    Each of the parent's parallel operations waits for its slowest thread: the one whose core a worker has taken.
    Finetuning the demo's network took 1.3 to 1.5 times as long without this (2 cores, three pairs of runs).
    """
    leave_signals_to_parent()
    lower_priority()


def end_with_parent() -> None:
    """Let this worker process end as soon as its parent does, even if that is killed."""
    if (parent := multiprocessing.parent_process()) is not None:
        threading.Thread(target=_exit_after, args=(parent,), daemon=True).start()


def _exit_after(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


def blocked_signals() -> AbstractContextManager[None]:
    """Block Ctrl-C while workers start: one that comes before they ignore it reaches only this process, afterwards.

    In a process that leaves it to its own parent it stays blocked.
    """
    return blocked(IGNORED_BY_WORKERS)


def failed_exit_code(workers: Sequence[BaseProcess], wait_seconds: float = 0.0) -> int | None:
    """Return the exit code of a worker that has failed, or fails within `wait_seconds`; else None."""
    ended = wait([worker.sentinel for worker in workers], wait_seconds)
    for worker in workers:
        if worker.sentinel in ended:  # its files are closed, a moment before its exit code is available
            worker.join(wait_seconds)
    return next((worker.exitcode for worker in workers if worker.exitcode), None)


def is_killed(exit_code: int | None) -> bool:
    """Whether a process was ended by SIGKILL, as by the system when memory runs out."""
    return exit_code == -KILL


def explain_dead_worker(exit_code: int | None) -> str:
    """Return the error message for a loader's worker that died; None: its exit code is unknown."""
    again = "and start again, with --resume where the command has it"
    if is_killed(exit_code):
        return (
            "a worker process was killed by the system, most often because memory ran out. Use fewer --workers, "
            f"a smaller batch or less cache_gb, {again}"
        )
    if exit_code == -getattr(signal, "SIGBUS", 7):
        return (
            "a worker process ran out of shared memory (/dev/shm). Enlarge it (docker run --shm-size 8g) or use "
            f"--workers 0, {again}"
        )
    if exit_code is None:
        ended_by = "exit code unknown"
    else:
        ended_by = f"exit code {exit_code}" if exit_code > 0 else f"signal {signal.strsignal(-exit_code)}"
    return (
        f"a worker process died ({ended_by}), most often in a decoder. Find the video: "
        "vtdl lists check lists/train_split_1.txt --open; "
        f"remove it from the list or choose another data.decoder, {again}"
    )


def describe_dead_worker(error: BaseException) -> str:
    """Return `explain_dead_worker` for the error that torch raises when a worker has died; '' for any other error."""
    if not isinstance(error, RuntimeError) or "DataLoader worker (pid" not in str(error):
        return ""
    text = f"{error} {error.__cause__}"
    exit_codes = (-number for number in signal.valid_signals() if f"signal: {signal.strsignal(number)}" in text)
    return explain_dead_worker(next(exit_codes, None))
