"""Which frames make a triplet: where anchor and negative start (README, Method).

Ours is the rule `gap`. The others are the authors', kept to reproduce and to compare: `shift` is their frame data
set's (`data/dataset.py:71-105, 236-267`), `redraw` the variant commented out there (`:242-251`), and their video data
set's (`data/video_dataset.py:112-169`).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from vtdl_cli.data.sampling import SHORT_VIDEOS, num_starts


class Starts(NamedTuple):
    """First frames of anchor (and positive) and negative, counted from 0; and whether the negative had to be moved."""

    anchor: int
    negative: int
    moved: bool = False


@dataclass(frozen=True)
class TripletSampler:
    """Draws anchor, positive (the same frames) and negative.

    Args:
        clip_len: T, frames of a clip.
        stride: frames from one to the next.
        negative: a name of NEGATIVES.
        gap: least distance of the two starts in frames, by `gap`; none: a quarter of the span.
        threshold: starts closer than this are moved apart, by `shift` and `redraw`.
        redraws: how often `redraw` draws the negative anew, before it moves it.
        window: frames that a start leaves to the end where the video has them; none: the span, T times the stride.
        short_videos: a name of `data.sampling.SHORT_VIDEOS`.
        own_negative: off: anchor and positive alone, as nothing will look at a third clip.
    """

    clip_len: int
    stride: int
    negative: str = "gap"
    gap: int | None = None
    threshold: int = 2
    redraws: int = 3
    window: int | None = None
    short_videos: str = "loop"
    own_negative: bool = True

    def __call__(self, num_frames: int, generator: Generator) -> np.ndarray:
        """Frame indices (3, T) of anchor, positive and negative, or (2, T) without the last."""
        return self.indices(self.starts(num_frames, generator), num_frames)

    def starts(self, num_frames: int, generator: Generator) -> Starts:
        """Where the clips of one triplet start."""
        return NEGATIVES[self.negative](self, num_frames, generator)

    def indices(self, starts: Starts, num_frames: int) -> np.ndarray:
        """The frames of clips that start there, (3, T) or (2, T)."""
        go_on = SHORT_VIDEOS[self.short_videos]
        anchor, negative = (go_on(start, num_frames, self.clip_len, self.stride) for start in starts[:2])
        return np.stack([anchor, anchor, negative] if self.own_negative else [anchor, anchor])

    @property
    def span(self) -> int:
        """Frames that a clip takes of a video."""
        return self.clip_len * self.stride

    @property
    def room(self) -> int:
        """Frames that a start leaves to the end."""
        return self.window or self.span

    def num_starts(self, num_frames: int) -> int:
        """How many places a clip can start from."""
        return num_starts(num_frames, self.room, self.short_videos)

    def start(self, num_frames: int, generator: Generator) -> int:
        """Any of them."""
        return int(generator.integers(self.num_starts(num_frames)))


def _at_a_gap(sampler: TripletSampler, num_frames: int, generator: Generator) -> Starts:
    """Start both at least `gap` frames apart.

    In a video of at least window + gap frames neither clip wraps round. In a shorter one both start anywhere and loop,
    so that a jump from the last frame to the first tells nothing about which clip it is; the gap is then counted round
    the loop, and is at most half of it.
    """
    gap = sampler.span // 4 if sampler.gap is None else sampler.gap
    room = num_frames - sampler.room - gap
    if room >= 0:
        earlier, later = np.sort(generator.integers(room + 1, size=2)) + np.array([0, gap])
        anchor, negative = generator.permutation([earlier, later])
        return Starts(int(anchor), int(negative))
    gap = min(gap, num_frames // 2)
    anchor = int(generator.integers(num_frames))
    return Starts(anchor, int(anchor + generator.integers(gap, num_frames - gap + 1)) % num_frames)


def _shifted(sampler: TripletSampler, num_frames: int, generator: Generator) -> Starts:
    """Start each anywhere; move the negative on by a third of the video where it is closer than the threshold."""
    anchor, negative = sampler.start(num_frames, generator), sampler.start(num_frames, generator)
    if abs(anchor - negative) >= sampler.threshold:
        return Starts(anchor, negative)
    return Starts(anchor, _move_on(negative, num_frames // 3, num_frames), moved=True)


def _redrawn(sampler: TripletSampler, num_frames: int, generator: Generator) -> Starts:
    """Draw the negative anew where it is closer than the threshold; after the last redraw, move it on by chance."""
    anchor = sampler.start(num_frames, generator)
    for _ in range(1 + sampler.redraws):
        negative = sampler.start(num_frames, generator)
        if abs(anchor - negative) >= sampler.threshold:
            return Starts(anchor, negative)
    lowest, highest = num_frames // 8, 2 * (num_frames // 3)
    distance = int(generator.integers(lowest, highest + 1))
    return Starts(anchor, _move_on(negative, distance, num_frames), moved=True)


def _move_on(start: int, distance: int, num_frames: int) -> int:
    """As the authors do, who count from 1 and take what then is frame 0 for frame 1."""
    return max((start + 1 + distance) % num_frames, 1) - 1


NEGATIVES: dict[str, Callable[[TripletSampler, int, Generator], Starts]] = {
    "gap": _at_a_gap,
    "shift": _shifted,
    "redraw": _redrawn,
}
"""How the negative's start is found."""


def triplet_shares(sampler: TripletSampler, num_frames: np.ndarray, seed: int = 0) -> dict[str, float]:
    """What triplets a list's videos give, in percent, from one draw of each.

    Args:
        sampler: that draws them.
        num_frames: of the videos, (N,).
        seed: of the draws.

    Returns:
        `forced_start`: videos whose clips can start in one place alone. `moved_negative`: negatives that were too close
        as drawn. `anchor_jumps`, `negative_jumps`: clips that leave their stride, most often from the end to the start.
        `overlap`: pairs whose intervals have frames in common.
    """
    generator = np.random.default_rng(seed)
    extent = (sampler.clip_len - 1) * sampler.stride + 1
    sampler = replace(sampler, own_negative=True)
    rows = []
    for count in num_frames.tolist():
        starts = sampler.starts(count, generator)
        anchor, _, negative = sampler.indices(starts, count)
        rows.append(
            (
                sampler.num_starts(count) == 1,
                starts.moved,
                (np.diff(anchor) != sampler.stride).any(),
                (np.diff(negative) != sampler.stride).any(),
                abs(starts.anchor - starts.negative) < extent,
            )
        )
    names = ("forced_start", "moved_negative", "anchor_jumps", "negative_jumps", "overlap")
    shares = 100 * np.mean(rows, axis=0)
    return {name: round(float(share), 1) for name, share in zip(names, shares, strict=True)}
