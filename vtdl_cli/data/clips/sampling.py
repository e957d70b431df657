"""When: which frames make a clip. Pure functions of frame counts and a generator.

Frames count from 0. A clip has `clip_len` frames, `stride` apart; its span is clip_len * stride frames. Clips that
reach past the end of a video go on at its beginning, so an index never exceeds the number of frames: they `loop`, by
default. The authors' frame data set has them `restart` at the first frame (`data/dataset.py:95-105`), their video data
set has them `sort` (`data/video_dataset.py:112-169`).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.random import Generator

IndexSampler = Callable[[int, Generator], np.ndarray]
"""(number of frames, generator) -> frame indices (V, T) of V clips of T frames."""


def looped(start: int, num_frames: int, clip_len: int, stride: int) -> np.ndarray:
    """Keep the stride round the end."""
    return (start + stride * np.arange(clip_len)) % num_frames


def restarted(start: int, num_frames: int, clip_len: int, stride: int) -> np.ndarray:
    """Past the end, go on at frame 0, whatever the distance to the last one was."""
    again = np.arange(0, num_frames, stride)
    return np.concatenate([np.arange(start, num_frames, stride), np.tile(again, clip_len)])[:clip_len]


def put_in_order(start: int, num_frames: int, clip_len: int, stride: int) -> np.ndarray:
    """Go round the video, then sort: a clip that wrapped loses the order of its frames.

    A frame that has been shown already gives way to the next one, up to the last of the video.
    """
    steps = np.arange(clip_len)
    in_order = np.sort(looped(start, num_frames, clip_len, stride))
    rising = np.maximum.accumulate(in_order - steps) + steps
    return np.minimum(rising, num_frames - 1)


SHORT_VIDEOS: dict[str, Callable[[int, int, int, int], np.ndarray]] = {
    "loop": looped,
    "restart": restarted,
    "sort": put_in_order,
}
"""How a clip goes on past the end: (start, frames of the video, T, stride) -> (T,)."""


def num_starts(num_frames: int, span: int, short_videos: str) -> int:
    """How many frames a clip can start from: those that leave the whole span to the end.

    In a video shorter than that a clip that loops may start anywhere, and any other at the first frame alone.
    """
    room = num_frames - span
    if room >= 0:
        return room + 1
    return num_frames if short_videos == "loop" else 1


def uniform_starts(num_frames: int, span: int, clips: int) -> np.ndarray:
    """Starts (clips,) spread evenly from the first to the last possible one; a single clip stands in the middle."""
    room = max(num_frames - span, 0)
    places = np.linspace(0, room, clips) if clips > 1 else np.array([room / 2])
    return places.round().astype(np.int64)


@dataclass(frozen=True)
class ClipSampler:
    """Clips that start where a rule says. It pickles, as data loader workers need where they are not forked.

    Args:
        starts: (number of frames, generator) -> first frame of each clip.
        clip_len: T, frames of a clip.
        stride: frames from one to the next.
        short_videos: a name of SHORT_VIDEOS.
    """

    starts: Callable[[int, Generator], Iterable[int]]
    clip_len: int
    stride: int
    short_videos: str

    def __call__(self, num_frames: int, generator: Generator) -> np.ndarray:
        """Frame indices (V, T)."""
        go_on, starts = SHORT_VIDEOS[self.short_videos], self.starts(num_frames, generator)
        return np.stack([go_on(start, num_frames, self.clip_len, self.stride) for start in starts])


def random_clip(clip_len: int, stride: int, short_videos: str = "loop") -> ClipSampler:
    """One clip that starts at random."""
    starts = partial(_draw_start, span=clip_len * stride, short_videos=short_videos)
    return ClipSampler(starts, clip_len, stride, short_videos)


def _draw_start(num_frames: int, generator: Generator, *, span: int, short_videos: str) -> list[int]:
    return [int(generator.integers(num_starts(num_frames, span, short_videos)))]


def uniform_clips(clip_len: int, stride: int, clips: int, short_videos: str = "loop") -> ClipSampler:
    """`clips` clips spread evenly over the video; the generator is not used."""
    starts = partial(_spread_starts, span=clip_len * stride, clips=clips)
    return ClipSampler(starts, clip_len, stride, short_videos)


def _spread_starts(num_frames: int, _generator: Generator, *, span: int, clips: int) -> list[int]:
    starts: list[int] = uniform_starts(num_frames, span, clips).tolist()
    return starts


def consecutive_clips(clip_len: int, stride: int, short_videos: str = "loop") -> ClipSampler:
    """Clips one after another that cover the video: no frame is `stride` or more away from one that is shown.

    The last clip ends with the video, and so may overlap the one before it. The generator is not used.
    """
    starts = partial(_covering_starts, span=clip_len * stride, extent=(clip_len - 1) * stride + 1)
    return ClipSampler(starts, clip_len, stride, short_videos)


def _covering_starts(num_frames: int, _generator: Generator, *, span: int, extent: int) -> list[int]:
    starts = list(range(0, max(num_frames - extent, 0) + 1, span))
    if starts[-1] + span < num_frames:
        starts.append(num_frames - extent)
    return starts


def fixed_clips(clip_len: int, stride: int, starts: Sequence[int], short_videos: str = "loop") -> ClipSampler:
    """Clips that start at these frames, where a whole clip fits; the generator is not used.

    A start whose clip does not fit gives way to those that do, in turn: a video that has room for one of two starts
    shows that clip twice, whose mean is the clip's own. Where none fits the earliest stays, and goes on past the end.
    """
    fitting = partial(_fitting_starts, wanted=tuple(starts), extent=(clip_len - 1) * stride + 1)
    return ClipSampler(fitting, clip_len, stride, short_videos)


def _fitting_starts(num_frames: int, _generator: Generator, *, wanted: Sequence[int], extent: int) -> list[int]:
    fitting = [start for start in wanted if start + extent <= num_frames] or [min(*wanted, num_frames - 1)]
    return [fitting[place % len(fitting)] for place in range(len(wanted))]
