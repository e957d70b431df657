"""Read optical flow as a two-channel video: each frame is a greyscale image for x and one for y."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vtdl_cli.data.video.frame_folder import FRAME_NAME, frame_number, list_images, read_image, scan_images
from vtdl_cli.data.video.reader import VideoScan, read_any_order, refuse_sizes, stack_frames, unreadable_on_error
from vtdl_cli.errors import UnreadableVideo

PREFIXES = ("flow_x", "flow_y")
FOLDER_NAMES = (("x", "y"), ("u", "v"), PREFIXES)


class FlowDirection(NamedTuple):
    """One direction of the flow: the images of a folder whose names begin with a prefix."""

    folder: Path
    prefix: str

    def images(self) -> list[Path]:
        """Return the images in numerical order."""
        like = f"{self.prefix}_00001.jpg" if self.prefix else "00001.jpg"
        return list_images(self.folder, lambda name: name.lower().startswith(self.prefix), like)


FLOW_LAYOUTS = "which data.modality=flow reads: no flow_x_00001.jpg, no folders x and y or u and v"


def flow_pair(path: Path) -> tuple[FlowDirection, FlowDirection] | None:
    """Find the x and y images of the flow video `path`; None if there are none.

    Three layouts: `<path>/flow_x_00001.jpg` and `<path>/flow_y_00001.jpg`; `<path>/x/00001.jpg` and
    `<path>/y/00001.jpg`; `x/<video>/00001.jpg` and `y/<video>/00001.jpg`, where `path` is `x/<video>`.
    In the last two the folders may also be called u and v, or flow_x and flow_y.

    Raises:
        OSError: the folder cannot be listed.
    """
    present = {prefix for prefix in PREFIXES if _holds_images(path, prefix)}
    together = FlowDirection(path, PREFIXES[0]), FlowDirection(path, PREFIXES[1])
    if len(present) == len(PREFIXES):
        return together
    for x, y in FOLDER_NAMES:
        if _holds_images(path / x) and _holds_images(path / y):
            return FlowDirection(path / x, ""), FlowDirection(path / y, "")
        if path.parent.name != x or not _holds_images(path):
            continue
        beside = path.parent.with_name(y) / path.name
        if beside.is_dir():
            return FlowDirection(path, ""), FlowDirection(beside, "")
    return together if PREFIXES[0] in present else None  # y is missing, which the reader reports


def is_second_direction(folder: Path) -> bool:
    """Whether a folder lies in `y`, or another of its names, beside which `flow_pair` looks for the videos of `x`."""
    return any(folder.parent.name == y and folder.parent.with_name(x).is_dir() for x, y in FOLDER_NAMES)


def _holds_images(folder: Path, prefix: str = "") -> bool:
    names = (file.name for file in folder.iterdir()) if folder.is_dir() else iter(())
    return any(name.lower().startswith(prefix) and FRAME_NAME.fullmatch(name) for name in names)


class FlowFolderReader:
    """Reads pairs of x and y images, in numerical order.

    Raises:
        UnreadableVideo: no pairs, a gap in the numbers, or an image without its counterpart.
    """

    def __init__(self, path: Path) -> None:
        with unreadable_on_error(path, "the folder cannot be listed"):
            pair = flow_pair(path)
        if pair is None:
            raise UnreadableVideo(str(path), f"it holds no flow, {FLOW_LAYOUTS}")
        self._path = path
        self._directions = [direction.images() for direction in pair]
        counts = [len(files) for files in self._directions]
        if counts[0] != counts[1]:
            raise UnreadableVideo(str(path), f"it has {counts[0]} flow images in x and {counts[1]} in y")
        for x, y in zip(*self._directions, strict=True):
            if frame_number(x) != frame_number(y):
                raise UnreadableVideo(str(path), f"image {x.name} has no counterpart: it would be paired with {y.name}")
        self.num_frames = counts[0]

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return frames (len(indices), H, W, 2), x before y; see `VideoReader.read`."""
        return read_any_order(indices, self.num_frames, self._read_ascending)

    def _read_ascending(self, wanted: np.ndarray) -> np.ndarray:
        channels = [
            stack_frames(self._path, [_read_grey(self._path, files[index]) for index in wanted])
            for files in self._directions
        ]
        refuse_sizes(self._path, {channel.shape[1:3] for channel in channels})
        return np.concatenate(channels, -1)

    def frames(self) -> Iterator[np.ndarray]:
        """Yield all frames (H, W, 2) in order, one in memory at a time."""
        yield from (self.read([index])[0] for index in range(self.num_frames))

    @property
    def scan(self) -> VideoScan:
        """See `scan_images`."""
        return scan_images(self._path, self._directions[0])

    def close(self) -> None:
        """Nothing stays open between reads."""


def _read_grey(path: Path, file: Path) -> np.ndarray:
    """Read the image (H, W, 1) of one direction."""
    image = read_image(path, file)
    if (image != image[..., :1]).any():
        raise UnreadableVideo(str(path), f"image {file.name} has colours; flow images are greyscale")
    return image[..., :1]
