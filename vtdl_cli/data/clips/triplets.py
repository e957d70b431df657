"""Temporal sampling of triplets: where anchor and negative start (method/README).

Three rules are ours. By two of them no clip of a video of at least T frames jumps from its end to its beginning: in a
short video either the distance of the two clips shrinks (`shrink_gap`, the default) or their stride (`shrink_stride`).
By `gap` short videos loop: the place of the jump then tells which clip is the positive, and little else is learned. The
others are the authors', for reproduction and comparison: `shift` is that of their frame data set
(`data/dataset.py:71-105, 236-267`), `redraw` the variant commented out there (`:242-251`), and `on_the_fly` that of
their video data set (`data/video_dataset.py:112-169`), whose clips `sort`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from vtdl_cli.data.clips.sampling import SHORT_VIDEOS, num_starts


class Starts(NamedTuple):
    """Where the clips of a triplet start.

    Attributes:
        anchor: first frame of anchor and positive, from 0.
        negative: first frame of the negative; the anchor's where the video has no other moment.
        moved: whether the negative was drawn too close and had to be moved.
        stride: frames from one to the next, of all three clips; None: the sampler's.
    """

    anchor: int
    negative: int
    moved: bool = False
    stride: int | None = None


@dataclass(frozen=True)
class TripletSampler:
    """Draws anchor, positive (the same frames) and negative.

    Args:
        clip_len: T, frames of a clip.
        stride: frames from one to the next.
        negative: a key of NEGATIVE_RULES.
        gap: for our rules, the minimum distance of the two starts in frames; None: for `gap` a quarter of the span, for
            the other two as much as two clips that share no frame need.
        threshold: for the other rules, starts closer than this are moved apart.
        redraws: how often `redraw` and `on_the_fly` draw the negative before they move it.
        window: frames that a start leaves up to the end, if the video is long enough; None: the span, T * stride.
        short_videos: a key of `data.clips.sampling.SHORT_VIDEOS`.
        intra_video_negative: whether to sample the negative; off: anchor and positive alone.
    """

    clip_len: int
    stride: int
    negative: str = "shrink_gap"
    gap: int | None = None
    threshold: int = 2
    redraws: int = 3
    window: int | None = None
    short_videos: str = "loop"
    intra_video_negative: bool = True

    def __call__(self, num_frames: int, generator: Generator) -> np.ndarray:
        """Sample frame indices (3, T) of anchor, positive and negative, or (2, T) without the negative."""
        return self.indices(self.starts(num_frames, generator), num_frames)

    def starts(self, num_frames: int, generator: Generator) -> Starts:
        """Draw the starts of one triplet."""
        return self.rule.draw(self, self.usable_frames(num_frames), generator)

    def num_starts(self, num_frames: int) -> int:
        """Count the frames that the anchor can start from."""
        return self.rule.num_anchors(self, self.usable_frames(num_frames))

    def indices(self, starts: Starts, num_frames: int) -> np.ndarray:
        """Return the frame indices of the clips with these starts, (3, T) or (2, T)."""
        clip, usable, stride = SHORT_VIDEOS[self.short_videos], self.usable_frames(num_frames), starts.stride
        anchor, negative = (clip(start, usable, self.clip_len, stride or self.stride) for start in starts[:2])
        return np.stack([anchor, anchor, negative] if self.intra_video_negative else [anchor, anchor])

    @property
    def rule(self) -> "Rule":
        """The rule that draws the starts."""
        return NEGATIVE_RULES[self.negative]

    def usable_frames(self, num_frames: int) -> int:
        """Count the frames of a video that the rule uses."""
        return max(num_frames - self.rule.ignored, 1)

    @property
    def span(self) -> int:
        """Frames of the video that a clip covers."""
        return self.clip_len * self.stride

    @property
    def room(self) -> int:
        """Frames that a start leaves up to the end of the video."""
        return self.window or self.span

    @property
    def min_gap(self) -> int:
        """Minimum distance of the two starts in frames, by the rule `gap`, in a video that is long enough."""
        return self.span // 4 if self.gap is None else self.gap

    def extent(self, stride: int) -> int:
        """Frames from a clip's first to its last, both counted."""
        return (self.clip_len - 1) * stride + 1

    def gap_at(self, stride: int) -> int:
        """Minimum distance of the two starts in frames, by the rules that shrink, in a video that is long enough."""
        return self.extent(stride) if self.gap is None else self.gap


