"""Features in two dimensions: projections and scatter plot."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib import patheffects
from matplotlib.figure import Figure

from vtdl_cli.analysis.figure import literal_text, save_figure
from vtdl_cli.text import printable

PERPLEXITY = 30.0  # scikit-learn's default
FEW_CLASSES = 20  # have a colour each and a legend; more classes are named inside the plot
MARKERS = "os^DvPX*<>"  # not everybody can tell the colours apart
UNKNOWN_LABEL = -1  # drawn in grey


def project_tsne(values: np.ndarray, seed: int) -> tuple[np.ndarray, float]:
    """Return the t-SNE (N, 2) of (N, D), N at least 4, and its perplexity, which has to be less than N."""
    from sklearn.manifold import TSNE

    perplexity = min(PERPLEXITY, (len(values) - 1) / 3)
    points: np.ndarray = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(values)
    return points, perplexity


def project_pca(values: np.ndarray) -> tuple[np.ndarray, tuple[float, float]]:
    """Return the first two principal components (N, 2) of (N, D), and their shares of the variance, 0 to 1."""
    from sklearn.decomposition import PCA

    projection = PCA(2, svd_solver="full")
    points: np.ndarray = projection.fit_transform(values)
    first, second = projection.explained_variance_ratio_
    return points, (float(first), float(second))


def draw_points(
    points: np.ndarray, labels: np.ndarray, names: Mapping[int, str], title: str, axes: tuple[str, str], path: Path
) -> None:
    """Write a PNG of points coloured by class.

    Args:
        points: (N, 2), of any scale.
        labels: classes, (N,).
        names: of every class that occurs.
        title: of the figure.
        axes: labels of the axes; empty for axes without a meaning.
        path: of the PNG, whatever its suffix.
    """
    few = len(names) <= FEW_CLASSES
    beside = 0.5 + 0.085 * max(map(len, names.values())) if few else 1.5  # inches, of the legend
    figure = Figure(figsize=(7 + beside, 7), layout="constrained")
    axis = figure.subplots()
    axis.set_title(title, fontsize=10)
    axis.set(xticks=[], yticks=[], xlabel=axes[0], ylabel=axes[1])
    size = float(np.clip(12000 / len(points), 6, 45))
    drawn = []
    for number, label in enumerate(sorted(names)):
        x, y = points[labels == label].T
        colour = "0.6" if label == UNKNOWN_LABEL else _colour(number, len(names))
        marker = MARKERS[number % len(MARKERS)] if few else "o"
        drawn.append(axis.scatter(x, y, s=size, alpha=0.8, linewidths=0, marker=marker, color=colour))
    axis.set_aspect("equal", adjustable="datalim")
    if few:
        shown = [names[label] for label in sorted(names)]
        figure.legend(drawn, shown, loc="outside right upper", fontsize="small")
    else:
        _annotate_classes(axis, points, labels, names)
    save_figure(figure, path, dpi=120)


def _colour(number: int, num_classes: int) -> Any:
    if num_classes <= FEW_CLASSES:
        return matplotlib.colormaps["tab10" if num_classes <= 10 else "tab20"](number)
    return matplotlib.colormaps["turbo"](number / (num_classes - 1))


def _annotate_classes(axis: Any, points: np.ndarray, labels: np.ndarray, names: Mapping[int, str]) -> None:
    """Name classes above their medians, the most compact first; a name that would hide another is left out."""
    classes = sorted(names)
    medians = {label: np.median(points[labels == label], axis=0) for label in classes}
    widths = {label: np.median(np.abs(points[labels == label] - medians[label])) for label in classes}
    with literal_text(axis.figure):
        axis.figure.draw_without_rendering()  # fixes where the points lie in the figure
        taken: list[Any] = []
        for label in sorted(classes, key=widths.__getitem__):
            colour = [0.6 * part for part in _colour(classes.index(label), len(classes))[:3]]  # darker than the points
            outline = [patheffects.withStroke(linewidth=1.5, foreground="white")]
            text = axis.annotate(
                printable(names[label]), medians[label], (0, 3), textcoords="offset points", ha="center", va="bottom",
                fontsize=6, color=colour, path_effects=outline, parse_math=False,
            )  # fmt: skip
            box = text.get_window_extent()
            if box.count_overlaps(taken):
                text.remove()
            else:
                taken.append(box)
    note = f"named: the most compact of {len(classes)} classes, {len(taken)} that fit"
    axis.set_xlabel("\n".join(filter(None, (axis.get_xlabel(), note))), fontsize=9)
