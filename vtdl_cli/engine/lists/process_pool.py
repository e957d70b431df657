"""Work on many files in processes of their own: a library that dies on one costs that file, not the run."""

from __future__ import annotations

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
Result = TypeVar("Result")
Yielded = TypeVar("Yielded")

CRASHED = "the decoder crashed on it"
KILLED = "the system killed the process that read it, most often because memory ran out"
"""The results of an item whose process died, twice."""

MOST_IN_FLIGHT = 256  # items handed to a process ahead of time, so that small ones do not keep it waiting
LOOK_SECONDS = 0.05  # between two looks at small items: waking up for each takes as long as the item

CONTEXT = multiprocessing.get_context("spawn")
"""Spawned, not forked: a lock that the display's thread holds would never open in a forked child."""


def each(
    tasks: Iterator[tuple[int, Item]], work: Callable[[Item], Result | str], workers: int
) -> Generator[tuple[int, Result | str], None, None]:
    """The result of every task, numbered as it is, in the order they come; 0 workers work in this process.

    A task whose process dies is tried once more when all others are done, and alone: it may have been the others that
    took the memory. Listen by `listening`.

    Raises:
        VtdlError: no process can be started.
    """
    if not workers:
        yield from ((index, work(item)) for index, item in tasks)
        return
    suspects: list[tuple[int, Item]] = []
    with _Team(work) as team:
        for task, result in team.share(tasks, workers):
            if isinstance(result, _Death):
                suspects.append(task)
            else:
                yield task[0], result
        for task, result in team.share(iter(suspects), 1):
            yield task[0], result.reason if isinstance(result, _Death) else result


@contextmanager
def listening(results: Generator[Yielded, None, None]) -> Iterator[Generator[Yielded, None, None]]:
    """Hear the results of `each`, or of a generator around it, until the block ends.

    Left early, it waits for the items under way, so that each is whole; but a Ctrl-C, here or meanwhile, waits no more.
    """
    try:
        yield results
    except KeyboardInterrupt as interrupt:
        results.throw(interrupt)
        raise
    finally:
        results.close()


@dataclass(frozen=True)
class _Death:
    """What comes of a task whose process died."""

    reason: str


@dataclass(frozen=True)
class _Failure:
    """What comes of a task that raised an exception: it is raised in the parent."""

    error: Exception
    where: str


@dataclass
class _Member(Generic[Item]):
    """A process, and the tasks that it works on, in their order.

    Attributes:
        allowance: how many it may have: twice those that it does between two looks, by its pace since the last one.
        ready: whether it has said that it is there.
    """

    process: BaseProcess
    connection: Connection
    tasks: deque[tuple[int, Item]] = field(default_factory=deque)
    allowance: int = 1
    looked_at: float = field(default_factory=time.monotonic)
    ready: bool = False

    def hand(self, task: tuple[int, Item]) -> None:
        """Give it one more task."""
        self.tasks.append(task)
        with contextlib.suppress(ConnectionError):  # of a process that has died, which is about to show
            self.connection.send(task[1])

    def results(self) -> Iterator[tuple[tuple[int, Item], Any]]:
        """What has come since the last look.

        Raises:
            EOFError, ConnectionError: it has died.
        """
        before = len(self.tasks)
        while self.connection.poll():
            result = self.connection.recv()
            if not self.ready:
                self.ready = True
                continue
            if isinstance(result, _Failure):
                result.error.add_note(f"in a worker process:\n{result.where}")
                raise result.error
            yield self.tasks.popleft(), result
        if done := before - len(self.tasks):
            seconds, self.looked_at = time.monotonic() - self.looked_at, time.monotonic()
            pace = done / max(seconds, 1e-6)
            self.allowance = min(max(1, int(2 * pace * LOOK_SECONDS)), MOST_IN_FLIGHT)

    def bury(self) -> _Death:
        """What its end says of the first of its tasks.

        Raises:
            VtdlError: it ended before it was there.
        """
        self.process.join()
        if not self.ready:
            raise VtdlError(
                f"worker processes cannot be started: one ended at once, with exit code {self.process.exitcode}. Use "
                "fewer --workers, or --workers 0"
            )
        return _Death(KILLED if is_killed(self.process.exitcode) else CRASHED)


class _Team(Generic[Item, Result]):
    """Processes that work alike. At the end of its block each ends after the item under way; on a Ctrl-C at once.

    Args:
        work: what is done with every item.
    """

    def __init__(self, work: Callable[[Item], Result | str]) -> None:
        self.work = work
        self.members: list[_Member[Item]] = []
        self.told, self.teller = CONTEXT.Pipe(duplex=False)  # its end tells members to end

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            self._kill()
        self.teller.close()
        for member in self.members:
            member.connection.close()
        try:
            for member in self.members:
                member.process.join()
        finally:
            self._kill()

    def _kill(self) -> None:
        for member in self.members:
            member.process.kill()

    def share(
        self, tasks: Iterator[tuple[int, Item]], size: int
    ) -> Iterator[tuple[tuple[int, Item], Result | str | _Death]]:
        """Every task with its result, from up to `size` members; whoever dies is replaced."""
        left: deque[tuple[int, Item]] = deque()  # by members that died
        while busy := self._hand_out(left, tasks, size):
            wait([member.connection for member in busy])
            if all(len(member.tasks) > 1 for member in busy):
                time.sleep(LOOK_SECONDS)
            for member in busy:
                try:
                    yield from member.results()
                except (EOFError, ConnectionError):
                    self.members.remove(member)
                    death = member.bury()
                    yield member.tasks.popleft(), death
                    left.extend(member.tasks)

    def _hand_out(
        self, left: deque[tuple[int, Item]], tasks: Iterator[tuple[int, Item]], size: int
    ) -> list[_Member[Item]]:
        """Give tasks to those who may have more, the idlest first, and to new members; returns all who have some."""
        while (member := self._idlest(size)) or len(self.members) < size:
            task = left.popleft() if left else next(tasks, None)
            if task is None:
                break
            if member is None or (member.tasks and len(self.members) < size):
                member = self._start()
            member.hand(task)
        return [member for member in self.members if member.tasks]

    def _idlest(self, size: int) -> _Member[Item] | None:
        """Of the members that may have more tasks the one with fewest."""
        free = [member for member in self.members[:size] if len(member.tasks) < member.allowance]
        return min(free, key=lambda member: len(member.tasks), default=None)

    def _start(self) -> _Member[Item]:
        ours, theirs = CONTEXT.Pipe()
        process = CONTEXT.Process(target=_serve, args=(theirs, self.told, self.work), daemon=True)
        if os.name == "posix":
            resource_tracker.ensure_running()  # which would be started with the first process, and lets signals through
        with blocked_signals():
            process.start()
        theirs.close()
        member = _Member[Item](process, ours)
        self.members.append(member)
        return member


def _serve(connection: Connection, told: Connection, work: Callable[[Item], Result | str]) -> None:
    """In a worker process: say that it is there, and then work on one item after another until told to end."""
    leave_signals_to_parent()
    try:
        connection.send(None)
        while not told.poll():
            connection.send(_attempt(work, connection.recv()))
    except (EOFError, ConnectionError):  # nobody listens any more
        return


def _attempt(work: Callable[[Item], Result | str], item: Item) -> Result | str | _Failure:
    try:
        return work(item)
    except Exception as error:
        return _Failure(error, traceback.format_exc())
