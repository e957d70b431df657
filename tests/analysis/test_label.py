"""Labels on frames."""

import numpy as np
import pytest

from vtdl_cli.analysis.label import MIN_FONT_PIXELS, draw_label, lay_label


def test_draw_label__is_white_on_dark() -> None:
    label = draw_label(["jump 0.93", "run 0.05"], 240, 320)
    assert label.shape[2] == 4
    assert label[0, 0].tolist() == [0, 0, 0, 160]
    letters = label[..., 0] > 200
    assert letters[: len(letters) // 2].any()
    assert letters[len(letters) // 2 :].any()
    assert not letters[:, -3:].any()  # nothing is cut off


@pytest.mark.parametrize("size", [(36, 50), (240, 320), (1080, 1920), (8, 4)])
def test_draw_label__fits_into_the_frame(size: tuple[int, int]) -> None:
    frame = np.full((*size, 3), 128, np.uint8)
    label = draw_label(["a name of a class that is as long as a sentence 0.93", "dollar$ 0.01", "\x1b 跳 0.01"], *size)
    assert label.shape[0] <= size[0]
    assert label.shape[1] <= size[1]
    assert lay_label(frame, label).shape == frame.shape


def test_draw_label__letters_shrink_before_a_name_is_cut() -> None:
    short, long = draw_label(["jump"], 240, 160), draw_label(["jump over the moon 0.9"], 240, 160)
    assert long.shape[0] < short.shape[0]
    assert long.shape[0] > MIN_FONT_PIXELS


def test_lay_label__by_hand() -> None:
    """A grey frame of 100 under black of opacity 160 / 255, and under white of full opacity."""
    frame = np.full((2, 3, 3), 100, np.uint8)
    label = np.array([[[0, 0, 0, 160], [255, 255, 255, 255]]], np.uint8)
    labelled = lay_label(frame, label)
    assert labelled[..., 0].tolist() == [[37, 255, 100], [100, 100, 100]]
    assert (frame == 100).all()
