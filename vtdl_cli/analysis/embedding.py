"""Features in two dimensions: projections and scatter plot."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib import patheffects
from matplotlib.figure import Figure
from matplotlib.text import Text

from vtdl_cli.analysis.figure import literal_text, save_figure
from vtdl_cli.text import printable, shorten

PERPLEXITY = 30.0  # scikit-learn's default
FEW_CLASSES = 20  # have a colour each and a legend; more classes are named inside the plot
MARKERS = "os^DvPX*<>"  # not everybody can tell the colours apart
UNKNOWN_LABEL = -1  # drawn in grey, beside classes
MOST_NAMED = 40  # videos without classes that have their names beside them; more names cannot be read
NAME_CHARACTERS = 24
NAME_DISTANCES = (7, 14, 24, 36, 50, 65, 80, 100, 120, 150)  # pixels from a dot at which there may be room for its name


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
    points: np.ndarray,
    labels: np.ndarray,
    names: Mapping[int, str],
    title: str,
    axes: tuple[str, str],
    path: Path,
    *,
    videos: Sequence[str] = (),
) -> None:
    """Write a PNG of points coloured by class, or named where there are no classes.

    Args:
        points: (N, 2), of any scale.
        labels: classes, (N,).
        names: of every class that occurs.
        title: of the figure.
        axes: labels of the axes; empty for axes without a meaning.
        path: of the PNG, whatever its suffix.
        videos: names to write beside the points where none has a class, N or none.
    """
    has_classes = set(names) != {UNKNOWN_LABEL}
    few = len(names) <= FEW_CLASSES
    beside = 0.5 + 0.085 * max(map(len, names.values())) if few else 1.5  # inches, of the legend
    size = (7 + beside, 7) if has_classes else (9, 8)
    figure = Figure(figsize=size, layout="constrained")
    axis = figure.subplots()
    axis.set_title(title, fontsize=10)
    axis.set(xticks=[], yticks=[], xlabel=axes[0], ylabel=axes[1])
    area = float(np.clip(12000 / len(points), 6, 45))
    drawn = []
    for number, label in enumerate(sorted(names)):
        x, y = points[labels == label].T
        colour = "0.6" if label == UNKNOWN_LABEL and has_classes else _colour(number, len(names))
        marker = MARKERS[number % len(MARKERS)] if few else "o"
        drawn.append(axis.scatter(x, y, s=area, alpha=0.8, linewidths=0, marker=marker, color=colour))
    axis.set_aspect("equal", adjustable="datalim")
    if not has_classes:
        _name_videos(axis, points, videos)
    elif few:
        shown = [names[label] for label in sorted(names)]
        figure.legend(drawn, shown, loc="outside right upper", fontsize="small")
    else:
        _annotate_classes(axis, points, labels, names)
    save_figure(figure, path, dpi=120)


def _name_videos(axis: Any, points: np.ndarray, names: Sequence[str]) -> None:
    """Write each name near its point, with a line between them."""
    if not names:
        return
    axis.margins(0.1)
    line = {"arrowstyle": "-", "color": "0.7", "shrinkB": 3}
    texts = [
        axis.annotate(
            shorten(printable(name), NAME_CHARACTERS), point, (0, 0), textcoords="offset points", ha="center",
            va="center", fontsize=7, parse_math=False, zorder=0, arrowprops=line,
        )
        for name, point in zip(names, points, strict=True)
    ]  # fmt: skip
    with literal_text(axis.figure):
        axis.figure.draw_without_rendering()  # fixes where the points lie in the figure
        sizes = np.array([Text.get_window_extent(text).size for text in texts])
    dots = axis.transData.transform(points)
    offsets = place_names(dots, sizes, axis.get_window_extent().extents) + sizes / 2 - dots
    for text, offset in zip(texts, offsets * 72 / axis.figure.dpi, strict=True):
        text.set_position(offset)


def place_names(dots: np.ndarray, sizes: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Return where to write names so that they cover neither dots nor one another, the nearer to its dot the better.

    Where there is no such place within NAME_DISTANCES, the name goes where it covers least.

    Args:
        dots: (N, 2), in pixels.
        sizes: width and height of each name, (N, 2).
        limits: left, bottom, right and top of the room for names, (4,).

    Returns:
        The lower left corner of each name, (N, 2).
    """
    turns = np.deg2rad([0, 180, 90, 270, 45, 135, 315, 225, 20, 160, 200, 340, 70, 110, 250, 290])
    ways = np.stack([np.cos(turns), np.sin(turns)], 1)  # (16, 2): right and left first, where reading is easiest
    taken = np.concatenate([dots - 4, dots + 4], 1)  # (M, 4): what is not to be covered, from lower left to upper right
    corners = np.empty_like(dots)
    for number, (dot, size) in enumerate(zip(dots, sizes, strict=True)):
        places = np.concatenate([dot + away * ways - size * (1 - ways) / 2 for away in NAME_DISTANCES])
        boxes = np.concatenate([places, places + size], 1)[:, None]  # (K, 1, 4)
        sides = np.minimum(boxes[..., 2:], taken[:, 2:]) - np.maximum(boxes[..., :2], taken[:, :2])  # (K, M, 2)
        covered = sides.clip(0).prod(-1).sum(1)
        is_outside = (places < limits[:2]).any(1) | (places + size > limits[2:]).any(1)
        best = int((covered + 1e9 * is_outside).argmin())
        corners[number] = places[best]
        taken = np.append(taken, boxes[best], 0)
    return corners


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
