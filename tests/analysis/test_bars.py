"""Accuracies as bars."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes

from vtdl_cli.analysis import bars


def test_draw_bars__each_measured_row_has_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: the means; intervals end where an accuracy has to."""
    drawn: list[Axes] = []
    monkeypatch.setattr(bars, "save_figure", lambda figure, path, dpi: drawn.extend(figure.axes))  # noqa: ARG005
    estimates: dict[str, dict[str, Any]] = {
        "knn": {"a": {"mean": 30.0, "interval": None}, "c": {"mean": 50.0, "interval": None}},
        "few": {name: {"mean": mean, "interval": [mean - 40, mean + 40]} for name, mean in zip("abc", (20, 50, 80), strict=True)},
    }  # fmt: skip
    bars.draw_bars(estimates, {"knn": "kNN", "few": "few-shot"}, 12.5, tmp_path / "figure.png")
    [axis] = drawn
    assert [[bar.get_height() for bar in group] for group in axis.containers] == [[30, 20], [50], [50, 80]]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["kNN", "few-shot"]
    ends = [tuple(np.asarray(line.get_ydata()).tolist()) for line in axis.lines]
    assert {(0, 60), (10, 90), (40, 100), (12.5, 12.5)} <= set(ends)
    assert [text.get_text() for text in axis.texts] == ["30", "20", "50", "50", "80"]


def test_draw_bars__writes_a_picture(tmp_path: Path) -> None:
    bars.draw_bars({"knn": {"a": {"mean": 30.0, "interval": None}}}, {"knn": "kNN"}, 12.5, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
