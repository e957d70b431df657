"""Optical flow read as a video of two channels: one grey picture for x and one for y of every frame."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vtdl_cli.data.video.frame_folder import FRAME_NAME, frame_number, list_images, read_image, scan_images
from vtdl_cli.data.video.reader import VideoScan, read_any_order, refuse_sizes, stack_frames, unreadable_on_error
from vtdl_cli.errors import UnreadableVideo

PREFIXES = ("flow_x", "flow_y")
DIRECTIONS = (("x", "y"), ("u", "v"), PREFIXES)  # as folders are named


class FlowDirection(NamedTuple):
    """Where one direction lies: the pictures of a folder whose names begin so."""

    folder: Path
    prefix: str

    def images(self) -> list[Path]:
        """In the order of their numbers."""
        like = f"{self.prefix}_00001.jpg" if self.prefix else "00001.jpg"
        return list_images(self.folder, lambda name: name.lower().startswith(self.prefix), like)


def flow_pair(path: Path) -> tuple[FlowDirection, FlowDirection] | None:
    """Where the x and y of the video called `path` lie, or None.

    Three layouts: `<path>/flow_x_00001.jpg` beside `<path>/flow_y_00001.jpg`; `<path>/x/00001.jpg` beside
    `<path>/y/00001.jpg`; and `x/<video>/00001.jpg` beside `y/<video>/00001.jpg`, where `path` is the former's folder.
    In the last two the folders may also be called u and v, or flow_x and flow_y.

    Raises:
        OSError: the folder cannot be listed.
    """
    present = {prefix for prefix in PREFIXES if _holds_pictures(path, prefix)}
    together = FlowDirection(path, PREFIXES[0]), FlowDirection(path, PREFIXES[1])
    if len(present) == len(PREFIXES):
        return together
    for x, y in DIRECTIONS:
        if _holds_pictures(path / x) and _holds_pictures(path / y):
            return FlowDirection(path / x, ""), FlowDirection(path / y, "")
        beside = path.parent.with_name(y) / path.name
        if path.parent.name == x and _holds_pictures(path) and beside.is_dir():
            return FlowDirection(path, ""), FlowDirection(beside, "")
    return together if PREFIXES[0] in present else None  # without y, which the reader will miss


def _holds_pictures(folder: Path, prefix: str = "") -> bool:
    names = (file.name for file in folder.iterdir()) if folder.is_dir() else iter(())
    return any(name.lower().startswith(prefix) and FRAME_NAME.fullmatch(name) for name in names)


class FlowFolderReader:
    """Reads pictures in pairs, in the order of their numbers.

    Raises:
        UnreadableVideo: no pairs, a gap in the numbers, or a picture without its partner.
    """

    def __init__(self, path: Path) -> None:
        with unreadable_on_error(path, "the folder cannot be listed"):
            pair = flow_pair(path)
        if pair is None:
            raise UnreadableVideo(str(path), "it holds no flow: no flow_x_00001.jpg, no folders x and y or u and v")
        self._path = path
        self._halves = [half.images() for half in pair]
        counts = [len(files) for files in self._halves]
        if counts[0] != counts[1]:
            raise UnreadableVideo(str(path), f"it has {counts[0]} pictures of flow in x and {counts[1]} in y")
        for x, y in zip(*self._halves, strict=True):
            if frame_number(x) != frame_number(y):
                raise UnreadableVideo(str(path), f"picture {x.name} has no partner: beside it comes {y.name}")
        self.num_frames = counts[0]

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Frames (len(indices), H, W, 2), x before y; see `VideoReader.read`."""
        return read_any_order(indices, self.num_frames, self._read_ascending)

    def _read_ascending(self, wanted: np.ndarray) -> np.ndarray:
        halves = [
            stack_frames(self._path, [_read_grey(self._path, files[index]) for index in wanted])
            for files in self._halves
        ]
        refuse_sizes(self._path, {half.shape[1:3] for half in halves})
        return np.concatenate(halves, -1)

    @property
    def scan(self) -> VideoScan:
        """See `scan_images`."""
        return scan_images(self._path, self._halves[0])

    def close(self) -> None:
        """Nothing stays open between reads."""


def _read_grey(path: Path, file: Path) -> np.ndarray:
    """A picture (H, W, 1) of one direction."""
    picture = read_image(path, file)
    if (picture != picture[..., :1]).any():
        raise UnreadableVideo(str(path), f"picture {file.name} has colours; flow in one direction is grey")
    return picture[..., :1]
