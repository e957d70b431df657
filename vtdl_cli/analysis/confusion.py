"""Confusion matrix as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vtdl_cli.analysis.figure import save_figure
from vtdl_cli.text import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_NUMBERED = 25  # classes up to which every cell shows its count
MAX_NAMED = 110  # classes up to which every row and column is named
MAX_PAIRS = 40  # confusions listed beside the matrix of more classes than that
SHADE_POWER = 0.5  # of the share: a linear scale would hide the few misclassified videos


def draw_confusion(counts: np.ndarray, classes: Sequence[str], title: str, path: Path) -> None:
    """Write a PNG: rows the true classes, columns the predicted, shade the share of the row.

    Args:
        counts: number of videos, (C, C).
        classes: names, C.
        title: of the figure.
        path: of the PNG, whatever its suffix.
    """
    from matplotlib.colors import PowerNorm
    from matplotlib.figure import Figure

    number, classes = len(classes), [printable(name) for name in classes]
    shares = counts / counts.sum(1, keepdims=True).clip(1)
    side = float(np.clip(0.45 * number if number <= MAX_NUMBERED else 0.16 * number, 4.5, 16))
    named = number <= MAX_NAMED
    figure = Figure(figsize=(side + (2.2 if named else 5.5), side + 1.2), layout="constrained")
    axis, *beside = figure.subplots(1, 1 if named else 2, width_ratios=[1] if named else [side, 4], squeeze=False)[0]
    image = axis.imshow(shares, cmap="Blues", norm=PowerNorm(SHADE_POWER, 0, 1))
    axis.set_title(title, fontsize=max(11, side))
    axis.set(xlabel="predicted", ylabel="true")
    if named:
        size = 9 if number <= MAX_NUMBERED else 6
        axis.set_xticks(range(number), classes, rotation=90, fontsize=size)
        axis.set_yticks(range(number), classes, fontsize=size)
    if number <= MAX_NUMBERED:
        _write_counts(axis, counts, shares)
    for panel in beside:
        panel.axis("off")
        panel.text(0, 1, list_confusions(counts, shares, classes), va="top", fontsize=9, linespacing=1.5)
    bar = figure.colorbar(image, ax=axis, label="share of the true class", shrink=min(0.8, 4 / side), aspect=25)
    bar.set_ticks([0, 0.05, 0.2, 0.5, 1])
    save_figure(figure, path, dpi=110)


def _write_counts(axis: Axes, counts: np.ndarray, shares: np.ndarray) -> None:
    for row, column in np.argwhere(counts):
        shade = "white" if shares[row, column] ** SHADE_POWER > 0.6 else "black"
        axis.text(column, row, counts[row, column], ha="center", va="center", color=shade, fontsize=8)


def list_confusions(counts: np.ndarray, shares: np.ndarray, classes: Sequence[str]) -> str:
    """List the largest shares off the diagonal, one a line."""
    misclassified = shares * (1 - np.eye(len(classes)))
    largest = np.argsort(-misclassified, axis=None, kind="stable")[:MAX_PAIRS]
    pairs = list(zip(*np.unravel_index(largest, misclassified.shape), strict=True))
    lines = [
        f"{counts[t, p]} of {counts[t].sum()}  {classes[t]}: {classes[p]}" for t, p in pairs if misclassified[t, p] > 0
    ]
    return "\n".join(["most often misclassified (true: predicted)", "", *lines])
