from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vtdl_cli.analysis.overlay import HEAT_COLOURS, MAX_OPACITY, OUTLINE, UNSEEN_BRIGHTNESS, draw_overlays, lay_over

AREA = (10, 20, 16, 24)  # top, left, height, width
INSIDE = np.s_[11:25, 21:43]


def grey_frame() -> np.ndarray:
    return np.full((40, 60, 3), 100, np.uint8)


def test_lay_over__without_heat_only_the_unseen_changes() -> None:
    frame = grey_frame()
    overlay = lay_over(frame, torch.zeros(2, 3), AREA)
    assert (overlay[INSIDE] == 100).all()
    outside = np.ones((40, 60), bool)
    outside[10:26, 20:44] = False
    assert (overlay[outside] == round(100 * UNSEEN_BRIGHTNESS)).all()
    assert (overlay[10, 20:44] == OUTLINE).all()
    assert (frame == 100).all()  # it is not written into


def test_lay_over__maximal_heat_has_the_last_colour() -> None:
    overlay = lay_over(grey_frame(), torch.ones(2, 2), AREA)
    expected = (1 - MAX_OPACITY) * 100 + MAX_OPACITY * 255 * HEAT_COLOURS[-1]
    assert overlay[15, 30] == pytest.approx(expected, abs=1)


@pytest.mark.parametrize("place", [(0, 0), (1, 2)])
def test_lay_over__heat_is_where_the_map_has_it(place: tuple[int, int]) -> None:
    """Oracle: by hand. A map of 2x3 over 16x24 pixels: each cell has 8, its middle at 4 and 12, 4, 12 and 20."""
    heat = torch.zeros(2, 3)
    heat[place] = 1
    changed = np.abs(lay_over(grey_frame(), heat, AREA)[INSIDE].astype(float) - 100).sum(2)
    weights = changed * (changed > 0.5 * changed.max())
    rows, columns = np.mgrid[11:25, 21:43]
    centre = (rows * weights).sum() / weights.sum(), (columns * weights).sum() / weights.sum()
    assert abs(centre[0] - (10 + 8 * place[0] + 4)) < 3
    assert abs(centre[1] - (20 + 8 * place[1] + 4)) < 3


@pytest.mark.parametrize(("count", "height", "width"), [(1, 40, 60), (6, 60, 40)])
def test_draw_overlays__writes_a_figure(tmp_path: Path, count: int, height: int, width: int) -> None:
    frame = np.full((height, width, 3), (0, 200, 0), np.uint8)
    frames = {f"frame {number}": (frame, frame[..., ::-1]) for number in range(count)}
    title = "a video with $dollars$ and a name that is " + "long " * 40
    draw_overlays(frames, tmp_path / "a.part", title=title, scale=(0.5, 2), meaning="norm")
    with Image.open(tmp_path / "a.part") as image:
        pixels = np.asarray(image.convert("RGB"))
    assert image.format == "PNG"
    assert (pixels == (0, 200, 0)).all(2).sum() > 10000 * count  # each frame is large enough to be read
