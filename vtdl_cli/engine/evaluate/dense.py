"""Dense features: a vector for each of the windows that slide over whole videos.

Shapes: n windows of T frames of R x R pixels, C channels, D features.
"""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from torch import Tensor

from vtdl_cli.config import Config
from vtdl_cli.data.clips.datasets import Unreadable
from vtdl_cli.data.clips.windows import Hop, VideoWindows, Window, WindowRule, open_windows
from vtdl_cli.data.hdf5.actionformer import why_no_stride
from vtdl_cli.data.lists.video_list import VideoList
from vtdl_cli.data.video.decoding import open_sequential
from vtdl_cli.data.video.timeline import name_sample
from vtdl_cli.engine.evaluate.extracted_rows import ExtractedRows
from vtdl_cli.engine.evaluate.short_videos import warn_of_short
from vtdl_cli.engine.networks.clips import build_window_rule
from vtdl_cli.engine.networks.inference import forward_frames
from vtdl_cli.engine.networks.machine import Machine
from vtdl_cli.errors import UnreadableVideo, UsageError
from vtdl_cli.runtime import Reporter

HOP = re.compile(r"(\d+)|(\d+\.?\d*|\.\d+) ?s")
Item = TypeVar("Item")


def parse_hop(text: str) -> Hop:
    """Read `8` as frames, and `0.5s` as seconds.

    Raises:
        UsageError: it is neither, or 0.
    """
    found = HOP.fullmatch(text.strip())
    distance = float(found[1] or found[2]) if found else 0
    if found is None or not 0 < distance < float("inf"):
        raise UsageError(
            f"--hop '{text}' is neither a whole number of frames above 0, such as 8, nor seconds, such as 0.5s"
        )
    return Hop(distance, "frames" if found[1] else "seconds")


def describe_hop(hop: Hop) -> str:
    """Return a hop as in the attributes of a feature file: `8 frames`, `0.5 seconds`."""
    return f"{hop.distance:.12g} {hop.unit}"


def check_one_stride(videos: VideoList, hop: Hop, frame_rate: float | None, reporter: Reporter) -> None:
    """Refuse windows that ActionFormer could not read, before they are extracted: see `why_no_stride`.

    Where the hop is in seconds, it scans each video, which takes milliseconds. Those that cannot be read so, such as
    folders of frames, are left to the extraction.

    Args:
        videos: the list.
        hop: from a window to the next.
        frame_rate: that the hop counts, as `data.frame_rate`; None: that of each file.
        reporter: shows progress.

    Raises:
        UsageError: windows so far apart have different strides in frames.
    """
    if hop.unit == "frames" or frame_rate is not None:
        return
    rates = list[float]()
    with reporter.progress(len(videos), "frame rates") as bar:
        for index in range(len(videos)):
            with suppress(UnreadableVideo):
                if rate := open_sequential(videos.path(index)).scan.frame_rate:
                    rates = [min([rate, *rates]), max([rate, *rates])]
            if rates and (reason := why_no_stride(hop.distance, np.array(rates))):
                raise UsageError(f"windows of list '{videos.source}' would {reason}")
            bar.advance()


