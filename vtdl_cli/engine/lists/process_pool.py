"""Process many files in worker processes: a library that crashes on one file costs that file, not the run."""

import contextlib
import multiprocessing
import os
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, Self, TypeVar

from vtdl_cli.errors import VtdlError
from vtdl_cli.workers import blocked_signals, is_killed, leave_signals_to_parent

Item = TypeVar("Item")
Output = TypeVar("Output")
Yielded = TypeVar("Yielded")

CRASHED = "the decoder crashed on it"
KILLED = "the system killed the process that read it, most often because memory ran out"
"""The output for an item on which a worker died twice."""

MOST_IN_FLIGHT = 256  # items queued at a worker, so that it never waits between short ones
POLL_SECONDS = 0.05  # between two polls of short items: waking up for each would take as long as the item

CONTEXT = multiprocessing.get_context("spawn")
"""Spawned, not forked: a lock that the display thread holds would never be released in a forked child."""


def map_unordered(
    work: Callable[[Item], Output | str], tasks: Iterator[tuple[int, Item]], workers: int
) -> Generator[tuple[int, Output | str], None, None]:
    """Yield (number, output) of each task as it is finished; consume it inside `closing_pool`.

    A task whose worker dies is tried once more after all others, alone: it may have been the others that filled the
    memory.

    Args:
        work: computes the output of an item; must be picklable.
        tasks: numbered items.
        workers: worker processes; 0 works in this process.

    Raises:
        VtdlError: no worker can be started.
    """
    if not workers:
        yield from ((number, work(item)) for number, item in tasks)
        return
    crashed: list[tuple[int, Item]] = []
    with _Pool(work) as pool:
        for task, output in pool.run(tasks, workers):
            if isinstance(output, _Crash):
                crashed.append(task)
            else:
                yield task[0], output
        for task, output in pool.run(iter(crashed), 1):
            yield task[0], output.reason if isinstance(output, _Crash) else output


@contextmanager
def closing_pool(outputs: Generator[Yielded, None, None]) -> Iterator[Generator[Yielded, None, None]]:
    """Close `map_unordered`, or a generator around it, at the end of the block.

    If the block is left early, workers finish the items they are working on, so that each is complete. After Ctrl-C
    they are killed instead.
    """
    try:
        yield outputs
    except KeyboardInterrupt as interrupt:
        outputs.throw(interrupt)
        raise
    finally:
        outputs.close()


@dataclass(frozen=True)
class _Crash:
    """The output of a task whose worker died."""

    reason: str


@dataclass(frozen=True)
class _Failure:
    """The output of a task that raised an exception; it is raised again in the parent."""

    error: Exception
    traceback: str


@dataclass
class _Worker(Generic[Item]):
    """A worker process, with the tasks it has been sent, in order.

    Attributes:
        most_tasks: how many it may have: twice what it finishes between two polls, at its latest pace.
        is_ready: whether it has reported that it is running.
    """

    process: BaseProcess
    connection: Connection
    tasks: deque[tuple[int, Item]] = field(default_factory=deque)
    most_tasks: int = 1
    polled_at: float = field(default_factory=time.monotonic)
    is_ready: bool = False

    def send(self, task: tuple[int, Item]) -> None:
        """Send it one more task."""
        self.tasks.append(task)
        with contextlib.suppress(ConnectionError):  # it has died, which the next poll finds
            self.connection.send(task[1])

    def receive(self) -> Iterator[tuple[tuple[int, Item], Any]]:
        """Yield the tasks finished since the last poll, with their outputs.

        Raises:
            EOFError, ConnectionError: it has died.
        """
        before = len(self.tasks)
        while self.connection.poll():
            output = self.connection.recv()
            if not self.is_ready:
                self.is_ready = True
                continue
            if isinstance(output, _Failure):
                output.error.add_note(f"in a worker process:\n{output.traceback}")
                raise output.error
            yield self.tasks.popleft(), output
        if done := before - len(self.tasks):
            seconds, self.polled_at = time.monotonic() - self.polled_at, time.monotonic()
            pace = done / max(seconds, 1e-6)
            self.most_tasks = min(max(1, int(2 * pace * POLL_SECONDS)), MOST_IN_FLIGHT)

    def crash(self) -> _Crash:
        """Return why it died, which is the output of its first task.

        Raises:
            VtdlError: it died before it was ready.
        """
        self.process.join()
        if not self.is_ready:
            raise VtdlError(
                f"worker processes cannot be started: one exited at once with code {self.process.exitcode}. Use "
                "fewer --workers, or --workers 0"
            )
        return _Crash(KILLED if is_killed(self.process.exitcode) else CRASHED)


