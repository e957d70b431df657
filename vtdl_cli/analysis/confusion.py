"""Confusion matrix as a picture."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

MAX_NUMBERED = 25  # classes up to which every cell says its count
MAX_NAMED = 110  # classes up to which every row and column is named


def draw_confusion(counts: np.ndarray, classes: Sequence[str], title: str, path: Path) -> None:
    """Write a PNG: rows the true classes, columns the predicted, shade the share of the row.

    Args:
        counts: (C, C) videos.
        classes: C names.
        title: above the picture.
        path: where to; the suffix does not matter.
    """
    number = len(classes)
    shares = counts / counts.sum(1, keepdims=True).clip(1)
    side = float(np.clip(0.45 * number if number <= MAX_NUMBERED else 0.16 * number, 4.5, 20))
    figure = Figure(figsize=(side + 2.2, side + 1.2), layout="constrained")
    axis = figure.subplots()
    image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axis.set(title=title, xlabel="predicted", ylabel="true")
    if number <= MAX_NAMED:
        size = 9 if number <= MAX_NUMBERED else 6
        axis.set_xticks(range(number), classes, rotation=90, fontsize=size)
        axis.set_yticks(range(number), classes, fontsize=size)
    if number <= MAX_NUMBERED:
        for row, column in np.argwhere(counts):
            shade = "white" if shares[row, column] > 0.5 else "black"
            axis.text(column, row, counts[row, column], ha="center", va="center", color=shade, fontsize=8)
    figure.colorbar(image, ax=axis, label="share of the true class", shrink=0.8)
    figure.savefig(path, format="png", dpi=110)