@dataclass
class OrderedWindows:
    """Successive windows, of one video or several, in the order of the list, so that an extraction can resume anywhere.

    Attributes:
        done: videos of the list processed, up to and including this batch.
        number: windows of the next video, processed so far.
        videos: that windows are of, and their positions in the list.
        windows: n.
        unreadable: videos that turned out to be unreadable; some of their windows may be in this batch or before it.
    """

    done: int
    number: int
    videos: list[tuple[int, VideoWindows]] = field(default_factory=list)
    windows: list[Window] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)

    def add(self, position: int, video: VideoWindows, window: Window) -> None:
        """Add the next window."""
        self.videos.append((position, video))
        self.windows.append(window)
        self.number += 1
        if self.number == len(video):
            self.done, self.number = position + 1, 0

    def skip(self, video: Unreadable) -> None:
        """Add a video that cannot be read, or not to its end."""
        self.unreadable.append(video)
        self.done, self.number = video.index + 1, 0

    def frames(self) -> np.ndarray:
        """Stack the frames, (n, T, R, R, C) uint8."""
        return np.stack([window.frames for window in self.windows])

    def columns(self, labels: np.ndarray) -> dict[str, np.ndarray]:
        """Return all columns but the features; `labels` are those of the list."""
        owners = [position for position, _ in self.videos]
        positions, first, counts = np.unique(owners, return_index=True, return_counts=True)
        videos = [self.videos[place][1] for place in first]
        return {
            "positions": positions,
            "labels": labels[positions],
            "num_frames": np.array([len(video.timeline.frames) for video in videos]),
            "fps": np.array([video.timeline.fps for video in videos]),
            "counts": counts,
            "num_windows": np.array([len(video) for video in videos]),
            "starts": np.array([window.start_seconds for window in self.windows]),
            "ends": np.array([window.end_seconds for window in self.windows]),
            "start_frames": np.array([window.start_frame for window in self.windows]),
            "end_frames": np.array([window.end_frame for window in self.windows]),
        }


def window_rows(
    network: Callable[[Tensor], Tensor],
    config: Config,
    videos: VideoList,
    hop: Hop,
    machine: Machine,
    start: tuple[int, int],
    reporter: Reporter,
) -> Iterator[ExtractedRows]:
    """Yield a row for each window, in order; report videos that are shorter than one.

    Batches are the same wherever an interrupted extraction resumes, and with them the last digits of the features.

    Args:
        network: clips (n, C, T, R, R) -> (n, D).
        config: the length of windows, and the size of a batch.
        videos: the list.
        hop: from a window to the next.
        machine: where and how to compute.
        start: videos of the list to skip, and windows of the next one.
        reporter: warns.
    """
    rule, size, short = build_window_rule(config, config.extract, hop), config.extract.batch_clips, dict[int, str]()
    for batch in prefetch(read_batches(videos, rule, size, start, threads=max(1, machine.workers))):
        columns = {}
        if batch.windows:
            values = forward_frames(network, batch.frames(), machine, rule.crop_size)
            columns = {"features": values, **batch.columns(videos.labels)}
        short |= {position: videos.sample_name(position) for position, video in batch.videos if video.is_short}
        yield ExtractedRows(columns, batch.done, batch.number, batch.unreadable)
    warn_of_short([*short.values()], len(videos), rule, reporter)


def read_batches(
    videos: VideoList, rule: WindowRule, size: int, start: tuple[int, int], threads: int
) -> Iterator[OrderedWindows]:
    """Yield the windows of all videos from `start` on in batches of `size`, filled across videos.

    Each frame is decoded once, and at most a batch and the frames that overlapping windows share are in memory.
    Videos are read one after another, each by several threads.
    """
    done, number = start
    batch = OrderedWindows(done, number)
    for position in range(done, len(videos)):
        try:
            video = open_windows(videos.path(position), rule, videos.interval(position), threads)
            first = number if position == done else 0
            if first and first >= len(video):
                raise UsageError(
                    f"video '{video.path}' has changed: {first} of its windows are extracted, and now it has "
                    f"{len(video)}. Use --overwrite to start over"
                )
            for window in video.read(first):
                batch.add(position, video, window)
                if len(batch.windows) == size:
                    yield batch
                    batch = OrderedWindows(batch.done, batch.number)
        except UnreadableVideo as error:
            batch.skip(Unreadable(position, name_sample(error.path, videos.interval(position)), error.reason))
    if batch.windows or batch.unreadable:
        yield batch


def prefetch(items: Iterator[Item]) -> Iterator[Item]:
    """Yield items while a thread prepares the next one: decoding needs no Python, so both run at once."""
    with ThreadPoolExecutor(1) as thread:
        pending = thread.submit(next, items, None)
        while (item := pending.result()) is not None:
            pending = thread.submit(next, items, None)
            yield item
