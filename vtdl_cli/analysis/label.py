"""Draw a label on the frames of a video: lines of text on a dark ground, in the upper left corner.

Shapes: a frame is (H, W, 3) uint8, a label (h, w, 4) uint8, RGB and opacity.
"""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vtdl_cli.text import printable

FONT = Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"  # matplotlib's own: nothing to install
LINES_IN_HEIGHT = 18  # of a frame; letters are smaller where a line would be wider than the frame
MIN_FONT_PIXELS = 9  # smaller ones cannot be read
GROUND = (0, 0, 0, 160)  # dark, so that white letters show on every video
LETTERS = (255, 255, 255, 255)
ELLIPSIS = "…"


def draw_label(lines: Sequence[str], height: int, width: int) -> np.ndarray:
    """Return a label for frames of this size; lines that do not fit even in the smallest letters end in an ellipsis."""
    texts = [printable(line) for line in lines]
    pixels = max(MIN_FONT_PIXELS, height // LINES_IN_HEIGHT)
    while pixels > MIN_FONT_PIXELS and _widest(texts, pixels) > width:
        pixels -= 1
    texts = [_shorten(text, pixels, width) for text in texts]
    margin = pixels // 2
    across, down = min(_widest(texts, pixels), width), min(margin + (pixels + margin) * len(texts), height)
    image = Image.new("RGBA", (max(1, across), max(1, down)), GROUND)
    draw = ImageDraw.Draw(image)
    for number, text in enumerate(texts):
        draw.text((margin, margin // 2 + (pixels + margin) * number), text, LETTERS, _font(pixels))
    return np.asarray(image)


def lay_label(frame: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Return a frame with a label over it; the frame itself is left unchanged."""
    height, width = label.shape[:2]
    opacity = label[..., 3:].astype(np.float32) / 255
    labelled = frame.copy()
    mixed = (1 - opacity) * frame[:height, :width] + opacity * label[..., :3]
    labelled[:height, :width] = np.rint(mixed).astype(np.uint8)
    return labelled


def _font(pixels: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(FONT, pixels)


def _widest(texts: Sequence[str], pixels: int) -> int:
    """Return the width of the widest text, with a margin on either side."""
    return round(max((_font(pixels).getlength(text) for text in texts), default=0)) + 2 * (pixels // 2)


def _shorten(text: str, pixels: int, width: int) -> str:
    if _widest([text], pixels) <= width:
        return text
    while text and _widest([text + ELLIPSIS], pixels) > width:
        text = text[:-1]
    return text + ELLIPSIS
