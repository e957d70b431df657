"""Where: what part of the frames a clip shows. Runs in the loader's workers and leaves pixels as uint8.

A worker does not rotate or recolour: it draws how that is to be done, once for all frames of a clip, and cuts out the
square window that the device will need, so that all clips have one size and travel small. The window is centred where
the crop's centre falls in the frame before rotation; what lies outside the frame is black, or without motion.

Shapes: T frames, H x W pixels, S pixels the side of a window; frames are (T, H, W, C), C = 3 for RGB and 2 for flow.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.random import Generator
from torch.nn import functional as F

OUTSIDE = {3: 0, 2: 128}  # by channels: black, and the middle grey that stands for no motion
JITTER = ("brightness", "contrast", "saturation", "hue")

NO_OPERATION = -1  # in an order

Draws = dict[str, np.ndarray]
"""How the device is to augment V clips: `rotation` (V,) radians, `shift` (V, 2) pixels (x, y), `factor` (V, 4) and
`order` (V, 4) of the operations of JITTER, the last two where there are colours. Empty: not at all."""


class Viewer(Protocol):
    """Decides what part of the frames each clip shows."""

    @property
    def crop_size(self) -> int:
        """Pixels that the network sees."""

    def __call__(self, frames: np.ndarray, clips: np.ndarray, generator: Generator, /) -> tuple[np.ndarray, Draws]:
        """From frames (U, H, W, C) and clips (V, T), positions in them, to windows (V', T, S, S, C) and their draws."""


def resized(height: int, width: int, short_side: int) -> list[int]:
    """Height and width once the short side is at `short_side` pixels."""
    return [short_side * side // min(height, width) for side in (height, width)]


def resize_short_side(frames: np.ndarray, short_side: int) -> np.ndarray:
    """Frames (T, H, W, C) with their short side at `short_side` pixels: bilinear, antialiased, uint8 throughout."""
    height, width = frames.shape[1:3]
    if min(height, width) == short_side:
        return frames
    size = resized(height, width, short_side)
    images = torch.from_numpy(frames).permute(0, 3, 1, 2)
    return F.interpolate(images, size=size, mode="bilinear", antialias=True).permute(0, 2, 3, 1).numpy()


def cut_window(frames: np.ndarray, left: int, top: int, side: int) -> np.ndarray:
    """The square (T, side, side, C) whose corner is at (left, top); OUTSIDE where it leaves the frame."""
    height, width = frames.shape[1:3]
    if 0 <= left <= width - side and 0 <= top <= height - side:
        return frames[:, top : top + side, left : left + side]
    channels = frames.shape[3]
    window = np.full((len(frames), side, side, channels), OUTSIDE[channels], frames.dtype)
    rows = slice(*np.clip([top, top + side], 0, height))
    columns = slice(*np.clip([left, left + side], 0, width))
    inside = frames[:, rows, columns]
    window[:, rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = inside
    return window


def window_side(crop_size: int, rotation_degrees: float) -> int:
    """Side of the square that holds a crop turned by up to `rotation_degrees`, and the pixels round its edge."""
    if rotation_degrees == 0:
        return crop_size
    angle = math.radians(rotation_degrees)
    return math.ceil(crop_size * (math.cos(angle) + math.sin(angle))) + 2


@dataclass(frozen=True)
class RandomViews:
    """A random crop for each clip, and the draws of basic augmentation (README, Method) where `augment` is on.

    Args:
        crop_size: pixels that the network sees.
        rotation_degrees: angles are drawn from minus to plus this.
        jitter: strength of each operation of JITTER; None where there are no colours.
        single_operation: one of them for each clip; otherwise all, in random order.
        augment: off: the random crop only.
    """

    crop_size: int
    rotation_degrees: float
    jitter: tuple[float, float, float, float] | None
    augment: bool = True
    single_operation: bool = False

    def __call__(self, frames: np.ndarray, clips: np.ndarray, generator: Generator) -> tuple[np.ndarray, Draws]:
        """Windows (V, T, S, S, C), each with draws of its own."""
        height, width, channels = frames.shape[1:]
        degrees = self.rotation_degrees if self.augment else 0.0
        side = window_side(self.crop_size, degrees)
        windows = np.empty((*clips.shape, side, side, channels), np.uint8)
        rotation = np.radians(generator.uniform(-degrees, degrees, len(clips)))
        shift = np.empty((len(clips), 2))
        size = np.array([width, height])
        for view, clip in enumerate(clips):
            corner = generator.integers(size - self.crop_size + 1)  # (x, y) of the crop in the rotated frame
            centre = size / 2 + turn(corner + (self.crop_size - size) / 2, rotation[view])  # in the frame as it is
            left, top = np.round(centre - side / 2).astype(int)
            shift[view] = centre - side / 2 - (left, top)
            windows[view] = cut_window(frames, left, top, side)[clip]
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
        middle = np.array([1.0, 1.0, 1.0, 0.0])  # factors lie round 1, the hue's shift round 0
        factor = generator.uniform(middle - strength, middle + strength, (num_clips, 4))
        order = generator.permuted(np.tile(np.arange(4), (num_clips, 1)), axis=1)
        if self.single_operation:
            order[:, 1:] = NO_OPERATION
        return {"factor": factor.astype(np.float32), "order": order}


@dataclass(frozen=True)
class FixedViews:
    """The centre of every clip, or three squares along the long side.

    Args:
        crop_size: pixels that the network sees.
        crops: 1 or 3; with 3 every clip gives three windows in a row.
    """

    crop_size: int
    crops: int = 1

    def __call__(self, frames: np.ndarray, clips: np.ndarray, _generator: Generator) -> tuple[np.ndarray, Draws]:
        """Windows (V * crops, T, S, S, C)."""
        height, width = frames.shape[1:3]
        room = np.array([width - self.crop_size, height - self.crop_size])
        places = [0.5] if self.crops == 1 else [0.0, 0.5, 1.0]
        along = np.arange(2) == room.argmax()  # a square frame's long side is its width
        corners = [(room * np.where(along, place, 0.5)).round().astype(int) for place in places]
        cut = [cut_window(frames, left, top, self.crop_size) for left, top in corners]
        return np.stack([window[clip] for clip in clips for window in cut]), {}


def centre_clips(
    pictures: Iterable[np.ndarray], indices: np.ndarray, *, short_side: int, crop_size: int
) -> Iterator[np.ndarray]:
    """The centre of each clip as evaluation sees it, (T, R, R, 3), as soon as its last frame has passed.

    Args:
        pictures: all frames of a video.
        indices: which of them make the clips, (V, T), in the order in which the clips end.
        short_side: pixels to which frames are resized first.
        crop_size: R.
    """
    viewer, generator = FixedViews(crop_size), np.random.default_rng(0)  # which a fixed view does not use
    kept: dict[int, np.ndarray] = {}
    waiting = list(indices)
    for number, picture in enumerate(pictures):
        if any((clip == number).any() for clip in waiting[:2]):  # the last two may overlap
            kept[number] = resize_short_side(picture[None], short_side)[0]
        while waiting and waiting[0].max() <= number:
            clip = waiting.pop(0)
            windows, _ = viewer(np.stack([kept[index] for index in clip]), np.arange(len(clip))[None], generator)
            yield windows[0]
            kept = {index: frame for index, frame in kept.items() if waiting and index >= waiting[0].min()}


def seen_area(height: int, width: int, short_side: int, crop_size: int) -> tuple[int, int, int, int]:
    """Which part of a frame, in its own pixels, the centre square shows: top, left, height, width.

    Args:
        height, width: of the frame.
        short_side: pixels that it is resized to first.
        crop_size: pixels of the square, at most `short_side`.
    """
    ends = []
    for side, smaller in zip((height, width), resized(height, width, short_side), strict=True):
        first = round((smaller - crop_size) * 0.5)  # as FixedViews has it
        ends.append([round(place * side / smaller) for place in (first, first + crop_size)])
    (top, bottom), (left, right) = ends
    return top, left, bottom - top, right - left


def turn(point: np.ndarray, angle: float) -> np.ndarray:
    """The point of the frame that is seen at `point` (x, y) after the frame was turned counter-clockwise by `angle`."""
    x, y = point
    return np.array([math.cos(angle) * x - math.sin(angle) * y, math.sin(angle) * x + math.cos(angle) * y])
