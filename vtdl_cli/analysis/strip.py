"""Clips as strips of frames."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from vtdl_cli.analysis.figure import save_figure

FRAME_INCHES = 0.9  # longer side of one frame; with the text below, it can be read 500 pixels wide
DOTS_PER_INCH = 150
PER_LINE = 8  # frames side by side
LINES_PER_CLIP = 2  # at most; longer clips are thinned
CHARACTERS_PER_INCH = 12  # of a clip's name


@dataclass(frozen=True)
class ClipFrames:
    """The frames of one clip.

    Attributes:
        name: of the clip.
        frames: (T, H, W, 3) uint8.
        numbers: frame numbers in the video, (T,), written into the frames.
    """

    name: str
    frames: np.ndarray
    numbers: np.ndarray


def draw_strip(clips: Sequence[ClipFrames], title: str, path: Path) -> None:
    """Write a PNG of clips below one another, each with its name above and its frames in lines of PER_LINE.

    Clips of more than LINES_PER_CLIP lines are thinned evenly.

    Args:
        clips: all of one length T.
        title: of the figure; long lines are wrapped.
        path: of the PNG, whatever its suffix.
    """
    length = len(clips[0].frames)
    chosen = np.linspace(0, length - 1, min(length, PER_LINE * LINES_PER_CLIP)).round().astype(int)
    across, lines = min(PER_LINE, len(chosen)), -(-len(chosen) // PER_LINE)
    height, width = clips[0].frames.shape[1:3]
    inches = FRAME_INCHES / max(height, width)
    size = (max(inches * width * across, 5.0) + 0.1, (inches * height * lines + 0.35) * len(clips) + 0.45)
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(_wrap(title, size[0]), fontsize=11)
    for axis, clip in zip(figure.subplots(len(clips), 1, squeeze=False)[:, 0], clips, strict=True):
        axis.imshow(_mosaic(clip.frames[chosen], across), extent=(0, across, lines, 0), interpolation="antialiased")
        axis.set_aspect(height / width)
        axis.set_title(_wrap(clip.name, size[0]), loc="left", fontsize=10)
        axis.axis("off")
        for position, number in enumerate(clip.numbers[chosen].tolist()):
            line, column = divmod(position, across)
            background = {"facecolor": "black", "alpha": 0.6, "pad": 0.8, "linewidth": 0}
            axis.text(column + 0.03, line + 0.05, number, va="top", color="white", fontsize=7.5, bbox=background)
    save_figure(figure, path, dpi=DOTS_PER_INCH)


def _mosaic(frames: np.ndarray, across: int) -> np.ndarray:
    """Lay out frames (T, H, W, 3) in lines of `across`, with white edges, and white after the last frame."""
    count, height, width, channels = frames.shape
    edge = max(1, width // 80)
    inside = slice(edge, height - edge), slice(edge, width - edge)
    cells = np.full((-(-count // across) * across, height, width, channels), 255, np.uint8)
    cells[(slice(count), *inside)] = frames[(slice(None), *inside)]
    lines = cells.reshape(-1, across, height, width, channels)
    return lines.transpose(0, 2, 1, 3, 4).reshape(-1, across * width, channels)


def _wrap(text: str, inches: float) -> str:
    width = round(CHARACTERS_PER_INCH * inches)
    return "\n".join(part for line in text.splitlines() for part in textwrap.wrap(line, width))
