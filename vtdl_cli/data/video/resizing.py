"""Resize frames once: to square pixels, and to the short side that is asked for.

Videos may be stored with pixels that are wider or higher than they are shown (sample aspect ratio): DVD and broadcast,
and copies whose size was changed without it. Decoders return such frames as they are stored; players stretch them, and
so does `SizedReader`, which is around every reader that `open_video` returns.
"""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from vtdl_cli.data.video.reader import VideoReader, VideoScan


def square_size(height: int, width: int, pixel_aspect: Fraction) -> tuple[int, int]:
    """Return height and width with square pixels: the side that is too short is enlarged, so that no detail is lost."""
    if pixel_aspect >= 1:
        return height, round(width * pixel_aspect)
    return round(height / pixel_aspect), width


def resized(height: int, width: int, short_side: int) -> tuple[int, int]:
    """Return height and width after resizing the short side to `short_side` pixels."""
    shortest = min(height, width)
    return short_side * height // shortest, short_side * width // shortest


def resize(frames: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize frames (T, H, W, C) to (T, height, width, C): bilinear, antialiased, in uint8."""
    if frames.shape[1:3] == (height, width):
        return frames
    import torch  # here, so that a process that only counts frames does not load it
    from torch.nn import functional as F

    images = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)
    smaller = F.interpolate(images, size=(height, width), mode="bilinear", antialias=True)
    return smaller.permute(0, 2, 3, 1).numpy()


def resize_shown(frames: np.ndarray, pixel_aspect: Fraction, short_side: int | None = None) -> np.ndarray:
    """Resize stored frames (T, H, W, C) in one step to square pixels and a short side; None: the size that is shown."""
    height, width = square_size(frames.shape[1], frames.shape[2], pixel_aspect)
    return resize(frames, *((height, width) if short_side is None else resized(height, width, short_side)))


class SizedReader:
    """Returns the frames of another reader with square pixels, resized in one step.

    Args:
        reader: returns frames as they are stored.
        short_side: pixels; None: the size at which the video is shown.
    """

    def __init__(self, reader: VideoReader, short_side: int | None = None) -> None:
        self._reader, self._short_side = reader, short_side
        self.num_frames = reader.num_frames

    @property
    def scan(self) -> VideoScan:
        """See `VideoReader.scan`."""
        return self._reader.scan

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """See `VideoReader.read`."""
        return resize_shown(self._reader.read(indices), self.scan.pixel_aspect, self._short_side)

    def close(self) -> None:
        """Close the other reader."""
        self._reader.close()
