"""An ablation as a figure: every seed of every row, with means and intervals."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vtdl_cli.analysis.figure import save_figure
from vtdl_cli.text import printable


def draw_ablation(
    values: Mapping[str, Mapping[str, Sequence[float]]],
    intervals: Mapping[str, Mapping[str, Sequence[float] | None]],
    titles: Mapping[str, str],
    path: Path,
) -> None:
    """Write a PNG with a panel for each metric: rows from top to bottom, a thin line through the values of each seed.

    Args:
        values: metric -> row -> accuracy of each seed in percent, (S,); a metric may lack rows.
        intervals: metric -> row -> ends of the interval of the mean; none for one seed.
        titles: metric -> title of its panel.
        path: of the PNG, whatever its suffix.
    """
    rows = rows_of(values)
    beside = 0.085 * max(map(len, rows))  # inches, of the names
    figure = Figure(figsize=(3.2 * len(values) + beside, 1.3 + 0.42 * len(rows)), layout="constrained")
    axes = figure.subplots(1, len(values), sharey=True, squeeze=False)[0]
    for axis, (metric, by_row) in zip(axes, values.items(), strict=True):
        places = {row: place for place, row in enumerate(rows) if row in by_row}
        _draw_panel(axis, by_row, intervals[metric], places)
        axis.set_title(titles[metric], fontsize=10)
        axis.set_xlabel("top-1 (%)")
    axes[0].set_yticks(range(len(rows)), [printable(row) for row in rows])
    axes[0].invert_yaxis()
    figure.suptitle("seeds (grey), mean and 95% interval (blue)", fontsize=9)
    save_figure(figure, path, dpi=120)


def rows_of(values: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return all rows of metrics, some of which may lack rows, in the order of the metric that has most."""
    by_metric = sorted(values.values(), key=len, reverse=True)
    return list(dict.fromkeys(row for rows in by_metric for row in rows))


def _draw_panel(
    axis: Axes,
    by_row: Mapping[str, Sequence[float]],
    intervals: Mapping[str, Sequence[float] | None],
    places: Mapping[str, int],
) -> None:
    heights = list(places.values())
    for of_seed in np.array([by_row[row] for row in places]).T:
        axis.plot(of_seed, heights, "-", color="0.8", linewidth=0.8, zorder=1)
        axis.plot(of_seed, heights, "o", color="0.45", markersize=3, zorder=4)
    for row, place in places.items():
        if (ends := intervals[row]) is not None:
            axis.plot(ends, [place, place], "-", color="tab:blue", linewidth=2.5, zorder=2)
        axis.plot(np.mean(by_row[row]), place, "o", color="tab:blue", markersize=7, zorder=3)
    left, right = axis.get_xlim()
    axis.set_xlim(max(left, -2), min(right, 102))  # an interval of few seeds may reach beyond what is possible
    axis.grid(axis="x", alpha=0.3)