class Rule(NamedTuple):
    """A rule that draws starts, as functions of the sampler and the number of frames.

    Attributes:
        draw: draws the starts of a triplet.
        num_anchors: counts the frames that the anchor can start from.
        ignored: frames at the end of a video that are never used.
        shrinks: whether it has no window, and clips do not loop if the video has T frames.
    """

    draw: Callable[[TripletSampler, int, Generator], Starts]
    num_anchors: Callable[[TripletSampler, int], int]
    ignored: int = 0
    shrinks: bool = False


# ---- ours


def shrunk_gap(sampler: TripletSampler, num_frames: int) -> tuple[int, int]:
    """Return stride and gap: the gap is at most what is left beside a clip, and a clip that does not fit is denser."""
    stride = min(sampler.stride, max((num_frames - 1) // max(sampler.clip_len - 1, 1), 1))
    return stride, min(sampler.gap_at(stride), max(num_frames - sampler.extent(stride), 0))


def shrunk_stride(sampler: TripletSampler, num_frames: int) -> tuple[int, int]:
    """Return stride and gap: the largest stride at which the gap fits; at a stride of 1 the gap shrinks."""
    for stride in range(sampler.stride, 1, -1):
        if sampler.extent(stride) + sampler.gap_at(stride) <= num_frames:
            return stride, sampler.gap_at(stride)
    return 1, min(sampler.gap_at(1), max(num_frames - sampler.extent(1), 0))


def _shrinking(shrink: Callable[[TripletSampler, int], tuple[int, int]]) -> "Rule":
    """Build the rule that draws two starts at least a gap apart, at the stride that `shrink` finds for the video.

    Either clip is the earlier one as often as the other, so that the place in the video does not tell them apart. A
    video of less than T frames loops: whatever its start, a clip shows all of it, and there is no negative.
    """

    def draw(sampler: TripletSampler, num_frames: int, generator: Generator) -> Starts:
        stride, gap = shrink(sampler, num_frames)
        last = num_frames - sampler.extent(stride) - gap
        if last < 0:
            anchor = int(generator.integers(num_frames))
            return Starts(anchor, anchor, stride=stride)
        anchor, negative = _apart(last, gap, generator)
        return Starts(anchor, negative, stride=stride)

    def num_anchors(sampler: TripletSampler, num_frames: int) -> int:
        stride, gap = shrink(sampler, num_frames)
        return _places(num_frames - sampler.extent(stride) - gap, gap) or num_frames

    return Rule(draw, num_anchors, shrinks=True)


def _apart(last: int, gap: int, generator: Generator) -> tuple[int, int]:
    """Draw two starts at least `gap` apart, in random order, the earlier of them at most `last`."""
    earlier, later = np.sort(generator.integers(last + 1, size=2)) + np.array([0, gap])
    first, second = generator.permutation([earlier, later])
    return int(first), int(second)


def _places(last: int, gap: int) -> int:
    """Count the starts of the earlier clip, up to `last`, and of the later one, those that coincide once."""
    return last + 1 + min(last + 1, gap) if last >= 0 else 0


def _at_a_gap(sampler: TripletSampler, num_frames: int, generator: Generator) -> Starts:
    """Draw two starts at least `gap` frames apart.

    In a video of at least window + gap frames neither clip wraps round. In a shorter one both start anywhere and loop,
    so that a jump from the last frame to the first does not reveal which clip it is; the gap is then counted round the
    loop, and is at most half of it.
    """
    gap = sampler.min_gap
    last = num_frames - sampler.room - gap
    if last >= 0:
        return Starts(*_apart(last, gap, generator))
    gap = min(gap, num_frames // 2)
    anchor = int(generator.integers(num_frames))
    return Starts(anchor, int(anchor + generator.integers(gap, num_frames - gap + 1)) % num_frames)


def _anchors_at_a_gap(sampler: TripletSampler, num_frames: int) -> int:
    return _places(num_frames - sampler.room - sampler.min_gap, sampler.min_gap) or num_frames


# ---- the authors'


def _shifted(sampler: TripletSampler, num_frames: int, generator: Generator) -> Starts:
    """Draw both starts; move the negative on by a third of the video if it is closer than the threshold."""
    anchor, negative = _start(sampler, num_frames, generator), _start(sampler, num_frames, generator)
    if abs(anchor - negative) >= sampler.threshold:
        return Starts(anchor, negative)
    return Starts(anchor, _shift(negative, num_frames // 3, num_frames), moved=True)


def _redrawn(sampler: TripletSampler, num_frames: int, generator: Generator) -> Starts:
    """Draw the negative until it is far enough; after the last redraw, place it a random distance after the anchor."""
    anchor = _start(sampler, num_frames, generator)
    negative = _redraw(sampler, num_frames, generator, anchor)
    if negative is not None:
        return Starts(anchor, negative)
    distance = int(generator.integers(num_frames // 8, 2 * (num_frames // 3) + 1))
    return Starts(anchor, _shift(anchor, distance, num_frames), moved=True)


def _on_the_fly(sampler: TripletSampler, num_frames: int, generator: Generator) -> Starts:
    """Draw the negative until it is far enough; after the last redraw, draw it again and add a random distance."""
    anchor = _start(sampler, num_frames, generator)
    negative = _redraw(sampler, num_frames, generator, anchor)
    if negative is not None:
        return Starts(anchor, negative)
    distances = max(num_frames // 8, 2 * (num_frames // 3), 1)
    negative = _start(sampler, num_frames, generator) + int(generator.integers(distances))
    return Starts(anchor, negative % num_frames, moved=True)


def _redraw(sampler: TripletSampler, num_frames: int, generator: Generator, anchor: int) -> int | None:
    """Return the first of `redraws` draws that is at least `threshold` away from the anchor, or None."""
    for _ in range(sampler.redraws):
        negative = _start(sampler, num_frames, generator)
        if abs(anchor - negative) >= sampler.threshold:
            return negative
    return None


def _start(sampler: TripletSampler, num_frames: int, generator: Generator) -> int:
    return int(generator.integers(sampler.rule.num_anchors(sampler, num_frames)))


def _shift(start: int, distance: int, num_frames: int) -> int:
    """Shift a start round the end, as in the authors' frame data set: it counts from 1, and turns frame 0 into 1."""
    return max((start + 1 + distance) % num_frames, 1) - 1


def _window_starts(sampler: TripletSampler, num_frames: int) -> int:
    return num_starts(num_frames, sampler.room, sampler.short_videos)


def _video_starts(sampler: TripletSampler, num_frames: int) -> int:
    """Count two starts less than fit: the authors' video data set draws below num_frames - span - 1."""
    return max(num_frames - sampler.room - 1, 1)


NEGATIVE_RULES = {
    "shrink_gap": _shrinking(shrunk_gap),
    "shrink_stride": _shrinking(shrunk_stride),
    "gap": Rule(_at_a_gap, _anchors_at_a_gap),
    "shift": Rule(_shifted, _window_starts),
    "redraw": Rule(_redrawn, _window_starts),
    "on_the_fly": Rule(_on_the_fly, _video_starts, ignored=1),  # OpenCV, they say, counts one frame too many
}
"""How the starts of negative and anchor are drawn."""

OURS = ("shrink_gap", "shrink_stride", "gap")
