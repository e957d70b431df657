"""Spatial views: which part of the frames a clip shows. Runs in the loader's workers and keeps pixels in uint8.

Workers do not rotate or jitter: they draw the parameters, once for all frames of a clip, and cut out the square window
that the device needs, so that all clips have one small size. The window is centred where the crop's centre is before
the rotation; outside the frame it is black, or without motion.

Shapes: T frames, H x W pixels, S pixels the side of a window; frames are (T, H, W, C), C = 3 for RGB and 2 for flow.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.random import Generator

from vtdl_cli.data.video.resizing import resized

OUTSIDE = {3: 0, 2: 128}  # by number of channels: black, and the middle grey that means no motion
JITTER = ("brightness", "contrast", "saturation", "hue")

NO_OPERATION = -1  # in Draws' `order`

Draws = dict[str, np.ndarray]
"""Augmentation parameters of V clips: `rotation` (V,) radians, `shift` (V, 2) pixels (x, y); and for RGB `factor`
(V, 4) and `order` (V, 4) of the operations of JITTER. Empty: no augmentation."""


class Viewer(Protocol):
    """Chooses the part of the frames that each clip shows."""

    @property
    def crop_size(self) -> int:
        """Pixels that the network sees."""

    def __call__(self, frames: np.ndarray, clips: np.ndarray, generator: Generator, /) -> tuple[np.ndarray, Draws]:
        """Cut windows (V', T, S, S, C) and draw their augmentation.

        Args:
            frames: (U, H, W, C).
            clips: (V, T), indices into `frames`.
            generator: of the draws.
        """


def cut_window(frames: np.ndarray, left: int, top: int, side: int) -> np.ndarray:
    """Cut the square (T, side, side, C) with its corner at (left, top), padded with OUTSIDE."""
    height, width = frames.shape[1:3]
    if 0 <= left <= width - side and 0 <= top <= height - side:
        return frames[:, top : top + side, left : left + side]
    window = np.empty((len(frames), side, side, frames.shape[3]), frames.dtype)
    fill_window(window, frames, np.arange(len(frames)), left, top)
    return window


def fill_window(window: np.ndarray, frames: np.ndarray, clip: np.ndarray, left: int, top: int) -> None:
    """Fill `window` (T, S, S, C) with a square of the frames numbered `clip` (T,), as `cut_window` cuts it.

    A window takes megabytes: each pixel is written once, and frames of other clips are not touched.
    """
    side = window.shape[1]
    rows, columns = (
        slice(*np.clip([-first, size - first], 0, side))
        for first, size in zip((top, left), frames.shape[1:3], strict=True)
    )
    outside = OUTSIDE[frames.shape[3]]
    window[:, : rows.start] = window[:, rows.stop :] = outside
    window[:, rows, : columns.start] = window[:, rows, columns.stop :] = outside
    for place, number in enumerate(clip):
        window[place, rows, columns] = frames[
            number, top + rows.start : top + rows.stop, left + columns.start : left + columns.stop
        ]


def window_side(crop_size: int, rotation_degrees: float) -> int:
    """Return the side of the square that holds a crop rotated by up to `rotation_degrees`, and a margin of a pixel."""
    if rotation_degrees == 0:
        return crop_size
    angle = math.radians(rotation_degrees)
    return math.ceil(crop_size * (math.cos(angle) + math.sin(angle))) + 2


@dataclass(frozen=True)
class RandomViews:
    """Takes a random crop of each clip and, with `augment`, draws the basic augmentation (method/README).

    Args:
        crop_size: pixels that the network sees.
        rotation_degrees: angles are drawn from minus to plus this.
        jitter: strength of each operation of JITTER; None for flow, which has no colours.
        augment: off: the random crop only.
        single_operation: apply one operation to each clip; off: all of them, in random order.
    """

    crop_size: int
    rotation_degrees: float
    jitter: tuple[float, float, float, float] | None
    augment: bool = True
    single_operation: bool = False

    def __call__(self, frames: np.ndarray, clips: np.ndarray, generator: Generator) -> tuple[np.ndarray, Draws]:
        """Cut windows (V, T, S, S, C), and draw parameters for each."""
        height, width, channels = frames.shape[1:]
        degrees = self.rotation_degrees if self.augment else 0.0
        side = window_side(self.crop_size, degrees)
        windows = np.empty((*clips.shape, side, side, channels), np.uint8)
        rotation = np.radians(generator.uniform(-degrees, degrees, len(clips)))
        shift = np.empty((len(clips), 2))
        size = np.array([width, height])
        for view, clip in enumerate(clips):
            corner = generator.integers(size - self.crop_size + 1)  # (x, y) of the crop in the rotated frame
            centre = size / 2 + rotate_point(corner + (self.crop_size - size) / 2, rotation[view])  # before rotation
            left, top = np.round(centre - side / 2).astype(int)
            shift[view] = centre - side / 2 - (left, top)
            fill_window(windows[view], frames, clip, left, top)
        if not self.augment:
            return windows, {}
        return windows, {
            "rotation": rotation.astype(np.float32),
            "shift": shift.astype(np.float32),
            **self._draw_jitter(len(clips), generator),
        }

    def _draw_jitter(self, num_clips: int, generator: Generator) -> Draws:
        if self.jitter is None:
            return {}
        strength = np.array(self.jitter)
        middle = np.array([1.0, 1.0, 1.0, 0.0])  # factors are centred on 1, the shift of the hue on 0
        factor = generator.uniform(middle - strength, middle + strength, (num_clips, 4))
        order = generator.permuted(np.tile(np.arange(4), (num_clips, 1)), axis=1)
        if self.single_operation:
            order[:, 1:] = NO_OPERATION
        return {"factor": factor.astype(np.float32), "order": order}


@dataclass(frozen=True)
class FixedViews:
    """Takes the centre crop of every clip, or three crops along the long side.

    Args:
        crop_size: pixels that the network sees.
        crops: 1 or 3; with 3 every clip yields three consecutive windows.
    """

    crop_size: int
    crops: int = 1

    def __call__(self, frames: np.ndarray, clips: np.ndarray, _generator: Generator) -> tuple[np.ndarray, Draws]:
        """Cut windows (V * crops, T, S, S, C)."""
        height, width = frames.shape[1:3]
        room = np.array([width - self.crop_size, height - self.crop_size])
        places = [0.5] if self.crops == 1 else [0.0, 0.5, 1.0]
        along = np.arange(2) == room.argmax()  # a square frame's long side is its width
        corners = [(room * np.where(along, place, 0.5)).round().astype(int) for place in places]
        cut = [cut_window(frames, left, top, self.crop_size) for left, top in corners]
        return np.stack([window[clip] for clip in clips for window in cut]), {}


def seen_area(height: int, width: int, short_side: int, crop_size: int) -> tuple[int, int, int, int]:
    """Return the area of a frame that the centre crop shows, in pixels of the frame: top, left, height, width.

    Args:
        height, width: of the frame.
        short_side: pixels to which the frame is resized first.
        crop_size: pixels, at most `short_side`.
    """
    ends = []
    for side, smaller in zip((height, width), resized(height, width, short_side), strict=True):
        first = round((smaller - crop_size) * 0.5)  # as in FixedViews
        ends.append([round(place * side / smaller) for place in (first, first + crop_size)])
    (top, bottom), (left, right) = ends
    return top, left, bottom - top, right - left


def rotate_point(point: np.ndarray, angle: float) -> np.ndarray:
    """Return where `point` (x, y) of a frame rotated counter-clockwise by `angle` lies in the original frame."""
    x, y = point
    return np.array([math.cos(angle) * x - math.sin(angle) * y, math.sin(angle) * x + math.cos(angle) * y])
