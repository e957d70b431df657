"""The process of one task: what it runs, and what it sends to the process that started it."""

import pickle
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import torch

from vtdl_cli.engine.ablation.tasks import Task
from vtdl_cli.runtime import Progress, Reporter
from vtdl_cli.system import IGNORED_BY_WORKERS, mask_signals
from vtdl_cli.workers import end_with_parent

SHOW_SECONDS = 0.5  # between two reports of how far a task is

Work = Callable[[Task, int, Reporter], Any]
"""Computes a task in its process, which has one of the numbers from 0 on; must be picklable."""


def serve(connection: Connection, work: Work, task: Task, number: int, threads: int) -> None:
    """Compute a task, and send its reports, and at last what it returns as `done`, or the exception as `failed`."""
    mask_signals(IGNORED_BY_WORKERS, block=True)  # Ctrl-C reaches all processes; the first alone answers, by SIGTERM
    end_with_parent()
    torch.set_num_threads(threads)
    try:
        connection.send(("done", work(task, number, Messenger(connection))))
    except Exception as error:
        connection.send(("failed", _portable(error)))


def _portable(error: Exception) -> Exception:
    """Return the exception, with its traceback in a note, in a form that can be sent."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        error = RuntimeError(f"{type(error).__name__}: {error}")
    error.add_note(f"in a process of its own:\n{traceback.format_exc()}")
    return error


class Messenger:
    """The reporter of a task: sends warnings and how far it is, but no lines.

    Args:
        connection: to the process that started this one.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection, self._lock, self._shown_at = connection, threading.Lock(), 0.0
        self._total = self._done = 0

    def line(self, text: str) -> None:
        """Send nothing."""

    def warn(self, text: str) -> None:
        """Send a warning."""
        self._send("warning", text)

    @contextmanager
    def progress(self, total: int, description: str, start: int = 0) -> Iterator[Progress]:  # noqa: ARG002
        """Begin with a stage of the task."""
        self._total, self._done = total, start
        yield self

    def advance(self, n: int = 1, **fields: str) -> None:  # noqa: ARG002
        """Send the share of the stage that is done, if the last time was a moment ago."""
        self._done += n
        if time.monotonic() - self._shown_at > SHOW_SECONDS:
            self._shown_at = time.monotonic()
            self._send("shown", f"{100 * self._done // max(1, self._total)}%")

    def _send(self, what: str, content: str) -> None:
        with self._lock:  # some stages read videos, and warn of them, in a thread
            self.connection.send((what, content))
