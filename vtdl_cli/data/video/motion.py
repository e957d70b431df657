"""Generate videos whose classes differ in motion alone: no data set, no download.

A textured square moves on a darker, static background: round a circle, to the left or to the right, at one of three
speeds; or it sways to and fro on the circle, or stands still. Three pairs of classes are each other played backwards:
the same frames in another order are another class. In every frame of every class the square's position is uniform on
the circle, and its size and angle are drawn uniformly for each video: a single frame does not reveal the class.

Units: pixels, frames, turns; a video is (T, H, W, 3) uint8.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.random import Generator

from vtdl_cli.data.video.whole_video import encode_video

CLASSES = ("left_fast", "left_medium", "left_slow", "right_fast", "right_medium", "right_slow", "still", "sway")
SIDE = 40  # pixels, of the frame
NUM_FRAMES = 32
FRAME_RATE = 25
PERIODS = {"fast": (6.0, 8.0), "medium": (11.0, 14.0), "slow": (20.0, 28.0)}  # frames, of once round the circle
SWAY = 0.5  # turns from one reversal to the next, at medium speed
RADIUS = 8.0  # pixels, of the circle
SQUARE = (10.0, 24.0)  # pixels, its side
SQUARE_SHADES = (0.2, 1.0)  # of its texture, from 0 for black to 1
BACKGROUND_SHADES = (0.2, 0.6)  # if it is as bright as the square, a minute of pretraining learns nothing


def render_video(label: int, generator: Generator) -> np.ndarray:
    """Render one video (NUM_FRAMES, SIDE, SIDE, 3) of class `label`."""
    place = 2 * np.pi * orbit(CLASSES[label], generator)[:, None, None]
    side, angle = generator.uniform(*SQUARE), generator.uniform(0, 2 * np.pi)
    background = _texture(SIDE, 5, BACKGROUND_SHADES, generator)
    square = _texture(16, 4, SQUARE_SHADES, generator)
    rows, columns = np.mgrid[:SIDE, :SIDE] + 0.5 - SIDE / 2
    dx, dy = columns - RADIUS * np.cos(place), rows + RADIUS * np.sin(place)  # (T, H, W), from the square's centre
    cos, sin = np.cos(angle), np.sin(angle)
    u, v = (np.stack([cos * dx - sin * dy, sin * dx + cos * dy]) / side + 0.5) * 16  # in the square's own pixels
    inside = (u >= 0) & (u < 16) & (v >= 0) & (v < 16)
    shade = square[np.clip(v, 0, 15).astype(int), np.clip(u, 0, 15).astype(int)]  # (T, H, W, 3)
    frames = np.where(inside[..., None], shade, background)
    return (255 * frames).round().astype(np.uint8)


def orbit(name: str, generator: Generator) -> np.ndarray:
    """Return the square's position on the circle in every frame of a video of class `name`: (NUM_FRAMES,) turns."""
    start = generator.uniform()
    way, _, speed = name.partition("_")
    turns = np.arange(NUM_FRAMES) / generator.uniform(*PERIODS[speed or "medium"])
    if way == "left":
        return start + turns
    if way == "right":
        return start - turns
    if way == "sway":
        return start + SWAY * (1 - np.abs((generator.uniform(0, 2) + turns / SWAY) % 2 - 1))
    return start + 0 * turns


def _texture(side: int, cells: int, shades: tuple[float, float], generator: Generator) -> np.ndarray:
    """Return smooth random colours (side, side, 3) between two shades, with about `cells` patches across."""
    coarse = generator.uniform(*shades, size=(cells, cells, 3))
    place = np.linspace(0, cells - 1, side)
    low = np.minimum(place.astype(int), cells - 2)
    share = (place - low)[:, None, None]
    across = coarse[low] * (1 - share) + coarse[low + 1] * share  # (side, cells, 3)
    share = share.reshape(1, side, 1)
    texture: np.ndarray = across[:, low] * (1 - share) + across[:, low + 1] * share
    return texture


def write_videos(folder: Path, num_per_class: int, seed: int, advance: Callable[[], None]) -> None:
    """Write `<folder>/<class>/<class>_<number>.mp4`; video i of a class depends on (seed, class, i) alone."""
    for label, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for number in range(num_per_class):
            video = render_video(label, np.random.default_rng((seed, label, number)))
            write_video(folder / name / f"{name}_{number:03d}.mp4", video)
            advance()


def write_video(path: Path, frames: np.ndarray) -> None:
    """Encode frames (T, H, W, 3) as nearly lossless MPEG-4."""
    encode_video(path, frames, FRAME_RATE, "mpeg4", {"qmin": "2", "qmax": "2"})
