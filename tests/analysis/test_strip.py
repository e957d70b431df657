from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vtdl_cli.analysis.strip import DOTS_PER_INCH, FRAME_INCHES, Row, draw_strip

GREEN = (0, 200, 0)


def draw(folder: Path, length: int, size: int, rows: int = 1) -> np.ndarray:
    frames = np.full((length, size, size, 3), GREEN, np.uint8)
    draw_strip([Row(f"clip {row}", frames, np.arange(length) * 4) for row in range(rows)], "a video", folder / "a.part")
    with Image.open(folder / "a.part") as picture:
        return np.asarray(picture.convert("RGB"))


@pytest.mark.parametrize(("length", "shown"), [(1, 1), (8, 8), (11, 11), (16, 16), (64, 16)])
def test_draw_strip__frames_stay_readable(tmp_path: Path, length: int, shown: int) -> None:
    """Oracle: at least 70% of FRAME_INCHES squared for each shown frame, less its number; at 224 pixels, 1400 wide."""
    picture = draw(tmp_path, length, 224)
    area = (picture == GREEN).all(2).sum()
    assert 0.7 * shown < area / (FRAME_INCHES * DOTS_PER_INCH) ** 2 < 1.5 * shown
    assert picture.shape[1] < 1400


def test_draw_strip__more_clips_make_a_taller_picture(tmp_path: Path) -> None:
    one, three = (draw(tmp_path, 8, 32, rows).shape for rows in (1, 3))
    assert three[1] == one[1]
    assert 2 < three[0] / one[0] < 3
