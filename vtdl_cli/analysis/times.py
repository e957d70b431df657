"""Times as bars: what takes how long, side by side."""

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from vtdl_cli.analysis.figure import save_figure
from vtdl_cli.text import brief_number, printable


def draw_times(values: Mapping[str, float], unit: str, title: str, path: Path) -> None:
    """Write a PNG with a bar for each value, from top to bottom.

    Args:
        values: by name, in `unit`.
        unit: of the axis.
        title: of the figure.
        path: of the PNG, whatever its suffix.
    """
    beside = 0.085 * max(map(len, values))  # inches, of the names
    figure = Figure(figsize=(5 + beside, 1.1 + 0.32 * len(values)), layout="constrained")
    axis = figure.subplots()
    bars = axis.barh([printable(name) for name in values], list(values.values()))
    axis.bar_label(bars, [brief_number(value) for value in values.values()], padding=3, fontsize=9)
    axis.margins(x=0.15)  # room for the numbers
    axis.invert_yaxis()
    axis.set_xlabel(unit)
    axis.set_title(title, fontsize=10)
    save_figure(figure, path, dpi=120)
