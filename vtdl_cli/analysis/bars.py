"""Accuracies as bars with intervals, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from vtdl_cli.analysis.ablation import rows_of
from vtdl_cli.analysis.figure import save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GROUP_WIDTH = 0.8  # of the bars of one metric, of the distance between two
TITLE_CHARACTERS = 11  # in a line below the bars
LOW = 9  # percent: a bar that is lower has no room for its number
INTERVAL_LINE: dict[str, Any] = {"color": "0.15", "linewidth": 1.6}


def draw_bars(
    estimates: Mapping[str, Mapping[str, Mapping[str, Any]]], titles: Mapping[str, str], chance: float, path: Path
) -> None:
    """Write a PNG with a group of bars for each metric, a bar for each row, and a line at chance.

    Args:
        estimates: metric -> row -> `mean` in percent, and `interval`, the ends of its 95% interval or none. A metric
            may lack rows.
        titles: metric -> its name.
        chance: accuracy of guessing, in percent.
        path: of the PNG, whatever its suffix.
    """
    from matplotlib.figure import Figure

    rows = rows_of(estimates)
    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axis = figure.subplots()
    width = GROUP_WIDTH / len(rows)
    for number, row in enumerate(rows):
        places = _places(estimates, row, rows, width)
        means = [estimates[metric][row]["mean"] for metric in places]
        axis.bar(list(places.values()), means, 0.92 * width, color=f"C{number}", label=row)
        for metric, place in places.items():
            _draw_value(axis, place, f"C{number}", **estimates[metric][row])
    axis.axhline(chance, color="0.3", linestyle="--", linewidth=1.2, label="chance")
    if any(each["interval"] for of_metric in estimates.values() for each in of_metric.values()):
        axis.plot([], [], **INTERVAL_LINE, label="95% interval")
    axis.set_xticks(
        range(len(estimates)), [fill(titles[metric], TITLE_CHARACTERS) for metric in estimates], fontsize=11
    )
    axis.set_ylabel("top-1 (%)", fontsize=11)
    axis.set_ylim(0, 103)
    axis.set_yticks(range(0, 101, 20))
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    figure.legend(loc="outside upper center", ncols=3, frameon=False, fontsize=10.5)
    save_figure(figure, path, dpi=120)


def _places(
    estimates: Mapping[str, Mapping[str, Any]], row: str, rows: Sequence[str], width: float
) -> dict[str, float]:
    """Return where the bars of a row are, by metric: beside those of the other rows that the metric has."""
    places = {}
    for group, (metric, measured) in enumerate(estimates.items()):
        present = [each for each in rows if each in measured]
        if row in present:
            places[metric] = group + (present.index(row) - (len(present) - 1) / 2) * width
    return places


def _draw_value(axis: Axes, place: float, color: str, mean: float, interval: Sequence[float] | None) -> None:
    """Write the mean at the foot of its bar, or above a low one; draw the interval as far as accuracies go."""
    if interval is not None:
        axis.plot([place, place], [max(interval[0], 0), min(interval[1], 100)], **INTERVAL_LINE)
    is_low = mean < LOW
    axis.annotate(
        f"{mean:.0f}",
        (place, mean if is_low else 0),
        (0, 3),
        textcoords="offset points",
        ha="center",
        fontsize=10,
        bbox={"facecolor": "white" if is_low else color, "edgecolor": "none", "pad": 0.5},  # over a long interval
    )
