from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vtdl_cli.analysis.strip import DOTS_PER_INCH, FRAME_INCHES, ClipFrames, draw_strip

GREEN = (0, 200, 0)


def draw(folder: Path, length: int, size: int, num_clips: int = 1) -> np.ndarray:
    frames = np.full((length, size, size, 3), GREEN, np.uint8)
    clips = [ClipFrames(f"clip {number}", frames, np.arange(length) * 4) for number in range(num_clips)]
    draw_strip(clips, "a video", folder / "a.part")
    with Image.open(folder / "a.part") as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize(("length", "shown"), [(1, 1), (8, 8), (11, 11), (16, 16), (64, 16)])
def test_draw_strip__frames_stay_readable(tmp_path: Path, length: int, shown: int) -> None:
    """Oracle: at least 70% of FRAME_INCHES squared for each shown frame, less its number; at 224 pixels, 1400 wide."""
    image = draw(tmp_path, length, 224)
    area = (image == GREEN).all(2).sum()
    assert 0.7 * shown < area / (FRAME_INCHES * DOTS_PER_INCH) ** 2 < 1.8 * shown
    assert image.shape[1] < 1400


def test_draw_strip__more_clips_make_a_taller_figure(tmp_path: Path) -> None:
    one, three = (draw(tmp_path, 8, 32, number).shape for number in (1, 3))
    assert three[1] == one[1]
    assert 2 < three[0] / one[0] < 3
