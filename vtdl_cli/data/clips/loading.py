"""Load batches in worker processes; prefetching and transport depend on the shared memory available."""

import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.process import BaseProcess
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import torch
from torch._C import _error_if_any_worker_fails
from torch.utils.data import DataLoader

from vtdl_cli import ranks
from vtdl_cli.data.clips.datasets import Batch, VideoClips, collate
from vtdl_cli.data.clips.epoch_batches import EpochBatches
from vtdl_cli.data.clips.parcels import BatchNotReceived, PackedVideoClips, Parcel
from vtdl_cli.errors import VtdlError
from vtdl_cli.runtime import Warn, ignore_warning
from vtdl_cli.system import CHILD_ENDED, KILL, free_bytes, system_limit
from vtdl_cli.workers import (
    blocked_signals,
    explain_dead_worker,
    failed_exit_code,
    give_way_to_parent,
    leave_signals_to_parent,
)

START_METHOD = "fork" if sys.platform == "linux" else None
"""How workers start; None: the platform's default.

From Python 3.14 on, Linux's default is a fork server. Each of its workers imports torch anew whenever a loader starts,
3 s of CPU time, and takes three times the memory (330 against 110 MB). It is also not a child of this process, which
relies on SIGCHLD.
"""

SHARED_MEMORY = Path("/dev/shm")  # on Linux
MAX_PREFETCH = 4  # batches that a worker prefetches
EXIT_WAIT_SECONDS = 1.0  # to wait for a dead worker's exit code, after its death has caused an error
OTHER_FILES = 64  # that a process may have open besides those of its batches
SHARED_MEMORY_SHARE = 0.8  # of the free shared memory that batches may take; the rest is for other programs

MORE_SHARED_MEMORY = "Enlarge it (docker run --shm-size 8g), or use fewer --workers"


@dataclass(frozen=True)
class Loader:
    """Iterates over the batches of a stream.

    Attributes:
        stream: of parcels; without workers, of batches.
        warn: called if batches cannot be sent through shared memory.
    """

    stream: "DataLoader[Any]"
    warn: Warn = ignore_warning

    def __iter__(self) -> Iterator[Batch]:
        stream = self._start()
        workers = getattr(stream, "_workers", [])  # private in torch
        try:
            while (arrived := _next(stream, workers)) is not None:
                yield self._open(arrived)
        except (BatchNotReceived, RuntimeError) as error:
            if exit_code := failed_exit_code(workers, EXIT_WAIT_SECONDS):
                raise VtdlError(explain_dead_worker(exit_code)) from error
            raise

    def _open(self, arrived: "Parcel | Batch") -> Batch:
        if not isinstance(arrived, Parcel):
            return arrived
        if arrived.sharing_error:
            self.warn(_explain(f"{arrived.sharing_error}. {MORE_SHARED_MEMORY}"))
        return arrived.unpack()

    def _start(self) -> "Iterator[Parcel | Batch]":
        """Start the workers.

        Raises:
            VtdlError: the system does not allow it.
        """
        try:
            with blocked_signals(), _keeping_handler():
                return iter(self.stream)
        except OSError as error:
            _delete_quietly(error)
            raise VtdlError(
                f"workers cannot be started: {str(error.strerror).lower()}. Use --workers 0, or increase the limit: "
                f"{SHARED_MEMORY} (docker run --shm-size 8g), open files (ulimit -n 4096) or memory"
            ) from error


def _next(stream: "Iterator[Parcel | Batch]", workers: Sequence[BaseProcess]) -> "Parcel | Batch | None":
    """Return the next item of the stream, or None at its end.

    A dead worker is an error only here. torch's signal handler would raise it at any moment, and whatever was going on
    then, such as writing a file, would seem to have failed.
    """
    with _keeping_handler():
        if workers and CHILD_ENDED is not None:
            signal.signal(CHILD_ENDED, lambda *_: _error_if_any_worker_fails())
        if exit_code := failed_exit_code(workers):
            raise VtdlError(explain_dead_worker(exit_code))
        return next(stream, None)


@contextmanager
def _keeping_handler() -> Iterator[None]:
    """Restore the handler of SIGCHLD after the block."""
    before = CHILD_ENDED and signal.getsignal(CHILD_ENDED)
    try:
        yield
    finally:
        if CHILD_ENDED is not None:
            signal.signal(CHILD_ENDED, before or signal.SIG_DFL)


