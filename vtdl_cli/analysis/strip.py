"""Clips as strips of frames."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

INCHES = 0.95  # side of one frame


def draw_strip(clips: Mapping[str, np.ndarray], path: Path) -> None:
    """Write a PNG with one clip a row, its name above it.

    Args:
        clips: name -> frames (T, H, W, 3) uint8, T the same for all.
        path: where to; the suffix does not matter.
    """
    frames = max(len(clip) for clip in clips.values())
    figure = Figure(figsize=(INCHES * frames, (INCHES + 0.3) * len(clips)), layout="constrained")
    axes = figure.subplots(len(clips), 1, squeeze=False)[:, 0]
    for axis, (name, clip) in zip(axes, clips.items(), strict=True):
        gap = np.full((len(clip), clip.shape[1], max(1, clip.shape[2] // 24), 3), 255, np.uint8)
        row = np.concatenate(np.concatenate([clip, gap], 2), 1)  # frame beside frame: (H, T * W, 3)
        axis.imshow(row, interpolation="nearest")
        axis.set_title(name, loc="left", fontsize=9)
        axis.axis("off")
    figure.savefig(path, format="png", dpi=110)
