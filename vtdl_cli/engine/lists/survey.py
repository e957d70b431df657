"""Open every video once, in parallel, and say what it is, or why it cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vtdl_cli.data.lists.video_list import unlistable
from vtdl_cli.data.video.probe import VideoFacts, probe_video
from vtdl_cli.engine.lists.process_pool import each, listening
from vtdl_cli.engine.lists.survey_notes import Notes
from vtdl_cli.errors import Interrupted, UnreadableVideo
from vtdl_cli.runtime import Reporter, StopRequest, default_workers

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
    workers: int | None,
    reporter: Reporter,
    verify: bool = False,
    min_frames: int = 1,
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
    title = "verifying videos" if verify else "opening videos"
    results = _results(tasks, partial(_probe_one, probe), workers, notes)
    with StopRequest() as stop, listening(results), reporter.progress(len(tasks), title) as progress:
        for index, result in results:
            if isinstance(result, str):
                reasons[index] = result
            elif result.num_frames < min_frames:
                reasons[index] = f"it has {result.num_frames} frames, fewer than --min-frames {min_frames}"
            else:
                facts[index] = result
            progress.advance(unreadable=str(len(reasons)))
            if stop.received():
                kept = "kept, the same command goes on" if notes else "nothing is kept"
                raise Interrupted(f"{stop.name} after {len(facts) + len(reasons)} of {len(names)} videos: {kept}")
    return Survey(dict(sorted(facts.items())), dict(sorted(reasons.items())))


def _results(tasks: list[Task], probe: Look, workers: int, notes: Notes | None) -> Generator[Result, None, None]:
    """What is noted already, then what is found now."""
    new = []
    for index, path in tasks:
        if notes is None or (known := notes.recall(path)) is None:
            new.append((index, path))
        else:
            yield index, known
    paths = dict(new)
    with listening(each(iter(new), probe, workers)) as results:
        for index, result in results:
            if notes is not None:
                notes.add(paths[index], result)
            yield index, result


def _probe_one(probe: Probe, path: str) -> VideoFacts | str:
    try:
        return probe(path)
    except UnreadableVideo as error:
        return error.reason
