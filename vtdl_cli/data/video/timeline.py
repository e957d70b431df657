"""Time: which frames of a video make up an interval of it, at a frame rate of choice.

A sample of a video is an array of frames of its file, in order: all of them, those of an interval in seconds, or those
nearest to moments that are evenly spaced in time. Samplers draw from that array, and need not know how it came about.

Shapes: `N` frames of the file, `L` frames of the sample.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vtdl_cli.data.video.reader import VideoReader, VideoScan
from vtdl_cli.errors import UnreadableVideo

TOLERANCE_SECONDS = 0.5  # that an interval may end after its video: annotations round durations
TIE_SECONDS = 1e-6  # below any unit of time stamps: a moment half way between two frames takes the later


BY_RATE = "which data.frame_rate needs: use video files, or --set data.frame_rate=null"
BY_INTERVAL = "which an interval in seconds needs: use the video file"


class Interval(NamedTuple):
    """A part of a video, in seconds from its first frame: from `start` up to, but not including, `end`."""

    start: float
    end: float


def interval_at(intervals: NDArray[np.float64] | None, index: int) -> Interval | None:
    """Return a row of starts and ends, float64 [N, 2]; None for a whole video: a row of NaN, or no array at all."""
    if intervals is None or np.isnan(intervals[index]).any():
        return None
    return Interval(*intervals[index].tolist())


def name_sample(path: str, interval: Interval | None) -> str:
    """Return what identifies a sample: the path of a whole video, `clip.mp4#t=2,3` of an interval (W3C fragments)."""
    return path if interval is None else f"{path}#t={interval.start:.12g},{interval.end:.12g}"


def name_samples(paths: Sequence[str], intervals: NDArray[np.float64] | None) -> list[str]:
    """Return what identifies each of N samples; see `interval_at` and `name_sample`."""
    return [name_sample(path, interval_at(intervals, index)) for index, path in enumerate(paths)]


class Timeline(NamedTuple):
    """The L frames of a sample, in time.

    Attributes:
        frames: int64 [L], their numbers in the file, in ascending order; L is at least 1.
        edges: float64 [L + 1], seconds from the first frame of the file to the moment at which each begins, and to that
            at which the last one ends; NaN if unknown.
        fps: frames a second of the file, on average; NaN if unknown.
    """

    frames: NDArray[np.int64]
    edges: NDArray[np.float64]
    fps: float = np.nan

    def times(self, indices: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return of frames [...] of the sample their numbers in the file, the next ones, starts and ends: [..., 4]."""
        numbers = self.frames[indices]
        return np.stack([numbers, numbers + 1, self.edges[indices], self.edges[indices + 1]], -1).astype(np.float64)


def sampled_frames(
    path: Path, scan: VideoScan, interval: Interval | None, frame_rate: float | None
) -> NDArray[np.int64]:
    """Return the frames of a file that make up a sample, int64 [L], see `sample_timeline`."""
    if interval is None and frame_rate is None:
        return np.arange(scan.num_frames)
    return sample_timeline(path, scan, interval, frame_rate).frames


def sample_timeline(path: Path, scan: VideoScan, interval: Interval | None, frame_rate: float | None) -> Timeline:
    """Return the frames of a file that make up a sample, and their times.

    Frames are taken at the times that the file gives them where it has reliable ones, else as evenly spaced. An
    interval holds the frames from the one that begins nearest to its start up to the one that begins nearest to its
    end, so that adjoining intervals share none.

    Args:
        path: of the video, for messages.
        scan: its properties.
        interval: None: the whole video.
        frame_rate: frames a second: a sample has as many as its duration holds, each the one that begins nearest to its
            moment, so that frames are skipped or repeated; None: every frame of the interval.

    Raises:
        UnreadableVideo: the interval is outside the video, or the times of its frames are unknown and needed.
    """
    fps = scan.frame_rate or np.nan
    if interval is None and frame_rate is None and not has_times(scan):
        return Timeline(np.arange(scan.num_frames), np.full(scan.num_frames + 1, np.nan), fps)
    edges = _frame_edges(path, scan, BY_RATE if interval is None else BY_INTERVAL)
    first, stop = (0, scan.num_frames) if interval is None else _cut(path, edges, interval)
    if frame_rate is None:
        return Timeline(np.arange(first, stop), edges[first : stop + 1], fps)
    count = max(1, int((edges[stop] - edges[first]) * frame_rate + 0.5))
    moments = edges[first] + np.arange(count + 1) / frame_rate
    return Timeline(np.clip(nearest_frames(edges, moments[:-1]), first, stop - 1), moments, fps)


