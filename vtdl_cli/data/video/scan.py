"""Scan the packets of a video file without decoding them: how many frames it has, and whether it can be seeked.

Neither the declared frame count nor the number of packets is reliable: packets of an edit list are decoded but never
shown, and the DivX files of HMDB51 have packets without a frame. All decoders take their count from here, so that they
agree by construction.
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

# FFmpeg's limit (MAX_NVOP_SIZE) for an MPEG-4 placeholder packet: its frame is packed into another one, or skipped.
PLACEHOLDER_BYTES = 19
HELD_BYTES = 2**26  # of packets kept in case they have to be parsed
# Containers with an index of keyframes. In the others (MPEG-TS, MPEG-PS, WMV) a seek is approximate.
INDEXED_CONTAINERS = ("avi", "matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2")
RATE_TOLERANCE = 0.01  # relative; headers that declare more frames than there are, or of screen recordings, are far off
MPEG4_FRAME_START = b"\0\0\1\xb6"


class Packet(NamedTuple):
    """One compressed packet: size in bytes, presentation time in the stream's time base, and its two flags."""

    size: int
    pts: int | None
    is_keyframe: bool
    is_discard: bool


@contextmanager
def open_stream(path: Path) -> "Iterator[tuple[InputContainer, VideoStream]]":
    """Open the main video stream of a file with PyAV, to be decoded in the calling thread.

    Raises:
        UnreadableVideo: not a video, or in a codec that PyAV does not know.
    """
    import av

    with unreadable_on_error(path, "corrupt, or not a video"):
        # An absolute path, because FFmpeg takes "a:b.mp4" for a URL; "replace", because HMDB51 has metadata that is
        # not UTF-8.
        container = av.open(str(path.absolute()), metadata_errors="replace")
    with container:
        stream = container.streams.best("video")
        if not isinstance(stream, av.VideoStream):
            raise UnreadableVideo(str(path), "it holds no video stream")
        is_image = container.format.name == "image2" or container.format.name.endswith("_pipe")
        if is_image or av.stream.Disposition.attached_pic in stream.disposition:
            raise UnreadableVideo(str(path), "it holds a still image, not a video")
        if stream.codec_context is None:  # typed as never None, but it is if FFmpeg has no decoder
            raise UnreadableVideo(str(path), "its codec is unknown")
        stream.codec_context.thread_count = 1
        yield container, stream


def scan_video(path: Path, watch: Callable[[Any], None] | None = None) -> VideoScan:
    """Read all packets of a file once (milliseconds) and return the properties of the video.

    Args:
        path: the file.
        watch: called with each of PyAV's packets, the last, empty one included, before it is parsed: a file that is
            also decoded is then opened and read only once.

    Raises:
        UnreadableVideo: not a video, or without frames.
    """
    packets: list[Packet] = []
    with open_stream(path) as (container, stream):
        codec, width, height = stream.codec_context.codec.canonical_name, stream.codec_context.width, stream.height
        counter = Mpeg4FrameCounter(stream) if codec == "mpeg4" else None
        with unreadable_on_error(path, "its packets cannot be read"):
            for packet in container.demux(stream):
                if packet.size:
                    packets.append(Packet(packet.size, packet.pts, packet.is_keyframe, packet.is_discard))
                if watch is not None:
                    watch(packet)
                if counter is not None and packet.size:
                    counter.add(packet)
        frame_rate, declared = float(stream.average_rate or 0), stream.frames
        tick_seconds = float(stream.time_base or 0)
        container_name, has_duration = container.format.name, container.duration is not None
        # AVI has no timestamps: FFmpeg makes them up, wrongly if the display order is not the decoding order.
        made_up_times = container_name == "avi" and stream.codec_context.has_b_frames
    num_frames = _count_frames(path, codec, packets, counter)
    if num_frames == 0:
        raise UnreadableVideo(str(path), "it holds no frames")
    one_each = num_frames == _count_shown(packets) and not _has_placeholders(codec, packets)
    timed = container_name in INDEXED_CONTAINERS and one_each and not made_up_times and _has_distinct_times(packets)
    seekable = timed and num_frames == len(packets) and _has_closed_groups(packets)
    times = _frame_times(packets, tick_seconds) if timed else None
    return VideoScan(
        num_frames,
        container_name,
        codec,
        width,
        height,
        _mean_rate(frame_rate, times),
        declared,
        has_duration=has_duration,
        timed=timed,
        seekable=seekable,
        times=times,
    )


def _frame_times(packets: list[Packet], tick_seconds: float) -> np.ndarray:
    """Return the seconds from the first frame shown to each, in display order."""
    ticks = np.sort([packet.pts for packet in packets if not packet.is_discard])
    times: np.ndarray = (ticks - ticks[0]) * tick_seconds
    return times


def _mean_rate(declared: float, times: np.ndarray | None) -> float:
    """Return the frames a second that the header declares, unless the times of the frames contradict it."""
    if times is None or len(times) < 2:
        return declared
    measured = float((len(times) - 1) / times[-1])
    return declared if abs(declared / measured - 1) < RATE_TOLERANCE else measured


def _count_shown(packets: list[Packet]) -> int:
    return sum(not packet.is_discard for packet in packets)


def _has_placeholders(codec: str, packets: list[Packet]) -> bool:
    return codec == "mpeg4" and any(packet.size <= PLACEHOLDER_BYTES for packet in packets)


class Mpeg4FrameCounter:
    """Counts the frames of an MPEG-4 stream by moving each packed frame into its placeholder packet.

    Most files have no placeholders and need no count. So packets are held back, and parsed once a placeholder appears.
    """

    def __init__(self, stream: "VideoStream") -> None:
        from av.bitstream import BitStreamFilterContext

        self._unpack = BitStreamFilterContext("mpeg4_unpack_bframes", stream)
        self._held, self._held_bytes, self._counting = list[Any](), 0, False
        self.count, self.smallest_bytes = 0, 2**63

    def add(self, packet: Any) -> None:
        """Add the next packet; it may be empty afterwards."""
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
            if MPEG4_FRAME_START in data:
                self.count += 1
                self.smallest_bytes = min(self.smallest_bytes, len(data))


def _count_frames(path: Path, codec: str, packets: list[Packet], counter: Mpeg4FrameCounter | None) -> int:
    """Count one frame per packet, except for the two codecs known to break that rule."""
    if counter is not None and _has_placeholders(codec, packets):
        # A frame as small as a placeholder is either static or skipped: only decoding tells which.
        certain = counter.count and counter.smallest_bytes > PLACEHOLDER_BYTES
        return counter.count if certain else _count_decoded(path)
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
    """Whether all GOPs are closed: each keyframe is shown after all packets before it and before all that follow."""
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