def _delete_quietly(error: Exception) -> None:
    """Delete a half-initialised iterator of torch, whose finaliser would print errors about missing attributes."""
    before, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        traceback.clear_frames(error.__traceback__)
    finally:
        sys.unraisablehook = before


def build_loader(
    dataset: VideoClips, batches: EpochBatches, *, workers: int, on_gpu: bool, warn: Warn = ignore_warning
) -> Loader:
    """Build a loader; with 0 workers this process decodes. With a GPU, batches are pinned.

    Args:
        dataset: the samples.
        batches: which of them make each batch.
        workers: number of worker processes.
        on_gpu: whether batches go to a GPU.
        warn: called if batches cannot be sent through shared memory.
    """
    size = batches.local_batch_size * dataset.sample_bytes()
    prefetch, reason = _plan(workers, size, held=batches.accumulate_steps - 1) if workers else (None, "")
    if reason:
        warn(_explain(reason))
    collate_fn: Callable[[Any], Any] = keep_whole if workers else collate
    stream: DataLoader[Any] = DataLoader(
        PackedVideoClips(dataset, share=not reason) if workers else dataset,
        batch_sampler=batches,
        collate_fn=collate_fn,
        pin_memory=on_gpu,
        prefetch_factor=prefetch,
        **worker_options(workers, on_gpu=on_gpu),
    )
    return Loader(stream, warn)


def worker_options(workers: int, *, on_gpu: bool) -> dict[str, Any]:
    """Return the options of every DataLoader: how its workers start and behave.

    On the CPU, workers run at low priority. The loader has a generator of its own: if it drew from torch's global one,
    a resumed run would differ.
    """
    warnings.filterwarnings("ignore", message="This DataLoader will create")  # about more workers than cores
    return {
        "num_workers": workers,
        "worker_init_fn": partial(_init_worker, leave_signals_to_parent if on_gpu else give_way_to_parent),
        "generator": torch.Generator(),
        "multiprocessing_context": START_METHOD if workers else None,
    }


def _plan(workers: int, batch_bytes: int, held: int) -> tuple[int, str]:
    """Return the batches that each worker prefetches, and why they cannot be sent through shared memory, or ''.

    Args:
        workers: processes.
        batch_bytes: size of a batch.
        held: batches that are kept while the rest of their step is loaded.
    """
    if max_open_files() < OTHER_FILES + held + workers * (MAX_PREFETCH + 1):
        return 1, f"only {max_open_files()} files may be open. Allow more: ulimit -n 4096"
    prefetch = max_prefetch(free_shared_memory() - held * batch_bytes, workers * batch_bytes)
    if prefetch:
        return prefetch, ""
    return 1, f"it has no room for one batch of each of {workers} workers. {MORE_SHARED_MEMORY}"


def max_prefetch(free_bytes: float, bytes_of_one_each: int) -> int:
    """Return how many batches each worker may prefetch, 0 to MAX_PREFETCH, if one of each takes so many bytes."""
    return int(min(SHARED_MEMORY_SHARE * max(0.0, free_bytes) / max(1, bytes_of_one_each), MAX_PREFETCH))


def free_shared_memory() -> float:
    """Return this process's share of the free shared memory in bytes."""
    return free_bytes(SHARED_MEMORY) / ranks.local_world_size()


def max_open_files() -> float:
    """Return how many files this process may have open."""
    return system_limit("RLIMIT_NOFILE")


def _explain(reason: str) -> str:
    return f"batches are sent through pipes, which is slower than shared memory ({SHARED_MEMORY}): {reason}"


def keep_whole(batch: Any) -> Any:
    """Return a batch that a worker has put together; in place of torch's collation."""
    return batch


def _init_worker(prepare: Callable[[], None], _worker: int) -> None:
    """Initialise a worker process: its errors are sent to the parent, and not printed."""
    sys.excepthook = lambda *_: None  # else a thread of torch prints an error once the parent has ended
    Queue._on_queue_feeder_error = staticmethod(_kill_self)  # type: ignore[attr-defined]
    prepare()


def _kill_self(_error: Exception, _parcel: object) -> None:
    """Kill this worker: if a batch cannot even be pickled, memory has run out, which the parent then reports."""
    os.kill(os.getpid(), KILL)
