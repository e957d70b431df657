"""Probe a video for a list: whether it can be decoded, and its properties."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vtdl_cli.data.video.decoding import AUTO, FLOW, open_video
from vtdl_cli.data.video.reader import VideoScan, refuse_sizes, unreadable
from vtdl_cli.data.video.resizing import square_size
from vtdl_cli.data.video.scan import scan_video
from vtdl_cli.errors import UnreadableVideo

FLAT_DEVIATION = 1.0  # standard deviation, of 255 grey levels: a frame below it is a single colour
LUMA_FIRST = ("yuv420p", "yuvj420p", "yuv422p", "yuv444p", "nv12")  # formats whose first plane is 8-bit luma
FLAT_CHECK_STRIDE = 8  # frames; checking all of them takes half as long as decoding them
FLAT_SHARE = 0.5  # of the frames checked: films fade in and out, and lectures show dark slides


class VideoFacts(NamedTuple):
    """Properties of a video that was opened."""

    num_frames: int  # that can be read
    declared_frames: int  # by the container's header; 0 if it declares none
    codec: str
    width: int  # pixels as shown: rotated, and square
    height: int
    frame_rate: float  # frames a second; 0 if unknown
    num_bytes: int  # of the file; 0 for a frame folder


def probe_video(path: str | Path, decoder: str = AUTO, *, verify: bool = False) -> VideoFacts:
    """Open a video, decode its first frame, and return its properties.

    PyAV decodes it, which is enough for the decoders `auto` and `pyav`. Any other has to decode it, too.

    With `verify` PyAV decodes all frames: other decoders silently repeat a frame, or return a damaged or grey one.

    Raises:
        UnreadableVideo: it cannot be opened; with `verify` also: it ends early, is damaged anywhere, or half of its
            frames are a single colour.
    """
    path = Path(path)
    if decoder == FLOW or not path.is_file() or not path.stat().st_size:
        return _probe_folder(path, decoder, verify)
    inspector = FrameInspector(path, wanted=None if verify else 1)
    scan = scan_video(path, inspector.decode)
    if not inspector.count:
        raise UnreadableVideo(str(path), "none of its frames can be decoded")
    if decoder not in (AUTO, "pyav"):
        with open_video(path, decoder) as reader:
            reader.read([0])
    if verify:
        inspector.check(scan.num_frames)
    return _facts(scan, inspector.size, path.stat().st_size)


def _probe_folder(path: Path, decoder: str, verify: bool) -> VideoFacts:
    """Probe a frame folder, or a missing or empty file, for which `open_video` has the message."""
    with open_video(path, decoder) as reader:
        first = reader.read([0])[0]
        if verify:
            inspector = FrameInspector(path, may_be_flat=decoder == FLOW)  # flow is flat if nothing moves
            for index in range(reader.num_frames):
                frame = reader.read([index])[0]
                inspector.add(frame.shape[:2], partial(_mean, frame))
            inspector.check(reader.num_frames)
        return _facts(reader.scan, first.shape[:2], 0)


def _facts(scan: VideoScan, size: tuple[int, ...], num_bytes: int) -> VideoFacts:
    """Collect the properties of a video whose decoded frames have `size` (height, width)."""
    height, width = square_size(size[0], size[1], scan.pixel_aspect)
    return VideoFacts(scan.num_frames, scan.declared_frames, scan.codec, width, height, scan.frame_rate, num_bytes)


class FrameInspector:
    """Inspects the frames of a video one after another.

    Args:
        path: of the video, for messages.
        wanted: frames to decode from a file's packets; None: all.
        may_be_flat: whether frames of a single colour are accepted.

    Attributes:
        count: frames inspected.
        size: of the first, (height, width), after its rotation.
    """

    def __init__(self, path: Path, *, wanted: int | None = None, may_be_flat: bool = False) -> None:
        self.path, self.wanted, self.may_be_flat = path, wanted, may_be_flat
        self.count, self.size = 0, (0, 0)
        self._flat, self._sizes = 0, set[tuple[int, ...]]()

    def decode(self, packet: Any) -> bool:
        """Decode and inspect the frames of one of PyAV's packets; returns whether `wanted` are still to come."""
        try:
            frames = packet.decode()
        except Exception as error:  # PyAV raises many kinds
            raise unreadable(self.path, f"it is damaged at frame {self.count}", error) from error
        for frame in frames:
            if frame.is_corrupt:
                raise UnreadableVideo(str(self.path), f"it is damaged at frame {self.count}")
            size = (frame.height, frame.width)
            if not self.count:
                self.size = size[::-1] if round(frame.rotation / 90) % 2 else size
            self.add(size, partial(_luma, frame))
        return self.wanted is None or self.count < self.wanted

    def add(self, size: tuple[int, ...], grey: Callable[[], np.ndarray]) -> None:
        """Inspect a frame of size (height, width); `grey` returns every eighth row and column of it in grey."""
        self.count += 1
        if size not in self._sizes:
            self._sizes.add(size)
            refuse_sizes(self.path, self._sizes)
        if self.count % FLAT_CHECK_STRIDE == 1:
            self._flat += is_flat(grey())

    def check(self, num_frames: int) -> None:
        """Refuse a video whose frames do not match its packets.

        Raises:
            UnreadableVideo: it ended before `num_frames`, or half of the frames checked are a single colour.
        """
        if self.count < num_frames:
            raise UnreadableVideo(str(self.path), f"it ends before frame {self.count} of {num_frames}")
        checked = -(-self.count // FLAT_CHECK_STRIDE)
        if self._flat >= FLAT_SHARE * checked and not self.may_be_flat:
            raise UnreadableVideo(str(self.path), f"{self._flat} of {checked} frames checked are a single colour")


def is_flat(grey: np.ndarray) -> bool:
    """Whether a frame is a single colour: its standard deviation is below FLAT_DEVIATION.

    The deviation of n values is at least their range over sqrt(2 n), as with two values at the ends and all others half
    way. For most frames the range, which takes a fifth of the time, is therefore enough.
    """
    spread = int(grey.max()) - int(grey.min())
    return spread**2 < 2 * grey.size * FLAT_DEVIATION**2 and bool(grey.std() < FLAT_DEVIATION)


def _mean(frame: np.ndarray) -> np.ndarray:
    """Return a frame (H, W, C) in grey."""
    grey: np.ndarray = frame[::8, ::8].mean(-1)
    return grey


def _luma(frame: Any) -> np.ndarray:
    """Return PyAV's frame in grey, without a conversion if the frame has a luma plane."""
    if frame.format.name not in LUMA_FIRST:
        grey: np.ndarray = frame.to_ndarray(format="gray", threads=1)[::8, ::8]
        return grey
    plane = frame.planes[0]
    return np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[::8, : plane.width : 8]
