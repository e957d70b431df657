"""Clips of 4 frames, 3 apart: a span of 12 frames, of which 10 lie between the first and the last; the gap is 3."""

from collections.abc import Callable

import numpy as np
import pytest

from vtdl_cli.data.clips.sampling import (
    SHORT_VIDEOS,
    IndexSampler,
    SpeedSampler,
    consecutive_clips,
    fixed_clips,
    num_starts,
    random_clip,
    strides_of,
    uniform_clips,
    uniform_starts,
)
from vtdl_cli.data.clips.triplets import TripletSampler

CLIP_LEN, STRIDE, SPAN, GAP = 4, 3, 12, 3
LENGTHS = (1, 2, 3, 4, 11, SPAN, SPAN + GAP - 1, SPAN + GAP, SPAN + GAP + 1, 20, 100)
DRAWS = 1500


@pytest.mark.parametrize("num_frames", LENGTHS)
@pytest.mark.parametrize(
    ("sampler", "num_clips"),
    [
        (TripletSampler(CLIP_LEN, STRIDE, "gap"), 3),
        (random_clip(CLIP_LEN, STRIDE), 1),
        (uniform_clips(CLIP_LEN, STRIDE, 5), 5),
    ],
)
def test_samplers__frames_exist_and_are_a_stride_apart(num_frames: int, sampler: IndexSampler, num_clips: int) -> None:
    """Oracle: method/README, "decoded indices never exceed n"; a step forward is the stride, round the loop where short."""
    generator = np.random.default_rng(0)
    for _ in range(200):
        indices = sampler(num_frames, generator)
        assert indices.shape == (num_clips, CLIP_LEN)
        assert (indices.min() >= 0, indices.max() < num_frames) == (True, True)
        steps = np.diff(indices)
        if num_frames >= SPAN + GAP or (num_clips != 3 and num_frames >= SPAN):
            assert set(steps.flatten()) == {STRIDE}
        assert set(steps.flatten() % num_frames) == {STRIDE % num_frames}


@pytest.mark.parametrize(("num_frames", "starts"), [(1, 1), (11, 11), (12, 1), (13, 2), (20, 9)])
@pytest.mark.parametrize("short_videos", SHORT_VIDEOS)
def test_random_clip__every_start_occurs_and_no_other(num_frames: int, starts: int, short_videos: str) -> None:
    """Oracle: by hand: 0 to n - span; in a shorter video anywhere where clips loop, and 0 alone where they do not."""
    starts = starts if short_videos == "loop" or num_frames >= SPAN else 1
    sampler, generator = random_clip(CLIP_LEN, STRIDE, short_videos), np.random.default_rng(0)
    expected = {tuple(SHORT_VIDEOS[short_videos](start, num_frames, CLIP_LEN, STRIDE)) for start in range(starts)}
    assert {tuple(sampler(num_frames, generator)[0]) for _ in range(300)} == expected
    assert num_starts(num_frames, SPAN, short_videos) == starts


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


def author_clip(start: int, num_frames: int, clip_len: int, stride: int) -> list[int]:
    """Frames from 1: emit, go on by the stride while that stays inside, else at frame 1."""
    frames, place = [], start
    for _ in range(clip_len):
        frames.append(place)
        place = place + stride if place < num_frames - stride + 1 else 1
    return frames


def author_sorted_clip(start: int, num_frames: int, clip_len: int, stride: int) -> list[int]:
    """Frames from 0: the places mod n, sorted; one that is not past the one before goes to the frame after that.

    Theirs asks for frames past the end where the clip is longer than the video; ours stays on the last."""
    frames = sorted((start + t * stride) % num_frames for t in range(clip_len))
    for t in range(1, clip_len):
        if frames[t] <= frames[t - 1]:
            frames[t] = frames[t - 1] + 1
    return [min(frame, num_frames - 1) for frame in frames]


def loop_clip(start: int, num_frames: int, clip_len: int, stride: int) -> list[int]:
    """Frames from 0: step by single frames, from the last one to the first."""
    frames, place = [], start
    for _ in range(clip_len):
        frames.append(place)
        for _ in range(stride):
            place = 0 if place == num_frames - 1 else place + 1
    return frames


