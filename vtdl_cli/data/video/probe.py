"""What a list maker wants to know of a video: whether it can be read, and what it is."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vtdl_cli.data.video.decoding import FLOW, open_video
from vtdl_cli.data.video.reader import VideoScan, refuse_sizes, unreadable
from vtdl_cli.data.video.scan import scan_video
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
    if decoder == FLOW or not path.is_file() or not path.stat().st_size:
        return _probe_folder(path, decoder, verify)
    look = FrameInspector(path, wanted=None if verify else 1)
    scan = scan_video(path, look.decode)
    if not look.count:
        raise UnreadableVideo(str(path), "none of its frames can be decoded")
    kind = (decoder, scan.container, scan.codec, scan.width, scan.has_duration, scan.timed)
    if decoder != "pyav" and kind not in _OPENED:
        _open(path, decoder)
        _OPENED.add(kind)
    if verify:
        look.judge(scan.num_frames)
    return _facts(scan, path.stat().st_size)


def _probe_folder(path: Path, decoder: str, verify: bool) -> VideoFacts:
    """A folder of pictures, or what `open_video` has words for: nothing there, or an empty file."""
    with open_video(path, decoder) as reader:
        reader.read([0])
        if verify:
            look = FrameInspector(path, may_be_flat=decoder == FLOW)  # where nothing moves, flow is flat
            for index in range(reader.num_frames):
                picture = reader.read([index])[0]
                look.at(picture.shape[:2], partial(_mean, picture))
            look.judge(reader.num_frames)
        return _facts(reader.scan, 0)


def _facts(scan: VideoScan, num_bytes: int) -> VideoFacts:
    return VideoFacts(
        scan.num_frames, scan.declared_frames, scan.codec, scan.width, scan.height, scan.frame_rate, num_bytes
    )


def _open(path: Path, decoder: str) -> None:
    with open_video(path, decoder) as reader:
        reader.read([0])


class FrameInspector:
    """Looks at a video's pictures one after the other.

    Args:
        path: of the video, for messages.
        wanted: pictures to decode from a file's packets; None: all.
        may_be_flat: a video of one colour is not refused.

    Attributes:
        count: pictures seen.
    """

    def __init__(self, path: Path, *, wanted: int | None = None, may_be_flat: bool = False) -> None:
        self.path, self.wanted, self.may_be_flat = path, wanted, may_be_flat
        self.count = 0
        self._flat, self._sizes = 0, set[tuple[int, ...]]()

    def decode(self, packet: Any) -> None:
        """Look at what one of PyAV's packets holds, as long as pictures are wanted."""
        if self.wanted is not None and self.count >= self.wanted:
            return
        try:
            frames = packet.decode()
        except Exception as error:  # PyAV's are many
            raise unreadable(self.path, f"it is damaged at frame {self.count}", error) from error
        for frame in frames:
            if frame.is_corrupt:
                raise UnreadableVideo(str(self.path), f"it is damaged at frame {self.count}")
            self.at((frame.height, frame.width), partial(_luma, frame))

    def at(self, size: tuple[int, ...], grey: Callable[[], np.ndarray]) -> None:
        """Look at a picture of size (height, width), of which `grey` gives every eighth row and column."""
        self.count += 1
        if size not in self._sizes:
            self._sizes.add(size)
            refuse_sizes(self.path, self._sizes)
        if self.count % LOOKED_AT == 1:
            self._flat += is_flat(grey())

    def judge(self, num_frames: int) -> None:
        """Refuse a video that is not what its packets promise.

        Raises:
            UnreadableVideo: it ended before `num_frames`, or half of the pictures looked at show one colour.
        """
        if self.count < num_frames:
            raise UnreadableVideo(str(self.path), f"it ends before frame {self.count} of {num_frames}")
        looked_at = -(-self.count // LOOKED_AT)
        if self._flat >= FLAT_SHARE * looked_at and not self.may_be_flat:
            raise UnreadableVideo(str(self.path), f"{self._flat} of {looked_at} of its pictures show one colour")


def is_flat(grey: np.ndarray) -> bool:
    """Whether a picture shows one colour: its deviation is below FLAT_DEVIATION.

    Of n values the deviation is at least their range over the root of 2 n, that of two at the ends and the others half
    way: of most pictures the range, which takes a fifth of the time, says enough.
    """
    spread = int(grey.max()) - int(grey.min())
    return spread**2 < 2 * grey.size * FLAT_DEVIATION**2 and bool(grey.std() < FLAT_DEVIATION)


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
