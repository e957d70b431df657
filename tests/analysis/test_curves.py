from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vtdl_cli.analysis import curves
from vtdl_cli.analysis.curves import PANEL_INCHES, PANELS, _styles, draw_curves, name_unit

PRETRAINING = {"loss": 2.0, "positive_logit": 8.0, "queue_logit": 1.0, "positive_probability": 0.4, "spread": 0.9}


def size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def rows(num_epochs: int, **metrics: float) -> list[dict[str, float]]:
    return [
        {"epoch": epoch, **{name: value / epoch for name, value in metrics.items()}}
        for epoch in range(1, num_epochs + 1)
    ]


@pytest.mark.parametrize("num_epochs", [1, 40])
def test_draw_curves__writes_a_figure_with_lines(tmp_path: Path, num_epochs: int) -> None:
    draw_curves({"run": rows(num_epochs, **PRETRAINING)}, tmp_path / ".curves.png.part")
    with Image.open(tmp_path / ".curves.png.part") as image:
        assert image.format == "PNG"
        assert image.width > 1000  # three panels beside one another
        assert len(image.getcolors(1 << 24)) > 10  # type: ignore[arg-type]


def test_draw_curves__more_panels_make_a_taller_figure(tmp_path: Path) -> None:
    everything = {name: 1.0 for _, _, names in PANELS for name in names}
    heights = []
    for metrics in ({"loss": 1.0}, everything):
        draw_curves({"run": rows(3, **metrics)}, tmp_path / "a.png")
        heights.append(size(tmp_path / "a.png")[1])
    assert heights[1] == 2 * heights[0]


def test_draw_curves__metric_of_some_epochs_only(tmp_path: Path) -> None:
    table = rows(4, loss=2.0)
    table[1]["knn_top1"] = 40.0
    draw_curves({"run": table}, tmp_path / "a.png")
    draw_curves({"run": rows(4, loss=2.0)}, tmp_path / "b.png")
    assert size(tmp_path / "a.png") > size(tmp_path / "b.png")


def test_draw_curves__several_runs_have_a_panel_for_each_metric(tmp_path: Path) -> None:
    """Oracle: counted by hand. Three probabilities share one panel of one run; of two they have three, in one row."""
    table = rows(3, positive_probability=0.5, queue_probability=0.3, intra_video_negative_probability=0.2)
    draw_curves({"a": table}, tmp_path / "a.png")
    draw_curves({"a": table, "a longer name": rows(9, positive_probability=0.4)}, tmp_path / "b.png")
    one, two = size(tmp_path / "a.png"), size(tmp_path / "b.png")
    assert two[1] == one[1]
    assert two[0] > 3 * one[0]  # three panels, and the names beside them


def test_draw_curves__a_long_title_stays_above_its_panel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: matplotlib's own measure of the text: no wider than the figure's share of a panel."""
    from matplotlib.figure import Figure

    figures = list[Figure]()
    monkeypatch.setattr(curves, "save_figure", lambda figure, *_, **__: figures.append(figure))
    table = rows(3, intra_video_negative_logit=0.5, loss=1.0, lr=1.0)
    draw_curves({"a": table, "b": table}, tmp_path / "a.png")
    figures[0].draw_without_rendering()
    titles = [axis.title for axis in figures[0].axes if axis.get_visible()]
    assert any("intra-video negative logit" in title.get_text() for title in titles)
    widest = max(title.get_window_extent().width for title in titles)
    assert widest < PANEL_INCHES[0] * figures[0].dpi


def test_draw_curves__more_runs_than_colours_differ_by_line_style(tmp_path: Path) -> None:
    for name, num_runs in (("a", 10), ("b", 11)):
        draw_curves({f"{run:02d}": rows(2, loss=1.0 + run) for run in range(num_runs)}, tmp_path / name)
    assert (tmp_path / "a").read_bytes() != (tmp_path / "b").read_bytes()
    styles = [str(style) for _, style in _styles({str(run): [] for run in range(40)})]
    assert len(set(styles)) == 40


def test_draw_curves__nothing_reaches_the_edge(tmp_path: Path) -> None:
    """Values along the axis that a narrower panel adds still fit. Oracle: the edge of the picture is white."""
    queue = (0.95, 0.97, 0.96, 0.94, 0.94, 0.92, 0.87, 0.82, 0.77, 0.74, 0.69, 0.69)
    names = ("queue", "positive", "intra_video_negative")
    rows = [
        {
            "epoch": float(epoch),
            **{f"{name}_probability": value for name, value in zip(names, (each, 0.02, 0.03), strict=True)},
        }
        for epoch, each in enumerate(queue, 1)
    ]
    draw_curves({"run": rows}, tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    edges = (pixels[:2], pixels[-2:], pixels[:, :2], pixels[:, -2:])
    assert [int(edge.min()) for edge in edges] == [255] * 4


def test_panels__name_every_metric_once() -> None:
    names = [name for _, _, metrics in PANELS for name in metrics]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("val_top1", "val top-1 (%)"),
        ("val_mean_class", "val mean class (%)"),
        ("intra_video_negative_logit", "intra-video negative logit"),
        ("seconds", "seconds"),
    ],
)
def test_name_unit__is_for_readers(name: str, shown: str) -> None:
    """Oracle: by hand."""
    assert name_unit(name) == shown
