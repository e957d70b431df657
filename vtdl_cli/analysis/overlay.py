"""Heat laid over the frames of a video.

Shapes: a frame is (H, W, 3) uint8, a map of heat (h, w) from 0 to 1; an area is (top, left, height, width) in pixels.
"""

import textwrap
from collections.abc import Mapping
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from torch.nn import functional as F

from vtdl_cli.analysis.picture import save_picture

Area = tuple[int, int, int, int]

COLOURS = matplotlib.colormaps["turbo"](np.linspace(0, 1, 256))[:, :3].astype(np.float32)
STRONGEST = 0.7  # how much of the colour covers the frame where heat is 1; where it is 0, the frame stays as it is
UNSEEN = 0.4  # brightness of what the network did not see
OUTLINE = 220  # grey, of the area's edge: where a video is dark all over, darker says little
FRAME_INCHES = 2.1  # longer side of a frame in the strip
CHARACTERS_PER_INCH = 11  # of a title


def lay_over(frame: np.ndarray, heat: torch.Tensor, area: Area) -> np.ndarray:
    """A frame with its heat in the area that the network saw, outlined, and dark outside of it.

    Args:
        frame: (H, W, 3) uint8; is not changed.
        heat: (h, w), 0 to 1; it covers the area, and is interpolated bilinearly.
        area: inside the frame.

    Returns:
        (H, W, 3) uint8.
    """
    top, left, height, width = area
    fine = F.interpolate(heat[None, None].float(), (height, width), mode="bilinear", align_corners=False)[0, 0].numpy()
    colour = COLOURS[np.rint(255 * fine).astype(np.uint8)]  # (height, width, 3)
    cover = STRONGEST * fine[..., None]
    inside = frame[top : top + height, left : left + width]
    picture: np.ndarray = np.rint(UNSEEN * frame.astype(np.float32)).astype(np.uint8)
    mixed = (1 - cover) * inside + cover * 255 * colour
    mixed[[0, -1]] = mixed[:, [0, -1]] = OUTLINE
    picture[top : top + height, left : left + width] = np.rint(mixed).astype(np.uint8)
    return picture


def draw_overlays(
    frames: Mapping[str, tuple[np.ndarray, np.ndarray]],
    path: Path,
    *,
    title: str,
    scale: tuple[float, float],
    meaning: str,
) -> None:
    """Write a PNG: above the frames, below each with its heat, and beside them what the colours mean.

    Args:
        frames: what is written above each -> the frame and its overlay, (H, W, 3) uint8 each.
        path: where to; the suffix does not matter.
        title: above the picture, in lines; long ones are folded.
        scale: heat at the ends of the colours.
        meaning: of the heat, with its unit.
    """
    height, width = next(iter(frames.values()))[0].shape[:2]
    inches = FRAME_INCHES / max(height, width)
    across = max((inches * width + 0.06) * len(frames), 4.0) + 1.3  # the colour bar's
    lines = [part for line in title.splitlines() for part in textwrap.wrap(line, round(CHARACTERS_PER_INCH * across))]
    down = 2 * (inches * height + 0.06) + 0.4 + 0.18 * len(lines)
    figure = Figure(figsize=(across, down), layout="constrained")
    axes = figure.subplots(2, len(frames), squeeze=False)
    for column, (name, pictures) in enumerate(frames.items()):
        for axis, picture in zip(axes[:, column], pictures, strict=True):
            axis.imshow(picture)
            axis.axis("off")
        axes[0, column].set_title(name, fontsize=8)
    figure.suptitle("\n".join(lines), fontsize=9, parse_math=False)
    colours = ScalarMappable(Normalize(*scale), ListedColormap(_seen_colours()))
    bar = figure.colorbar(colours, ax=axes, fraction=0.03, pad=0.01, aspect=30)
    bar.set_label(meaning, fontsize=8)
    bar.ax.tick_params(labelsize=8)
    save_picture(figure, path, dpi=120)


def _seen_colours() -> np.ndarray:
    """The colours as they look over a grey frame, (256, 3)."""
    cover = STRONGEST * np.linspace(0, 1, len(COLOURS))[:, None]
    return np.asarray((1 - cover) * 0.5 + cover * COLOURS)
