"""Decode frames from a video file, by one of three decoders, or from a frame folder.

The decoders agree on the number of frames and on their content. A reader belongs to the process that opened it and
decodes in one thread: decord hangs when a reader is carried over a fork. Libraries are imported on first use, so that a
process that only counts frames does not load torch. Nothing is cached between videos.

Random access is only as good as a file's timestamps. Compared with sequential decoding, decord and torchcodec seek to
wrong frames in every DivX file of HMDB51 that we tried, and decord also with edit lists and open GOPs. `scan_video`
detects such files: decord then decodes them from the start, which is correct, and torchcodec refuses them.
"""

import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from vtdl_cli.data.video.flow_folder import FlowFolderReader
from vtdl_cli.data.video.frame_folder import FrameFolderReader
from vtdl_cli.data.video.reader import VideoReader, read_any_order, stack_frames, unreadable_on_error
from vtdl_cli.data.video.scan import open_stream, scan_video
from vtdl_cli.data.video.timeline import Interval, sample_reader
from vtdl_cli.errors import UnreadableVideo, UsageError

__all__ = ["DECODERS", "PyAvReader", "VideoReader", "decode_frames", "open_video", "read_middle_frame"]


class PyAvReader:
    """Decodes from the start up to the last requested frame: slow for long videos, correct for all.

    Only this reader detects damage that FFmpeg conceals (in AVI files above all), in all frames that it passes.
    """

    def __init__(self, path: Path) -> None:
        self._path, self.scan = path, scan_video(path)
        self.num_frames = self.scan.num_frames

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """See `VideoReader.read`."""
        return read_any_order(indices, self.num_frames, self._read_ascending)

    def _read_ascending(self, wanted: np.ndarray) -> np.ndarray:
        remaining = set(wanted.tolist())
        frames = []
        for index, frame in enumerate(decode_frames(self._path)):
            if index in remaining:
                frames.append(_to_rgb(frame))
            if len(frames) == len(wanted):
                return stack_frames(self._path, frames)
        raise UnreadableVideo(str(self._path), f"it ends before frame {wanted[len(frames)]} of {self.num_frames}")

    def frames(self) -> Iterator[np.ndarray]:
        """Yield all frames (H, W, 3) in order, one in memory at a time."""
        yield from map(_to_rgb, decode_frames(self._path))

    def close(self) -> None:
        """Nothing stays open between reads."""


def decode_frames(path: Path) -> Iterator[Any]:
    """Yield PyAV's frames in display order, up to the first damaged one."""
    count = 0
    with open_stream(path) as (container, stream), unreadable_on_error(path, lambda: f"it is damaged at frame {count}"):
        for frame in container.decode(stream):
            if frame.is_corrupt:
                raise UnreadableVideo(str(path), f"it is damaged at frame {count}")
            yield frame
            count += 1


def _to_rgb(frame: Any) -> np.ndarray:
    """Convert PyAV's frame to RGB; PyAV leaves the rotation (degrees, counterclockwise) to the caller."""
    # One thread: by default each conversion starts a thread pool, which takes longer than a small frame.
    return np.rot90(frame.to_ndarray(format="rgb24", threads=1), round(frame.rotation / 90))


class DecordReader:
    """Seeks if that is exact for the file, else decodes from the start."""

    def __init__(self, path: Path) -> None:
        scan = scan_video(path)
        if scan.container == "mpegts":  # measured: wrong frames even from the start
            raise UnreadableVideo(str(path), "decord misreads MPEG-TS; use the decoder pyav")
        if scan.width % 32 and 3 * (scan.width + -scan.width % 32) % scan.width == 0:
            # measured: it pads rows to 32 pixels; if the padded size is a multiple, it assumes more than 3 channels
            raise UnreadableVideo(str(path), f"decord misreads frames {scan.width} pixels wide; use the decoder pyav")
        self._path, self.scan = path, scan
        self.num_frames = scan.num_frames
        self._open()
        self._seekable = scan.seekable and len(self._reader) == scan.num_frames

    def _open(self) -> None:
        os.environ.setdefault("DECORD_DUPLICATE_WARNING_THRESHOLD", "1.0")  # decord reads it on import
        import decord

        decord.logging.set_level(decord.logging.QUIET)
        # PyAV has read the file already: decord's FFmpeg of 2019 lacks AV1, and decord needs a duration.
        reason = f"decord does not support its codec ({self.scan.codec}) or its header; use the decoder pyav"
        with unreadable_on_error(self._path, reason):
            self._reader: Any = decord.VideoReader(str(self._path.absolute()), ctx=decord.cpu(0), num_threads=1)
        self._position = 0  # the next frame, when decoding from the start

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """See `VideoReader.read`."""
        return read_any_order(indices, self.num_frames, self._seek if self._seekable else self._decode_on)

    def _seek(self, wanted: np.ndarray) -> np.ndarray:
        with unreadable_on_error(self._path, f"decord finds damage before frame {wanted[-1]}"):
            frames: np.ndarray = self._reader.get_batch(wanted).asnumpy()
        return frames

    def _decode_on(self, wanted: np.ndarray) -> np.ndarray:
        if wanted[0] < self._position:
            self._open()
        frames = []
        for index in wanted:
            with unreadable_on_error(self._path, f"decord finds damage before frame {index}"):
                while self._position <= index:  # not skip_frames(), which relies on timestamps too
                    frame = self._reader.next()
                    self._position += 1
                frames.append(frame.asnumpy())
        return stack_frames(self._path, frames)

    def close(self) -> None:
        """Free decord's buffers."""
        self._reader = None


