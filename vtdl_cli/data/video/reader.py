"""The interface of all video readers, and what they share."""

import errno
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from vtdl_cli.errors import UnreadableVideo


class SeekTable(NamedTuple):
    """How to decode a file from the middle: its frames by time, and those where decoding can start.

    Attributes:
        ticks: int64 [num_frames], presentation time of each frame in units of its stream, in order.
        keyframes: int64 [K], numbers of the frames where decoding can start, in order; the first is 0.
    """

    ticks: np.ndarray
    keyframes: np.ndarray


@dataclass(frozen=True)
class VideoScan:
    """Properties of a video stream or a frame folder.

    Attributes:
        num_frames: frames that a decoder returns, at least 1.
        container, codec: FFmpeg's names.
        width, height: of a frame in pixels, before any rotation.
        frame_rate: frames a second, on average; 0 if unknown.
        declared_frames: as in the container's header; 0 if it declares none.
        timed: every packet is one frame with a timestamp of its own, in a container with an index: frames can be found
            by timestamp.
        undecodable: further frames at the start, which need frames that were cut off and are never shown.
        headless: the file does not begin with a keyframe.
        pixel_aspect: width over height of a pixel as it is shown, after any rotation; 1: square.
        times: float64 [num_frames], seconds from the first frame to each, where the file is timed; else None.
        seek_table: where the file is timed, and decoding can start at any keyframe and count on from there; else None.
    """

    num_frames: int
    container: str
    codec: str
    width: int
    height: int
    frame_rate: float
    declared_frames: int
    timed: bool
    undecodable: int = 0
    headless: bool = False
    pixel_aspect: Fraction = Fraction(1)
    times: np.ndarray | None = field(default=None, compare=False, repr=False)
    seek_table: SeekTable | None = field(default=None, compare=False, repr=False)

    @property
    def seekable(self) -> bool:
        """Whether frames in the middle can be decoded without those before their keyframe."""
        return self.seek_table is not None


class VideoReader(Protocol):
    """One open video.

    Attributes:
        num_frames: frames that can be read; counted, not read from the header.
    """

    num_frames: int

    @property
    def scan(self) -> VideoScan:
        """Further properties of the video."""

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Decode frames, in any order and with repeats.

        Returns:
            uint8 (len(indices), H, W, 3) RGB, rotated as the file specifies; from `open_video`, with square pixels.

        Raises:
            IndexError: an index outside [0, num_frames).
            UnreadableVideo: the file is damaged there.
        """

    def close(self) -> None:
        """Close the file; `open_video` calls this."""


class SequentialReader(VideoReader, Protocol):
    """A video that can be read from beginning to end with one frame in memory at a time."""

    def frames(self) -> Iterator[np.ndarray]:
        """Yield all frames (H, W, C) in order, as they are stored."""


def read_any_order(
    indices: Sequence[int] | np.ndarray, num_frames: int, read_ascending: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Decode each requested frame once, in ascending order, and return the frames in the order of `indices`."""
    wanted = np.asarray(indices, dtype=np.int64)
    if wanted.size == 0:
        raise IndexError("no frames requested")
    if wanted.min() < 0 or wanted.max() >= num_frames:
        raise IndexError(f"frames {wanted.min()} to {wanted.max()} requested, of a video of {num_frames}")
    ascending, places = np.unique(wanted, return_inverse=True)
    frames = read_ascending(ascending)
    return frames if np.array_equal(ascending, wanted) else frames[places]


TOO_MANY_FILES = (errno.EMFILE, errno.ENFILE)  # of this process, of the system


@contextmanager
def unreadable_on_error(path: Path, reason: str | Callable[[], str]) -> Iterator[None]:
    """Turn any exception of a decoding library into `UnreadableVideo`; wrap calls into such a library only.

    Raises:
        UnreadableVideo: the video cannot be decoded.
        OSError: too many files are open, which is not the video's fault.
    """
    try:
        yield
    except UnreadableVideo:
        raise
    except Exception as error:  # the libraries raise RuntimeError, OSError, ValueError and classes of their own
        if isinstance(error, OSError) and error.errno in TOO_MANY_FILES:
            raise OSError(error.errno, error.strerror, str(path)) from error  # the library's may not be picklable
        raise unreadable(path, reason if isinstance(reason, str) else reason(), error) from error


def unreadable(path: Path, reason: str, error: Exception) -> UnreadableVideo:
    """Build the error for an exception of a decoding library, whose message repeats the path or is a stack trace."""
    if isinstance(error, PermissionError):
        return UnreadableVideo(str(path), "it may not be read. Check its permissions")
    detail = getattr(error, "strerror", None)
    return UnreadableVideo(str(path), f"{reason} ({detail})" if detail else reason)


def collect_frames(path: Path, frames: Iterable[np.ndarray], number: int) -> np.ndarray:
    """Put frames (H, W, 3) into one array (number, H, W, 3) as they come, so that each is copied once.

    Raises:
        UnreadableVideo: they change size, which is refused, not resized; there are no frames, or fewer than `number`.
    """
    collected, count = np.empty(0, np.uint8), 0
    for count, frame in enumerate(frames, start=1):
        if count == 1:
            collected = np.empty((number, *frame.shape), np.uint8)
        refuse_sizes(path, {collected.shape[1:3], frame.shape[:2]})
        collected[count - 1] = frame
    if count < number:
        raise UnreadableVideo(str(path), f"{count} of {number} frames could be decoded")
    return collected


def stack_frames(path: Path, frames: list[np.ndarray]) -> np.ndarray:
    """Stack frames (H, W, 3) into (len(frames), H, W, 3); a video whose frames change size is refused, not resized."""
    refuse_sizes(path, {frame.shape[:2] for frame in frames})
    return np.stack(frames)


def refuse_sizes(path: Path, sizes: set[tuple[int, ...]]) -> None:
    """Raise UnreadableVideo if the frames have more than one size (height, width)."""
    if len(sizes) > 1:
        listed = " and ".join(f"{width}x{height}" for height, width in sorted(sizes))
        raise UnreadableVideo(str(path), f"its frames differ in size: {listed}")
