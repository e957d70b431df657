"""Clips of 4 frames, 3 apart: a span of 12 frames, of which 10 lie between the first and the last; the gap is 3."""

from collections.abc import Callable

import numpy as np
import pytest

from vtdl_cli.data.sampling import (
    IndexSampler,
    clip_indices,
    random_clip,
    random_start,
    uniform_clips,
    uniform_starts,
)
from vtdl_cli.data.triplets import TripletSampler

CLIP_LEN, STRIDE, SPAN, GAP = 4, 3, 12, 3
LENGTHS = (1, 2, 3, 4, 11, SPAN, SPAN + GAP - 1, SPAN + GAP, SPAN + GAP + 1, 20, 100)
DRAWS = 1500


@pytest.mark.parametrize("num_frames", LENGTHS)
@pytest.mark.parametrize(
    ("sampler", "num_clips"),
    [
        (TripletSampler(CLIP_LEN, STRIDE), 3),
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


@pytest.mark.parametrize("make", [lambda: TripletSampler(4, 3), lambda: random_clip(4, 3)])
def test_samplers__follow_the_generators_seed(make: Callable[[], IndexSampler]) -> None:
    def draw(seed: int) -> list[list[int]]:
        generator = np.random.default_rng(seed)
        return [make()(90, generator).flatten().tolist() for _ in range(5)]

    assert draw(3) == draw(3)
    assert draw(3) != draw(4)
