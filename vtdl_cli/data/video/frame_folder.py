"""Read a folder of images as a video: `img_00001.jpg`, `frame000001.jpg`, `00001.png` and the like."""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from vtdl_cli.data.video.reader import VideoScan, read_any_order, stack_frames, unreadable_on_error
from vtdl_cli.errors import UnreadableVideo

FRAME_NAME = re.compile(r"(?P<prefix>.*?)(?P<number>\d+)\.(jpg|jpeg|png)", re.IGNORECASE)


class FrameFolderReader:
    """Reads the images of a folder in numerical order; the first may have any number.

    Raises:
        UnreadableVideo: no images, a gap in the numbers, or two images with one number.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files = list_images(path)
        self.num_frames = len(self._files)

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """See `VideoReader.read`."""
        return read_any_order(indices, self.num_frames, self._read_ascending)

    def _read_ascending(self, wanted: np.ndarray) -> np.ndarray:
        return stack_frames(self._path, [read_image(self._path, self._files[index]) for index in wanted])

    def frames(self) -> Iterator[np.ndarray]:
        """Yield all frames (H, W, 3) in order, one in memory at a time."""
        yield from (self.read([index])[0] for index in range(self.num_frames))

    @property
    def scan(self) -> VideoScan:
        """See `scan_images`."""
        return scan_images(self._path, self._files)

    def close(self) -> None:
        """Nothing stays open between reads."""


def scan_images(path: Path, files: Sequence[Path]) -> VideoScan:
    """Return the size and format of the first image; image folders have no frame rate."""
    from PIL import Image

    with unreadable_on_error(path, f"image {files[0].name} is damaged"), Image.open(files[0]) as image:
        width, height, codec = *image.size, str(image.format).lower()
    count = len(files)
    return VideoScan(count, "folder", codec, width, height, 0.0, count, timed=True)


def is_not_flow(name: str) -> bool:
    """Whether a name is not one of flow, flow_x_00001.jpg: two-stream data sets keep both in one folder."""
    return re.match(r"flow_?[xyuv]_?\d", name, re.IGNORECASE) is None


def seem_frames(names: Iterable[str]) -> bool:
    """Whether files seem to be the frames of one video, and not photos: they are numbered one by one.

    At least half of the numbered images have one name before the number; these are two or more, and at least half of
    the numbers from their first to their last. Reading such a folder then reports gaps and other images.
    """
    images = [match for name in names if (match := FRAME_NAME.fullmatch(name))]
    images = [match for match in images if is_not_flow(match.string)] or images
    numbers: dict[str, set[int]] = {}
    for match in images:
        numbers.setdefault(match["prefix"], set()).add(int(match["number"]))
    most = max(numbers.values(), key=len, default=set())
    return len(most) >= 2 and 2 * len(most) >= max(len(images), max(most) - min(most) + 1)


def frame_number(image: Path) -> int:
    """Return the number in an image's name."""
    match = FRAME_NAME.fullmatch(image.name)
    assert match is not None
    return int(match["number"])


def list_images(
    path: Path, wanted: Callable[[str], bool] = is_not_flow, like: str = "img_00001.jpg or frame000001.jpg"
) -> list[Path]:
    """Return the images of a folder whose names are `wanted`, in numerical order; `like` is an example, for messages.

    Raises:
        UnreadableVideo: no images, a gap in the numbers, or two images with one number.
    """
    with unreadable_on_error(path, "the folder cannot be listed"):
        images = [match for file in path.iterdir() if (match := FRAME_NAME.fullmatch(file.name))]
    names = [match for match in images if wanted(match.string)]
    if not names:
        has_flow_only = images and wanted is is_not_flow
        holds = "only optical flow, which data.modality=flow reads, and " if has_flow_only else ""
        raise UnreadableVideo(str(path), f"the folder holds {holds}no images named like {like}")
    prefixes = sorted({match["prefix"] for match in names})
    if len(prefixes) > 1:
        raise UnreadableVideo(str(path), f"the folder mixes images named '{prefixes[0]}' and '{prefixes[1]}'")
    names.sort(key=lambda match: int(match["number"]))
    _refuse_gaps(path, [int(match["number"]) for match in names])
    return [path / match.string for match in names]


def _refuse_gaps(path: Path, numbers: list[int]) -> None:
    for number, following in itertools.pairwise(numbers):
        if following == number:
            raise UnreadableVideo(str(path), f"two images have the number {number}")
        if following != number + 1:
            first, last = number + 1, following - 1
            gap = f"image {first} is missing" if first == last else f"images {first} to {last} are missing"
            raise UnreadableVideo(str(path), gap)


def read_image(folder: Path, file: Path) -> np.ndarray:
    """Read one frame (H, W, 3) of the video in `folder`."""
    from PIL import Image

    with unreadable_on_error(folder, f"image {file.name} is damaged"), Image.open(file) as image:
        return np.asarray(image.convert("RGB"))
