"""Queries and their nearest neighbours as a figure."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vtdl_cli.analysis.figure import save_figure
from vtdl_cli.text import shorten

CORRECT_COLOUR, INCORRECT_COLOUR = "#1a7f37", "#c62828"
CELL_INCHES = 1.4  # width of one frame
TEXT_INCHES = 0.5  # height of the text above and below a frame
GAP_INCHES = 0.06  # on each side of a frame
CHARACTER_INCHES = 0.07  # width of a letter of the caption
MAX_CHARACTERS = 18  # of the name above a frame


@dataclass(frozen=True)
class RetrievalCell:
    """One video of a row: the query, or one of its neighbours.

    Attributes:
        frame: (H, W, 3) uint8.
        name: of its class, or of the video itself.
        correct: whether a neighbour has the query's class; none: it is the query, or there are no classes.
        similarity: cosine to the query; none: it is the query.
    """

    frame: np.ndarray
    name: str
    correct: bool | None = None
    similarity: float | None = None


def draw_retrieval(rows: Sequence[Sequence[RetrievalCell]], title: str, caption: str, path: Path) -> None:
    """Write a PNG: a query a row, and its neighbours, nearest first.

    Correct and incorrect differ in colour, mark and line style: not everybody can tell red from green.

    Args:
        rows: at least one, each a query and its neighbours; shorter ones end in blanks.
        title: of the figure.
        caption: below it, one line; too long a one loses its middle.
        path: of the PNG, whatever its suffix.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    columns = max(map(len, rows))
    shape = np.median([cell.frame.shape[:2] for row in rows for cell in row], axis=0)
    height = CELL_INCHES * float(np.clip(shape[0] / shape[1], 0.5, 1.8)) + TEXT_INCHES
    size = ((CELL_INCHES + 2 * GAP_INCHES) * max(columns, 4), height * len(rows) + 0.85)
    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=GAP_INCHES, h_pad=0.02, wspace=0, hspace=0))
    figure.suptitle(title, fontsize=10)
    figure.supxlabel(shorten(caption, int(size[0] / CHARACTER_INCHES)), fontsize=8)
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for line, row in zip(axes, rows, strict=True):
        for axis, cell in zip(line, row, strict=False):
            _draw_cell(axis, cell)
        for axis in line[len(row) :]:
            axis.set_axis_off()
    save_figure(figure, path, dpi=140)


def _draw_cell(axis: Any, cell: RetrievalCell) -> None:
    axis.imshow(cell.frame)
    axis.set(xticks=[], yticks=[])
    name = shorten(cell.name, MAX_CHARACTERS)
    if cell.similarity is None:
        axis.set_title(name, fontsize=9, fontweight="bold")
        axis.set_xlabel("query", fontsize=8)
        return
    axis.set_xlabel(f"cosine {cell.similarity:.3f}", fontsize=8)
    if cell.correct is None:
        axis.set_title(name, fontsize=9)
        return
    colour, mark, line = (CORRECT_COLOUR, "✓", "-") if cell.correct else (INCORRECT_COLOUR, "✗", "--")
    axis.set_title(f"{mark} {name}", fontsize=9, color=colour)
    for spine in axis.spines.values():
        spine.set(color=colour, linewidth=3, linestyle=line)
