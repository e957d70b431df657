"""When: which frames make a clip. Pure functions of frame counts and a generator.

Frames count from 0. A clip has `clip_len` frames, `stride` apart; its span is clip_len * stride frames. Clips that
reach past the end of a video go on at its beginning, so an index never exceeds the number of frames.
"""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator

IndexSampler = Callable[[int, Generator], np.ndarray]
"""(number of frames, generator) -> frame indices (V, T) of V clips of T frames."""


def clip_indices(start: int | np.ndarray, num_frames: int, clip_len: int, stride: int) -> np.ndarray:
    """Frame indices of clips that start at `start`: (T,) for one start, (V, T) for V of them."""
    return (np.asarray(start)[..., None] + stride * np.arange(clip_len)) % num_frames


def random_start(num_frames: int, span: int, generator: Generator) -> int:
    """Anywhere from which the whole span fits; anywhere at all in a video shorter than that."""
    room = num_frames - span
    return int(generator.integers(room + 1 if room >= 0 else num_frames))


def uniform_starts(num_frames: int, span: int, clips: int) -> np.ndarray:
    """Starts (clips,) spread evenly from the first to the last possible one; a single clip stands in the middle."""
    room = max(num_frames - span, 0)
    places = np.linspace(0, room, clips) if clips > 1 else np.array([room / 2])
    return places.round().astype(np.int64)


def random_clip(clip_len: int, stride: int) -> IndexSampler:
    """One clip that starts at random."""

    def sample(num_frames: int, generator: Generator) -> np.ndarray:
        start = random_start(num_frames, clip_len * stride, generator)
        return clip_indices(np.array([start]), num_frames, clip_len, stride)

    return sample


def uniform_clips(clip_len: int, stride: int, clips: int) -> IndexSampler:
    """`clips` clips spread evenly over the video; the generator is not used."""

    def sample(num_frames: int, _generator: Generator) -> np.ndarray:
        return clip_indices(uniform_starts(num_frames, clip_len * stride, clips), num_frames, clip_len, stride)

    return sample
