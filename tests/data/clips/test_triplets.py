"""Clips of 4 frames at strides 1 to 8; a few of 4 frames, 3 apart, by hand: a span of 12 frames and a gap of 3.

Where a triplet starts is held to slow references, each a whole distribution: a sampler is walked through every sequence
of answers that a generator could give it (`Walk`). The authors' rules are written from what method/README says of
their code, and count as it does: the frame data set's from 1, the video data set's from 0.
"""

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from itertools import product
from math import prod
from typing import Any, cast

import numpy as np
import pytest
from numpy.random import Generator

from vtdl_cli.data.clips.sampling import SHORT_VIDEOS
from vtdl_cli.data.clips.triplets import NEGATIVE_RULES, Starts, TripletSampler

CLIP_LEN = 4
STRIDES = range(1, 9)

Chances = Counter[Starts]
"""Starts -> how probable they are, a Fraction."""


class Walk:
    """Stands for a generator, and gives one sequence of answers after another until there is no other."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.among: list[int] = []
        self.asked = 0

    def integers(self, low: int, high: int | None = None, size: int | None = None) -> Any:
        low, high = (0, low) if high is None else (low, high)
        drawn = [low + self._answer(high - low) for _ in range(size or 1)]
        return drawn[0] if size is None else np.array(drawn)

    def permutation(self, pair: Sequence[Any]) -> list[Any]:
        return [pair[1], pair[0]] if self._answer(2) else list(pair)

    def _answer(self, among: int) -> int:
        assert among > 0
        if self.asked == len(self.answers):
            self.answers.append(0)
            self.among.append(among)
        self.asked += 1
        return self.answers[self.asked - 1]

    def sequences(self) -> int:
        """How many there are like the one just given, of which each is as probable as it."""
        return prod(self.among)

    def go_on(self) -> bool:
        """To the next sequence, if there is one."""
        while self.answers and self.answers[-1] + 1 == self.among[-1]:
            self.answers.pop()
            self.among.pop()
        if self.answers:
            self.answers[-1] += 1
        self.asked = 0
        return bool(self.answers)


def chances_of(sampler: TripletSampler, num_frames: int) -> Chances:
    """Every triplet that the sampler can draw."""
    walk, ways = Walk(), Counter[tuple[Starts, int]]()
    while True:
        starts = sampler.starts(num_frames, cast("Generator", walk))
        ways[starts, walk.sequences()] += 1
        if not walk.go_on():
            break
    chances: Chances = Counter()
    for (starts, sequences), count in ways.items():
        chances[starts] += Fraction(count, sequences)  # type: ignore[assignment]  # a Fraction
    assert sum(chances.values()) == 1
    return chances


# ---- ours


def allowed_at_a_gap(num_frames: int, window: int, gap: int) -> set[tuple[int, int]]:
    """README: in a video of window and gap, starts that leave the window and lie the gap apart; in a shorter one any
    two whose distance round the loop is the gap, or half the loop if that is less."""
    if num_frames >= window + gap:
        starts = range(num_frames - window + 1)
        return {(a, b) for a, b in product(starts, starts) if abs(a - b) >= gap}
    gap, starts = min(gap, num_frames // 2), range(num_frames)
    return {(a, b) for a, b in product(starts, starts) if min((a - b) % num_frames, (b - a) % num_frames) >= gap}


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("gap", [None, 0, 5])
@pytest.mark.parametrize("longer", [0, 7])
def test_gap__every_allowed_pair_occurs_and_no_other(stride: int, gap: int | None, longer: int) -> None:
    """Oracle: `allowed_at_a_gap`; a gap not given is a quarter of the span, of 4 frames: the stride. Either clip is
    first as often as the other."""
    window, apart = CLIP_LEN * stride + longer, stride if gap is None else gap
    sampler = TripletSampler(CLIP_LEN, stride, "gap", gap, window=window if longer else None)
    for num_frames in (1, 2, 9, window + apart - 1, window + apart, window + apart + 6):
        chances = chances_of(sampler, num_frames)
        assert {starts[:2] for starts in chances} == allowed_at_a_gap(num_frames, window, apart)
        mirrored = Counter({Starts(b, a): chance for (a, b, *_), chance in chances.items()})
        assert mirrored == chances


def test_gap__wrapping_tells_nothing_about_which_clip_it_is() -> None:
    """Oracle: by hand: in a video of 13 frames anchor and negative jump from the last frame to the first at 9 of 13
    starts each (those from which 9 frames on there is none)."""
    chances = chances_of(TripletSampler(CLIP_LEN, 3, "gap"), 13)
    for which in (0, 1):
        assert sum(chance for starts, chance in chances.items() if starts[:2][which] + 9 >= 13) == Fraction(9, 13)


Place = tuple[int, int, int]  # first frames of anchor and negative, and the stride of both


def allowed_by_shrinking(num_frames: int, stride: int, gap: int | None, *, first: str) -> set[Place]:
    """All pairs of clips without a jump that are `gap` frames apart, or as far as the video allows, of the best stride.

    `gap`: the largest stride at which a clip fits. `stride`: the largest at which both fit, or 1. Where not even 1
    fits, both clips start anywhere, at the same frame.
    """

    def pairs(step: int) -> set[tuple[int, int]]:
        starts = range(num_frames - (CLIP_LEN - 1) * step)
        wanted = (CLIP_LEN - 1) * step + 1 if gap is None else gap
        farthest = min(wanted, len(starts) - 1) if first == "gap" or step == 1 else wanted
        return {(a, b) for a, b in product(starts, starts) if abs(a - b) >= farthest}

    for step in range(stride, 0, -1):
        if found := pairs(step):
            return {(a, b, step) for a, b in found}
    return {(a, a, 1) for a in range(num_frames)}


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("gap", [None, 0, 5])
@pytest.mark.parametrize("first", ["gap", "stride"])
def test_shrinking__every_allowed_pair_occurs_and_no_other(first: str, gap: int | None, stride: int) -> None:
    """Oracle: `allowed_by_shrinking`, by trying all pairs. Either clip is first as often as the other."""
    sampler = TripletSampler(CLIP_LEN, stride, f"shrink_{first}", gap)
    for num_frames in (*range(1, 12), 19, 20, 26):
        chances = chances_of(sampler, num_frames)
        places = {(starts.anchor, starts.negative, starts.stride) for starts in chances}
        assert places == allowed_by_shrinking(num_frames, stride, gap, first=first)
        mirrored = Counter({Starts(b, a, *rest): chance for (a, b, *rest), chance in chances.items()})  # type: ignore[arg-type]
        assert mirrored == chances


@pytest.mark.parametrize("negative", ["shrink_gap", "shrink_stride"])
def test_shrinking__no_clip_of_a_video_of_t_frames_jumps(negative: str) -> None:
    """Oracle: the distance from frame to frame is the same throughout, and the negative's is the anchor's."""
    sampler = TripletSampler(16, 4, negative)
    for num_frames in (16, 17, 31, 61, 64, 77, 121, 300):
        for seed in range(5):
            steps = np.diff(sampler(num_frames, np.random.default_rng(seed)))
            assert (steps == steps[0, 0]).all()
            assert steps[0, 0] >= 1


# ---- the authors'


def starts_from_1(num_frames: int, window: int, short_videos: str) -> range:
    """U{1 .. max(n - window, 0) + 1}; clips that loop, which theirs do not, start anywhere in a video without the room."""
    anywhere = num_frames < window and short_videos == "loop"
    return range(1, num_frames + 1 if anywhere else max(num_frames - window, 0) + 2)


def shift(num_frames: int, starts: range, threshold: int, _redraws: int) -> Chances:
    """Too close: on by a third of the video; then frame 0 is frame 1."""
    chances: Chances = Counter()
    for a, drawn in product(starts, starts):
        close = abs(a - drawn) < threshold
        b = (drawn + num_frames // 3) % num_frames if close else drawn
        chances[Starts(a - 1, (b or 1) - 1, close)] += Fraction(1, len(starts) ** 2)  # type: ignore[assignment]
    return chances


def redraw(num_frames: int, starts: range, threshold: int, redraws: int) -> Chances:
    """Up to `redraws` draws; then U{n // 8 .. 2 (n // 3)} from the anchor, mod n."""
    chances: Chances = Counter()
    distances = range(num_frames // 8, 2 * (num_frames // 3) + 1)
    for a, *draws in product(starts, repeat=1 + redraws):
        chance = Fraction(1, len(starts) ** (1 + redraws))
        if apart := [b for b in draws if abs(a - b) >= threshold]:
            chances[Starts(a - 1, apart[0] - 1)] += chance  # type: ignore[assignment]
            continue
        for distance in distances:
            b = (a + distance) % num_frames or 1
            chances[Starts(a - 1, b - 1, moved=True)] += chance / len(distances)  # type: ignore[assignment]
    return chances


def on_the_fly(num_frames: int, starts: range, threshold: int, redraws: int) -> Chances:
    """Up to `redraws` draws; the next is moved on, whatever it is, by any of the first max(N // 8, 2 (N // 3)) mod N."""
    seen = max(num_frames - 1, 1)  # N
    chances: Chances = Counter()
    distances = range(max(seen // 8, 2 * (seen // 3), 1))
    for a, *draws, last in product(starts, repeat=2 + redraws):
        chance = Fraction(1, len(starts) ** (2 + redraws))
        if apart := [b for b in draws if abs(a - b) >= threshold]:
            chances[Starts(a, apart[0])] += chance  # type: ignore[assignment]
            continue
        for distance in distances:
            chances[Starts(a, (last + distance) % seen, moved=True)] += chance / len(distances)  # type: ignore[assignment]
    return chances


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("short_videos", SHORT_VIDEOS)
@pytest.mark.parametrize(
    ("rule", "threshold", "redraws", "longer"),
    [(shift, 2, 3, 0), (shift, 3, 3, 5), (redraw, 2, 2, 0), (redraw, 3, 1, 5), (redraw, 2, 0, 5)],
)
def test_frame_data_set__every_triplet_of_the_authors_as_often_as_theirs(
    stride: int, short_videos: str, rule: Any, threshold: int, redraws: int, longer: int
) -> None:
    """Oracle: `shift` and `redraw`, which walk all draws."""
    window = CLIP_LEN * stride + longer
    sampler = TripletSampler(
        CLIP_LEN, stride, rule.__name__, None, threshold, redraws, window if longer else None, short_videos
    )
    for num_frames in (1, 2, 3, 8, window, window + 1, window + 4):
        starts = starts_from_1(num_frames, window, short_videos)
        assert chances_of(sampler, num_frames) == rule(num_frames, starts, threshold, redraws)


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize(("threshold", "redraws", "longer"), [(2, 3, 0), (3, 2, 0), (2, 1, 5), (2, 0, 0)])
def test_video_data_set__every_triplet_of_the_authors_as_often_as_theirs(
    stride: int, threshold: int, redraws: int, longer: int
) -> None:
    """Oracle: `on_the_fly`, from 0-based starts U[0, max(1, N - window - 1)) with N = n - 1."""
    window = CLIP_LEN * stride + longer
    sampler = TripletSampler(
        CLIP_LEN, stride, "on_the_fly", None, threshold, redraws, window if longer else None, "sort"
    )
    for num_frames in (1, 2, 3, 5, window, window + 2, window + 4, window + 5):
        starts = range(max(1, num_frames - 1 - window - 1))
        assert chances_of(sampler, num_frames) == on_the_fly(num_frames, starts, threshold, redraws)


def test_video_data_set__by_hand() -> None:
    """Oracle: by hand, 16 frames, stride 4: N = 99 leaves 99 - 64 - 1 = 34 starts; three draws are looked at. In 17
    frames N is 16: the clip goes round four times, and each frame that has been seen goes to the next."""
    sampler = TripletSampler(16, 4, "on_the_fly", threshold=4, short_videos="sort")
    assert sampler.num_starts(100) == 34
    drawn = [sampler.starts(100, np.random.default_rng(seed)) for seed in range(300)]
    assert max(starts.anchor for starts in drawn) == 33
    near = np.mean([abs(a - b) < 4 for a, b in product(range(34), repeat=2)]) ** 3
    assert np.mean([starts.moved for starts in drawn]) == pytest.approx(near, abs=0.02)
    assert sampler.indices(Starts(0, 9), 17).tolist() == [list(range(16))] * 2 + [[1, *range(2, 16), 15]]


# ---- all rules


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("negative", NEGATIVE_RULES)
@pytest.mark.parametrize("short_videos", SHORT_VIDEOS)
def test_num_starts__are_the_places_where_an_anchor_starts(negative: str, short_videos: str, stride: int) -> None:
    """Oracle: those of every triplet that can be drawn, of the table's lengths around a window and its gap."""
    for window in (None, CLIP_LEN * stride + 3):
        if window and NEGATIVE_RULES[negative].shrinks:
            continue  # these have none
        sampler = TripletSampler(CLIP_LEN, stride, negative, None, 0, 1, window, short_videos)  # nothing is moved
        room = window or CLIP_LEN * stride
        for num_frames in (1, 2, 5, room, room + stride - 1, room + stride, room + stride + 1):
            anchors = {starts.anchor for starts in chances_of(sampler, num_frames)}
            assert sampler.num_starts(num_frames) == len(anchors)


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("negative", NEGATIVE_RULES)
@pytest.mark.parametrize("short_videos", SHORT_VIDEOS)
def test_triplets__frames_are_those_of_clips_that_start_there(negative: str, short_videos: str, stride: int) -> None:
    """Oracle: method/README: the positive is the anchor's interval; decoded indices never exceed n; clips as
    `data.sampling` has them, whose own tables are in test_sampling.py; `on_the_fly` leaves out the last frame."""
    sampler = TripletSampler(CLIP_LEN, stride, negative, threshold=5, short_videos=short_videos)
    for num_frames in (1, 2, 11, 33, 100):
        for seed in range(4):
            starts = sampler.starts(num_frames, np.random.default_rng(seed))
            anchor, positive, other = sampler(num_frames, np.random.default_rng(seed))
            seen = max(num_frames - 1, 1) if negative == "on_the_fly" else num_frames
            for start, clip in zip(starts[:2], (anchor, other), strict=True):
                step = starts.stride or stride
                assert clip.tolist() == SHORT_VIDEOS[short_videos](start, seen, CLIP_LEN, step).tolist()
                assert (0 <= start < num_frames, clip.min() >= 0, clip.max() < num_frames) == (True, True, True)
            assert np.array_equal(anchor, positive)


def test_triplets__without_the_intra_video_negative_no_third_clip_is_read() -> None:
    """Oracle: the anchor and positive of the same draws with it."""
    with_it, without = (TripletSampler(CLIP_LEN, 3, intra_video_negative=own) for own in (True, False))
    clips = [sampler(40, np.random.default_rng(3)) for sampler in (with_it, without)]
    assert np.array_equal(clips[0][:2], clips[1])
