"""Temporal sampling: which frames make a clip, as pure functions of the number of frames and a generator.

Frames count from 0. A clip has `clip_len` frames, `stride` apart; its span is clip_len * stride frames. A clip that
reaches past the end of a video continues at its beginning, so that all indices are valid: by default it `loop`s. The
authors' frame data set lets it `restart` at the first frame (`data/dataset.py:95-105`), their video data set `sort`s
its frames (`data/video_dataset.py:112-169`).
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.random import Generator

IndexSampler = Callable[[int, Generator], np.ndarray]
"""(number of frames, generator) -> frame indices (V, T) of V clips of T frames."""


def loop_clip(start: int, num_frames: int, clip_len: int, stride: int) -> np.ndarray:
    """Wrap round at the end of the video, keeping the stride."""
    return (start + stride * np.arange(clip_len)) % num_frames


def restart_clip(start: int, num_frames: int, clip_len: int, stride: int) -> np.ndarray:
    """Continue at frame 0 after the last frame within the video, whatever the distance."""
    again = np.arange(0, num_frames, stride)
    return np.concatenate([np.arange(start, num_frames, stride), np.tile(again, clip_len)])[:clip_len]


def sort_clip(start: int, num_frames: int, clip_len: int, stride: int) -> np.ndarray:
    """Loop, then sort: a clip that wrapped round loses the order of its frames.

    A repeated frame is replaced by the next one, up to the last frame of the video.
    """
    steps = np.arange(clip_len)
    in_order = np.sort(loop_clip(start, num_frames, clip_len, stride))
    rising = np.maximum.accumulate(in_order - steps) + steps
    return np.minimum(rising, num_frames - 1)


SHORT_VIDEOS: dict[str, Callable[[int, int, int, int], np.ndarray]] = {
    "loop": loop_clip,
    "restart": restart_clip,
    "sort": sort_clip,
}
"""How a clip continues past the end of the video: (start, frames of the video, T, stride) -> indices (T,)."""


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


def random_clip(clip_len: int, stride: int, short_videos: str = "loop") -> IndexSampler:
    """Sample one clip with a random start."""
    indices = SHORT_VIDEOS[short_videos]

    def sample(num_frames: int, generator: Generator) -> np.ndarray:
        start = int(generator.integers(num_starts(num_frames, clip_len * stride, short_videos)))
        return indices(start, num_frames, clip_len, stride)[None]

    return sample


def uniform_clips(clip_len: int, stride: int, clips: int, short_videos: str = "loop") -> IndexSampler:
    """Sample `clips` clips spread evenly over the video; the generator is not used."""
    indices = SHORT_VIDEOS[short_videos]

    def sample(num_frames: int, _generator: Generator) -> np.ndarray:
        starts = uniform_starts(num_frames, clip_len * stride, clips).tolist()
        return np.stack([indices(start, num_frames, clip_len, stride) for start in starts])

    return sample


def consecutive_clips(clip_len: int, stride: int, short_videos: str = "loop") -> IndexSampler:
    """Sample consecutive clips that cover the video: every frame is less than `stride` away from a sampled one.

    The last clip ends at the end of the video, and may overlap the one before it. The generator is not used.
    """
    indices, span, extent = SHORT_VIDEOS[short_videos], clip_len * stride, (clip_len - 1) * stride + 1

    def sample(num_frames: int, _generator: Generator) -> np.ndarray:
        starts = list(range(0, max(num_frames - extent, 0) + 1, span))
        if starts[-1] + span < num_frames:
            starts.append(num_frames - extent)
        return np.stack([indices(start, num_frames, clip_len, stride) for start in starts])

    return sample


def fixed_clips(clip_len: int, stride: int, starts: Sequence[int], short_videos: str = "loop") -> IndexSampler:
    """Sample clips at fixed start frames, if a whole clip fits there; the generator is not used.

    A start whose clip does not fit is replaced by those that do, in turn: with room for one of two starts that clip is
    sampled twice, and the mean of both is the clip's own. If none fits, the earliest stays and continues past the end.
    """
    indices, extent = SHORT_VIDEOS[short_videos], (clip_len - 1) * stride + 1

    def sample(num_frames: int, _generator: Generator) -> np.ndarray:
        fitting = [start for start in starts if start + extent <= num_frames] or [min(*starts, num_frames - 1)]
        kept = [fitting[place % len(fitting)] for place in range(len(starts))]
        return np.stack([indices(start, num_frames, clip_len, stride) for start in kept])

    return sample