@pytest.mark.parametrize("num_frames", [1, 2, 3, 8, 16, 17, 61, 64, 65, 100])
@pytest.mark.parametrize("stride", range(1, 9))
def test_short_videos__clips_from_every_start(num_frames: int, stride: int) -> None:
    """Oracle: `author_clip` (which counts from 1), `author_sorted_clip` and `loop_clip`, a frame at a time."""
    for start in range(num_frames):
        where = (start, num_frames, 16, stride)
        found = {name: clip(*where).tolist() for name, clip in SHORT_VIDEOS.items()}
        restart = [place - 1 for place in author_clip(start + 1, *where[1:])]
        assert found == {"loop": loop_clip(*where), "restart": restart, "sort": author_sorted_clip(*where)}


@pytest.mark.parametrize("name", SHORT_VIDEOS)
def test_short_videos__many_clips_at_once(name: str) -> None:
    """Oracle: each clip alone."""
    where = [(start, n, stride) for n in (1, 5, 16, 40) for start in range(0, n, 3) for stride in (1, 4, 50)]
    columns = np.array(where).T[..., None]
    expected = [SHORT_VIDEOS[name](start, n, 8, stride).tolist() for start, n, stride in where]
    assert SHORT_VIDEOS[name](columns[0], columns[1], 8, columns[2]).tolist() == expected


def test_loop__keeps_the_stride_round_the_end() -> None:
    """Oracle: by hand."""
    assert SHORT_VIDEOS["loop"](2, 100, 4, 3).tolist() == [2, 5, 8, 11]
    assert SHORT_VIDEOS["loop"](3, 5, 4, 2).tolist() == [3, 0, 2, 4]


@pytest.mark.parametrize(
    ("start", "num_frames", "expected"),
    [
        (2, 100, [2, 5, 8, 11]),
        (5, 9, [2, 5, 6, 8]),  # 5, 8, 11 mod 9, 14 mod 9: in order 2, 5, 5, 8; the second 5 is moved on
        (0, 3, [0, 1, 2, 2]),  # four times 0: each goes one further, and the last stays in the video
        (0, 6, [0, 1, 3, 4]),  # 0, 0, 3, 3
        (0, 1, [0, 0, 0, 0]),
        (0, 10, [0, 3, 6, 9]),
    ],
)
def test_sort__puts_a_wrapped_clip_in_order(start: int, num_frames: int, expected: list[int]) -> None:
    """Oracle: by hand: the places round the video, sorted; no frame comes twice while there are others after it."""
    assert SHORT_VIDEOS["sort"](start, num_frames, CLIP_LEN, STRIDE).tolist() == expected


def test_fixed_clips__start_where_they_are_told() -> None:
    """Oracle: by hand; the authors' test takes frames 0 and 10."""
    sampler = fixed_clips(CLIP_LEN, STRIDE, [0, 10])
    assert sampler(100, np.random.default_rng(0)).tolist() == [[0, 3, 6, 9], [10, 13, 16, 19]]


@pytest.mark.parametrize(
    ("starts", "num_frames", "expected"),
    [
        ([0, 10], 20, [0, 10]),  # the second ends with frame 19
        ([0, 10], 19, [0, 0]),  # and does not fit: the authors' test has one clip then
        ([10, 0], 19, [0, 0]),
        ([0, 5, 9], 18, [0, 5, 0]),
        ([0, 10], 10, [0, 0]),
        ([0, 10], 9, [0, 0]),  # neither fits: the earlier one goes on past the end
        ([10, 12], 9, [8, 8]),  # from the last frame
    ],
)
@pytest.mark.parametrize("short_videos", SHORT_VIDEOS)
def test_fixed_clips__a_start_whose_clip_does_not_fit_gives_way(
    starts: list[int], num_frames: int, expected: list[int], short_videos: str
) -> None:
    """Oracle: by hand; clips of 4 frames, 3 apart, reach over 10 frames. Those that fit stand in, so that the mean over
    two clips is that of the one that fits."""
    clips = fixed_clips(CLIP_LEN, STRIDE, starts, short_videos)(num_frames, np.random.default_rng(0))
    assert clips.tolist() == [SHORT_VIDEOS[short_videos](s, num_frames, CLIP_LEN, STRIDE).tolist() for s in expected]


