"""How fast each decoder reads clips, by kind of file, beside plain loops over the same frames."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vtdl_cli.data.clips.sampling import random_clip
from vtdl_cli.data.lists.video_list import VideoList
from vtdl_cli.data.video.decoding import AUTO, DECODERS, installed_decoders, open_video, same_frames
from vtdl_cli.data.video.frame_folder import FrameFolderReader
from vtdl_cli.data.video.plain import PLAIN_READERS
from vtdl_cli.data.video.reader import VideoScan
from vtdl_cli.data.video.scan import scan_video
from vtdl_cli.engine.bench.timing import Timing, time_in_turn
from vtdl_cli.engine.request import ListSource
from vtdl_cli.errors import ListError, UnreadableVideo
from vtdl_cli.runtime import Reporter
from vtdl_cli.text import counted

MOST_SCANNED = 500  # videos, to find the kinds of a long list: seconds
CONTAINERS = {"mov,mp4,m4a,3gp,3g2,mj2": "mp4", "matroska,webm": "mkv"}
"""FFmpeg's name -> the one in use."""

Read = Callable[[Path, list[int]], object]


@dataclass(frozen=True)
class Drawn:
    """What is read of a file: the distinct frames of its clips, in order."""

    path: Path
    scan: VideoScan
    frames: list[int]


@dataclass(frozen=True)
class ClipsToRead:
    """Which clips of a video are read at once; one shorter than a clip loops.

    Attributes:
        number: of clips, drawn apart.
        frames: in a clip.
        stride: frames from one to the next.
    """

    number: int = 1
    frames: int = 16
    stride: int = 4

    def draw(self, num_frames: int, generator: np.random.Generator) -> list[int]:
        """Draw the frames of a video, ascending and without repeats."""
        sampler = random_clip(self.frames, self.stride, "loop")
        frames: list[int] = np.unique([sampler(num_frames, generator) for _ in range(self.number)]).tolist()
        return frames


def bench_decode(
    source: ListSource, reporter: Reporter, clips: ClipsToRead, *, videos: int = 8, seed: int = 0, repeats: int = 3
) -> dict[str, Any]:
    """Time every installed decoder on a sample of the files of a list, one process and one thread each.

    Args:
        source: the list.
        reporter: shows progress, and warns of what cannot be read.
        clips: what is read of each video.
        videos: of each kind of file, at most.
        seed: of the sample, and of the clips.
        repeats: of all decoders, in turn.

    Returns:
        `kinds`: of each kind the videos timed, and how many files each decoder refuses. `auto` stands for PyAV.
        `times`: of each kind and reader milliseconds a clip, by the clock and in CPU time, and frames a second.

    Raises:
        UsageError, ListError: the list is invalid, or none of the files sampled can be read.
    """
    listed = source.read(needs_classes=False)
    drawn, scanned = _sample(listed, clips, videos, seed, reporter)
    functions: dict[str, Callable[[], object]] = {}
    kinds: dict[str, Any] = {}
    frames: dict[str, tuple[int, int]] = {}
    for kind, files in drawn.items():
        readers, timed, refused = _choose_readers(files)
        if not timed:
            reporter.warn(f"files of kind '{kind}' are left out: the decoders read none of {len(files)} in common")
            continue
        kinds[kind] = {"videos": len(timed), "refused": refused}
        for name, read in readers.items():
            functions[f"{kind}: {name}"] = partial(_read_all, read, timed)
            frames[f"{kind}: {name}"] = len(timed) * clips.number, sum(len(file.frames) for file in timed)
    measured = time_in_turn(functions, torch.device("cpu"), repeats, reporter)
    times = {name: _describe(timing, *frames[name]) for name, timing in measured.items()}
    for kind, facts in kinds.items():
        facts.update(_compare(kind, times))
    what = f"{clips.number} of {counted(clips.frames, 'frame')} at stride {clips.stride}"
    counts = {"scanned": scanned, "of_videos": len(listed), "repeats": repeats}
    return {"clips": what, **counts, "kinds": kinds, "times": times}


def _sample(
    listed: VideoList, clips: ClipsToRead, videos: int, seed: int, reporter: Reporter
) -> tuple[dict[str, list[Drawn]], int]:
    """Draw files of each kind, and the frames to read of each; return also the number of files that were scanned."""
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(listed))[:MOST_SCANNED]
    drawn: dict[str, list[Drawn]] = {}
    for path in (listed.path(int(index)) for index in order):
        try:
            scan = FrameFolderReader(path).scan if path.is_dir() else scan_video(path)
        except UnreadableVideo as error:
            reporter.warn(f"skipped video '{path}': {error.reason}")
            continue
        files = drawn.setdefault(f"{CONTAINERS.get(scan.container, scan.container)} {scan.codec}", [])
        if len(files) < videos:
            files.append(Drawn(path, scan, clips.draw(scan.num_frames, generator)))
    if not drawn:
        raise ListError(f"list '{listed.source}' has no video that can be read. See: vtdl lists check")
    return drawn, len(order)


def _choose_readers(files: Sequence[Drawn]) -> tuple[dict[str, Read], list[Drawn], dict[str, int]]:
    """Return the readers that read files of this kind, the files that all of them read, and how many each refuses.

    Folders of images have a single reader, whatever the decoder.
    """
    names = [AUTO] if files[0].path.is_dir() else installed_decoders()
    readers: dict[str, Read] = {
        name: partial(_read, name) for name in names if name == AUTO or not same_frames(AUTO, name)
    }
    readers |= {f"plain {name}": read for name, read in PLAIN_READERS.items() if name in names}
    read_by = {name: {file.path for file in files if _reads(read, file)} for name, read in readers.items()}
    useful = {name: read for name, read in readers.items() if read_by[name]}
    common = set.intersection(*(read_by[name] for name in useful)) if useful else set()
    refused = {name: len(files) - len(paths) for name, paths in read_by.items() if len(paths) < len(files)}
    return useful, [file for file in files if file.path in common], refused


def _read(decoder: str, path: Path, frames: list[int]) -> None:
    with open_video(path, decoder) as reader:
        reader.read(frames)


def _reads(read: Read, file: Drawn) -> bool:
    try:
        read(file.path, file.frames)
    except Exception:  # a plain loop raises whatever its library does
        return False
    return True


def _read_all(read: Read, files: Iterable[Drawn]) -> None:
    for file in files:
        read(file.path, file.frames)


def _describe(timing: Timing, num_clips: int, num_frames: int) -> dict[str, float]:
    return {
        "ms_per_clip": 1000 * timing.seconds / num_clips,
        "cpu_ms_per_clip": 1000 * timing.cpu_seconds / num_clips,
        "frames_per_second": num_frames / timing.seconds,
    }


def _compare(kind: str, times: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Return the other decoder of the least CPU time, and `auto` as a multiple of that and of the best plain loop."""
    milliseconds = {
        name.removeprefix(f"{kind}: "): each["cpu_ms_per_clip"]
        for name, each in times.items()
        if name.startswith(f"{kind}: ")
    }
    plain = [value for name, value in milliseconds.items() if name.startswith("plain ")]
    chosen = {name: value for name, value in milliseconds.items() if name in DECODERS and name != AUTO}
    compared: dict[str, Any] = {}
    if chosen:
        fastest = min(chosen, key=lambda name: chosen[name])
        compared |= {"fastest_other": fastest, "auto_to_fastest_other": milliseconds[AUTO] / chosen[fastest]}
    return compared | ({"auto_to_plain": milliseconds[AUTO] / min(plain)} if plain else {})
