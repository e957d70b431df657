"""Keep decoded videos in memory, so that training on a small data set decodes each of them once, before it begins.

The frames are those that the decoder returns, after resizing: a clip has the same bits with and without.
"""

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

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


Key = tuple[Path, Interval | None]
"""A video, or the part of it in an interval."""


class VideoCache:
    """Opens videos: those that `fill` has decoded from memory, the others from their files.

    Worker processes that are forked afterwards share its memory. Where they are started anew, as on macOS and Windows,
    they get none of it, and read files.

    Args:
        limit_bytes: that the frames may take.
        decoder, frame_rate, short_side: see `open_video`.

    Attributes:
        used_bytes: that they take.
    """

    def __init__(self, limit_bytes: float, decoder: str, frame_rate: float | None, short_side: int) -> None:
        self.decoder, self.frame_rate, self.short_side = decoder, frame_rate, short_side
        self.limit_bytes, self.used_bytes = limit_bytes, 0
        self._kept = dict[Key, KeptVideo]()

    def __len__(self) -> int:
        return len(self._kept)

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_kept": {}}

    @contextmanager
    def open(self, path: Path, interval: Interval | None) -> Iterator[VideoReader]:
        """Open a video.

        Raises:
            UnreadableVideo, UsageError: see `open_video`.
        """
        if (kept := self._kept.get((path, interval))) is not None:
            yield kept
            return
        with open_video(path, self.decoder, interval, self.frame_rate, short_side=self.short_side) as reader:
            yield reader

    def fill(self, videos: Iterable[Key], threads: int) -> Generator[None, None, None]:
        """Decode videos in their order, up to the first that does not fit; yield after each.

        A video that cannot be decoded to its end is left out: clips elsewhere in it still can be.
        """
        pending, seen = deque[tuple[Key, int, Future[KeptVideo | None]]](), set[Key]()
        with ThreadPoolExecutor(threads) as pool:
            for key in videos:  # of a long list the cache is full before most are named
                if key in seen:
                    continue
                seen.add(key)
                with ExitStack() as stack:
                    try:
                        reader = stack.enter_context(self.open(*key))
                    except UnreadableVideo:
                        yield
                        continue
                    num_bytes = self._num_bytes(reader)
                    if self.used_bytes + num_bytes > self.limit_bytes:
                        break
                    self.used_bytes += num_bytes
                    pending.append((key, num_bytes, pool.submit(_keep, key[0], reader, stack.pop_all())))
                if len(pending) > threads:
                    self._take(*pending.popleft())
                    yield
            while pending:
                self._take(*pending.popleft())
                yield

    def _take(self, key: Key, num_bytes: int, decoding: Future[KeptVideo | None]) -> None:
        kept = decoding.result()
        if kept is not None:
            self._kept[key] = kept
        self.used_bytes += (kept.frames.nbytes if kept else 0) - num_bytes

    def _num_bytes(self, reader: VideoReader) -> int:
        """Return the most bytes that the frames take."""
        scan = reader.scan
        height, width = resized(*square_size(scan.height, scan.width, scan.pixel_aspect), self.short_side)
        return reader.num_frames * height * width * 3  # for flow, which has two channels, it is less


def _keep(path: Path, reader: VideoReader, opened: ExitStack) -> KeptVideo | None:
    """Read all frames, and close the video; None where some cannot be decoded."""
    numbers, frames = np.arange(reader.num_frames), np.empty(0, np.uint8)
    with opened:
        try:
            for first in range(0, len(numbers), BLOCK_FRAMES):
                block = reader.read(numbers[first : first + BLOCK_FRAMES])
                if first == 0:
                    frames = np.empty((len(numbers), *block.shape[1:]), np.uint8)
                frames[first : first + len(block)] = block
            return KeptVideo(frames, reader.scan, timeline_of(path, reader))
        except UnreadableVideo:
            return None
