"""What POSIX systems have and Windows lacks, behind names that work on both; other modules name no such thing.

Only `locks.py` has its own: without POSIX locks it warns that an output is not locked.
"""

import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def signals_present(*names: str) -> tuple[signal.Signals, ...]:
    """Return those of the named signals that this system has."""
    return tuple(signal.Signals[name] for name in names if name in signal.Signals.__members__)


STOP_SIGNALS = signals_present("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")
"""Signals that ask a run to save and stop. A terminal that closes sends SIGHUP, Slurm SIGUSR1; Windows has neither."""

IGNORED_BY_WORKERS = signals_present("SIGINT", "SIGHUP", "SIGUSR1")
"""Those of them that reach a whole process group, of which the parent alone answers."""

CHILD_ENDED = next(iter(signals_present("SIGCHLD")), None)
KILL = 9  # SIGKILL, which Windows does not define
LOWEST_PRIORITY = 19  # of a process, in POSIX


def lower_priority() -> None:
    """Give way to all other processes; on Windows nothing happens."""
    if hasattr(os, "nice"):
        os.nice(LOWEST_PRIORITY)


SPINS = "3000"  # of a waiting thread before it sleeps: microseconds

WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
"""Environment variables that say how OpenMP's threads wait: all libraries', GNU's and LLVM's."""


def let_idle_threads_sleep() -> None:
    """Let OpenMP's threads sleep soon while they wait for one another; call it before torch is imported.

    By default those of GNU, which torch brings on Linux, spin for milliseconds (300,000 times), on a core that a
    loader's worker or another program needs. On two busy cores, training steps of a small 3D network on two threads
    then took 2.2 times the CPU time, and as much more of the time, of those on one thread; where they slept at once,
    1.0 times both. On two idle cores, an epoch of weizmann/r3d with two workers took .95 s if they slept at once (two
    runs), .90 s after SPINS, and .84 s by default. What the user has set is kept.
    """
    if not any(name in os.environ for name in WAITING):
        os.environ["GOMP_SPINCOUNT"] = SPINS


def mask_signals(numbers: tuple[signal.Signals, ...], *, block: bool) -> None:
    """Block or unblock signals in this thread; on Windows nothing happens."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK if block else signal.SIG_UNBLOCK, numbers)


@contextmanager
def blocked(numbers: tuple[signal.Signals, ...]) -> Iterator[None]:
    """Block signals in this thread, but for those that are blocked already; on Windows nothing happens."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def send_ctrl_c() -> None:
    """Send this process a Ctrl-C, from any thread."""
    if os.name == "posix":
        os.kill(os.getpid(), signal.SIGINT)  # also wakes the main thread from a system call
    else:
        signal.raise_signal(signal.SIGINT)  # os.kill would end the process there


def system_limit(name: str) -> float:
    """Return a limit of this process: `RLIMIT_NOFILE`, open files, or `RLIMIT_FSIZE`, bytes in a file."""
    try:
        import resource
    except ImportError:  # Windows
        return float("inf")
    soft, _ = resource.getrlimit(getattr(resource, name))
    return float("inf") if soft == resource.RLIM_INFINITY else soft


def available_cores() -> int:
    """Return the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_bytes(file_system: Path) -> float:
    """Return the free space of a mounted file system; infinite if there is none at that path."""
    try:
        return shutil.disk_usage(file_system).free
    except OSError:
        return float("inf")


def cpu_seconds() -> float:
    """Return the CPU time, user and system, of this process and its children; of those that still run on Linux alone.

    Windows does not count children that have ended.
    """
    import multiprocessing  # here, so that --help does not load it

    times = os.times()
    living = sum(_cpu_seconds_of(child.pid) for child in multiprocessing.active_children() if child.pid)
    return time.process_time() + times.children_user + times.children_system + living


def _cpu_seconds_of(process: int) -> float:
    """Return the CPU time of a process so far; 0 where the system has no /proc, or it has just ended."""
    with suppress(OSError):
        after_name = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")  # utime, stime: proc(5)
    return 0.0
