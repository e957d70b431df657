"""Open every video of a folder once, in parallel, and count its frames; a decoder that dies costs one video."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vtdl_cli.data.decoding import probe_video
from vtdl_cli.data.lists import unlistable
from vtdl_cli.errors import UnreadableVideo
from vtdl_cli.runtime import Reporter, default_workers, leave_signals_to_parent

Probe = Callable[[str, str], int]  # path, decoder -> frames
BoundProbe = Callable[[str], int | str]  # path -> frames, or why it cannot be read
Task = tuple[int, str]  # index of the video, its path
Result = tuple[int, int | str]  # index of the video, its frames or why it cannot be read


def probe_videos(
    root: Path,
    names: Sequence[str],
    *,
    decoder: str,
    workers: int | None,
    reporter: Reporter,
    probe: Probe | None = None,
) -> tuple[NDArray[np.int64], dict[int, str]]:
    """Open every video once, in parallel; a decoder that dies on one costs that video, not the run.

    Args:
        root: the folder that names start from.
        names: of the videos [N].
        decoder: handed to `probe`.
        workers: processes; 0 for none but this one, None for one on each core.
        reporter: for progress.
        probe: counts frames, or raises UnreadableVideo; `probe_video` when None. Processes must be able to import it.

    Returns:
        frames: int64 [N], 0 where a video cannot be read.
        reasons: why, by index, in order.
    """
    workers = default_workers() if workers is None else workers
    frames = np.zeros(len(names), dtype=np.int64)
    reasons = {index: reason for index, name in enumerate(names) if (reason := unlistable(name))}
    tasks = [(index, str(root / name)) for index, name in enumerate(names) if index not in reasons]
    with reporter.progress(len(tasks), "opening videos") as progress:
        for index, result in _probe_each(iter(tasks), partial(_probe_one, probe or probe_video, decoder), workers):
            if isinstance(result, int):
                frames[index] = result
            else:
                reasons[index] = result
            progress.advance(unreadable=str(len(reasons)))
    return frames, dict(sorted(reasons.items()))


def _probe_one(probe: Probe, decoder: str, path: str) -> int | str:
    try:
        return probe(path, decoder) or "it has no frames"
    except UnreadableVideo as error:
        return error.reason


def _probe_each(tasks: Iterator[Task], probe: BoundProbe, workers: int) -> Iterator[Result]:
    """The results of all tasks, in the order they come."""
    if not workers:
        yield from ((index, probe(path)) for index, path in tasks)
        return
    while suspects := (yield from _probe_until_crash(tasks, probe, workers)):
        for suspect in suspects:  # each alone: a second crash tells which one it was
            if (yield from _probe_until_crash(iter([suspect]), probe, 1)):
                yield suspect[0], "the decoder crashed on it"


def _probe_until_crash(tasks: Iterator[Task], probe: BoundProbe, workers: int) -> Generator[Result, None, list[Task]]:
    """Results until a process dies; returns the tasks under way at that moment, none when all are done."""
    # Spawned, not forked: a lock that the display's thread holds would never open in a forked child.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=leave_signals_to_parent) as pool:
        futures: dict[Future[int | str], Task] = {}
        while (new := list(islice(tasks, 2 * workers - len(futures)))) or futures:
            try:
                futures.update({pool.submit(probe, task[1]): task for task in new})
                done = wait(futures, return_when=FIRST_COMPLETED).done
                results = [(futures[future][0], future.result()) for future in done]
            except BrokenProcessPool:
                return sorted({*futures.values(), *new})
            yield from results
            for future in done:
                del futures[future]
    return []
