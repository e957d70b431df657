"""What a list maker wants to know of a video: whether it can be read, and what it is."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vtdl_cli.data.decoding import FLOW, decode_frames, open_video
from vtdl_cli.data.video_reader import VideoScan, refuse_sizes
from vtdl_cli.data.video_scan import scan_video
from vtdl_cli.errors import UnreadableVideo

FLAT_DEVIATION = 1.0  # of 255 grey levels: a picture below it shows one colour
LUMA_FIRST = ("yuv420p", "yuvj420p", "yuv422p", "yuv444p", "nv12")  # formats whose first plane is grey, a byte a pixel
LOOKED_AT = 8  # one picture in so many: measuring all of them takes half as long as decoding them
FLAT_SHARE = 0.5  # of a video's pictures: films fade in and out, and lectures show dark slides


class VideoFacts(NamedTuple):
    """One video that was opened."""

    num_frames: int  # that can be read
    declared_frames: int  # by the container's header; 0 where it says nothing
    codec: str
    width: int
    height: int
    frame_rate: float  # frames a second; 0 where nothing says so
    num_bytes: int  # of the file; 0 for a folder of pictures


_OPENED: set[tuple[object, ...]] = set()
"""Kinds of video that a decoder has opened in this process."""


def probe_video(path: str | Path, decoder: str = "decord", *, verify: bool = False) -> VideoFacts:
    """Open a video, decode its first frame, and say what it is.

    Of a file PyAV decodes the first frame; another decoder, which takes longer, is tried on the first of each kind:
    what it cannot open are codecs, containers and widths. A single file that it alone refuses may pass for good.

    With `verify` all of it is decoded, by PyAV: other decoders repeat a frame, or show a damaged or a grey one, without
    a word.

    Raises:
        UnreadableVideo: it cannot be opened; with `verify` also: it ends early, is damaged anywhere, or half of its
            pictures show one colour.
    """
    path = Path(path)
    is_file = path.is_file() and path.stat().st_size > 0 and decoder != FLOW
    scan = scan_video(path) if is_file else _open(path, decoder)
    if is_file and next(decode_frames(path), None) is None:
        raise UnreadableVideo(str(path), "none of its frames can be decoded")
    kind = (decoder, scan.container, scan.codec, scan.width, scan.has_duration, scan.timed)
    if is_file and decoder != "pyav" and kind not in _OPENED:
        _open(path, decoder)
        _OPENED.add(kind)
    if verify:
        _decode_whole(path, decoder, scan.num_frames)
    num_bytes = path.stat().st_size if is_file else 0
    return VideoFacts(
        scan.num_frames, scan.declared_frames, scan.codec, scan.width, scan.height, scan.frame_rate, num_bytes
    )


def _open(path: Path, decoder: str) -> VideoScan:
    with open_video(path, decoder) as reader:
        reader.read([0])
        return reader.scan


def _decode_whole(path: Path, decoder: str, num_frames: int) -> None:
    count, flat, sizes = 0, 0, set[tuple[int, ...]]()
    for count, (size, grey) in enumerate(_pictures(path, decoder, num_frames), start=1):
        if size not in sizes:
            sizes.add(size)
            refuse_sizes(path, sizes)
        if count % LOOKED_AT == 1:
            flat += int(grey().std() < FLAT_DEVIATION)
    if count < num_frames:
        raise UnreadableVideo(str(path), f"it ends before frame {count} of {num_frames}")
    looked_at = -(-count // LOOKED_AT)
    if flat >= FLAT_SHARE * looked_at and decoder != FLOW:  # where nothing moves, flow is flat
        raise UnreadableVideo(str(path), f"{flat} of {looked_at} of its pictures show one colour")


def _pictures(path: Path, decoder: str, num_frames: int) -> Iterator[tuple[tuple[int, int], Callable[[], np.ndarray]]]:
    """Size (height, width) of each picture, and how to see its grey at every eighth row and column."""
    if path.is_dir():
        with open_video(path, decoder) as reader:
            for index in range(num_frames):
                picture = reader.read([index])[0]
                yield picture.shape[:2], partial(_mean, picture)
    else:
        for frame in decode_frames(path):
            yield (frame.height, frame.width), partial(_luma, frame)


def _mean(picture: np.ndarray) -> np.ndarray:
    """Grey of a picture (H, W, C)."""
    grey: np.ndarray = picture[::8, ::8].mean(-1)
    return grey


def _luma(frame: Any) -> np.ndarray:
    """Grey of PyAV's frame, without a conversion where the frame holds it as it is."""
    if frame.format.name not in LUMA_FIRST:
        grey: np.ndarray = frame.to_ndarray(format="gray", threads=1)[::8, ::8]
        return grey
    plane = frame.planes[0]
    return np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[::8, : plane.width : 8]
