"""Keep decoded videos in memory, so that training on a small data set decodes each of them once.

The frames are those that the decoder returns, after resizing: a clip has the same bits with and without.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from torch.utils.data import get_worker_info

from vtdl_cli.data.video.decoding import open_video
from vtdl_cli.data.video.reader import VideoReader, VideoScan, read_any_order
from vtdl_cli.data.video.resizing import resized, square_size
from vtdl_cli.data.video.timeline import Interval, Timeline, timeline_of
from vtdl_cli.errors import UnreadableVideo

BLOCK_FRAMES = 64  # decoded at a time: before they are resized, frames take much more memory


class KeptVideo:
    """A video or interval in memory.

    Args:
        frames: uint8 (N, H, W, C), all of it.
        scan: its properties.
        timeline: when its frames are shown.
    """

    def __init__(self, frames: np.ndarray, scan: VideoScan, timeline: Timeline) -> None:
        self.frames, self.scan, self.timeline = frames, scan, timeline
        self.num_frames = len(frames)

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """See `VideoReader.read`."""
        return read_any_order(indices, self.num_frames, self.frames.__getitem__)

    def close(self) -> None:
        """Keep it."""


class VideoCache:
    """Opens videos, and keeps the frames of each in memory as long as there is room.

    Nothing is dropped for another video: in training all come equally often. Each worker of a loader has its share of
    the room, for videos of its own.

    Args:
        limit_bytes: that the frames may take, of all workers together; 0 keeps none.
        decoder, frame_rate, short_side: see `open_video`.
    """

    def __init__(self, limit_bytes: float, decoder: str, frame_rate: float | None, short_side: int) -> None:
        self.decoder, self.frame_rate, self.short_side = decoder, frame_rate, short_side
        self._limit_bytes, self._used_bytes = limit_bytes, 0
        self._kept = dict[tuple[Path, Interval | None], KeptVideo | None]()  # None: cannot be decoded to its end

    @contextmanager
    def open(self, path: Path, interval: Interval | None) -> Iterator[VideoReader]:
        """Open a video, or the part of it in an interval.

        Raises:
            UnreadableVideo, UsageError: see `open_video`.
        """
        kept = self._kept.get((path, interval))
        if kept is not None:
            yield kept
            return
        with open_video(path, self.decoder, interval, self.frame_rate, short_side=self.short_side) as reader:
            if (path, interval) not in self._kept and self._has_room(reader):
                kept = self._kept[path, interval] = _keep(path, reader)
                self._used_bytes += kept.frames.nbytes if kept else 0
            yield kept or reader

    def _has_room(self, reader: VideoReader) -> bool:
        """Whether the frames fit into what is left."""
        scan, worker = reader.scan, get_worker_info()
        height, width = resized(*square_size(scan.height, scan.width, scan.pixel_aspect), self.short_side)
        num_bytes = reader.num_frames * height * width * 3  # for flow, which has two channels, it is less
        return self._used_bytes + num_bytes <= self._limit_bytes / (worker.num_workers if worker else 1)


def _keep(path: Path, reader: VideoReader) -> KeptVideo | None:
    """Read all frames; None where some cannot be decoded: clips elsewhere in the video still can."""
    numbers = np.arange(reader.num_frames)
    try:
        blocks = [reader.read(numbers[first : first + BLOCK_FRAMES]) for first in numbers[::BLOCK_FRAMES]]
        return KeptVideo(np.concatenate(blocks), reader.scan, timeline_of(path, reader))
    except UnreadableVideo:
        return None