class TorchcodecReader:
    """Finds frames by timestamp, and so refuses files whose timestamps are unreliable."""

    def __init__(self, path: Path) -> None:
        decoder_class = _import_torchcodec()
        scan = scan_video(path)
        self._path, self.scan, self.num_frames = path, scan, scan.num_frames
        with unreadable_on_error(path, f"torchcodec cannot open it (codec {scan.codec}); use the decoder pyav"):
            self._reader: Any = decoder_class(str(path.absolute()), dimension_order="NHWC", num_ffmpeg_threads=1)
        if not scan.timed or len(self._reader) != scan.num_frames:
            raise UnreadableVideo(
                str(path), "torchcodec relies on timestamps, which are unreliable here; use the decoder pyav"
            )

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """See `VideoReader.read`."""
        return read_any_order(indices, self.num_frames, self._read_ascending)

    def _read_ascending(self, wanted: np.ndarray) -> np.ndarray:
        with unreadable_on_error(self._path, f"torchcodec finds damage before frame {wanted[-1]}"):
            frames: np.ndarray = self._reader.get_frames_at(wanted.tolist()).data.numpy()
        return frames

    def close(self) -> None:
        """Free torchcodec's buffers."""
        self._reader = None


def _import_torchcodec() -> Any:
    try:
        return importlib.import_module("torchcodec.decoders").VideoDecoder
    except (ImportError, RuntimeError, OSError) as error:  # RuntimeError and OSError: FFmpeg's libraries are missing
        raise UsageError(
            "decoder 'torchcodec' cannot be loaded. Type pip install 'vtdl[torchcodec]', and install FFmpeg 4 to 9"
        ) from error


DECODERS: dict[str, Callable[[Path], VideoReader]] = {
    "decord": DecordReader,
    "pyav": PyAvReader,
    "torchcodec": TorchcodecReader,
}

FLOW = "flow"
"""The name that takes a decoder's place for optical flow: folders of x and y images, read as two-channel frames."""


@contextmanager
def open_video(
    path: str | Path, decoder: str = "decord", interval: Interval | None = None, frame_rate: float | None = None
) -> Iterator[VideoReader]:
    """Open a video file with `decoder`, or a frame folder with any decoder; `flow` opens folders of optical flow.

    Args:
        path: of the file or folder.
        decoder: a key of DECODERS, or FLOW.
        interval: the part of the video that the reader shows; None: all of it.
        frame_rate: the frames a second that it shows; None: every frame.

    Raises:
        UnreadableVideo: the file is missing, empty, not a video, damaged, or in a codec that the decoder lacks; or the
            interval is outside of it, or the times of its frames are unknown.
        UsageError: the decoder is unknown or not installed.
    """
    reader = _open_reader(Path(path), decoder)
    try:
        yield sample_reader(Path(path), reader, interval, frame_rate)
    finally:
        reader.close()


def read_middle_frame(path: Path, decoder: str, interval: Interval | None = None) -> np.ndarray:
    """Return the middle frame of a video or an interval, (H, W, 3) uint8; for flow, x and y are red and green.

    Raises:
        UnreadableVideo, UsageError: as `open_video`.
    """
    with open_video(path, decoder, interval) as reader:
        frame: np.ndarray = reader.read([reader.num_frames // 2])[0]
    return np.dstack([frame, np.full(frame.shape[:2], 128, np.uint8)]) if decoder == FLOW else frame


def _open_reader(path: Path, decoder: str) -> VideoReader:
    if decoder not in (*DECODERS, FLOW):
        raise UsageError(f"decoder '{decoder}' is unknown. Choose from {', '.join((*DECODERS, FLOW))}")
    try:
        status = path.stat()
    except OSError as error:
        raise UnreadableVideo(str(path), (error.strerror or "no access").lower()) from error
    if path.is_dir() or decoder == FLOW:
        return FlowFolderReader(path) if decoder == FLOW else FrameFolderReader(path)
    if not path.is_file():  # opening a pipe would block for ever
        raise UnreadableVideo(str(path), "it is neither a file nor a folder")
    if status.st_size == 0:
        raise UnreadableVideo(str(path), "the file is empty")
    return DECODERS[decoder](path)
