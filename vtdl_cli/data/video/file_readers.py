"""Read a video file by one of three decoders, which agree on the number of frames and on their content.

A reader belongs to the process that opened it: decord hangs when a reader is carried over a fork. It decodes in one
thread, unless it is told to read a whole file in several. Libraries are imported on first use, so that a process that
only counts frames does not load torch, and decord, which has no wheels for ARM and macOS, may be absent.

Random access is only as good as a file's timestamps. Compared with sequential decoding, decord and torchcodec seek to
wrong frames in every DivX file of HMDB51 that we tried, and decord also with edit lists and open GOPs. `scan_video`
detects such files: PyAV and decord then decode them from the start, which is correct, and torchcodec refuses them.
"""

import importlib
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from vtdl_cli.data.video.reader import (
    VideoScan,
    collect_frames,
    read_any_order,
    unreadable_on_error,
)
from vtdl_cli.data.video.scan import scan_file, scan_video
from vtdl_cli.data.video.seeking import seek_frames
from vtdl_cli.data.video.stream import OpenFile, open_stream
from vtdl_cli.errors import UnreadableVideo, UsageError

OTHERWISE = "use the decoder auto or pyav"
INSTALL = {
    "decord": "It has no wheels for ARM and macOS: use the decoder auto or pyav; elsewhere type pip install decord",
    "torchcodec": "In a clone of vtdl, pip install -e '.[torchcodec]', and install FFmpeg 4 to 9",
}
"""What to do where the library of a decoder cannot be loaded."""


class PyAvReader:
    """Decodes from the keyframe before each requested frame where that is exact for the file, else from its start.

    Only this reader detects damage that FFmpeg conceals (in AVI files above all), in all frames that it passes.

    Args:
        path: the file.
        scan: its properties.
        file: the file, if it is open; else it is opened by the first seek, and by any read from the start.
        threads: that decode in `frames`.
    """

    def __init__(self, path: Path, scan: VideoScan, file: OpenFile | None = None, threads: int = 1) -> None:
        self._path, self.scan, self.num_frames, self._file = path, scan, scan.num_frames, file
        self._threads = threads
        self._passing, self._passed = iter(()), 0  # frames that are decoded from the start, and how many have been

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """See `VideoReader.read`."""
        return read_any_order(indices, self.num_frames, self._read_ascending)

    def _read_ascending(self, wanted: np.ndarray) -> np.ndarray:
        if self.scan.seek_table is not None:
            self._file = self._file or open_stream(self._path)
            with suppress(UnreadableVideo):  # decoding from the start tells whether the file or the seek is at fault
                return self._collect(seek_frames(self._file, self.scan.seek_table, wanted), len(wanted))
        return self._collect(self._decode_on(wanted), len(wanted))

    def _collect(self, frames: Iterator[Any], number: int) -> np.ndarray:
        return collect_frames(self._path, map(RgbConverter(), frames), number)

    def _decode_on(self, wanted: np.ndarray) -> Iterator[Any]:
        """Yield the frames `wanted`, all others up to them being decoded as well; go on where the last call ended."""
        if not self._passed or wanted[0] < self._passed:
            self._passing, self._passed = decode_frames(self._path), 0
        for number in wanted.tolist():
            between, self._passed = number - self._passed, 0  # if decoding fails, the next call begins anew
            frame = next(islice(self._passing, between, None), None)
            if frame is None:
                raise UnreadableVideo(str(self._path), f"it ends before frame {number} of {self.num_frames}")
            self._passed = number + 1
            yield frame

    def frames(self) -> Iterator[np.ndarray]:
        """Yield all frames (H, W, 3) in order, one in memory at a time."""
        yield from map(RgbConverter(), decode_frames(self._path, self._threads))

    def close(self) -> None:
        """Close what seeks, a scan or a pass left open."""
        self._passing, self._passed = iter(()), 0
        if self._file is not None:
            self._file.close()
            self._file = None


def open_with_pyav(path: Path) -> PyAvReader:
    """Open a file once for its scan and for all seeks: each opening takes 1 to 5% as long as reading a triplet.

    Raises:
        UnreadableVideo: see `scan_video`.
    """
    with ExitStack() as on_error:
        file = on_error.enter_context(open_stream(path))
        reader = PyAvReader(path, scan_file(file), file)
        on_error.pop_all()
    return reader


def decode_frames(path: Path, threads: int = 1) -> Iterator[Any]:
    """Yield PyAV's frames in display order, up to the first damaged one; `threads` decode."""
    count = 0
    with open_stream(path, threads) as file, unreadable_on_error(path, lambda: f"it is damaged at frame {count}"):
        for frame in file.container.decode(file.stream):
            if frame.is_corrupt:
                raise UnreadableVideo(str(path), f"it is damaged at frame {count}")
            yield frame
            count += 1


