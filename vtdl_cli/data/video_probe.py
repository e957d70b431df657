"""What a list maker wants to know of a video: whether it can be read, and what it is."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vtdl_cli.data.decoding import FLOW, decode_frames, open_video
from vtdl_cli.data.video_reader import refuse_sizes
from vtdl_cli.errors import UnreadableVideo

FLAT_DEVIATION = 1.0  # of 255 grey levels: a picture below it shows one colour
LUMA_FIRST = ("yuv420p", "yuvj420p", "yuv422p", "yuv444p", "nv12")  # formats whose first plane is grey, a byte a pixel
FLAT_SHARE = 0.5  # of a video's pictures: films fade in and out, and lectures show dark slides


class VideoFacts(NamedTuple):
    """One video that was opened."""

    num_frames: int  # that can be read
    declared_frames: int  # by the container's header; 0 where it says nothing
    codec: str
    width: int
    height: int
    frame_rate: float  # frames a second; 0 where nothing says so
    digest: bytes  # of a file's content; empty for a folder of pictures


def probe_video(path: str | Path, decoder: str = "decord", *, verify: bool = False) -> VideoFacts:
    """Open a video, decode its first frame, and say what it is.

    With `verify` all of it is decoded, by PyAV: other decoders repeat a frame, or show a damaged or a grey one, without
    a word.

    Raises:
        UnreadableVideo: it cannot be opened; with `verify` also: it ends early, is damaged anywhere, or half of its
            pictures show one colour.
    """
    path = Path(path)
    with open_video(path, decoder) as reader:
        reader.read([0])
        scan = reader.scan
    if verify:
        _decode_whole(path, decoder, scan.num_frames)
    return VideoFacts(
        scan.num_frames, scan.declared_frames, scan.codec, scan.width, scan.height, scan.frame_rate, _digest(path)
    )


def _decode_whole(path: Path, decoder: str, num_frames: int) -> None:
    count, flat, sizes = 0, 0, set[tuple[int, ...]]()
    for size, picture in _grey_pictures(path, decoder, num_frames):
        sizes.add(size)
        refuse_sizes(path, sizes)
        count += 1
        flat += int(picture.std() < FLAT_DEVIATION)
    if count < num_frames:
        raise UnreadableVideo(str(path), f"it ends before frame {count} of {num_frames}")
    if flat >= FLAT_SHARE * num_frames and decoder != FLOW:  # where nothing moves, flow is flat
        raise UnreadableVideo(str(path), f"{flat} of its {num_frames} pictures show one colour")


def _grey_pictures(path: Path, decoder: str, num_frames: int) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
    """Size (height, width) of each picture, and its grey at every fourth row and column."""
    if path.is_dir():
        with open_video(path, decoder) as reader:
            for index in range(num_frames):
                picture = reader.read([index])[0]
                yield picture.shape[:2], picture[::4, ::4].mean(-1)
    else:
        for frame in decode_frames(path):
            yield (frame.height, frame.width), _luma(frame)[::4, ::4]


def _luma(frame: Any) -> np.ndarray:
    """Grey of PyAV's frame, without a conversion where the frame holds it as it is."""
    if frame.format.name not in LUMA_FIRST:
        grey: np.ndarray = frame.to_ndarray(format="gray", threads=1)
        return grey
    plane = frame.planes[0]
    return np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]


def _digest(path: Path) -> bytes:
    if path.is_dir():
        return b""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).digest()
