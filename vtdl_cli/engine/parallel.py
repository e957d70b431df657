"""Work on many files in processes of their own: a library that dies on one costs that file, not the run."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import chain, islice
from typing import TypeVar

from vtdl_cli.runtime import leave_signals_to_parent

Item = TypeVar("Item")
Result = TypeVar("Result")

CRASHED = "the decoder crashed on it"
"""The result of an item whose process died."""


IN_FLIGHT = 32  # items handed to each process ahead of time, so that small ones do not keep it waiting
LOOK_SECONDS = 0.05  # between two looks at what is done: waking up for each small item takes as long as the item


def each(
    tasks: Iterator[tuple[int, Item]], work: Callable[[Item], Result | str], workers: int
) -> Iterator[tuple[int, Result | str]]:
    """The result of every task, numbered as it is, in the order they come; 0 workers work in this process."""
    if not workers:
        yield from ((index, work(item)) for index, item in tasks)
        return
    while suspects := (yield from _until_crash(tasks, work, workers)):
        again = iter(suspects)
        while left := (yield from _until_crash(again, work, 1)):  # one process works in order: it died of the first
            yield left[0][0], CRASHED
            again = chain(left[1:], again)


def _until_crash(
    tasks: Iterator[tuple[int, Item]], work: Callable[[Item], Result | str], workers: int
) -> Generator[tuple[int, Result | str], None, list[tuple[int, Item]]]:
    """Results until a process dies; returns the tasks under way at that moment, in order, none when all are done."""
    # Spawned, not forked: a lock that the display's thread holds would never open in a forked child.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=leave_signals_to_parent) as pool:
        futures: dict[Future[Result | str], tuple[int, Item]] = {}
        try:
            while (new := deque(islice(tasks, IN_FLIGHT * workers - len(futures)))) or futures:
                broken = False
                try:
                    while new:
                        future = pool.submit(work, new[0][1])
                        futures[future] = new.popleft()
                except BrokenProcessPool:
                    broken = True
                wait(futures, timeout=LOOK_SECONDS)
                for future in [future for future in futures if future.done()]:
                    if isinstance(future.exception(), BrokenProcessPool):
                        broken = True
                    else:
                        yield futures.pop(future)[0], future.result()
                if broken:
                    return [*futures.values(), *new]
        finally:
            for future in futures:  # whoever stops listening waits for what is under way alone
                future.cancel()
    return []