class _Pool(Generic[Item, Output]):
    """Worker processes. At the end of the block each finishes its current item; after Ctrl-C it is killed.

    Args:
        work: computes the output of an item.
    """

    def __init__(self, work: Callable[[Item], Output | str]) -> None:
        self.work = work
        self.workers: list[_Worker[Item]] = []
        self.stop_reader, self.stop_writer = CONTEXT.Pipe(duplex=False)  # closing the writer stops the workers

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            self._kill()
        self.stop_writer.close()
        for worker in self.workers:
            worker.connection.close()
        try:
            for worker in self.workers:
                worker.process.join()
        finally:
            self._kill()

    def _kill(self) -> None:
        for worker in self.workers:
            worker.process.kill()

    def run(
        self, tasks: Iterator[tuple[int, Item]], size: int
    ) -> Iterator[tuple[tuple[int, Item], Output | str | _Crash]]:
        """Yield each task with its output, from up to `size` workers; one that dies is replaced."""
        orphaned: deque[tuple[int, Item]] = deque()  # tasks of workers that died
        while busy := self._send_tasks(orphaned, tasks, size):
            wait([worker.connection for worker in busy])
            if all(len(worker.tasks) > 1 for worker in busy):
                time.sleep(POLL_SECONDS)
            for worker in busy:
                try:
                    yield from worker.receive()
                except (EOFError, ConnectionError):
                    self.workers.remove(worker)
                    crash = worker.crash()
                    yield worker.tasks.popleft(), crash
                    orphaned.extend(worker.tasks)

    def _send_tasks(
        self, orphaned: deque[tuple[int, Item]], tasks: Iterator[tuple[int, Item]], size: int
    ) -> list[_Worker[Item]]:
        """Send tasks to workers with room for more, the least busy first, and to new ones; return the busy workers."""
        while (worker := self._least_busy(size)) or len(self.workers) < size:
            task = orphaned.popleft() if orphaned else next(tasks, None)
            if task is None:
                break
            if worker is None or (worker.tasks and len(self.workers) < size):
                worker = self._start()
            worker.send(task)
        return [worker for worker in self.workers if worker.tasks]

    def _least_busy(self, size: int) -> _Worker[Item] | None:
        """Return the worker with the fewest tasks among those with room for more."""
        free = [worker for worker in self.workers[:size] if len(worker.tasks) < worker.most_tasks]
        return min(free, key=lambda worker: len(worker.tasks), default=None)

    def _start(self) -> _Worker[Item]:
        ours, theirs = CONTEXT.Pipe()
        process = CONTEXT.Process(target=_serve, args=(theirs, self.stop_reader, self.work), daemon=True)
        if os.name == "posix":
            resource_tracker.ensure_running()  # else the first worker would start it, with signals unblocked
        with blocked_signals():
            process.start()
        theirs.close()
        worker = _Worker[Item](process, ours)
        self.workers.append(worker)
        return worker


def _serve(connection: Connection, stop: Connection, work: Callable[[Item], Output | str]) -> None:
    """Run in a worker: report that it is ready, then work on one item after another until stopped."""
    leave_signals_to_parent()
    try:
        connection.send(None)
        while not stop.poll():
            connection.send(_attempt(work, connection.recv()))
    except (EOFError, ConnectionError):  # the parent has closed the connection
        return


def _attempt(work: Callable[[Item], Output | str], item: Item) -> Output | str | _Failure:
    try:
        return work(item)
    except Exception as error:
        return _Failure(error, traceback.format_exc())
