"""Names in figures: shown as they are, whatever is in them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from vtdl_cli.analysis.confusion import draw_confusion
from vtdl_cli.analysis.curves import draw_curves
from vtdl_cli.analysis.embedding import FEW_CLASSES, draw_points
from vtdl_cli.analysis.figure import save_figure
from vtdl_cli.analysis.gradients import draw_gradients
from vtdl_cli.analysis.overlay import draw_overlays
from vtdl_cli.analysis.retrieval import RetrievalCell, draw_retrieval
from vtdl_cli.analysis.strip import ClipFrames, draw_strip

NAME = "$\\frac \x1b 漢$"  # an invalid formula, a control character, and one that no font has
FRAME = np.zeros((6, 8, 3), np.uint8)
LABELS = np.arange(2 * FEW_CLASSES)
EPOCHS = [{"epoch": 1.0, "loss": 1.0}]


@pytest.mark.parametrize(
    "draw",
    [
        lambda path: draw_confusion(np.eye(2, dtype=np.int64), [NAME, "b"], NAME, path),
        lambda path: draw_confusion(np.ones((120, 120), np.int64), [NAME] * 120, NAME, path),
        lambda path: draw_curves({NAME: EPOCHS, "b": EPOCHS}, path),
        lambda path: draw_points(np.eye(2), LABELS[:2], {0: NAME, 1: NAME}, NAME, (NAME, NAME), path),
        lambda path: draw_points(np.c_[LABELS, LABELS], LABELS, dict.fromkeys(LABELS.tolist(), NAME), NAME, ("", ""), path),
        lambda path: draw_points(np.eye(2), np.full(2, -1), {-1: ""}, NAME, ("", ""), path, videos=[NAME, NAME]),
        lambda path: draw_gradients([NAME], [1], np.ones((1, 1)), np.ones((1, 1)), NAME, path),
        lambda path: draw_overlays({NAME: (FRAME, FRAME)}, path, title=NAME, scale=(0, 1), meaning=NAME),
        lambda path: draw_retrieval([[RetrievalCell(FRAME, NAME), RetrievalCell(FRAME, NAME, True, 1.0)]], NAME, NAME, path),
        lambda path: draw_strip([ClipFrames(NAME, FRAME[None], np.zeros(1, int))], NAME, path),
    ],
    ids=[
        "confusion", "confusion_of_many", "curves", "points", "points_of_many", "points_named", "gradients", "overlays", "retrieval", "strip",
    ],
)  # fmt: skip
def test_figures__names_are_no_formulas(tmp_path: Path, draw: Callable[[Path], None]) -> None:
    """matplotlib refuses to draw an invalid formula, and warns of a missing glyph."""
    draw(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_save_figure__keeps_the_powers_of_ten_of_a_logarithmic_axis(tmp_path: Path) -> None:
    figure = Figure()
    axes = figure.subplots()
    axes.plot([1, 1000])
    axes.set(yscale="log", title=NAME)
    axes.set_xticks([0, 1], [NAME, "b"])
    save_figure(figure, tmp_path / "figure.png", dpi=50)
    assert axes.title.get_text() == "$\\frac \\x1b 漢$"
    assert not axes.title.get_parse_math()
    assert not axes.get_xticklabels()[0].get_parse_math()
    powers = [label for label in axes.get_yticklabels() if "10^" in label.get_text()]
    assert powers
    assert all(label.get_parse_math() for label in powers)


def test_save_figure__writes_values_along_an_axis_in_full(tmp_path: Path) -> None:
    """Oracle: matplotlib by itself: of such values it writes differences, and 1.199e1 at the axis's end."""
    values = [11.99, 11.9901, 11.9902]
    figure, plain = Figure(), Figure()
    axis, plain_axis = figure.subplots(), plain.subplots()
    for each in (axis, plain_axis):
        each.plot(values)
    plain.savefig(tmp_path / "plain.png")
    save_figure(figure, tmp_path / "a.png", dpi=50)
    assert "1.199e1" in plain_axis.yaxis.get_offset_text().get_text()
    assert axis.yaxis.get_offset_text().get_text() == ""
    assert {label.get_text()[:4] for label in axis.get_yticklabels()} <= {"11.9"}
