"""Clips of 4 frames, 3 apart: a span of 12 frames, of which 10 lie between the first and the last; the gap is 3."""

from collections.abc import Callable

import numpy as np
import pytest

from vtdl_cli.data.sampling import (
    IndexSampler,
    clip_indices,
    random_clip,
    random_start,
    triplet,
    triplet_starts,
    uniform_clips,
    uniform_starts,
)

CLIP_LEN, STRIDE, SPAN, GAP = 4, 3, 12, 3
LENGTHS = (1, 2, 3, 4, 11, SPAN, SPAN + GAP - 1, SPAN + GAP, SPAN + GAP + 1, 20, 100)
DRAWS = 1500


def draw_pairs(num_frames: int, gap: int = GAP) -> np.ndarray:
    """Starts of anchor and negative, (DRAWS, 2)."""
    generator = np.random.default_rng(0)
    return np.array([triplet_starts(num_frames, SPAN, gap, generator) for _ in range(DRAWS)])


@pytest.mark.parametrize("num_frames", LENGTHS)
@pytest.mark.parametrize(
    ("sampler", "num_clips"),
    [
        (triplet(CLIP_LEN, STRIDE, None), 3),
        (random_clip(CLIP_LEN, STRIDE), 1),
        (uniform_clips(CLIP_LEN, STRIDE, 5), 5),
    ],
)
def test_samplers__frames_exist_and_are_a_stride_apart(num_frames: int, sampler: IndexSampler, num_clips: int) -> None:
    """Oracle: README, Method, "decoded indices never exceed n"; a step forward is the stride, round the loop where short."""
    generator = np.random.default_rng(0)
    for _ in range(200):
        indices = sampler(num_frames, generator)
        assert indices.shape == (num_clips, CLIP_LEN)
        assert (indices.min() >= 0, indices.max() < num_frames) == (True, True)
        steps = np.diff(indices)
        if num_frames >= SPAN + GAP or (num_clips != 3 and num_frames >= SPAN):
            assert set(steps.flatten()) == {STRIDE}
        assert set(steps.flatten() % num_frames) == {STRIDE % num_frames}


@pytest.mark.parametrize("num_frames", [n for n in LENGTHS if n >= SPAN + GAP])
def test_triplet_starts__in_a_long_video_every_pair_without_wrap_occurs(num_frames: int) -> None:
    """Oracle: README: both starts from 0 to n - span, at least the gap apart: every such start by hand, and
    on short ranges every such pair, in both orders."""
    pairs = draw_pairs(num_frames)
    last = num_frames - SPAN
    allowed = {(a, b) for a in range(last + 1) for b in range(last + 1) if abs(a - b) >= GAP}
    drawn = set(map(tuple, pairs.tolist()))
    assert drawn <= allowed
    assert {a for a, _ in drawn} == {a for a, _ in allowed}
    assert {b for _, b in drawn} == {b for _, b in allowed}
    if len(allowed) < 100:
        assert drawn == allowed
    assert abs((pairs[:, 0] < pairs[:, 1]).mean() - 0.5) < 5 * 0.5 / np.sqrt(DRAWS)


@pytest.mark.parametrize("num_frames", [n for n in LENGTHS if n < SPAN + GAP])
def test_triplet_starts__in_a_short_video_every_pair_round_the_loop_occurs(num_frames: int) -> None:
    """Oracle: README: any two starts whose distance round the loop is the gap, or half the loop if less."""
    gap = min(GAP, num_frames // 2)
    allowed = {
        (a, b)
        for a in range(num_frames)
        for b in range(num_frames)
        if min((a - b) % num_frames, (b - a) % num_frames) >= gap
    }
    assert set(map(tuple, draw_pairs(num_frames).tolist())) == allowed


def test_triplet_starts__wrapping_tells_nothing_about_which_clip_it_is() -> None:
    """Oracle: README: in a short video anchor and negative jump from the last frame to the first equally
    often; by hand, 9 of 13 starts of a video of 13 frames do (those from which 9 frames on there is none)."""
    jumps = draw_pairs(13) + (CLIP_LEN - 1) * STRIDE >= 13
    assert jumps.mean(0) == pytest.approx([9 / 13, 9 / 13], abs=5 * 0.5 / np.sqrt(DRAWS))


def test_triplet__anchor_and_positive_show_the_same_frames() -> None:
    """Oracle: README, Method: the positive is the anchor's interval, the negative another one."""
    sampler, generator = triplet(CLIP_LEN, STRIDE, None), np.random.default_rng(0)
    for num_frames in LENGTHS[1:]:
        anchor, positive, negative = sampler(num_frames, generator)
        assert np.array_equal(anchor, positive)
        assert anchor[0] != negative[0]


@pytest.mark.parametrize(("gap", "expected"), [(None, 3), (0, 0), (1, 1), (12, 12)])
def test_triplet__gap_in_frames_or_a_quarter_of_the_span(gap: int | None, expected: int) -> None:
    """Oracle: the smallest distance drawn in a video where few pairs are possible (a span, the gap and 3 frames)."""
    sampler, generator = triplet(CLIP_LEN, STRIDE, gap), np.random.default_rng(0)
    clips = np.stack([sampler(SPAN + expected + 3, generator) for _ in range(300)])
    assert np.abs(clips[:, 0, 0] - clips[:, 2, 0]).min() == expected


def test_random_start__every_start_occurs_and_no_other() -> None:
    """Oracle: by hand: 0 to n - span, or anywhere in a video shorter than the span."""
    generator = np.random.default_rng(0)
    for num_frames, starts in ((1, 1), (11, 11), (12, 1), (13, 2), (20, 9)):
        assert {random_start(num_frames, SPAN, generator) for _ in range(300)} == set(range(starts))


@pytest.mark.parametrize(
    ("num_frames", "clips", "starts"),
    [
        (112, 10, [0, 11, 22, 33, 44, 56, 67, 78, 89, 100]),  # 100 / 9 = 11.1 apart
        (112, 1, [50]),
        (15, 1, [2]),  # 1.5, to the even neighbour
        (14, 5, [0, 0, 1, 2, 2]),
        (12, 3, [0, 0, 0]),
        (5, 3, [0, 0, 0]),
        (5, 1, [0]),
    ],
)
def test_uniform_starts__by_hand(num_frames: int, clips: int, starts: list[int]) -> None:
    """Oracle: by hand, evenly from the first to the last start of a span of 12 frames."""
    assert uniform_starts(num_frames, SPAN, clips).tolist() == starts


def test_clip_indices__by_hand() -> None:
    """Oracle: README, Method, "true modulo loop": after frame 4 of 5 comes frame 0."""
    assert clip_indices(2, 100, 4, 3).tolist() == [2, 5, 8, 11]
    assert clip_indices(np.array([0, 4]), 5, 4, 2).tolist() == [[0, 2, 4, 1], [4, 1, 3, 0]]


@pytest.mark.parametrize("make", [lambda: triplet(4, 3, None), lambda: random_clip(4, 3)])
def test_samplers__follow_the_generators_seed(make: Callable[[], IndexSampler]) -> None:
    def draw(seed: int) -> list[list[int]]:
        generator = np.random.default_rng(seed)
        return [make()(90, generator).flatten().tolist() for _ in range(5)]

    assert draw(3) == draw(3)
    assert draw(3) != draw(4)
