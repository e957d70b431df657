"""Work on many files in processes of their own: a library that dies on one costs that file, not the run."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import TypeVar

from vtdl_cli.runtime import leave_signals_to_parent

Item = TypeVar("Item")
Result = TypeVar("Result")

CRASHED = "the decoder crashed on it"
"""The result of an item whose process died."""


def each(
    tasks: Iterator[tuple[int, Item]], work: Callable[[Item], Result | str], workers: int
) -> Iterator[tuple[int, Result | str]]:
    """The result of every task, numbered as it is, in the order they come; 0 workers work in this process."""
    if not workers:
        yield from ((index, work(item)) for index, item in tasks)
        return
    while suspects := (yield from _until_crash(tasks, work, workers)):
        for suspect in suspects:  # each alone: a second crash tells which one it was
            if (yield from _until_crash(iter([suspect]), work, 1)):
                yield suspect[0], CRASHED


def _until_crash(
    tasks: Iterator[tuple[int, Item]], work: Callable[[Item], Result | str], workers: int
) -> Generator[tuple[int, Result | str], None, list[tuple[int, Item]]]:
    """Results until a process dies; returns the tasks under way at that moment, none when all are done."""
    # Spawned, not forked: a lock that the display's thread holds would never open in a forked child.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=leave_signals_to_parent) as pool:
        futures: dict[Future[Result | str], tuple[int, Item]] = {}
        try:
            while (new := list(islice(tasks, 2 * workers - len(futures)))) or futures:
                try:
                    futures.update({pool.submit(work, task[1]): task for task in new})
                    done = wait(futures, return_when=FIRST_COMPLETED).done
                    results = [(futures[future][0], future.result()) for future in done]
                except BrokenProcessPool:
                    return sorted({*futures.values(), *new}, key=lambda task: task[0])
                yield from results
                for future in done:
                    del futures[future]
        finally:
            for future in futures:  # whoever stops listening waits for what is under way alone
                future.cancel()
    return []
