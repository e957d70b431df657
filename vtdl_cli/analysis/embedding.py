"""Features in two dimensions: their numbers and their picture."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib import patheffects
from matplotlib.figure import Figure

from vtdl_cli.analysis.picture import save_picture

PERPLEXITY = 30.0  # scikit-learn's own default; about as many neighbours count as near
FEW_CLASSES = 20  # have a colour each, and a legend; more are named where they lie
MARKERS = "os^DvPX*<>"  # colours alone are not told apart by everybody
UNKNOWN = -1  # a class that is drawn in grey


def project_tsne(values: np.ndarray, seed: int) -> tuple[np.ndarray, float]:
    """t-SNE of (N, D), N at least 4: points (N, 2), and the perplexity, which has to be less than N."""
    from sklearn.manifold import TSNE

    perplexity = min(PERPLEXITY, (len(values) - 1) / 3)
    points: np.ndarray = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(values)
    return points, perplexity


def project_pca(values: np.ndarray) -> tuple[np.ndarray, tuple[float, float]]:
    """The first two principal components of (N, D): points (N, 2), and their shares of the variance, from 0 to 1."""
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
        points: (N, 2); only where they lie to one another matters.
        labels: (N,) classes.
        names: of every class that occurs.
        title: above the picture.
        axes: what the axes are; empty where they are nothing.
        path: where to; the suffix does not matter.
    """
    few = len(names) <= FEW_CLASSES
    beside = 0.5 + 0.085 * max(map(len, names.values())) if few else 1.5  # inches, of the legend
    figure = Figure(figsize=(7 + beside, 7), layout="constrained")
    axis = figure.subplots()
    axis.set_title(title, fontsize=10, parse_math=False)
    axis.set(xticks=[], yticks=[], xlabel=axes[0], ylabel=axes[1])
    size = float(np.clip(12000 / len(points), 6, 45))
    drawn = []
    for number, label in enumerate(sorted(names)):
        x, y = points[labels == label].T
        colour = "0.6" if label == UNKNOWN else _colour(number, len(names))
        marker = MARKERS[number % len(MARKERS)] if few else "o"
        drawn.append(axis.scatter(x, y, s=size, alpha=0.8, linewidths=0, marker=marker, color=colour))
    axis.set_aspect("equal", adjustable="datalim")
    if few:
        legend = figure.legend(
            drawn, [names[label] for label in sorted(names)], loc="outside right upper", fontsize="small"
        )
        for text in legend.get_texts():
            text.set_parse_math(False)
    else:
        _name_classes(axis, points, labels, names)
    save_picture(figure, path, dpi=120)


def _colour(number: int, num_classes: int) -> Any:
    if num_classes <= FEW_CLASSES:
        return matplotlib.colormaps["tab10" if num_classes <= 10 else "tab20"](number)
    return matplotlib.colormaps["turbo"](number / (num_classes - 1))


def _name_classes(axis: Any, points: np.ndarray, labels: np.ndarray, names: Mapping[int, str]) -> None:
    """Name classes above their medians, those that lie closest first; a name that would hide another is left out."""
    classes = sorted(names)
    medians = {label: np.median(points[labels == label], axis=0) for label in classes}
    widths = {label: np.median(np.abs(points[labels == label] - medians[label])) for label in classes}
    axis.figure.draw_without_rendering()  # only now it is known where on the picture the points lie
    taken: list[Any] = []
    for label in sorted(classes, key=widths.__getitem__):
        colour = [0.6 * part for part in _colour(classes.index(label), len(classes))[:3]]  # darker, to be read
        outline = [patheffects.withStroke(linewidth=1.5, foreground="white")]
        text = axis.annotate(
            names[label], medians[label], (0, 3), textcoords="offset points", ha="center", va="bottom",
            fontsize=6, color=colour, path_effects=outline, parse_math=False,
        )  # fmt: skip
        box = text.get_window_extent()
        if box.count_overlaps(taken):
            text.remove()
        else:
            taken.append(box)
    note = (
        f"named: {len(taken)} of {len(classes)} classes, those whose videos lie closest first, as far as there is room"
    )
    axis.set_xlabel("\n".join(filter(None, (axis.get_xlabel(), note))), fontsize=9)
