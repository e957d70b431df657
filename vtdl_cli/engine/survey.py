"""Open every video once, in parallel, and say what it is, or why it cannot be read."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vtdl_cli.data.lists import unlistable
from vtdl_cli.data.video_probe import VideoFacts, probe_video
from vtdl_cli.engine.survey_notes import Notes
from vtdl_cli.errors import UnreadableVideo
from vtdl_cli.runtime import Reporter, default_workers, leave_signals_to_parent

Probe = Callable[[str], VideoFacts]  # path -> facts; may raise UnreadableVideo
Look = Callable[[str], VideoFacts | str]  # path -> facts, or why it cannot be read
Result = tuple[int, VideoFacts | str]  # index of the video, what it is or why it cannot be read
Task = tuple[int, str]  # index of the video, its path


@dataclass(frozen=True)
class Survey:
    """N videos: what each is, or why it cannot be read.

    Attributes:
        facts: by index, of those that can be read, in order.
        reasons: by index, of the others, in order.
    """

    facts: dict[int, VideoFacts]
    reasons: dict[int, str]

    @property
    def readable(self) -> NDArray[np.int64]:
        """Indices of those that can be read."""
        return np.array(list(self.facts), dtype=np.int64)


def survey(
    root: Path,
    names: Sequence[str],
    *,
    decoder: str,
    verify: bool,
    min_frames: int,
    workers: int | None,
    reporter: Reporter,
    notes: Notes | None = None,
) -> Survey:
    """Open every video once, in parallel; a decoder that dies on one costs that video, not the run.

    Args:
        root: the folder that names start from.
        names: of the videos [N].
        decoder: what has to be able to read them.
        verify: decode them whole.
        min_frames: of a video that is not too short.
        workers: processes; 0 for none but this one, None for one on each core.
        reporter: for progress.
        notes: what an earlier survey found, and where to keep what this one finds.
    """
    workers = default_workers() if workers is None else workers
    probe = partial(probe_video, decoder=decoder, verify=verify)
    facts: dict[int, VideoFacts] = {}
    reasons = {index: reason for index, name in enumerate(names) if (reason := unlistable(name))}
    tasks = [(index, str(root / name)) for index, name in enumerate(names) if index not in reasons]
    with reporter.progress(len(tasks), "verifying videos" if verify else "opening videos") as progress:
        for index, result in _results(tasks, partial(_probe_one, probe), workers, notes):
            if isinstance(result, str):
                reasons[index] = result
            elif result.num_frames < min_frames:
                reasons[index] = f"it has {result.num_frames} frames, fewer than --min-frames {min_frames}"
            else:
                facts[index] = result
            progress.advance(unreadable=str(len(reasons)))
    return Survey(dict(sorted(facts.items())), dict(sorted(reasons.items())))


def _results(tasks: list[Task], probe: Look, workers: int, notes: Notes | None) -> Iterator[Result]:
    """What is noted already, then what is found now."""
    if notes is None:
        yield from _probe_each(iter(tasks), probe, workers)
        return
    new = []
    for index, path in tasks:
        if (known := notes.recall(path)) is None:
            new.append((index, path))
        else:
            yield index, known
    paths = dict(new)
    for index, result in _probe_each(iter(new), probe, workers):
        notes.add(paths[index], result)
        yield index, result


def _probe_one(probe: Probe, path: str) -> VideoFacts | str:
    try:
        return probe(path)
    except UnreadableVideo as error:
        return error.reason


def _probe_each(tasks: Iterator[Task], probe: Look, workers: int) -> Iterator[Result]:
    """The results of all tasks, in the order they come."""
    if not workers:
        yield from ((index, probe(path)) for index, path in tasks)
        return
    while suspects := (yield from _probe_until_crash(tasks, probe, workers)):
        for suspect in suspects:  # each alone: a second crash tells which one it was
            if (yield from _probe_until_crash(iter([suspect]), probe, 1)):
                yield suspect[0], "the decoder crashed on it"


def _probe_until_crash(tasks: Iterator[Task], probe: Look, workers: int) -> Generator[Result, None, list[Task]]:
    """Results until a process dies; returns the tasks under way at that moment, none when all are done."""
    # Spawned, not forked: a lock that the display's thread holds would never open in a forked child.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=leave_signals_to_parent) as pool:
        futures: dict[Future[VideoFacts | str], Task] = {}
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
