"""Frames that are in memory already, read as a video."""

from collections.abc import Sequence

import numpy as np

from vtdl_cli.data.video.reader import VideoScan
from vtdl_cli.errors import UsageError


class ArrayReader:
    """Reads frames of an array; see `VideoReader`.

    Args:
        frames: uint8 (T, H, W, C), with square pixels.
        channels: C: 3 for RGB, 2 for optical flow.

    Raises:
        UsageError: the array is of another shape or type.
    """

    def __init__(self, frames: np.ndarray, channels: int) -> None:
        if frames.dtype != np.uint8 or frames.ndim != 4 or 0 in frames.shape or frames.shape[3] != channels:
            raise UsageError(
                f"frames of shape {list(frames.shape)} and type {frames.dtype} are not uint8 [frames, height, width, "
                f"{channels}]. Give the decoded frames of one video, from 0 to 255"
            )
        self._frames, self.num_frames = frames, len(frames)
        self.scan = VideoScan(
            num_frames=len(frames),
            container="",
            codec="",
            width=frames.shape[2],
            height=frames.shape[1],
            frame_rate=0,
            declared_frames=0,
            timed=False,
        )

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return the frames at `indices`."""
        frames: np.ndarray = self._frames[np.asarray(indices)]
        return frames

    def close(self) -> None:
        """Keep the array: it is the caller's."""
