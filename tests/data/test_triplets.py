"""Clips of 4 frames, 3 apart: a span of 12 frames, of which 10 lie between the first and the last; the gap is 3.

The authors' rules are held to `author_*`, written from README, Method, as they count: from 1.
"""

from pathlib import Path

import numpy as np
import pytest

from vtdl_cli.data.sampling import SHORT_VIDEOS
from vtdl_cli.data.triplets import NEGATIVES, Starts, TripletSampler, triplet_shares

CLIP_LEN, STRIDE, SPAN, GAP = 4, 3, 12, 3
LENGTHS = (1, 2, 3, 4, 11, SPAN, SPAN + GAP - 1, SPAN + GAP, SPAN + GAP + 1, 20, 100)
DRAWS = 1500
AUTHORS = TripletSampler(16, 4, "shift", window=128, short_videos="restart")


def draw_pairs(num_frames: int, gap: int = GAP) -> np.ndarray:
    """Starts of anchor and negative, (DRAWS, 2)."""
    sampler, generator = TripletSampler(CLIP_LEN, STRIDE, gap=gap), np.random.default_rng(0)
    return np.array([sampler.starts(num_frames, generator)[:2] for _ in range(DRAWS)])


@pytest.mark.parametrize("num_frames", [n for n in LENGTHS if n >= SPAN + GAP])
def test_gap__in_a_long_video_every_pair_without_wrap_occurs(num_frames: int) -> None:
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
def test_gap__in_a_short_video_every_pair_round_the_loop_occurs(num_frames: int) -> None:
    """Oracle: README: any two starts whose distance round the loop is the gap, or half the loop if less."""
    gap = min(GAP, num_frames // 2)
    allowed = {
        (a, b)
        for a in range(num_frames)
        for b in range(num_frames)
        if min((a - b) % num_frames, (b - a) % num_frames) >= gap
    }
    assert set(map(tuple, draw_pairs(num_frames).tolist())) == allowed


def test_gap__wrapping_tells_nothing_about_which_clip_it_is() -> None:
    """Oracle: README: in a short video anchor and negative jump from the last frame to the first equally
    often; by hand, 9 of 13 starts of a video of 13 frames do (those from which 9 frames on there is none)."""
    jumps = draw_pairs(13) + (CLIP_LEN - 1) * STRIDE >= 13
    assert jumps.mean(0) == pytest.approx([9 / 13, 9 / 13], abs=5 * 0.5 / np.sqrt(DRAWS))


def test_triplet__anchor_and_positive_show_the_same_frames() -> None:
    """Oracle: README, Method: the positive is the anchor's interval, the negative another one."""
    sampler, generator = TripletSampler(CLIP_LEN, STRIDE), np.random.default_rng(0)
    for num_frames in LENGTHS[1:]:
        anchor, positive, negative = sampler(num_frames, generator)
        assert np.array_equal(anchor, positive)
        assert anchor[0] != negative[0]


@pytest.mark.parametrize(("gap", "expected"), [(None, 3), (0, 0), (1, 1), (12, 12)])
def test_gap__in_frames_or_a_quarter_of_the_span(gap: int | None, expected: int) -> None:
    """Oracle: the smallest distance drawn in a video where few pairs are possible (a span, the gap and 3 frames)."""
    sampler, generator = TripletSampler(CLIP_LEN, STRIDE, gap=gap), np.random.default_rng(0)
    clips = np.stack([sampler(SPAN + expected + 3, generator) for _ in range(300)])
    assert np.abs(clips[:, 0, 0] - clips[:, 2, 0]).min() == expected


def test_triplets__without_the_own_negative_no_third_clip_is_read() -> None:
    """Oracle: the anchor and positive of the same draws with it."""
    with_it, without = (TripletSampler(CLIP_LEN, STRIDE, own_negative=own) for own in (True, False))
    clips = [sampler(40, np.random.default_rng(3)) for sampler in (with_it, without)]
    assert np.array_equal(clips[0][:2], clips[1])
    assert triplet_shares(without, np.full(9, 40)) == triplet_shares(with_it, np.full(9, 40))


# ---- the authors' rules


def author_starts(num_frames: int, window: int) -> list[int]:
    return list(range(1, max(num_frames - window, 0) + 2))


def author_shift(anchor: int, negative: int, num_frames: int) -> int:
    if abs(anchor - negative) < 2:
        negative = (negative + num_frames // 3) % num_frames
    return 1 if negative == 0 else negative


@pytest.mark.parametrize("num_frames", [1, 2, 3, 4, 20, 128, 129, 131])
def test_shift__every_pair_of_the_authors_occurs_and_no_other(num_frames: int) -> None:
    """Oracle: `author_shift` of all pairs of `author_starts`."""
    starts = author_starts(num_frames, 128)
    expected = {(a - 1, author_shift(a, b, num_frames) - 1) for a in starts for b in starts}
    generator = np.random.default_rng(0)
    drawn = {AUTHORS.starts(num_frames, generator)[:2] for _ in range(400)}
    assert drawn == expected


def test_shift__tells_of_a_negative_that_was_moved() -> None:
    """Oracle: by hand: from frame 0 by 60 / 3 frames."""
    assert AUTHORS.starts(60, np.random.default_rng(0)) == Starts(0, 20, moved=True)


@pytest.mark.parametrize(("num_frames", "redraws"), [(100, 3), (20, 3), (20, 0), (13, 3)])
def test_redraw__distances(num_frames: int, redraws: int) -> None:
    """Oracle: by hand: at least the threshold, or moved on by n // 8 to 2 (n // 3) frames; redraws make that rarer."""
    sampler = TripletSampler(CLIP_LEN, STRIDE, "redraw", threshold=4, redraws=redraws, short_videos="restart")
    generator = np.random.default_rng(0)
    drawn = [sampler.starts(num_frames, generator) for _ in range(DRAWS)]
    assert all(abs(s.anchor - s.negative) >= 4 for s in drawn if not s.moved)
    near = np.mean([abs(a - b) < 4 for a in range(num_frames - SPAN + 1) for b in range(num_frames - SPAN + 1)])
    expected = near ** (1 + redraws)
    assert np.mean([s.moved for s in drawn]) == pytest.approx(expected, abs=5 * 0.5 / np.sqrt(DRAWS))
    assert all(0 <= s.negative < num_frames for s in drawn)


@pytest.mark.parametrize("negative", NEGATIVES)
@pytest.mark.parametrize("short_videos", SHORT_VIDEOS)
@pytest.mark.parametrize("stride", [1, 2, 3, 8])
def test_triplets__frames_exist_whatever_the_rules(negative: str, short_videos: str, stride: int) -> None:
    """Oracle: README, Method: decoded indices never exceed n."""
    sampler = TripletSampler(CLIP_LEN, stride, negative, short_videos=short_videos, threshold=5)
    generator = np.random.default_rng(0)
    for num_frames in (*LENGTHS, 33, 47):
        clips = np.stack([sampler(num_frames, generator) for _ in range(60)])
        assert clips.shape == (60, 3, CLIP_LEN)
        assert (clips.min() >= 0, clips.max() < num_frames) == (True, True)
        assert np.array_equal(clips[:, 0], clips[:, 1])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("hmdb51", {"forced_start": 83, "moved_negative": 86, "anchor_jumps": 27, "negative_jumps": 69, "overlap": 97}),
        ("ucf101", {"forced_start": 33, "moved_negative": 38, "anchor_jumps": 1, "negative_jumps": 12, "overlap": 87}),
    ],
)
def test_triplet_shares__of_the_published_lists(data_dir: Path, name: str, expected: dict[str, float]) -> None:
    """Oracle: what was found when the authors' own sampling was run on their split 1 lists (README, Method)."""
    lines = (data_dir / "lists_published" / f"{name}_rgb_train_split_1.txt").read_text().splitlines()
    frames = np.array([int(line.split()[-2]) for line in lines])
    assert triplet_shares(AUTHORS, frames) == pytest.approx(expected, abs=0.6)


def test_triplet_shares__loops_hide_the_negative(data_dir: Path) -> None:
    """Our rule: jumps from end to start are as frequent in anchors as in negatives."""
    lines = (data_dir / "lists_published" / "hmdb51_rgb_train_split_1.txt").read_text().splitlines()
    shares = triplet_shares(TripletSampler(16, 4), np.array([int(line.split()[-2]) for line in lines]))
    assert abs(shares["anchor_jumps"] - shares["negative_jumps"]) < 3
    assert shares["forced_start"] < 1
