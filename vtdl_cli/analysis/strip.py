"""Clips as strips of frames."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from vtdl_cli.analysis.picture import save_picture

FRAME_INCHES = 1.5  # longer side of one frame
DOTS_PER_INCH = 110
PER_LINE = 8  # frames beside one another
MOST_LINES = 2  # of one clip: of a longer one frames are left out
CHARACTERS_PER_INCH = 12  # of a clip's name


@dataclass(frozen=True)
class Row:
    """One clip.

    Attributes:
        name: what it is.
        frames: (T, H, W, 3) uint8.
        numbers: of the frames in the video, (T,); written into each.
    """

    name: str
    frames: np.ndarray
    numbers: np.ndarray


def draw_strip(rows: Sequence[Row], title: str, path: Path) -> None:
    """Write a PNG of clips below one another, each with its name above and its frames in lines of PER_LINE.

    Of clips longer than that frames spread evenly are shown.

    Args:
        rows: T the same for all.
        title: above the picture.
        path: where to; the suffix does not matter.
    """
    length = len(rows[0].frames)
    chosen = np.linspace(0, length - 1, min(length, PER_LINE * MOST_LINES)).round().astype(int)
    across, lines = min(PER_LINE, len(chosen)), -(-len(chosen) // PER_LINE)
    height, width = rows[0].frames.shape[1:3]
    inches = FRAME_INCHES / max(height, width)
    size = (max(inches * width * across, 5.0) + 0.1, (inches * height * lines + 0.35) * len(rows) + 0.45)
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(_folded(title, size[0]), fontsize=10, parse_math=False)
    for axis, row in zip(figure.subplots(len(rows), 1, squeeze=False)[:, 0], rows, strict=True):
        axis.imshow(_mosaic(row.frames[chosen], across), extent=(0, across, lines, 0), interpolation="antialiased")
        axis.set_aspect(height / width)
        axis.set_title(_folded(row.name, size[0]), loc="left", fontsize=9, parse_math=False)
        axis.axis("off")
        for place, number in enumerate(row.numbers[chosen].tolist()):
            line, column = divmod(place, across)
            background = {"facecolor": "black", "alpha": 0.6, "pad": 1.0, "linewidth": 0}
            axis.text(column + 0.03, line + 0.05, number, va="top", color="white", fontsize=7, bbox=background)
    save_picture(figure, path, dpi=DOTS_PER_INCH)


def _mosaic(frames: np.ndarray, across: int) -> np.ndarray:
    """Frames (T, H, W, 3) in lines of `across`, with white edges; white where the last line has no more."""
    count, height, width, channels = frames.shape
    edge = max(1, width // 80)
    inside = slice(edge, height - edge), slice(edge, width - edge)
    cells = np.full((-(-count // across) * across, height, width, channels), 255, np.uint8)
    cells[(slice(count), *inside)] = frames[(slice(None), *inside)]
    lines = cells.reshape(-1, across, height, width, channels)
    return lines.transpose(0, 2, 1, 3, 4).reshape(-1, across * width, channels)


def _folded(text: str, inches: float) -> str:
    return "\n".join(textwrap.wrap(text, round(CHARACTERS_PER_INCH * inches)))
