"""Windows that slide over whole videos: centre crops of one length at even distances, each frame decoded once.

A window shows T frames, `stride` apart, and lies within the video; the last one ends less than a hop before it does. A
video that is shorter than a window has a single one, which continues as clips do (see `data.clips.sampling`).

Shapes: W windows of T frames; frames are (H, W, C) uint8 as decoded, (R, R, C) as cut out; a sample has L frames.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vtdl_cli.data.clips.sampling import SHORT_VIDEOS
from vtdl_cli.data.clips.views import FixedViews
from vtdl_cli.data.video.decoding import open_sequential
from vtdl_cli.data.video.reader import SequentialReader
from vtdl_cli.data.video.resizing import resize_shown
from vtdl_cli.data.video.timeline import Interval, Timeline, nearest_frames, sample_timeline, select_frames
from vtdl_cli.data.video.whole_video import stored_frames
from vtdl_cli.errors import UnreadableVideo
from vtdl_cli.text import counted


class Hop(NamedTuple):
    """The distance from the start of a window to that of the next; at least one frame, however short in seconds."""

    distance: float
    unit: Literal["frames", "seconds"]


class Window(NamedTuple):
    """One window.

    Attributes:
        start_frame, end_frame: its first frame in the file, and the one after its last.
        start_seconds, end_seconds: when the first frame begins, and the last one ends; NaN if unknown.
        frames: (T, R, R, C) uint8, in order.
    """

    start_frame: int
    end_frame: int
    start_seconds: float
    end_seconds: float
    frames: np.ndarray


@dataclass(frozen=True)
class CentreView:
    """Cuts the centre out of a frame, as evaluation sees it.

    Args:
        short_side: pixels to which frames are resized first.
        crop_size: R.
        pixel_aspect: of the frames, see `VideoScan`.
    """

    short_side: int
    crop_size: int
    pixel_aspect: Fraction = Fraction(1)

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """Return the square (R, R, C) of a frame (H, W, C)."""
        frames = resize_shown(frame[None], self.pixel_aspect, self.short_side)
        windows, _ = FixedViews(self.crop_size)(frames, np.zeros((1, 1), int), np.random.default_rng(0))  # none drawn
        square: np.ndarray = windows[0, 0]
        return square


@dataclass(frozen=True)
class WindowRule:
    """How windows slide over videos.

    Attributes:
        clip_len: T.
        stride: frames from one to the next.
        hop: None: windows adjoin, a span of T * stride frames apart.
        short_videos: a key of SHORT_VIDEOS, for videos that are shorter than a window.
        short_side, crop_size: see `CentreView`.
        flow: read folders of optical flow.
        frame_rate: frames a second that T, stride and hops count; None: the frames of the files.
    """

    clip_len: int
    stride: int
    hop: Hop | None
    short_videos: str
    short_side: int
    crop_size: int
    flow: bool = False
    frame_rate: float | None = None

    @property
    def extent(self) -> int:
        """Number of frames from the first of a window to its last."""
        return (self.clip_len - 1) * self.stride + 1

    @property
    def effective_hop(self) -> Hop:
        """The hop, or the one by which windows adjoin."""
        return self.hop or Hop(self.clip_len * self.stride, "frames")

    @property
    def description(self) -> str:
        """How windows slide: `windows of 16 frames every 8 frames`."""
        hop = self.effective_hop
        return f"windows of {counted(self.extent, 'frame')} every {counted(float(hop.distance), hop.unit[:-1])}"

    def starts(self, timeline: Timeline) -> NDArray[np.int64]:
        """Return the frames of a sample at which windows start, [W]."""
        distance, unit = self.effective_hop
        last = max(len(timeline.frames) - self.extent, 0)
        if unit == "frames":
            return np.arange(0, last + 1, int(distance))
        edges = timeline.edges - timeline.edges[0]
        if distance <= np.diff(edges[: last + 2]).min():  # one for each frame, however many moments it would be
            return np.arange(last + 1)
        moments = np.arange(int(edges[last] / distance) + 2) * distance
        starts = np.unique(nearest_frames(edges, moments))
        return starts[starts <= last]


@dataclass(frozen=True)
class VideoWindows:
    """The windows of one video; nothing is decoded yet.

    Attributes:
        path: a file or folder.
        rule: how they slide.
        reader: of the video.
        timeline: of the sample of it that they slide over.
        starts: the frames of the sample at which they start, [W].
        threads: that resize frames.
    """

    path: Path
    rule: WindowRule
    reader: SequentialReader
    timeline: Timeline
    starts: NDArray[np.int64]
    threads: int = 1

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def is_short(self) -> bool:
        """Whether the video is shorter than a window."""
        return len(self.timeline.frames) < self.rule.extent

    def read(self, first: int = 0) -> Iterator[Window]:
        """Yield the windows from number `first` on, each as soon as its last frame is decoded.

        No more frames are in memory than those that overlapping windows share.

        Raises:
            UnreadableVideo: the video is damaged, or its frames differ in size.
        """
        rule, count = self.rule, len(self.timeline.frames)
        stored = select_frames(stored_frames(self.path, self.reader), self.timeline.frames)
        view = CentreView(rule.short_side, rule.crop_size, self.reader.scan.pixel_aspect)
        continued, starts = SHORT_VIDEOS[rule.short_videos], self.starts[first:].tolist()
        clips = (continued(start, count, rule.clip_len, rule.stride) for start in starts)
        with ThreadPoolExecutor(self.threads) as pool:
            windows = slide(stored, clips, view, pool if self.threads > 1 else None)
            for start, frames in zip(starts, windows, strict=True):
                yield self._describe(start, frames)

    def _describe(self, start: int, frames: np.ndarray) -> Window:
        (numbers, edges, _), end = self.timeline, min(start + self.rule.extent, len(self.timeline.frames))
        return Window(int(numbers[start]), int(numbers[end - 1]) + 1, float(edges[start]), float(edges[end]), frames)


def open_windows(path: Path, rule: WindowRule, interval: Interval | None = None, threads: int = 1) -> VideoWindows:
    """Find the windows of a video, or of an interval of it.

    Args:
        path: a file or folder.
        rule: how windows slide.
        interval: the part of the video that they slide over; None: all of it.
        threads: that decode it, and as many that resize its frames.

    Raises:
        UnreadableVideo: it cannot be opened, or the times of its frames are unknown and needed.
    """
    reader = open_sequential(path, flow=rule.flow, threads=threads)
    timeline = sample_timeline(path, reader.scan, interval, rule.frame_rate)
    if rule.hop and rule.hop.unit == "seconds" and np.isnan(timeline.edges).any():
        what = "a folder of frames has no frame rate" if path.is_dir() else "its frame rate is unknown"
        raise UnreadableVideo(str(path), f"{what}, which a hop in seconds needs")
    return VideoWindows(path, rule, reader, timeline, rule.starts(timeline), threads)


def slide(
    frames: Iterable[np.ndarray],
    clips: Iterable[np.ndarray],
    view: Callable[[np.ndarray], np.ndarray],
    pool: Executor | None = None,
) -> Iterator[np.ndarray]:
    """Yield the frames of each clip, (T, ...), as soon as its last one is read.

    Args:
        frames: all frames of a video, in order.
        clips: the numbers of each clip's frames, (T,); both the first and the last frames of the clips ascend.
        view: applied once to each frame that a clip shows; the others are dropped.
        pool: applies it, while further frames are read; None: the calling thread does.
    """
    upcoming = iter(clips)
    following = next(upcoming, None)
    begun, kept = deque[np.ndarray](), dict[int, Callable[[], np.ndarray]]()
    for number, frame in enumerate(frames):
        while following is not None and following.min() <= number:
            begun.append(following)
            following = next(upcoming, None)
        if any((clip == number).any() for clip in begun):
            kept[number] = pool.submit(view, frame).result if pool else partial(_itself, view(frame))
        while begun and begun[0].max() <= number:
            yield np.stack([kept[index]() for index in begun.popleft().tolist()])
            first = begun[0].min() if begun else number + 1
            kept = {index: each for index, each in kept.items() if index >= first}
        if not begun and following is None:
            return


def _itself(frame: np.ndarray) -> np.ndarray:
    return frame