@pytest.mark.parametrize("make", [lambda: TripletSampler(4, 3), lambda: random_clip(4, 3)])
def test_samplers__follow_the_generators_seed(make: Callable[[], IndexSampler]) -> None:
    def draw(seed: int) -> list[list[int]]:
        generator = np.random.default_rng(seed)
        return [make()(90, generator).flatten().tolist() for _ in range(5)]

    assert draw(3) == draw(3)
    assert draw(3) != draw(4)


@pytest.mark.parametrize(
    ("num_frames", "starts"),
    [(16, [0]), (15, [0]), (17, [0, 4]), (32, [0, 16]), (33, [0, 16, 20]), (40, [0, 16, 27])],
)
def test_consecutive_clips__cover_the_video(num_frames: int, starts: list[int]) -> None:
    """Oracle: by hand; clips of 4 frames, 4 apart, reach over 13 frames and start 16 apart."""
    indices = consecutive_clips(4, 4)(num_frames, np.random.default_rng(0))
    assert indices.tolist() == [[start + 4 * t for t in range(4)] for start in starts]
    distance = np.abs(np.arange(num_frames)[:, None] - indices.flatten()).min(1)
    assert distance.max() < 4


def test_consecutive_clips__video_shorter_than_a_clip_loops() -> None:
    assert consecutive_clips(4, 4)(3, np.random.default_rng(0)).tolist() == [[0, 1, 2, 0]]


@pytest.mark.parametrize(
    ("num_frames", "fastest"),
    [(29, 8), (28, 8), (25, 8), (24, 7), (7, 2), (6, 1), (4, 1)],
)
def test_speeds__every_one_that_fits_and_no_jump(num_frames: int, fastest: int) -> None:
    """Oracle: by hand: four frames at stride s cover 3 s + 1; each speed comes as often, and each start that fits."""
    sampler, generator = SpeedSampler(4, 8, "loop"), np.random.default_rng(0)
    drawn = np.concatenate([sampler(num_frames, generator) for _ in range(1500)])
    strides = drawn[:, 1] - drawn[:, 0]
    assert (np.diff(drawn) == strides[:, None]).all()
    counts = np.bincount(strides)[1:]
    assert len(counts) == fastest == sampler.count_speeds(num_frames)
    assert counts.min() > 0.75 * 1500 / fastest
    starts = {int(clip[0]) for clip in drawn[strides == fastest]}
    assert starts == set(range(num_frames - 3 * fastest))


@pytest.mark.parametrize(("num_frames", "short_videos"), [(1, "loop"), (3, "loop"), (3, "restart"), (2, "sort")])
def test_speeds__video_shorter_than_a_clip(num_frames: int, short_videos: str) -> None:
    """Oracle: by hand: it is shown at its own speed, and continues as configured."""
    sampler = SpeedSampler(4, 8, short_videos)
    clip = sampler(num_frames, np.random.default_rng(0))
    assert clip.shape == (1, 4)
    assert set(clip.ravel()) <= set(range(num_frames))
    assert sampler.count_speeds(num_frames) == 1
    assert strides_of(clip, num_frames).tolist() == [1 % num_frames]


def test_strides_of__by_hand() -> None:
    """Oracle: by hand; the second clip wraps round the end, and a single frame has none."""
    assert strides_of(np.array([[0, 3, 6], [9, 2, 5]]), 10).tolist() == [3, 3]
    assert strides_of(np.array([[4], [0]]), 10).tolist() == [0, 0]


def test_random_clip__views_show_the_same_frames() -> None:
    drawn = random_clip(4, 3, views=2)(40, np.random.default_rng(0))
    assert drawn.shape == (2, 4)
    assert np.array_equal(drawn[0], drawn[1])