class RgbConverter:
    """Converts PyAV's frames to RGB, (H, W, 3) uint8; PyAV leaves the rotation (degrees, counterclockwise) to us.

    What a conversion needs is set up for the first frame, and kept.
    """

    def __init__(self) -> None:
        from av.video.reformatter import VideoReformatter

        self._reformatter = VideoReformatter()

    def __call__(self, frame: Any) -> np.ndarray:
        """Return the pixels of a frame, as a view of what the next call does not touch."""
        # One thread: by default each conversion starts a thread pool, which takes longer than a small frame.
        rgb = self._reformatter.reformat(frame, format="rgb24", threads=1)
        plane: Any = rgb.planes[0]
        rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : 3 * plane.width]
        return np.rot90(rows.reshape(plane.height, plane.width, 3), round(frame.rotation / 90))


def why_not_decord(scan: VideoScan) -> str | None:
    """Return why decord would return wrong frames of a file; None if it would not.

    All of it was measured: it raises no error.
    """
    if scan.container == "mpegts":
        return "decord misreads MPEG-TS"
    if scan.headless:  # wrong frames of HEVC in MP4
        return "decord misreads files that do not begin with a keyframe"
    if scan.width % 32 and 3 * (scan.width + -scan.width % 32) % scan.width == 0:
        # it pads rows to 32 pixels; if the padded size is a multiple, it assumes more than 3 channels
        return f"decord misreads frames {scan.width} pixels wide"
    return None


class DecordReader:
    """Seeks if that is exact for the file, else decodes from the start."""

    def __init__(self, path: Path) -> None:
        self._decord, scan = load_decoder("decord"), scan_video(path)
        if reason := why_not_decord(scan):
            raise UnreadableVideo(str(path), f"{reason}; {OTHERWISE}")
        self._path, self.scan, self.num_frames = path, scan, scan.num_frames
        self._open()
        self._seekable = scan.seekable and len(self._reader) == scan.num_frames

    def _open(self) -> None:
        # PyAV has read the file already: decord's FFmpeg of 2019 lacks AV1, and decord needs a duration.
        reason = f"decord does not support its codec ({self.scan.codec}) or its header; {OTHERWISE}"
        with unreadable_on_error(self._path, reason):
            context = self._decord.cpu(0)
            self._reader: Any = self._decord.VideoReader(str(self._path.absolute()), ctx=context, num_threads=1)
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
        return collect_frames(self._path, map(self._next_at, wanted), len(wanted))

    def _next_at(self, index: int) -> np.ndarray:
        with unreadable_on_error(self._path, f"decord finds damage before frame {index}"):
            while self._position <= index:  # not skip_frames(), which relies on timestamps too
                frame = self._reader.next()
                self._position += 1
            pixels: np.ndarray = frame.asnumpy()
        return pixels

    def close(self) -> None:
        """Free decord's buffers."""
        self._reader = None


class TorchcodecReader:
    """Finds frames by timestamp, and so refuses files whose timestamps are unreliable."""

    def __init__(self, path: Path) -> None:
        decoder_class, scan = load_decoder("torchcodec").decoders.VideoDecoder, scan_video(path)
        self._path, self.scan, self.num_frames = path, scan, scan.num_frames
        with unreadable_on_error(path, f"torchcodec cannot open it (codec {scan.codec}); {OTHERWISE}"):
            self._reader: Any = decoder_class(str(path.absolute()), dimension_order="NHWC", num_ffmpeg_threads=1)
        if not scan.timed or len(self._reader) != scan.num_frames + scan.undecodable:
            raise UnreadableVideo(str(path), f"torchcodec relies on timestamps, which are unreliable here; {OTHERWISE}")

    def read(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """See `VideoReader.read`."""
        return read_any_order(indices, self.num_frames, self._read_ascending)

    def _read_ascending(self, wanted: np.ndarray) -> np.ndarray:
        with unreadable_on_error(self._path, f"torchcodec finds damage before frame {wanted[-1]}"):
            # it counts the undecodable ones, which are the first
            frames: np.ndarray = self._reader.get_frames_at((wanted + self.scan.undecodable).tolist()).data.numpy()
        return frames

    def close(self) -> None:
        """Free torchcodec's buffers."""
        self._reader = None


def load_decoder(name: str) -> Any:
    """Import the library of the decoder decord or torchcodec.

    Raises:
        UsageError: it is not installed, or does not load.
    """
    os.environ.setdefault("DECORD_DUPLICATE_WARNING_THRESHOLD", "1.0")  # decord reads it on import
    try:
        library: Any = importlib.import_module(name)
        if name == "decord":
            library.logging.set_level(library.logging.QUIET)
        else:
            importlib.import_module("torchcodec.decoders")
    except (ImportError, RuntimeError, OSError) as error:  # RuntimeError and OSError: FFmpeg's libraries are missing
        raise UsageError(f"decoder '{name}' cannot be loaded. {INSTALL[name]}") from error
    return library
