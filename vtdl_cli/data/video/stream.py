"""Open the video stream of a file with PyAV."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from vtdl_cli.data.video.reader import unreadable_on_error
from vtdl_cli.errors import UnreadableVideo

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream


MOST_THREADS = 16  # FFmpeg recommends no more: each decodes a frame of its own, and needs those before it


class Packet(NamedTuple):
    """One compressed packet: size in bytes, presentation time in the stream's time base, and its two flags."""

    size: int
    pts: int | None
    is_keyframe: bool
    is_discard: bool


@dataclass(frozen=True)
class OpenFile:
    """The main video stream of a file that is open; a context that closes it.

    Attributes:
        path: of the file.
        container, stream: PyAV's.
    """

    path: Path
    container: "InputContainer"
    stream: "VideoStream"

    def __enter__(self) -> "OpenFile":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; once is enough."""
        self.container.close()


def open_stream(path: Path, threads: int = 1) -> OpenFile:
    """Open the main video stream of a file with PyAV.

    Args:
        path: the file.
        threads: that decode, several frames at once; 1: the calling thread. Frames are the same, and come in order.

    Raises:
        UnreadableVideo: not a video, or in a codec that PyAV does not know.
    """
    import av

    with unreadable_on_error(path, "corrupt, or not a video"):
        # An absolute path, because FFmpeg takes "a:b.mp4" for a URL; "replace", because HMDB51 has metadata that is
        # not UTF-8.
        container = av.open(str(path.absolute()), metadata_errors="replace")
    try:
        stream = container.streams.best("video")
        if not isinstance(stream, av.VideoStream):
            raise UnreadableVideo(str(path), "it holds no video stream")
        is_image = container.format.name == "image2" or container.format.name.endswith("_pipe")
        if is_image or av.stream.Disposition.attached_pic in stream.disposition:
            raise UnreadableVideo(str(path), "it holds a still image, not a video")
        if stream.codec_context is None:  # typed as never None, but it is if FFmpeg has no decoder
            raise UnreadableVideo(str(path), "its codec is unknown")
    except UnreadableVideo:
        container.close()
        raise
    stream.codec_context.thread_count = min(threads, MOST_THREADS)
    if threads > 1:
        stream.codec_context.thread_type = "FRAME"
    return OpenFile(path, container, stream)
