from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vtdl_cli.analysis.confusion import MAX_NAMED, MAX_NUMBERED, draw_confusion, list_confusions

DARK = (8, 48, 107)  # the end of the colour map


def draw(folder: Path, counts: np.ndarray) -> np.ndarray:
    path = folder / ".confusion.png.part"
    draw_confusion(counts, [f"class {number}" for number in range(len(counts))], "video@10: top-1 50.0%", path)
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("num_classes", [2, MAX_NUMBERED + 1, MAX_NAMED + 1])
def test_draw_confusion__writes_a_figure(tmp_path: Path, num_classes: int) -> None:
    image = draw(tmp_path, np.eye(num_classes, dtype=np.int64))
    assert image.shape[2] == 3
    assert max(image.shape) < 3000
    assert (image == DARK).all(2).sum() > 300  # the diagonal


def test_draw_confusion__rows_are_shares_not_counts(tmp_path: Path) -> None:
    """Oracle: by hand. A class of 2 videos, all correct, is as dark as one of 90; numbers are not compared."""
    few, many = (draw(tmp_path, np.diag([count, 30])) for count in (2, 90))
    areas = [(image == DARK).all(2).sum() for image in (few, many)]
    assert areas[0] > 1000
    assert areas[0] == pytest.approx(areas[1], rel=0.05)


def test_draw_confusion__class_without_videos(tmp_path: Path) -> None:
    """Its row stays white: 0 of 0 is no share. The other's counts are 3 and 1."""
    assert (draw(tmp_path, np.array([[3, 0], [0, 0]])) == DARK).all(2).sum() > 1000
    assert (draw(tmp_path, np.array([[0, 0], [0, 0]])) == DARK).all(2).sum() < 1000  # the colour bar's end alone


def test_worst_pairs__by_hand() -> None:
    """Shares of the rows: a to b 1/4, b to a 1/2, b to c 1/4; c has no videos."""
    counts = np.array([[3, 1, 0], [2, 1, 1], [0, 0, 0]])
    shares = counts / counts.sum(1, keepdims=True).clip(1)
    title, _, *lines = list_confusions(counts, shares, ["a", "b", "c"]).splitlines()
    assert title == "most often misclassified (true: predicted)"
    assert lines == ["2 of 4  b: a", "1 of 4  a: b", "1 of 4  b: c"]