def has_times(scan: VideoScan) -> bool:
    """Whether it is known when each frame is shown."""
    return bool(scan.frame_rate) or (scan.times is not None and scan.num_frames > 1)


def _frame_edges(path: Path, scan: VideoScan, needed_by: str) -> NDArray[np.float64]:
    """Return the times in seconds at which each frame begins, and at which the last one ends, float64 [N + 1]."""
    if scan.times is not None and scan.num_frames > 1:
        mean = scan.times[-1] / (scan.num_frames - 1)
        return np.append(scan.times, scan.times[-1] + mean)
    if not scan.frame_rate:
        what = "a folder of frames has no frame rate" if path.is_dir() else "its frame rate is unknown"
        raise UnreadableVideo(str(path), f"{what}, {needed_by}")
    edges: NDArray[np.float64] = np.arange(scan.num_frames + 1) / scan.frame_rate
    return edges


def _cut(path: Path, edges: NDArray[np.float64], interval: Interval) -> tuple[int, int]:
    """Return the first frame of an interval and the one after its last."""
    if reason := why_outside(interval, edges[-1], edges[-1] - edges[-2]):
        raise UnreadableVideo(str(path), reason)
    first, stop = nearest_frames(edges, interval).tolist()
    first = min(first, len(edges) - 2)
    return first, max(stop, first + 1)


def why_outside(interval: Interval, duration_seconds: float, frame_seconds: float) -> str:
    """Return why an interval is not one of a video of this duration; empty if it is.

    It may end later by half a second, or by a frame where that is longer, and then ends with the video.
    """
    beyond = duration_seconds + max(TOLERANCE_SECONDS, frame_seconds)
    if interval.start < duration_seconds and interval.end <= beyond:
        return ""
    start, end = (f"{moment:.12g}" for moment in interval)
    return f"the interval from {start} to {end} s is not within its {duration_seconds:.2f} s"


def nearest_frames(edges: NDArray[np.float64], moments: ArrayLike) -> NDArray[np.int64]:
    """Return the edge that is nearest to each moment, the later of two."""
    return np.searchsorted((edges[1:] + edges[:-1]) / 2, np.asarray(moments) + TIE_SECONDS, side="right")


class SampleReader:
    """A video seen through its timeline: frame j of the sample is frame `frames[j]` of the file.

    Args:
        reader: of the file.
        timeline: of the sample.
        frame_rate: of the sample; None: that of the file.
    """

    def __init__(self, reader: VideoReader, timeline: Timeline, frame_rate: float | None) -> None:
        self._reader, self.timeline, self._frame_rate = reader, timeline, frame_rate
        self.num_frames = len(timeline.frames)

    @property
    def scan(self) -> VideoScan:
        """The properties of the sample."""
        scan = self._reader.scan
        rate = scan.frame_rate if self._frame_rate is None else self._frame_rate
        return replace(scan, num_frames=self.num_frames, frame_rate=rate, times=None, seek_table=None)

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """See `VideoReader.read`."""
        wanted = np.asarray(indices, dtype=np.int64)
        if wanted.size and (wanted.min() < 0 or wanted.max() >= self.num_frames):
            raise IndexError(f"frames {wanted.min()} to {wanted.max()} requested, of a sample of {self.num_frames}")
        return self._reader.read(self.timeline.frames[wanted])

    def close(self) -> None:
        """Close the file."""
        self._reader.close()


def sample_reader(
    path: Path, reader: VideoReader, interval: Interval | None = None, frame_rate: float | None = None
) -> VideoReader:
    """Return the reader itself for a whole video at its own rate, else one that reads a sample of it.

    Raises:
        UnreadableVideo: see `sample_timeline`.
    """
    if interval is None and frame_rate is None:
        return reader
    return SampleReader(reader, sample_timeline(path, reader.scan, interval, frame_rate), frame_rate)


def timeline_of(path: Path, reader: VideoReader) -> Timeline:
    """Return the timeline of what a reader of `sample_reader` shows; it may have it ready."""
    ready: Timeline | None = getattr(reader, "timeline", None)
    return sample_timeline(path, reader.scan, None, None) if ready is None else ready


def select_frames(frames: Iterable[np.ndarray], wanted: NDArray[np.int64]) -> Iterator[np.ndarray]:
    """Yield the frames with the numbers `wanted`, [L] in ascending order; a number may occur several times."""
    numbered, number, frame = enumerate(frames), -1, np.empty(0)
    for each in wanted.tolist():
        while number < each:
            number, frame = next(numbered)
        yield frame
