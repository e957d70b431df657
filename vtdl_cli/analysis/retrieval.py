"""Queries and their nearest neighbours as a picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from vtdl_cli.analysis.picture import save_picture

RIGHT, WRONG = "#1a7f37", "#c62828"
CELL_INCHES = 1.75  # width of one frame
TEXT_INCHES = 0.5  # of height, above and below it
GAP_INCHES = 0.06  # on each side of it
LETTERS = 22  # of a name above a frame


@dataclass(frozen=True)
class Shown:
    """One video of a row: its frame (H, W, 3) uint8 and class; a neighbour is right or wrong, at a similarity."""

    frame: np.ndarray
    name: str
    right: bool | None = None
    similarity: float = 1.0


def draw_retrieval(rows: Sequence[Sequence[Shown]], title: str, path: Path) -> None:
    """Write a PNG: one query a row, then its neighbours, nearest first.

    Right and wrong differ by colour, by a mark and by the line of the frame: not everybody sees red and green.

    Args:
        rows: at least one, each a query and as many neighbours as every other row has.
        title: above the picture.
        path: where to; the suffix does not matter.
    """
    columns = len(rows[0])
    shape = np.median([shown.frame.shape[:2] for row in rows for shown in row], axis=0)
    height = CELL_INCHES * float(np.clip(shape[0] / shape[1], 0.5, 1.8)) + TEXT_INCHES
    size = ((CELL_INCHES + 2 * GAP_INCHES) * max(columns, 4), height * len(rows) + 0.6)
    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=GAP_INCHES, h_pad=0.02, wspace=0, hspace=0))
    figure.suptitle(title, fontsize=10, parse_math=False)
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for line, row in zip(axes, rows, strict=True):
        for axis, shown in zip(line, row, strict=True):
            _draw_one(axis, shown)
    save_picture(figure, path, dpi=110)


def _draw_one(axis: Any, shown: Shown) -> None:
    axis.imshow(shown.frame)
    axis.set(xticks=[], yticks=[])
    name = shown.name if len(shown.name) <= LETTERS else f"{shown.name[: LETTERS - 1]}…"
    if shown.right is None:
        axis.set_title(name, fontsize=9, fontweight="bold", parse_math=False)
        axis.set_xlabel("query", fontsize=8)
        return
    colour, mark, line = (RIGHT, "✓", "-") if shown.right else (WRONG, "✗", "--")
    axis.set_title(f"{mark} {name}", fontsize=9, color=colour, parse_math=False)
    axis.set_xlabel(f"cosine {shown.similarity:.3f}", fontsize=8)
    for spine in axis.spines.values():
        spine.set(color=colour, linewidth=3, linestyle=line)
