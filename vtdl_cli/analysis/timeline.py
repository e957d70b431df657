"""Probabilities of classes over the time of a video.

Shapes: W windows, K classes.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from vtdl_cli.analysis.figure import save_figure

CLASS_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Of the first classes: those of Okabe and Ito (2008) that readers with any colour vision tell apart, on white."""

OTHERS_COLOUR = "#9A9A9A"
OTHERS = "most probable other"
FEW_WINDOWS = 60  # fewer are marked one by one


def draw_timeline(
    spans: np.ndarray, probabilities: np.ndarray, classes: Sequence[str], path: Path, *, unit: str, title: str
) -> None:
    """Write a PNG: a line for each of the main classes, and below a strip coloured by the predicted class.

    The main classes are those predicted for most windows; the others share a grey line, the most probable of them. The
    background is white, so that a page of any colour can show the figure.

    Args:
        spans: start and end of each window, (W, 2), in `unit`.
        probabilities: (W, K).
        classes: K names.
        path: of the PNG, whatever its suffix.
        unit: `s` or `frames`.
        title: of the figure.
    """
    main = main_classes(probabilities)
    figure = Figure(figsize=(9.5, 3.9), layout="constrained", facecolor="white")
    lines, strip = figure.subplots(2, 1, sharex=True, height_ratios=(9, 1))
    centres, edges = spans.mean(1), nearest_edges(spans)
    marker = "." if len(spans) < FEW_WINDOWS else None
    colours = dict(zip(main, CLASS_COLOURS, strict=False))
    others = np.delete(probabilities, main, axis=1)
    if others.shape[1]:
        lines.plot(centres, others.max(1), color=OTHERS_COLOUR, linewidth=1, marker=marker, zorder=1)
    for number in reversed(main):  # the first class above all
        lines.plot(centres, probabilities[:, number], color=colours[number], linewidth=1.6, marker=marker)
    lines.set(ylabel="probability", ylim=(0, 1.02), xlim=(edges[0], edges[-1]))
    lines.grid(alpha=0.3)
    places = [main.index(number) if number in main else len(main) for number in probabilities.argmax(1).tolist()]
    palette = ListedColormap([*colours.values(), OTHERS_COLOUR])
    strip.pcolormesh(edges, [0, 1], np.array([places]), cmap=palette, vmin=0, vmax=len(main))
    strip.set(yticks=[], ylim=(0, 1), xlabel={"s": "seconds"}.get(unit, unit))
    strip.set_ylabel("predicted", rotation=0, ha="right", va="center")
    names = [classes[number] for number in main] + [OTHERS] * bool(others.shape[1])
    _add_legend(figure, names, [*colours.values(), OTHERS_COLOUR])
    figure.suptitle(title, fontsize=10)
    save_figure(figure, path, dpi=120)


def main_classes(probabilities: np.ndarray) -> list[int]:
    """Return the classes to draw in colour: those predicted most often, then those of the highest mean probability."""
    predicted = np.bincount(probabilities.argmax(1), minlength=probabilities.shape[1])
    order = np.lexsort((-probabilities.mean(0), -predicted))
    chosen: list[int] = order[: len(CLASS_COLOURS)].tolist()
    return chosen


def nearest_edges(spans: np.ndarray) -> np.ndarray:
    """Return where the parts of the time that are nearest to each window's centre begin and end, (W + 1,)."""
    centres = spans.mean(1)
    between = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([spans[:1, 0], between, spans[-1:, 1]])


def _add_legend(figure: Figure, names: Sequence[str], colours: Sequence[str]) -> None:
    handles: list[Any] = [Line2D([], [], color=colour, linewidth=3) for colour in colours[: len(names)]]
    shown = [name if len(name) <= 28 else f"{name[:27]}…" for name in names]
    figure.legend(handles, shown, loc="outside right upper", frameon=False, fontsize="small")
