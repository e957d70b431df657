"""Batches from the workers that make them: how many ahead of time, and by which way, as the machine has room."""

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
from vtdl_cli.data.datasets import Batch, EpochBatches, VideoClips, collate
from vtdl_cli.data.parcels import NotFetched, Packed, Parcel
from vtdl_cli.errors import VtdlError
from vtdl_cli.runtime import system_limit
from vtdl_cli.workers import explain_loss, give_way_to_parent, held_signals, leave_signals_to_parent, lost

SHARED_MEMORY = Path("/dev/shm")  # Linux's
MOST_AHEAD = 4  # batches that a worker makes ahead of time
LOSS_SHOWS_SECONDS = 1.0  # at most, from what it did to others until a process has ended
CHILD_ENDED: signal.Signals | None = getattr(signal, "SIGCHLD", None)  # which Windows has not
OWN_FILES = 64  # that a process may have open besides those of its batches
ROOM_SHARE = 0.8  # of the room in shared memory that batches may take: others want some

MORE_ROOM = "Give it more room (docker run --shm-size 8g), or use fewer --workers"

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Loader:
    """The batches of a stream, each once.

    Attributes:
        stream: of parcels, or with no workers of batches.
        tell: is told, once, that batches do not go through shared memory.
    """

    stream: "DataLoader[Any]"
    tell: Tell

    def __iter__(self) -> Iterator[Batch]:
        stream = self._start()
        workers = getattr(stream, "_workers", [])  # torch's, which are no part of its interface
        try:
            while (arrived := _await(stream, workers)) is not None:
                yield self._open(arrived)
        except (NotFetched, RuntimeError) as error:
            if exit_code := lost(workers, LOSS_SHOWS_SECONDS):
                raise VtdlError(explain_loss(exit_code)) from error
            raise

    def _open(self, arrived: "Parcel | Batch") -> Batch:
        if isinstance(arrived, Batch):
            return arrived
        if arrived.trouble:
            self.tell(_explain(f"{arrived.trouble}. {MORE_ROOM}"))
        return arrived.unpack()

    def _start(self) -> "Iterator[Parcel | Batch]":
        """Start the workers.

        Raises:
            VtdlError: the system does not let them.
        """
        try:
            with held_signals(), _keeping_handler():
                return iter(self.stream)
        except OSError as error:
            _delete_quietly(error)
            raise VtdlError(
                f"workers cannot be started: {str(error.strerror).lower()}. Use --workers 0, or give the system what "
                f"it lacks: room in {SHARED_MEMORY} (docker run --shm-size 8g), open files (ulimit -n 4096) or memory"
            ) from error


def _await(stream: "Iterator[Parcel | Batch]", workers: Sequence[BaseProcess]) -> "Parcel | Batch | None":
    """The next of the stream; none: there are no more.

    Here alone the end of a worker is an error. torch raises it at any moment, and whatever was done just then, such as
    writing a file, would seem to have failed.
    """
    with _keeping_handler():
        if workers and CHILD_ENDED is not None:
            signal.signal(CHILD_ENDED, lambda *_: _error_if_any_worker_fails())
        if exit_code := lost(workers):
            raise VtdlError(explain_loss(exit_code))
        return next(stream, None)


@contextmanager
def _keeping_handler() -> Iterator[None]:
    """Leave as it was, after this block, what is done when a process that this one started ends."""
    before = CHILD_ENDED and signal.getsignal(CHILD_ENDED)
    try:
        yield
    finally:
        if CHILD_ENDED is not None:
            signal.signal(CHILD_ENDED, before or signal.SIG_DFL)


def _delete_quietly(error: Exception) -> None:
    """Delete what failed halfway through its start: torch's iterator would complain of parts that it has not."""
    before, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        traceback.clear_frames(error.__traceback__)
    finally:
        sys.unraisablehook = before


def build_loader(
    dataset: VideoClips, batches: EpochBatches, *, workers: int, on_gpu: bool, tell: Tell = lambda _: None
) -> Loader:
    """A loader over the stream; 0 workers decode in this process.

    Where a GPU computes, batches are pinned for it; where this process does, the workers give way to it. The loader
    draws from a generator of its own: torch's global one belongs to the training, or a resumed run would differ.

    Args:
        dataset: what makes samples.
        batches: which, in which order.
        workers: processes.
        on_gpu: whether batches go to a GPU.
        tell: is told where batches cannot go through shared memory.
    """
    warnings.filterwarnings(
        "ignore", message="This DataLoader will create"
    )  # more workers than cores, as was asked for
    ahead, reason = _plan(workers, batches.own_size * dataset.sample_bytes()) if workers else (None, "")
    if reason:
        tell(_explain(reason))
    gather: Callable[[Any], Any] = _as_it_is if workers else collate
    stream: DataLoader[Any] = DataLoader(
        Packed(dataset, share=not reason) if workers else dataset,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=gather,
        pin_memory=on_gpu,
        worker_init_fn=partial(_begin, leave_signals_to_parent if on_gpu else give_way_to_parent),
        generator=torch.Generator(),
        prefetch_factor=ahead,
    )
    return Loader(stream, tell)


def _plan(workers: int, batch_bytes: int) -> tuple[int, str]:
    """How many batches each worker makes ahead of time; and why they do not go through shared memory, if so."""
    if open_files() < OWN_FILES + workers * (MOST_AHEAD + 1):
        return 1, f"only {open_files()} files may be open. Allow more: ulimit -n 4096"
    ahead = batches_ahead(room_in_shared_memory(), workers * batch_bytes)
    return max(1, ahead), "" if ahead else f"it has no room for a batch of each of {workers} workers. {MORE_ROOM}"


def batches_ahead(room_bytes: float, bytes_of_one_each: int) -> int:
    """How many batches each worker may make ahead of time, 0 to MOST_AHEAD; one more each is being read."""
    return int(min(ROOM_SHARE * room_bytes / max(1, bytes_of_one_each), MOST_AHEAD))


def room_in_shared_memory() -> float:
    """Bytes that this process may take of it."""
    try:
        status = os.statvfs(SHARED_MEMORY)
    except (OSError, AttributeError):  # it is no file system here
        return float("inf")
    return status.f_bavail * status.f_frsize / ranks.local_count()


def open_files() -> float:
    """How many this process may have."""
    return system_limit("RLIMIT_NOFILE")


def _explain(reason: str) -> str:
    return f"batches go through pipes, which is slower, not through shared memory ({SHARED_MEMORY}): {reason}"


def _as_it_is(parcel: Parcel) -> Parcel:
    return parcel


def _begin(prepare: Callable[[], None], _worker: int) -> None:
    """In a worker process, at its start: what goes wrong is told to the parent, and to nobody else."""
    sys.excepthook = lambda *_: None  # called in a thread that shares memory, where the parent has gone away meanwhile
    Queue._on_queue_feeder_error = staticmethod(_end)  # type: ignore[attr-defined]
    prepare()


def _end(_error: Exception, _parcel: object) -> None:
    """Where not even bytes can be sent, memory has run out: the parent learns of it as of the system's own kill."""
    os.kill(os.getpid(), signal.SIGKILL)
