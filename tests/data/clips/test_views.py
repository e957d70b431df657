import math
from fractions import Fraction

import numpy as np
import pytest

from vtdl_cli.data.clips.views import (
    FixedViews,
    RandomViews,
    cut_window,
    seen_area,
    window_side,
)
from vtdl_cli.data.video.resizing import resize_shown

JITTER = (0.5, 0.5, 0.25, 0.5)


def mapped_frames(num_frames: int, height: int, width: int) -> np.ndarray:
    """Frames (T, H, W, 3) whose every pixel tells where it is: (x, y, frame) + 1, so that none is black."""
    frame, y, x = np.meshgrid(*map(np.arange, (num_frames, height, width)), indexing="ij")
    return np.stack([x, y, frame], 3).astype(np.uint8) + np.uint8(1)


@pytest.mark.parametrize("left", [-9, -3, 0, 2, 6, 12])
@pytest.mark.parametrize("top", [-8, -1, 0, 1, 5, 9])
def test_cut_window__is_a_crop_of_the_frames_on_black(left: int, top: int) -> None:
    """Oracle: the frames padded with more black than any window needs (numpy.pad), then sliced."""
    frames = mapped_frames(2, 6, 9)
    padded = np.pad(frames, ((0, 0), (12, 12), (12, 12), (0, 0)))
    expected = padded[:, 12 + top : 12 + top + 5, 12 + left : 12 + left + 5]
    assert np.array_equal(cut_window(frames, left, top, 5), expected)


def test_cut_window__larger_than_the_frame() -> None:
    """Oracle: by hand: a frame of 2 x 3 in the middle of a black square of 6."""
    window = cut_window(mapped_frames(1, 2, 3), -1, -2, 6)[0]
    assert window.shape == (6, 6, 3)
    assert np.array_equal(window[2:4, 1:4], mapped_frames(1, 2, 3)[0])
    assert np.count_nonzero(window.any(2)) == 6


@pytest.mark.parametrize("degrees", [0.0, 1.0, 10.0, 45.0])
@pytest.mark.parametrize("crop_size", [7, 64, 224])
def test_window_side__holds_every_pixel_that_the_turned_crop_can_ask_for(crop_size: int, degrees: float) -> None:
    """Oracle: the corner pixels' centres turned by many angles, with the neighbour that bilinear sampling adds and the
    half pixel by which a window's place is rounded; and no more than 4 pixels wasted."""
    half = (crop_size - 1) / 2
    angles = np.radians(np.linspace(-degrees, degrees, 181))
    reach = max(half * abs(math.cos(a)) + half * abs(math.sin(a)) for a in angles)
    needed = 2 * math.floor(reach) + 1 if degrees == 0 else 2 * (reach + 0.5) + 1
    assert needed <= window_side(crop_size, degrees) <= needed + 4


def test_random_views__without_augmentation_are_crops_shared_by_a_clips_frames() -> None:
    """Oracle: the pixels tell where they are from: each window is one slice of the frames that the clip names."""
    frames = mapped_frames(5, 11, 15)
    clips = np.array([[0, 2, 2, 4], [4, 3, 1, 0]])  # positions, with repeats and wrapped
    views, generator = RandomViews(8, 10.0, JITTER, augment=False), np.random.default_rng(0)
    corners = set()
    for _ in range(300):
        windows, draws = views(frames, clips, generator)
        assert draws == {}
        for window, clip in zip(windows, clips, strict=True):
            x, y = (int(value) - 1 for value in window[0, 0, 0, :2])
            assert np.array_equal(window, frames[clip, y : y + 8, x : x + 8])
            corners.add((x, y))
    assert corners == {(x, y) for x in range(8) for y in range(4)}  # all places, and the outermost ones


