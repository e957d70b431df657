"""Which frames make a triplet: where anchor and negative start (README, Method).

Ours is the rule `gap`. The others are the authors', kept to reproduce and to compare: `shift` is their frame data
set's (`data/dataset.py:71-105, 236-267`), `redraw` the variant commented out there (`:242-251`), and `on_the_fly` their
video data set's (`data/video_dataset.py:112-169`), whose clips `sort`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from vtdl_cli.data.clips.sampling import SHORT_VIDEOS, num_starts


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
        threshold: starts closer than this are moved apart, by the authors' rules.
        redraws: how often `redraw` and `on_the_fly` draw the negative, before they move it.
        window: frames that a start leaves to the end where the video has them; none: the span, T times the stride.
        short_videos: a name of `data.sampling.SHORT_VIDEOS`.
        intra_video_negative: off: anchor and positive alone, as nothing will look at a third clip.
    """

    clip_len: int
    stride: int
    negative: str = "gap"
    gap: int | None = None
    threshold: int = 2
    redraws: int = 3
    window: int | None = None
    short_videos: str = "loop"
    intra_video_negative: bool = True

    def __call__(self, num_frames: int, generator: Generator) -> np.ndarray:
        """Frame indices (3, T) of anchor, positive and negative, or (2, T) without the last."""
        return self.indices(self.starts(num_frames, generator), num_frames)

    def starts(self, num_frames: int, generator: Generator) -> Starts:
        """Where the clips of one triplet start."""
        return self.rule.draw(self, self.seen(num_frames), generator)

    def num_starts(self, num_frames: int) -> int:
        """How many places the anchor can start from."""
        return self.rule.num_anchors(self, self.seen(num_frames))

    def indices(self, starts: Starts, num_frames: int) -> np.ndarray:
        """The frames of clips that start there, (3, T) or (2, T)."""
        go_on, seen = SHORT_VIDEOS[self.short_videos], self.seen(num_frames)
        anchor, negative = (go_on(start, seen, self.clip_len, self.stride) for start in starts[:2])
        return np.stack([anchor, anchor, negative] if self.intra_video_negative else [anchor, anchor])

    @property
    def rule(self) -> "Rule":
        """How starts are found."""
        return NEGATIVES[self.negative]

    def seen(self, num_frames: int) -> int:
        """How many frames of a video the rule takes for there."""
        return max(num_frames - self.rule.unseen, 1)

    @property
    def span(self) -> int:
        """Frames that a clip takes of a video."""
        return self.clip_len * self.stride

    @property
    def room(self) -> int:
        """Frames that a start leaves to the end."""
        return self.window or self.span

    @property
    def least_gap(self) -> int:
        """Frames between the two starts, by `gap`, in a video that has the room."""
        return self.span // 4 if self.gap is None else self.gap


class Rule(NamedTuple):
    """A way to find starts: functions of sampler and frames of the video.

    Attributes:
        draw: the starts of a triplet.
        num_anchors: how many places the anchor can start from.
        unseen: frames at the end of a video that it takes for not there.
    """

    draw: Callable[[TripletSampler, int, Generator], Starts]
    num_anchors: Callable[[TripletSampler, int], int]
    unseen: int = 0


# ---- ours


def _at_a_gap(sampler: TripletSampler, num_frames: int, generator: Generator) -> Starts:
    """Start both at least `gap` frames apart.

    In a video of at least window + gap frames neither clip wraps round. In a shorter one both start anywhere and loop,
    so that a jump from the last frame to the first tells nothing about which clip it is; the gap is then counted round
    the loop, and is at most half of it.
    """
    gap = sampler.least_gap
    last = num_frames - sampler.room - gap
    if last >= 0:
        earlier, later = np.sort(generator.integers(last + 1, size=2)) + np.array([0, gap])
        anchor, negative = generator.permutation([earlier, later])
        return Starts(int(anchor), int(negative))
    gap = min(gap, num_frames // 2)
    anchor = int(generator.integers(num_frames))
    return Starts(anchor, int(anchor + generator.integers(gap, num_frames - gap + 1)) % num_frames)


def _anchors_at_a_gap(sampler: TripletSampler, num_frames: int) -> int:
    """Those of the earlier clip and of the later one, which may be the same."""
    places = num_frames - sampler.room - sampler.least_gap + 1
    return places + min(places, sampler.least_gap) if places > 0 else num_frames


# ---- the authors'


def _shifted(sampler: TripletSampler, num_frames: int, generator: Generator) -> Starts:
    """Start each anywhere; move the negative on by a third of the video where it is closer than the threshold."""
    anchor, negative = _start(sampler, num_frames, generator), _start(sampler, num_frames, generator)
    if abs(anchor - negative) >= sampler.threshold:
        return Starts(anchor, negative)
    return Starts(anchor, _move_on(negative, num_frames // 3, num_frames), moved=True)


def _redrawn(sampler: TripletSampler, num_frames: int, generator: Generator) -> Starts:
    """Draw the negative until it is far enough; after the last redraw, it lies by chance further on than the anchor."""
    anchor = _start(sampler, num_frames, generator)
    negative = _redraw(sampler, num_frames, generator, anchor)
    if negative is not None:
        return Starts(anchor, negative)
    distance = int(generator.integers(num_frames // 8, 2 * (num_frames // 3) + 1))
    return Starts(anchor, _move_on(anchor, distance, num_frames), moved=True)


def _on_the_fly(sampler: TripletSampler, num_frames: int, generator: Generator) -> Starts:
    """Draw the negative until it is far enough; after the last redraw, draw it once more and move that on by chance."""
    anchor = _start(sampler, num_frames, generator)
    negative = _redraw(sampler, num_frames, generator, anchor)
    if negative is not None:
        return Starts(anchor, negative)
    distances = max(num_frames // 8, 2 * (num_frames // 3), 1)
    negative = _start(sampler, num_frames, generator) + int(generator.integers(distances))
    return Starts(anchor, negative % num_frames, moved=True)


def _redraw(sampler: TripletSampler, num_frames: int, generator: Generator, anchor: int) -> int | None:
    """The first of `redraws` draws that is as far from the anchor as the threshold; none where none is."""
    for _ in range(sampler.redraws):
        negative = _start(sampler, num_frames, generator)
        if abs(anchor - negative) >= sampler.threshold:
            return negative
    return None


def _start(sampler: TripletSampler, num_frames: int, generator: Generator) -> int:
    return int(generator.integers(sampler.rule.num_anchors(sampler, num_frames)))


def _move_on(start: int, distance: int, num_frames: int) -> int:
    """As in the frame data set, which counts from 1 and takes what then is frame 0 for frame 1."""
    return max((start + 1 + distance) % num_frames, 1) - 1


def _window_starts(sampler: TripletSampler, num_frames: int) -> int:
    return num_starts(num_frames, sampler.room, sampler.short_videos)


def _video_starts(sampler: TripletSampler, num_frames: int) -> int:
    """Two less than fit: the video data set draws below num_frames - span - 1."""
    return max(num_frames - sampler.room - 1, 1)


NEGATIVES = {
    "gap": Rule(_at_a_gap, _anchors_at_a_gap),
    "shift": Rule(_shifted, _window_starts),
    "redraw": Rule(_redrawn, _window_starts),
    "on_the_fly": Rule(_on_the_fly, _video_starts, unseen=1),  # OpenCV, they say, counts one more than can be decoded
}
"""How the negative's start is found, and with it the anchor's."""
