"""Figures of probabilities over time."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vtdl_cli.analysis.timeline import CLASS_COLOURS, draw_timeline, main_classes, nearest_edges


def test_main_classes__predicted_ones_come_first() -> None:
    """Class 2 is predicted twice, class 0 once; class 1 never, but it has a higher mean than class 3."""
    probabilities = np.array([[0.1, 0.3, 0.6, 0.0], [0.1, 0.4, 0.5, 0.0], [0.9, 0.1, 0.0, 0.0]])
    assert main_classes(probabilities) == [2, 0, 1, 3]
    assert len(main_classes(np.random.default_rng(0).random((5, 400)))) == len(CLASS_COLOURS)


def test_nearest_edges__by_hand() -> None:
    """Centres at 1, 2 and 5: the parts meet half way."""
    spans = np.array([[0, 2], [1, 3], [4, 6]], np.float64)
    assert nearest_edges(spans).tolist() == [0, 1.5, 3.5, 6]
    assert nearest_edges(spans[:1]).tolist() == [0, 2]


@pytest.mark.parametrize(("windows", "classes"), [(1, 1), (3, 2), (2000, 400)])
def test_draw_timeline__writes_a_png_with_a_white_ground(tmp_path: Path, windows: int, classes: int) -> None:
    starts = np.arange(windows, dtype=np.float64)
    values = np.random.default_rng(0).dirichlet(np.ones(classes), windows)
    names = [f"$class_{number} {'long ' * 9}" for number in range(classes)]
    out = tmp_path / "timeline"
    draw_timeline(np.stack([starts, starts + 2], 1), values, names, out, unit="s", title="$a video")
    with Image.open(out) as image:
        assert (image.format, image.convert("RGB").getpixel((2, image.height - 3))) == ("PNG", (255, 255, 255))