def test_random_views__draws_lie_in_the_ranges_of_basic_augmentation() -> None:
    """Oracle: method/README: rotation within ±10°, factors 1 ± (.5, .5, .25), hue ± .5, any order; the extremes of 1500
    draws come within a hundredth of the range."""
    views, generator = RandomViews(8, 10.0, JITTER), np.random.default_rng(0)
    frames, clips = mapped_frames(1, 11, 15), np.zeros((3, 1), int)
    drawn = [views(frames, clips, generator)[1] for _ in range(500)]
    joined = {name: np.concatenate([draws[name] for draws in drawn]) for name in drawn[0]}
    rotation = np.degrees(joined["rotation"])
    assert (rotation.min(), rotation.max()) == pytest.approx((-10, 10), abs=0.2)
    assert np.abs(rotation).max() <= 10
    for values, middle, strength in zip(joined["factor"].T, (1, 1, 1, 0), JITTER, strict=True):
        assert (values.min(), values.max()) == pytest.approx((middle - strength, middle + strength), abs=0.01)
        assert np.abs(values - middle).max() <= strength
    assert len({tuple(order) for order in joined["order"].tolist()}) == 24
    assert np.abs(joined["shift"]).max() <= 0.5
    assert [(str(values.dtype), values.shape[1:]) for values in joined.values()] == [
        ("float32", ()),
        ("float32", (2,)),
        ("float32", (4,)),
        ("int64", (4,)),
    ]


def test_random_views__clips_of_one_video_have_draws_of_their_own() -> None:
    """Oracle: method/README: anchor and positive are the same frames under two independent draws."""
    views = RandomViews(8, 10.0, JITTER)
    windows, draws = views(mapped_frames(4, 11, 15), np.array([[0, 1], [0, 1]]), np.random.default_rng(0))
    assert windows.shape == (2, 2, window_side(8, 10.0), window_side(8, 10.0), 3)
    assert not np.array_equal(windows[0], windows[1])
    assert not any(np.array_equal(values[0], values[1]) for name, values in draws.items() if name != "order")


@pytest.mark.parametrize(
    ("height", "width", "crops", "corners"),
    [
        (6, 9, 1, [(2, 1)]),  # 2.5 and 1, to the even neighbour
        (6, 9, 3, [(0, 1), (2, 1), (5, 1)]),
        (9, 6, 3, [(1, 0), (1, 2), (1, 5)]),
        (6, 6, 3, [(0, 1), (1, 1), (2, 1)]),
        (4, 4, 3, [(0, 0), (0, 0), (0, 0)]),
    ],
)
def test_fixed_views__by_hand(height: int, width: int, crops: int, corners: list[tuple[int, int]]) -> None:
    """Oracle: corners (x, y) of squares of 4 pixels by hand: the centre, or three along the long side, clip by clip."""
    frames, clips = mapped_frames(3, height, width), np.array([[0, 2], [1, 1]])
    windows, draws = FixedViews(4, crops)(frames, clips, np.random.default_rng(0))
    assert draws == {}
    expected = [frames[clip, y : y + 4, x : x + 4] for clip in clips for x, y in corners]
    assert np.array_equal(windows, np.stack(expected))


@pytest.mark.parametrize(("height", "width"), [(36, 50), (50, 36), (32, 32), (144, 180)])
def test_seen_area__is_what_a_fixed_view_shows(height: int, width: int) -> None:
    """Oracle: a frame whose pixels hold their own place, resized and cut; its edges are half a pixel inside."""
    rows, columns = np.mgrid[:height, :width].astype(np.uint8)
    frame = np.stack([rows, columns, columns], -1)
    small = resize_shown(frame[None], Fraction(1), 36)
    window, _ = FixedViews(32)(small, np.array([[0]]), np.random.default_rng(0))
    top, left, tall, wide = seen_area(height, width, 36, 32)
    tolerance = max(1.5, 1.5 * min(height, width) / 36)
    seen = window[0, 0].astype(int)
    assert abs(seen[..., 0].min() - top) <= tolerance
    assert abs(seen[..., 0].max() - (top + tall - 1)) <= tolerance
    assert abs(seen[..., 1].min() - left) <= tolerance
    assert abs(seen[..., 1].max() - (left + wide - 1)) <= tolerance
