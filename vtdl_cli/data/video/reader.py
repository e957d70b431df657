"""What every reader of frames offers, and what all of them share."""

import errno
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from vtdl_cli.errors import UnreadableVideo


@dataclass(frozen=True)
class VideoScan:
    """Facts about one video stream, or one folder of pictures.

    Attributes:
        num_frames: frames that a decoder shows, at least 1.
        container, codec: FFmpeg's names of the two.
        width, height: of a picture in pixels, before any rotation.
        frame_rate: frames a second, on average; 0 where nothing says so.
        declared_frames: what the container's header says; 0 where it says nothing.
        has_duration: whether it says how long the video is.
        timed: every packet shows one picture, at a time of its own, in a container with an index: a frame may be found
            by its timestamp.
        seekable: timed, and decoding may start at any keyframe and count on from there.
    """

    num_frames: int
    container: str
    codec: str
    width: int
    height: int
    frame_rate: float
    declared_frames: int
    has_duration: bool
    timed: bool
    seekable: bool


class VideoReader(Protocol):
    """One open video.

    Attributes:
        num_frames: frames that can be read; counted, not taken from the header.
    """

    num_frames: int

    @property
    def scan(self) -> VideoScan:
        """What else is known of it."""

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Decode frames, in any order and with repeats.

        Returns:
            uint8 (len(indices), H, W, 3) RGB, rotated as the file asks.

        Raises:
            IndexError: an index outside [0, num_frames).
            UnreadableVideo: the file is damaged there.
        """

    def close(self) -> None:
        """Let go of the file; `open_video` calls it."""


def read_any_order(
    indices: Sequence[int] | np.ndarray, num_frames: int, read_ascending: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Decode each wanted frame once, in ascending order, and lay the frames out as `indices` asks."""
    wanted = np.asarray(indices, dtype=np.int64)
    if wanted.size == 0:
        raise IndexError("no frames asked for")
    if wanted.min() < 0 or wanted.max() >= num_frames:
        raise IndexError(f"frames {wanted.min()} to {wanted.max()} asked for, of a video of {num_frames}")
    ascending, places = np.unique(wanted, return_inverse=True)
    frames = read_ascending(ascending)
    return frames if np.array_equal(ascending, wanted) else frames[places]


TOO_MANY_FILES = (errno.EMFILE, errno.ENFILE)  # of this process, of the system


@contextmanager
def unreadable_on_error(path: Path, reason: str | Callable[[], str]) -> Iterator[None]:
    """Turn whatever a decoding library raises into `UnreadableVideo`; wrap calls into such a library, nothing else.

    Raises:
        UnreadableVideo: the video's fault.
        OSError: too many files are open, which is no video's.
    """
    try:
        yield
    except UnreadableVideo:
        raise
    except Exception as error:  # the libraries raise RuntimeError, OSError, ValueError and kinds of their own
        if isinstance(error, OSError) and error.errno in TOO_MANY_FILES:
            raise OSError(error.errno, error.strerror, str(path)) from error  # the library's own may not be pickled
        raise unreadable(path, reason if isinstance(reason, str) else reason(), error) from error


def unreadable(path: Path, reason: str, error: Exception) -> UnreadableVideo:
    """What a decoding library's error comes to; its own words repeat the path, or are a stack trace."""
    detail = getattr(error, "strerror", None)
    return UnreadableVideo(str(path), f"{reason} ({detail})" if detail else reason)


def stack_frames(path: Path, frames: list[np.ndarray]) -> np.ndarray:
    """Stack frames (H, W, 3) into (len(frames), H, W, 3); a video that changes size is refused, not scaled."""
    refuse_sizes(path, {frame.shape[:2] for frame in frames})
    return np.stack(frames)


def refuse_sizes(path: Path, sizes: set[tuple[int, ...]]) -> None:
    """Raise UnreadableVideo where the frames have more than one size (height, width)."""
    if len(sizes) > 1:
        listed = " and ".join(f"{width}x{height}" for height, width in sorted(sizes))
        raise UnreadableVideo(str(path), f"its frames differ in size: {listed}")
