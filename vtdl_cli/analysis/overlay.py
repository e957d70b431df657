"""Heat maps over the frames of a video.

Shapes: a frame is (H, W, 3) uint8, a heat map (h, w) from 0 to 1; an area is (top, left, height, width) in pixels.
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

from vtdl_cli.analysis.figure import save_figure

Area = tuple[int, int, int, int]

HEAT_COLOURS = matplotlib.colormaps["turbo"](np.linspace(0, 1, 256))[:, :3].astype(np.float32)
MAX_OPACITY = 0.7  # of the colour where heat is 1; it is 0 where heat is 0
UNSEEN_BRIGHTNESS = 0.4  # outside the area that the network saw
OUTLINE = 220  # grey level of the area's edge, which would not show in a dark video otherwise
OVERLAY_INCHES = 1.25  # longer side of one frame; with the text below, it can be read 500 pixels wide
TITLE_CHARACTERS_PER_INCH = 10  # of a title


def lay_over(frame: np.ndarray, heat: torch.Tensor, area: Area) -> np.ndarray:
    """Return a frame with heat over the area that the network saw; the area is outlined, the rest dark.

    Args:
        frame: (H, W, 3) uint8, left unchanged.
        heat: (h, w), 0 to 1, of the area; interpolated bilinearly.
        area: inside the frame.

    Returns:
        (H, W, 3) uint8.
    """
    top, left, height, width = area
    fine = F.interpolate(heat[None, None].float(), (height, width), mode="bilinear", align_corners=False)[0, 0].numpy()
    colour = HEAT_COLOURS[np.rint(255 * fine).astype(np.uint8)]  # (height, width, 3)
    opacity = MAX_OPACITY * fine[..., None]
    inside = frame[top : top + height, left : left + width]
    overlay: np.ndarray = np.rint(UNSEEN_BRIGHTNESS * frame.astype(np.float32)).astype(np.uint8)
    mixed = (1 - opacity) * inside + opacity * 255 * colour
    mixed[[0, -1]] = mixed[:, [0, -1]] = OUTLINE
    overlay[top : top + height, left : left + width] = np.rint(mixed).astype(np.uint8)
    return overlay


def draw_overlays(
    frames: Mapping[str, tuple[np.ndarray, np.ndarray]],
    path: Path,
    *,
    title: str,
    scale: tuple[float, float],
    meaning: str,
) -> None:
    """Write a PNG: frames in the first row, their overlays in the second, and a colour bar.

    Args:
        frames: a frame and its overlay, (H, W, 3) uint8 each, by the title above them.
        path: of the PNG, whatever its suffix.
        title: of the figure; long lines are wrapped.
        scale: heat at the ends of the colours.
        meaning: label of the colour bar.
    """
    height, width = next(iter(frames.values()))[0].shape[:2]
    inches = OVERLAY_INCHES / max(height, width)
    across = max((inches * width + 0.06) * len(frames), 4.0) + 1.3  # the colour bar's
    lines = [
        part for line in title.splitlines() for part in textwrap.wrap(line, round(TITLE_CHARACTERS_PER_INCH * across))
    ]
    down = 2 * (inches * height + 0.06) + 0.4 + 0.18 * len(lines)
    figure = Figure(figsize=(across, down), layout="constrained")
    axes = figure.subplots(2, len(frames), squeeze=False)
    for column, (name, images) in enumerate(frames.items()):
        for axis, image in zip(axes[:, column], images, strict=True):
            axis.imshow(image)
            axis.axis("off")
        axes[0, column].set_title(name, fontsize=9)
    figure.suptitle("\n".join(lines), fontsize=10)
    colours = ScalarMappable(Normalize(*scale), ListedColormap(_colours_over_grey()))
    bar = figure.colorbar(colours, ax=axes, fraction=0.03, pad=0.01, aspect=30)
    bar.set_label(meaning, fontsize=9)
    bar.ax.tick_params(labelsize=8)
    save_figure(figure, path, dpi=200)


def _colours_over_grey() -> np.ndarray:
    """Return the colours as they look over a grey frame, (256, 3)."""
    opacity = MAX_OPACITY * np.linspace(0, 1, len(HEAT_COLOURS))[:, None]
    return np.asarray((1 - opacity) * 0.5 + opacity * HEAT_COLOURS)
