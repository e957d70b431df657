"""Generated videos in which only motion tells the classes apart: no data set, no download.

A textured square on a textured, still background does one of eight things. Six classes come in pairs that are each
other played backwards, so the same frames in another order are another class. Whatever a class does not move (place,
size, angle) is drawn from the distribution that the classes which move it pass through: a single frame says nothing.

Units: pixels, frames, radians; a video is (T, H, W, 3) uint8.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.random import Generator

CLASSES = (
    "circle_left",
    "circle_right",
    "grow",
    "shrink",
    "spin_left",
    "spin_right",
    "swing_across",
    "swing_up",
)
SIDE = 40  # pixels, of the frame
NUM_FRAMES = 32
FRAME_RATE = 25
PERIOD = (12.0, 20.0)  # frames, of one turn
AMPLITUDE = 8.0  # pixels, of a circle or swing
SQUARE = (12.0, 22.0)  # pixels, side of the smallest and the largest square
BACKGROUND_CONTRAST = 0.25  # of the square's own; stronger textures drown the motion


def render(label: int, generator: Generator) -> np.ndarray:
    """One video (NUM_FRAMES, SIDE, SIDE, 3) of class `label`."""
    x, y, size, angle = _trajectory(CLASSES[label], generator)
    background = 0.5 + BACKGROUND_CONTRAST * (_texture(SIDE, 5, generator) - 0.5)
    square = _texture(16, 4, generator)
    rows, columns = np.mgrid[:SIDE, :SIDE] + 0.5 - SIDE / 2
    dx, dy = columns - x[:, None, None], rows - y[:, None, None]  # (T, H, W), from the square's middle
    cos, sin = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    u, v = (np.stack([cos * dx - sin * dy, sin * dx + cos * dy]) / size[:, None, None] + 0.5) * 16
    inside = (u >= 0) & (u < 16) & (v >= 0) & (v < 16)
    frames = np.where(
        inside[..., None], square[np.clip(v, 0, 15).astype(int), np.clip(u, 0, 15).astype(int)], background
    )
    return (255 * frames).round().astype(np.uint8)


def _trajectory(name: str, generator: Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Middle (x, y), size and angle of the square in every frame, (T,) each."""
    turns = generator.uniform() + np.arange(NUM_FRAMES) / generator.uniform(*PERIOD)
    still = generator.uniform(size=4)[:, None] + np.zeros(NUM_FRAMES)  # phases of what does not move
    phase_x, phase_y, phase_size, phase_angle = still
    direction = -1 if name.endswith(("right", "shrink")) else 1
    if name.startswith("circle") or name == "swing_across":
        phase_x = direction * turns
    if name.startswith("circle") or name == "swing_up":
        phase_y = direction * turns
    if name in ("grow", "shrink"):
        phase_size = direction * turns
    if name.startswith("spin"):
        phase_angle = direction * turns
    centre = generator.uniform(-3, 3, 2)
    small, large = SQUARE
    return (
        centre[0] + AMPLITUDE * np.cos(2 * np.pi * phase_x),
        centre[1] - AMPLITUDE * np.sin(2 * np.pi * phase_y),
        small + (large - small) * (phase_size % 1),
        2 * np.pi * phase_angle,
    )


def _texture(side: int, cells: int, generator: Generator) -> np.ndarray:
    """Smooth random colours (side, side, 3) in [0, 1], with about `cells` patches across."""
    coarse = generator.uniform(size=(cells, cells, 3))
    place = np.linspace(0, cells - 1, side)
    low = np.minimum(place.astype(int), cells - 2)
    share = (place - low)[:, None, None]
    across = coarse[low] * (1 - share) + coarse[low + 1] * share  # (side, cells, 3)
    share = share.reshape(1, side, 1)
    texture: np.ndarray = across[:, low] * (1 - share) + across[:, low + 1] * share
    return texture


def write_videos(folder: Path, num_per_class: int, seed: int, advance: Callable[[], None]) -> None:
    """Write `<folder>/<class>/<class>_<number>.mp4`; video number i of a class depends on (seed, class, i) alone."""
    for label, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for number in range(num_per_class):
            video = render(label, np.random.default_rng((seed, label, number)))
            write_video(folder / name / f"{name}_{number:03d}.mp4", video)
            advance()


def write_video(path: Path, frames: np.ndarray) -> None:
    """Encode frames (T, H, W, 3) as nearly lossless MPEG-4."""
    import av

    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=FRAME_RATE)
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
        stream.codec_context.qmin = stream.codec_context.qmax = 2
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
