"""Temporal sampling: which frames make a clip, as pure functions of the number of frames and a generator.

Frames count from 0. A clip has `clip_len` frames, `stride` apart; its span is clip_len * stride frames. A clip that
reaches past the end of a video continues at its beginning, so that all indices are valid: by default it `loop`s. The
authors' frame data set lets it `restart` at the first frame (`data/dataset.py:95-105`), their video data set `sort`s
its frames (`data/video_dataset.py:112-169`).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.random import Generator

IndexSampler = Callable[[int, Generator], np.ndarray]
"""(number of frames, generator) -> frame indices (V, T) of V clips of T frames."""

Ints = int | np.ndarray
"""One, or a column (N, 1) of them."""


def loop_clip(start: Ints, num_frames: Ints, clip_len: int, stride: Ints) -> np.ndarray:
    """Wrap round at the end of the video, keeping the stride."""
    indices: np.ndarray = (start + stride * np.arange(clip_len)) % num_frames
    return indices


def restart_clip(start: Ints, num_frames: Ints, clip_len: int, stride: Ints) -> np.ndarray:
    """Continue at frame 0 after the last frame within the video, whatever the distance."""
    steps = np.arange(clip_len)
    until_end, from_0 = -((start - num_frames) // stride), -(-num_frames // stride)  # frames of the clip in one pass
    return np.where(steps < until_end, start + stride * steps, stride * ((steps - until_end) % from_0))


def sort_clip(start: Ints, num_frames: Ints, clip_len: int, stride: Ints) -> np.ndarray:
    """Loop, then sort: a clip that wrapped round loses the order of its frames.

    A repeated frame is replaced by the next one, up to the last frame of the video.
    """
    steps = np.arange(clip_len)
    in_order = np.sort(loop_clip(start, num_frames, clip_len, stride))
    rising = np.maximum.accumulate(in_order - steps, axis=-1) + steps
    return np.minimum(rising, num_frames - 1)


SHORT_VIDEOS: dict[str, Callable[[Ints, Ints, int, Ints], np.ndarray]] = {
    "loop": loop_clip,
    "restart": restart_clip,
    "sort": sort_clip,
}
"""How a clip continues past the end of the video: (start, frames of the video, T, stride) -> indices (T,); of
(N, 1) starts, frames and strides (N, T)."""


def num_starts(num_frames: int, span: int, short_videos: str) -> int:
    """Count the frames that a clip can start from: those with a whole span up to the end.

    In a shorter video a looping clip may start at any frame, any other clip at the first frame only.
    """
    room = num_frames - span
    if room >= 0:
        return room + 1
    return num_frames if short_videos == "loop" else 1


def uniform_starts(num_frames: int, span: int, clips: int) -> np.ndarray:
    """Return starts (clips,) spread evenly from the first to the last possible one; a single clip is centred."""
    room = max(num_frames - span, 0)
    places = np.linspace(0, room, clips) if clips > 1 else np.array([room / 2])
    return places.round().astype(np.int64)


@dataclass(frozen=True)
class ClipSampler:
    """Samples clips of one length at the start frames of a rule. Picklable, for workers that are not forked.

    Args:
        starts: (number of frames, generator) -> first frame of each clip.
        clip_len: T, frames of a clip.
        stride: frames from one to the next.
        short_videos: a key of SHORT_VIDEOS.
    """

    starts: Callable[[int, Generator], Iterable[int]]
    clip_len: int
    stride: int
    short_videos: str

    def __call__(self, num_frames: int, generator: Generator) -> np.ndarray:
        """Sample frame indices (V, T)."""
        indices, starts = SHORT_VIDEOS[self.short_videos], self.starts(num_frames, generator)
        return np.stack([indices(start, num_frames, self.clip_len, self.stride) for start in starts])


def random_clip(clip_len: int, stride: int, short_videos: str = "loop", *, views: int = 1) -> ClipSampler:
    """Sample one clip with a random start, the same `views` times."""
    starts = partial(_draw_start, span=clip_len * stride, short_videos=short_videos, views=views)
    return ClipSampler(starts, clip_len, stride, short_videos)


def _draw_start(num_frames: int, generator: Generator, *, span: int, short_videos: str, views: int) -> list[int]:
    return [int(generator.integers(num_starts(num_frames, span, short_videos)))] * views


@dataclass(frozen=True)
class SpeedSampler:
    """Samples one clip at a random stride, from 1 to the largest at which a clip fits into the video, at most `speeds`.

    So no clip of a video of at least `clip_len` frames continues past its end.

    Args:
        clip_len: T, frames of a clip, at least 2.
        speeds: the largest stride in frames.
        short_videos: a key of SHORT_VIDEOS.
    """

    clip_len: int
    speeds: int
    short_videos: str

    def __call__(self, num_frames: int, generator: Generator) -> np.ndarray:
        """Sample frame indices (1, T)."""
        stride = int(generator.integers(1, self.count_speeds(num_frames) + 1))
        extent = (self.clip_len - 1) * stride + 1
        start = int(generator.integers(num_starts(num_frames, extent, self.short_videos)))
        return SHORT_VIDEOS[self.short_videos](start, num_frames, self.clip_len, stride)[None]

    def count_speeds(self, num_frames: int) -> int:
        """Count the speeds at which a clip fits into a video; 1 if none does."""
        return min(max((num_frames - 1) // (self.clip_len - 1), 1), self.speeds)


def strides_of(indices: np.ndarray, num_frames: int) -> np.ndarray:
    """Return the frames from the first to the second of each clip (V, T), round the end of the video; 0 if T is 1."""
    strides: np.ndarray = (indices[:, 1:2] - indices[:, :1]).sum(1) % num_frames
    return strides


def uniform_clips(clip_len: int, stride: int, clips: int, short_videos: str = "loop") -> ClipSampler:
    """Sample `clips` clips spread evenly over the video; the generator is not used."""
    starts = partial(_spread_starts, span=clip_len * stride, clips=clips)
    return ClipSampler(starts, clip_len, stride, short_videos)


def _spread_starts(num_frames: int, _generator: Generator, *, span: int, clips: int) -> list[int]:
    starts: list[int] = uniform_starts(num_frames, span, clips).tolist()
    return starts


def consecutive_clips(clip_len: int, stride: int, short_videos: str = "loop") -> ClipSampler:
    """Sample consecutive clips that cover the video: every frame is less than `stride` away from a sampled one.

    The last clip ends at the end of the video, and may overlap the one before it. The generator is not used.
    """
    starts = partial(_covering_starts, span=clip_len * stride, extent=(clip_len - 1) * stride + 1)
    return ClipSampler(starts, clip_len, stride, short_videos)


def _covering_starts(num_frames: int, _generator: Generator, *, span: int, extent: int) -> list[int]:
    starts = list(range(0, max(num_frames - extent, 0) + 1, span))
    if starts[-1] + span < num_frames:
        starts.append(num_frames - extent)
    return starts


def fixed_clips(clip_len: int, stride: int, starts: Sequence[int], short_videos: str = "loop") -> ClipSampler:
    """Sample clips at fixed start frames, if a whole clip fits there; the generator is not used.

    A start whose clip does not fit is replaced by those that do, in turn: with room for one of two starts that clip is
    sampled twice, and the mean of both is the clip's own. If none fits, the earliest stays and continues past the end.
    """
    fitting = partial(_fitting_starts, wanted=tuple(starts), extent=(clip_len - 1) * stride + 1)
    return ClipSampler(fitting, clip_len, stride, short_videos)


def _fitting_starts(num_frames: int, _generator: Generator, *, wanted: Sequence[int], extent: int) -> list[int]:
    fitting = [start for start in wanted if start + extent <= num_frames] or [min(*wanted, num_frames - 1)]
    return [fitting[place % len(fitting)] for place in range(len(wanted))]
