"""Open every video once, in parallel, and record its properties, or why it cannot be read.

Results are cached in a file, so that an interrupted survey resumes where it stopped.
"""

import contextlib
import json
import os
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vtdl_cli.data.lists.writable import unlistable
from vtdl_cli.data.video.probe import VideoFacts, probe_video
from vtdl_cli.engine.lists.process_pool import closing_pool, map_unordered
from vtdl_cli.errors import Interrupted, UnreadableVideo
from vtdl_cli.runtime import Reporter, StopRequest, default_workers, write_error
from vtdl_cli.text import counted

Finding = VideoFacts | str
"""The properties of a video, or why it cannot be read."""


@dataclass(frozen=True)
class Survey:
    """The findings on N videos.

    Attributes:
        facts: of readable videos, by index, in order.
        reasons: why the others cannot be read, by index, in order.
    """

    facts: dict[int, VideoFacts]
    reasons: dict[int, str]

    @property
    def readable(self) -> NDArray[np.int64]:
        """Indices of the readable videos."""
        return np.array(list(self.facts), dtype=np.int64)


class SurveyCache:
    """Findings in a file, one line a video, appended as they are made.

    Args:
        path: the file, created with the first finding; it is removed once the lists are written.
        settings: what findings depend on besides the videos; findings with other settings are ignored.
    """

    def __init__(self, path: Path, settings: str) -> None:
        self.path, self.settings = path, f"{settings} {' '.join(VideoFacts._fields)}"
        self._made_folder = not path.parent.exists()
        self._is_new = not path.exists()
        self._known: dict[str, Finding] = {}
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                self._read(line)

    def _read(self, line: str) -> None:
        try:
            settings, key, finding = json.loads(line)
        except ValueError:  # cut short when the process was killed
            return
        if settings == self.settings:
            self._known[key] = finding if isinstance(finding, str) else VideoFacts._make(finding)

    def find(self, path: str) -> Finding | None:
        """Return the finding on a video, unless its file has changed since."""
        return self._known.get(_cache_key(path)) if self._known else None

    def add(self, path: str, finding: Finding) -> None:
        """Append the finding on a video.

        Raises:
            VtdlError: the file cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps([self.settings, _cache_key(path), finding]) + "\n")
        except OSError as error:
            raise write_error(self.path, error) from error

    def remove(self, *, new_only: bool = False) -> None:
        """Remove the file, and its folder if that was created for it and is empty.

        Args:
            new_only: keep a file that an earlier run left.
        """
        if new_only and not self._is_new:
            return
        self.path.unlink(missing_ok=True)
        if self._made_folder:
            with contextlib.suppress(OSError):
                self.path.parent.rmdir()


def _cache_key(path: str) -> str:
    try:
        status = os.stat(path)  # noqa: PTH116  # making a Path takes longer than the call, 240,000 times
    except OSError:
        return path
    return f"{path}\0{status.st_size}\0{status.st_mtime_ns}"


def survey(
    root: Path,
    names: Sequence[str],
    *,
    decoder: str,
    workers: int | None,
    reporter: Reporter,
    verify: bool = False,
    min_frames: int = 1,
    cache: SurveyCache | None = None,
) -> Survey:
    """Open every video once; a decoder that crashes on one costs that video, not the run.

    Args:
        root: the folder that names are relative to.
        names: paths of the videos [N].
        decoder: the decoder that must be able to read them.
        workers: processes; 0: none but this one, None: one for each core, at most 8.
        reporter: for progress.
        verify: decode each video completely.
        min_frames: videos with fewer frames count as unreadable.
        cache: findings of an interrupted survey; new ones are added.

    Raises:
        Interrupted: by a signal.
    """
    workers = default_workers() if workers is None else workers
    probe = partial(_probe_one, partial(probe_video, decoder=decoder, verify=verify))
    facts: dict[int, VideoFacts] = {}
    reasons = {index: reason for index, name in enumerate(names) if (reason := unlistable(name))}
    paths = {index: str(root / name) for index, name in enumerate(names) if index not in reasons}
    title = "verifying videos" if verify else "opening videos"
    findings = _find_all(paths, probe, workers, cache)
    with StopRequest() as stop, closing_pool(findings), reporter.progress(len(paths), title) as progress:
        for index, finding in findings:
            if isinstance(finding, str):
                reasons[index] = finding
            elif finding.num_frames < min_frames:
                reasons[index] = f"it has {counted(finding.num_frames, 'frame')}, fewer than --min-frames {min_frames}"
            else:
                facts[index] = finding
            progress.advance(unreadable=str(len(reasons)))
            if stop.received():
                saved = "saved. Run the same command again to resume" if cache else "nothing was saved"
                raise Interrupted(f"{stop.name} after {len(facts) + len(reasons)} of {len(names)} videos: {saved}")
    return Survey(dict(sorted(facts.items())), dict(sorted(reasons.items())))


def _find_all(
    paths: dict[int, str], probe: Callable[[str], Finding], workers: int, cache: SurveyCache | None
) -> Generator[tuple[int, Finding], None, None]:
    """Yield cached findings, then new ones."""
    new = {}
    for index, path in paths.items():
        if cache is None or (known := cache.find(path)) is None:
            new[index] = path
        else:
            yield index, known
    with closing_pool(map_unordered(probe, iter(new.items()), workers)) as findings:
        for index, finding in findings:
            if cache is not None:
                cache.add(new[index], finding)
            yield index, finding


def _probe_one(probe: Callable[[str], VideoFacts], path: str) -> Finding:
    try:
        return probe(path)
    except UnreadableVideo as error:
        return error.reason
