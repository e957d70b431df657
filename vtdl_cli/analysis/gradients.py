"""Gradient flow: the gradients of each layer, over the epochs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vtdl_cli.analysis.figure import save_figure

MAX_EPOCHS = 12  # epochs drawn; more would hide one another
EPOCH_COLOURS = ListedColormap(matplotlib.colormaps["viridis"](np.linspace(0, 0.9, 256)))  # its end is too pale


def draw_gradients(
    layers: Sequence[str], epochs: Sequence[int], mean: np.ndarray, largest: np.ndarray, title: str, path: Path
) -> None:
    """Write a PNG: layers in the network's order, one line an epoch, on a logarithmic scale.

    Args:
        layers: L names, in the network's order.
        epochs: E numbers, ascending.
        mean: mean absolute gradients, (E, L); nan where they were not finite.
        largest: largest absolute gradients, (E, L).
        title: of the figure.
        path: of the PNG, whatever its suffix.
    """
    shown = np.unique(np.linspace(0, len(epochs) - 1, min(MAX_EPOCHS, len(epochs))).round().astype(int))
    thinned = f": {len(shown)} of {len(epochs)} epochs" if len(shown) < len(epochs) else ""
    figure = Figure(figsize=(float(np.clip(0.24 * len(layers), 6, 18)) + 1.2, 7.5), layout="constrained")
    figure.suptitle(title + thinned, fontsize=10)
    axes = figure.subplots(2, 1, sharex=True)
    scale = ScalarMappable(Normalize(epochs[0], max(epochs[-1], epochs[0] + 1)), EPOCH_COLOURS)
    for axis, name, table in zip(axes, ("mean", "largest"), (mean, largest), strict=True):
        for row in shown:
            positive = np.where(table[row] > 0, table[row], np.nan)  # the scale is logarithmic
            axis.plot(positive, ".-", color=scale.to_rgba(epochs[row]), linewidth=1, markersize=4)
        axis.set(ylabel=f"{name} absolute gradient", yscale="log", xlim=(-1, len(layers)))
        axis.grid(alpha=0.3)
        _mark(axis, (table == 0).any(0), 0.03, "v", "zero in some epoch")
        _mark(axis, np.isnan(table).any(0), 0.97, "x", "not finite in some epoch")
    axes[1].set_xticks(range(len(layers)), layers, rotation=90, fontsize=7)
    axes[1].set_xlabel("weights, from the first layer to the last")
    figure.colorbar(scale, ax=axes, label="epoch", pad=0.01, ticks=MaxNLocator(8, integer=True))
    save_figure(figure, path, dpi=110)


def _mark(axis: Any, where: np.ndarray, height: float, marker: str, label: str) -> None:
    """Mark layers (L,) whose gradients have no place on the scale, at `height` as a fraction of the panel's."""
    if where.any():
        at = np.flatnonzero(where)
        style = {"color": "#c62828", "linestyle": "", "transform": axis.get_xaxis_transform()}
        axis.plot(at, np.full(len(at), height), marker, label=label, **style)
        axis.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, fontsize="small", frameon=False, borderpad=0)
