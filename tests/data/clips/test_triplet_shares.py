"""What triplets lists give: as found with the authors' sampling on their lists, and by hand of clips of 4 frames."""

from pathlib import Path

import numpy as np
import pytest

from vtdl_cli.data.clips.triplet_shares import out_of_reach, triplet_shares
from vtdl_cli.data.clips.triplets import TripletSampler

AUTHORS = TripletSampler(16, 4, "shift", window=128, short_videos="restart")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("hmdb51", {"forced_start": 83, "moved_negative": 86, "anchor_jumps": 27, "negative_jumps": 69, "overlap": 97}),
        ("ucf101", {"forced_start": 33, "moved_negative": 38, "anchor_jumps": 1, "negative_jumps": 12, "overlap": 87}),
    ],
)
def test_triplet_shares__of_the_published_lists(data_dir: Path, name: str, expected: dict[str, float]) -> None:
    """Oracle: what was found when the authors' own sampling was run on their split 1 lists (method/README)."""
    shares = triplet_shares(AUTHORS, published_frames(data_dir, name))
    assert {name: shares[name] for name in expected} == pytest.approx(expected, abs=0.6)


@pytest.mark.parametrize(
    ("negative", "num_frames", "expected"),
    [
        # clips cover 10 frames at stride 3: 0 to 9 and 5 to 14 share 5 of 15
        ("shrink_gap", 15, {"mean_stride": 3, "no_negative": 0, "overlap": 100, "shared_frames": 33.3}),
        # 7 frames at stride 2: 0 to 6 and 7 or 8 to 13 or 14
        ("shrink_stride", 15, {"mean_stride": 2, "no_negative": 0, "overlap": 0, "shared_frames": 0}),
        ("shrink_gap", 10, {"mean_stride": 3, "no_negative": 100, "overlap": 0, "shared_frames": 0}),
        # 4 frames at stride 1: 0 to 3 and 2 to 5 share 2 of 6
        ("shrink_stride", 6, {"mean_stride": 1, "no_negative": 0, "overlap": 100, "shared_frames": 33.3}),
        ("shrink_stride", 3, {"mean_stride": 1, "no_negative": 100, "overlap": 0, "shared_frames": 0}),
    ],
)
def test_triplet_shares__of_the_rules_that_shrink(negative: str, num_frames: int, expected: dict[str, float]) -> None:
    """Oracle: by hand, of clips of 4 frames; only a video of less than 4 makes clips jump."""
    shares = triplet_shares(TripletSampler(4, 3, negative), np.full(40, num_frames))
    assert {name: shares[name] for name in expected} == expected
    assert shares["negative_jumps"] == (0 if num_frames >= 4 else 100) or num_frames == 3


def test_triplet_shares__loops_hide_the_negative(data_dir: Path) -> None:
    """Our rule: jumps from end to start are as frequent in anchors as in negatives."""
    shares = triplet_shares(TripletSampler(16, 4, "gap"), published_frames(data_dir, "hmdb51"))
    assert abs(shares["anchor_jumps"] - shares["negative_jumps"]) < 3
    assert (shares["forced_start"], shares["moved_negative"]) == (0, 0)


def published_frames(data_dir: Path, name: str) -> np.ndarray:
    lines = (data_dir / "lists_published" / f"{name}_rgb_train_split_1.txt").read_text().splitlines()
    return np.array([int(line.split()[-2]) for line in lines])


@pytest.mark.parametrize(
    ("sampler", "num_frames", "forced", "moved", "jumps", "overlap"),
    [
        (TripletSampler(4, 3, "shift", short_videos="restart"), 12, 100, 100, 100, 100),  # on to 4, which reaches 13
        (
            TripletSampler(4, 3, "on_the_fly", redraws=0, short_videos="sort"),
            2,
            100,
            100,
            100,
            100,
        ),  # one frame is seen
        (TripletSampler(4, 3, "gap", gap=9), 21, 0, 0, 0, 100),  # 0 to 9 and 9 to 18
        (TripletSampler(4, 3, "gap", gap=10), 22, 0, 0, 0, 0),
        (TripletSampler(4, 8, "gap", gap=0), 32, 100, 0, 0, 100),
        (TripletSampler(5, 1, "gap", gap=4, window=20), 9, 0, 0, None, 100),  # round the loop, 4 frames on or back
        (TripletSampler(4, 1, "gap", gap=4, window=20), 9, 0, 0, None, 0),
    ],
)
def test_triplet_shares__by_hand(
    sampler: TripletSampler, num_frames: int, forced: float, moved: float, jumps: float | None, overlap: float
) -> None:
    """Oracle: by hand, of videos in which all draws come to the same; where they do not, negative jumps are none."""
    shares = triplet_shares(sampler, np.full(40, num_frames))
    found = (shares["forced_start"], shares["moved_negative"], shares["overlap"])
    assert found == (forced, moved, overlap)
    assert jumps is None or shares["negative_jumps"] == jumps


def test_triplet_shares__without_an_intra_video_negative_say_nothing_of_it() -> None:
    """Oracle: the same anchors with it."""
    with_it, without = (TripletSampler(4, 3, intra_video_negative=own) for own in (True, False))
    videos = np.array([5, 9, 12, 40])
    shares = triplet_shares(with_it, videos)
    assert triplet_shares(without, videos) == {
        name: shares[name] for name in ("mean_stride", "forced_start", "anchor_jumps")
    }


@pytest.mark.parametrize(
    ("sampler", "expected"),
    [
        (TripletSampler(4, 3, "gap", gap=30), {"window": 25, "gap": 75}),  # 100 - 12, or half of 40: 20
        (TripletSampler(4, 3, "gap", gap=20), {"window": 25, "gap": 50}),
        (TripletSampler(4, 3, "gap", window=40), {"window": 50, "gap": 0}),
        (TripletSampler(4, 3, "gap", window=41), {"window": 75, "gap": 0}),
        (TripletSampler(4, 3, "shift", threshold=9, short_videos="restart"), {"window": 25, "threshold": 50}),
        (TripletSampler(4, 3, "redraw", threshold=9, short_videos="loop"), {"window": 25, "threshold": 25}),
        (TripletSampler(4, 3, "on_the_fly", threshold=26, short_videos="sort"), {"window": 25, "threshold": 75}),
        (TripletSampler(4, 3, "on_the_fly", threshold=25, short_videos="sort"), {"window": 25, "threshold": 50}),
        (TripletSampler(4, 3, "shrink_gap", gap=17), {"gap": 50}),  # beside 4 frames: 6, 16, 36 and 96
    ],
)
def test_out_of_reach__by_hand(sampler: TripletSampler, expected: dict[str, float]) -> None:
    """Oracle: by hand, of videos of 10, 20, 40 and 100 frames."""
    assert out_of_reach(sampler, np.array([10, 20, 40, 100])) == expected
