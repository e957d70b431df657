"""Open a video for reading: a file with the decoder of choice, a frame folder, or a folder of optical flow.

The decoders agree on the number of frames and on their content.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from vtdl_cli.data.video.file_readers import (
    INSTALL,
    DecordReader,
    PyAvReader,
    TorchcodecReader,
    load_decoder,
    open_with_pyav,
)
from vtdl_cli.data.video.flow_folder import FlowFolderReader
from vtdl_cli.data.video.frame_folder import FrameFolderReader
from vtdl_cli.data.video.reader import SequentialReader, VideoReader
from vtdl_cli.data.video.resizing import SizedReader
from vtdl_cli.data.video.scan import scan_video
from vtdl_cli.data.video.timeline import Interval, sample_reader
from vtdl_cli.errors import UnreadableVideo, UsageError

__all__ = [
    "AUTO",
    "DECODERS",
    "FLOW",
    "VideoReader",
    "check_decoder",
    "installed_decoders",
    "open_sequential",
    "open_video",
    "read_middle_frame",
    "same_frames",
]

AUTO = "auto"
"""The decoder that is best for every kind of file that we measured: PyAV.

It reads whatever one of the others can read. For a triplet it took 0.45 to 0.82 of the CPU time of decord, and as much
for a very short clip of a phone.
"""

FLOW = "flow"
"""The name that takes a decoder's place for optical flow: folders of x and y images, read as two-channel frames."""


def same_frames(first: str, second: str) -> bool:
    """Whether two decoders return the same frames, to the last bit: `auto` is PyAV."""
    return first == second or {first, second} == {AUTO, "pyav"}


DECODERS: dict[str, Callable[[Path], VideoReader]] = {
    AUTO: open_with_pyav,
    "decord": DecordReader,
    "pyav": open_with_pyav,
    "torchcodec": TorchcodecReader,
}


def check_decoder(decoder: str) -> None:
    """Refuse what is neither a key of DECODERS nor FLOW.

    Raises:
        UsageError: it is neither.
    """
    if decoder not in (*DECODERS, FLOW):
        raise UsageError(f"decoder '{decoder}' is unknown. Choose from {', '.join((*DECODERS, FLOW))}")


def installed_decoders() -> list[str]:
    """Return the decoders whose library can be loaded; PyAV, without which nothing works, is not tried."""
    return [name for name in DECODERS if name not in INSTALL or _loads(name)]


def _loads(name: str) -> bool:
    try:
        load_decoder(name)
    except UsageError:
        return False
    return True


@contextmanager
def open_video(
    path: str | Path,
    decoder: str = AUTO,
    interval: Interval | None = None,
    frame_rate: float | None = None,
    *,
    short_side: int | None = None,
) -> Iterator[VideoReader]:
    """Open a video file with `decoder`, or a frame folder with any decoder; `flow` opens folders of optical flow.

    Args:
        path: the file or folder.
        decoder: a key of DECODERS, or FLOW.
        interval: the part of the video that the reader shows; None: all of it.
        frame_rate: the frames a second that it shows; None: every frame.
        short_side: pixels to which frames are resized; None: the size at which the video is shown.

    Raises:
        UnreadableVideo: the file is missing, empty, not a video, damaged, or in a codec that the decoder lacks; or the
            interval is outside of it, or the times of its frames are unknown.
        UsageError: the decoder is unknown or not installed.
    """
    reader = SizedReader(open_reader(Path(path), decoder), short_side)
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


def open_sequential(path: Path, *, flow: bool = False, threads: int = 1) -> SequentialReader:
    """Open a video file, a frame folder or a folder of optical flow to be read from beginning to end.

    Files are read with PyAV, in `threads`: the other decoders drop frames of damaged files without an error.

    Raises:
        UnreadableVideo: as `open_video`.
    """
    return _open_folder(path, FLOW if flow else AUTO) or PyAvReader(path, scan_video(path), threads=threads)


def open_reader(path: Path, decoder: str) -> VideoReader:
    """Open a video whose frames are returned as they are stored; arguments and errors as of `open_video`."""
    check_decoder(decoder)
    return _open_folder(path, decoder) or DECODERS[decoder](path)


def _open_folder(path: Path, decoder: str) -> FrameFolderReader | FlowFolderReader | None:
    """Open a folder of frames or of optical flow; None for a file that may be a video.

    Raises:
        UnreadableVideo: it is missing, empty, or neither a file nor a folder.
    """
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
    return None
