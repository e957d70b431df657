"""What the packets of a video file tell without decoding them: how many frames there are, and how to reach them.

The frame count that a file declares, and the number of its packets, are both wrong for genuine files: packets of an
edit list are decoded but never shown, and the DivX files of HMDB51 hold packets without a picture. All decoders take
their count from here, so that they agree by construction.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vtdl_cli.data.video.reader import VideoScan, unreadable_on_error
from vtdl_cli.errors import UnreadableVideo

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

# FFmpeg's own limit (MAX_NVOP_SIZE) for an MPEG-4 packet that stands in for a picture stored elsewhere, or for none.
PLACEHOLDER_BYTES = 19
HELD_BYTES = 2**26  # of packets that may yet have to be looked into
# Containers that list their keyframes. In the others (MPEG-TS, MPEG-PS, WMV) a seek lands near the time asked for.
INDEXED_CONTAINERS = ("avi", "matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2")
MPEG4_PICTURE_START = b"\0\0\1\xb6"


class Packet(NamedTuple):
    """One compressed packet: size in bytes, display time in the stream's own unit, and its two flags."""

    size: int
    pts: int | None
    is_keyframe: bool
    is_discard: bool


@contextmanager
def open_stream(path: Path) -> "Iterator[tuple[InputContainer, VideoStream]]":
    """Open the main video stream of a file with PyAV, decoding in the calling thread alone.

    Raises:
        UnreadableVideo: not a video, or in a codec that PyAV does not know.
    """
    import av

    with unreadable_on_error(path, "corrupt, or not a video"):
        # An absolute path, because FFmpeg takes "a:b.mp4" for an address; "replace", because HMDB51 has metadata that
        # is not UTF-8.
        container = av.open(str(path.absolute()), metadata_errors="replace")
    with container:
        stream = container.streams.best("video")
        if not isinstance(stream, av.VideoStream):
            raise UnreadableVideo(str(path), "it holds no video stream")
        is_picture = container.format.name == "image2" or container.format.name.endswith("_pipe")
        if is_picture or av.stream.Disposition.attached_pic in stream.disposition:
            raise UnreadableVideo(str(path), "it holds a still picture, not a video")
        if stream.codec_context is None:  # typed as never None, but it is where FFmpeg has no decoder
            raise UnreadableVideo(str(path), "its codec is unknown")
        stream.codec_context.thread_count = 1
        yield container, stream


def scan_video(path: Path, watch: Callable[[Any], None] | None = None) -> VideoScan:
    """Read all packets of a file once (milliseconds) and tell what they hold.

    Args:
        path: the file.
        watch: is shown each of PyAV's packets before its bytes are taken, the last, empty one included: a file that is
            also decoded is then opened and read once.

    Raises:
        UnreadableVideo: not a video, or without frames.
    """
    packets: list[Packet] = []
    with open_stream(path) as (container, stream):
        codec, width, height = stream.codec_context.codec.canonical_name, stream.codec_context.width, stream.height
        pictures = Mpeg4FrameCounter(stream) if codec == "mpeg4" else None
        with unreadable_on_error(path, "its packets cannot be read"):
            for packet in container.demux(stream):
                if packet.size:
                    packets.append(Packet(packet.size, packet.pts, packet.is_keyframe, packet.is_discard))
                if watch is not None:
                    watch(packet)
                if pictures is not None and packet.size:
                    pictures.take(packet)
        frame_rate, declared = float(stream.average_rate or 0), stream.frames
        container_name, has_duration = container.format.name, container.duration is not None
        # AVI has no display times: FFmpeg makes them up, wrongly where the order of display is not that of decoding.
        made_up_times = container_name == "avi" and stream.codec_context.has_b_frames
    num_frames = _count_frames(path, codec, packets, pictures)
    if num_frames == 0:
        raise UnreadableVideo(str(path), "it holds no frames")
    one_each = num_frames == _count_shown(packets) and not _has_placeholders(codec, packets)
    timed = container_name in INDEXED_CONTAINERS and one_each and not made_up_times and _has_distinct_times(packets)
    seekable = timed and num_frames == len(packets) and _has_closed_groups(packets)
    return VideoScan(
        num_frames,
        container_name,
        codec,
        width,
        height,
        frame_rate,
        declared,
        has_duration=has_duration,
        timed=timed,
        seekable=seekable,
    )


def _count_shown(packets: list[Packet]) -> int:
    return sum(not packet.is_discard for packet in packets)


def _has_placeholders(codec: str, packets: list[Packet]) -> bool:
    return codec == "mpeg4" and any(packet.size <= PLACEHOLDER_BYTES for packet in packets)


class Mpeg4FrameCounter:
    """Counts an MPEG-4 stream's pictures, each packed one moved into its placeholder: what is left over holds none.

    Most files have no placeholder, and then nobody asks: packets are held, and looked into from the first one on.
    """

    def __init__(self, stream: "VideoStream") -> None:
        from av.bitstream import BitStreamFilterContext

        self._unpack = BitStreamFilterContext("mpeg4_unpack_bframes", stream)
        self._held, self._held_bytes, self._counting = list[Any](), 0, False
        self.count, self.smallest_bytes = 0, 2**63

    def take(self, packet: Any) -> None:
        """Take in the next packet; it may be empty afterwards."""
        self._held.append(packet)
        self._held_bytes += packet.size
        self._counting |= packet.size <= PLACEHOLDER_BYTES or self._held_bytes > HELD_BYTES
        if self._counting:
            for each in self._held:
                self._count(each)
            self._held.clear()

    def _count(self, packet: Any) -> None:
        for each in self._unpack.filter(packet):
            data = bytes(each)
            if MPEG4_PICTURE_START in data:
                self.count += 1
                self.smallest_bytes = min(self.smallest_bytes, len(data))


def _count_frames(path: Path, codec: str, packets: list[Packet], pictures: Mpeg4FrameCounter | None) -> int:
    """One frame a packet, apart from the two codecs known to break that rule."""
    if pictures is not None and _has_placeholders(codec, packets):
        # As small as a placeholder it is a very still picture or a skipped one: only decoding tells.
        certain = pictures.count and pictures.smallest_bytes > PLACEHOLDER_BYTES
        return pictures.count if certain else _count_decoded(path)
    if codec == "vp8":  # its "alternate reference" packets are never shown
        return _count_decoded(path)
    return _count_shown(packets)


def _count_decoded(path: Path) -> int:
    with open_stream(path) as (container, stream), unreadable_on_error(path, "it is damaged"):
        return sum(1 for _ in container.decode(stream))


def _has_distinct_times(packets: list[Packet]) -> bool:
    times = [packet.pts for packet in packets]
    return None not in times and len(set(times)) == len(times)


def _has_closed_groups(packets: list[Packet]) -> bool:
    """Tell whether each keyframe is shown after all packets that come before it and before all that follow it."""
    times = np.array([packet.pts for packet in packets])
    latest_before = np.maximum.accumulate(times)[:-1]
    earliest_from = np.minimum.accumulate(times[::-1])[::-1]
    keyframes = np.flatnonzero([packet.is_keyframe for packet in packets])
    if len(keyframes) == 0 or keyframes[0] != 0:
        return False
    starts = keyframes[1:]
    return bool(
        (times[keyframes] == earliest_from[keyframes]).all() and (latest_before[starts - 1] < times[starts]).all()
    )
