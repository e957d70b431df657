"""The figure of an ablation."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes

from vtdl_cli.analysis import ablation


@pytest.mark.parametrize("ends", [[20.0, 40.0], [-30.0, 130.0], None], ids=["interval", "wide", "one seed"])
def test_draw_ablation__panels(ends: list[float] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows go from top to bottom, seeds are drawn, and accuracies that cannot be are not shown."""
    drawn: list[Axes] = []
    monkeypatch.setattr(ablation, "save_figure", lambda figure, path, dpi: drawn.extend(figure.axes))  # noqa: ARG005
    seeds = [30.0] if ends is None else [20.0, 40.0]
    values = {metric: {"a $b$": seeds, "moco": seeds} for metric in ("knn@1", "linear_top1")}
    intervals = {metric: {"a $b$": ends, "moco": ends} for metric in values}
    ablation.draw_ablation(values, intervals, {"knn@1": "kNN", "linear_top1": "linear"}, tmp_path / "figure.png")
    assert [axis.get_title() for axis in drawn] == ["kNN", "linear"]
    assert [label.get_text() for label in drawn[0].get_yticklabels()] == ["a $b$", "moco"]
    left, right = drawn[0].get_xlim()
    assert -2 <= left < min(seeds) <= max(seeds) < right <= 102
    bottom, top = drawn[0].get_ylim()
    assert bottom > top


def test_draw_ablation__rows_that_a_metric_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each value is drawn at the height of its row, in the order of the metric that has all."""
    drawn: list[Axes] = []
    monkeypatch.setattr(ablation, "save_figure", lambda figure, path, dpi: drawn.extend(figure.axes))  # noqa: ARG005
    values = {"knn@1": {"a": [1.0], "c": [3.0]}, "finetuned": {"a": [1.0], "b": [2.0], "c": [3.0]}}
    intervals = {metric: dict.fromkeys(rows) for metric, rows in values.items()}
    ablation.draw_ablation(values, intervals, dict.fromkeys(values, ""), tmp_path / "figure.png")
    assert [label.get_text() for label in drawn[0].get_yticklabels()] == ["a", "b", "c"]
    means = [
        {tuple(np.ravel(line.get_xydata()).tolist()) for line in axis.lines if line.get_markersize() == 7}
        for axis in drawn
    ]
    assert means == [{(1, 0), (3, 2)}, {(1, 0), (2, 1), (3, 2)}]
