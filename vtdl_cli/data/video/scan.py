"""Scan the packets of a video file without decoding them: how many frames it has, and whether it can be seeked.

Neither the declared frame count nor the number of packets is reliable: packets of an edit list are decoded but never
shown, the DivX files of HMDB51 have packets without a frame, and a cut leaves packets that cannot be decoded. All
decoders take their count from here, so that they agree by construction.
"""

import math
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vtdl_cli.data.video.leading import MPEG4_FRAME_START, begins_with_b_frame, count_undecodable, may_be_cut
from vtdl_cli.data.video.reader import SeekTable, VideoScan, unreadable_on_error
from vtdl_cli.data.video.seeking import seek_frames
from vtdl_cli.data.video.stream import OpenFile, Packet, open_stream
from vtdl_cli.errors import UnreadableVideo

if TYPE_CHECKING:
    from av.video.stream import VideoStream

# FFmpeg's limit (MAX_NVOP_SIZE) for an MPEG-4 placeholder packet: its frame is packed into another one, or skipped.
PLACEHOLDER_BYTES = 19
HELD_BYTES = 2**26  # of packets kept in case they have to be parsed
# Containers with an index of keyframes. In the others (MPEG-TS, MPEG-PS, WMV) a seek is approximate.
INDEXED_CONTAINERS = ("avi", "matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2")
RATE_TOLERANCE = 0.01  # relative; headers that declare more frames than there are, or of screen recordings, are far off
NEARLY_SQUARE = Fraction(1, 100)  # of a pixel's sides: what is left where a scaler rounded the sides to even numbers
MOST_STRETCHED = 10  # width over height of a pixel, or the reverse; 16:9 at 352x576 pixels, the most in use, has 2.9


Watch = Callable[[Any], bool]
"""Called with one of PyAV's packets after the other, the last, empty one included, before they are parsed; returns
whether it wants more of them."""


def scan_video(path: Path, watch: Watch | None = None) -> VideoScan:
    """Read all packets of a file once (milliseconds) and return the properties of the video.

    Args:
        path: the file.
        watch: sees the packets: a file that is also decoded is then opened and read only once.

    Raises:
        UnreadableVideo: not a video, or without frames.
    """
    with open_stream(path) as file:
        return scan_file(file, watch)


def scan_file(file: OpenFile, watch: Watch | None = None) -> VideoScan:
    """Scan an open file, of which nothing has been read yet; see `scan_video`. Seeks may follow.

    Raises:
        UnreadableVideo: see `scan_video`.
    """
    packets: list[Packet] = []
    path, container, stream = file.path, file.container, file.stream
    codec, width, height = stream.codec_context.codec.canonical_name, stream.codec_context.width, stream.height
    counter = Mpeg4FrameCounter(stream) if codec == "mpeg4" else None
    with unreadable_on_error(path, "its packets cannot be read"):
        for packet in container.demux(stream):
            size = packet.size
            if size:
                packets.append(Packet(size, packet.pts, packet.is_keyframe, packet.is_discard))
            if watch is not None and not watch(packet):
                watch = None
            if size and counter is not None:
                counter.add(packet, size)
    # AVI has no timestamps: FFmpeg makes them up, wrongly if the display order is not the decoding order.
    made_up_times = container.format.name == "avi" and stream.codec_context.has_b_frames
    is_cut = may_be_cut(packets, has_times=not made_up_times, leads=counter is None or counter.leads)
    num_frames, undecodable = _count_frames(path, codec, packets, counter, is_cut=is_cut)
    if num_frames == 0:
        raise UnreadableVideo(str(path), "none of its frames can be decoded" if packets else "it holds no frames")
    one_each = num_frames + undecodable == _count_shown(packets) and not _has_placeholders(codec, packets)
    distinct = _has_distinct_times(packets, undecodable)
    timed = container.format.name in INDEXED_CONTAINERS and one_each and not made_up_times and distinct
    seekable = timed and num_frames == len(packets) and _has_closed_groups(packets)
    times = _frame_times(packets, undecodable, float(stream.time_base or 0)) if timed else None
    seek_table = _make_seek_table(packets) if seekable else None
    return VideoScan(
        num_frames,
        container.format.name,
        codec,
        width,
        height,
        _mean_rate(float(stream.average_rate or 0), times),
        stream.frames,
        timed=timed,
        times=times,
        seek_table=seek_table,
        undecodable=undecodable,
        headless=not packets[0].is_keyframe,
        pixel_aspect=_read_pixel_aspect(file, stream.sample_aspect_ratio, seek_table),
    )


def _frame_times(packets: list[Packet], undecodable: int, tick_seconds: float) -> np.ndarray:
    """Return the seconds from the first frame shown to each, in display order."""
    shown = [-math.inf if packet.pts is None else packet.pts for packet in packets if not packet.is_discard]
    ticks = np.sort(shown)[undecodable:]
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

    Most files have no placeholders and need no count. So packets are held, up to HELD_BYTES, and parsed in the end.

    Attributes:
        leads: whether the second packet is a B-frame, which then leads.
        frames, smallest_bytes: of the packets that have been parsed: how many frames, and the bytes of the smallest.
    """

    def __init__(self, stream: "VideoStream") -> None:
        from av.bitstream import BitStreamFilterContext

        self._unpack = BitStreamFilterContext("mpeg4_unpack_bframes", stream)
        self._held, self._held_bytes = list[Any](), 0
        self.leads, self.frames, self.smallest_bytes = False, 0, 2**63

    def add(self, packet: Any, size: int) -> None:
        """Add the next packet, of so many bytes."""
        self._held.append(packet)
        self._held_bytes += size
        if len(self._held) == 2 and not self.frames:
            self.leads = begins_with_b_frame(bytes(packet))
        if self._held_bytes > HELD_BYTES and len(self._held) > 1:
            self.parse()

    def parse(self) -> None:
        """Count the frames of what is held; a packet is empty afterwards."""
        for packet in self._held:
            for each in self._unpack.filter(packet):
                data = bytes(each)
                if MPEG4_FRAME_START in data:
                    self.frames += 1
                    if len(data) < self.smallest_bytes:
                        self.smallest_bytes = len(data)
        self._held.clear()
        self._held_bytes = 0


def _count_frames(
    path: Path, codec: str, packets: list[Packet], counter: Mpeg4FrameCounter | None, *, is_cut: bool
) -> tuple[int, int]:
    """Count the frames that decoders return, and those at the start that they cannot decode.

    Each packet is a frame, except for the two codecs known to break that rule.
    """
    if counter is not None and _has_placeholders(codec, packets):
        counter.parse()
        # A frame as small as a placeholder is either static or skipped: only decoding tells which.
        certain = counter.frames and counter.smallest_bytes > PLACEHOLDER_BYTES and not is_cut
        return counter.frames if certain else _count_decoded(path), 0
    if codec == "vp8":  # its "alternate reference" packets are never shown
        return _count_decoded(path), 0
    undecodable = count_undecodable(path) if is_cut else 0
    return _count_shown(packets) - undecodable, undecodable


def _count_decoded(path: Path) -> int:
    with open_stream(path) as file, unreadable_on_error(path, "it is damaged"):
        return sum(1 for _ in file.container.decode(file.stream))


def _has_distinct_times(packets: list[Packet], undecodable: int) -> bool:
    """Whether each packet has a time of its own; the first ones in time, which cannot be decoded, need none."""
    times = sorted(-math.inf if packet.pts is None else packet.pts for packet in packets)[undecodable:]
    return -math.inf not in times and len(set(times)) == len(times)


def _read_pixel_aspect(file: OpenFile, declared: Fraction | None, table: SeekTable | None) -> Fraction:
    """Return width over height of the pixels of a decoded frame, after its rotation."""
    if not declared or abs(declared - 1) <= NEARLY_SQUARE:
        return Fraction(1)
    if not 1 / MOST_STRETCHED <= declared <= MOST_STRETCHED:
        reason = f"its pixels are declared to be {float(declared):.3g} times as wide as high"
        raise UnreadableVideo(str(file.path), reason)
    rotation = _first_frame(file, table).rotation  # the stream does not reveal it
    return 1 / declared if round(rotation / 90) % 2 else declared


def _first_frame(file: OpenFile, table: SeekTable | None) -> Any:
    """Return PyAV's first frame, of the open file where that can be seeked."""
    if table is not None:
        with suppress(UnreadableVideo):  # decoding from the start tells whether the file or the seek is at fault
            return next(seek_frames(file, table, table.keyframes[:1]))
    with open_stream(file.path) as anew, unreadable_on_error(file.path, "it is damaged at frame 0"):
        return next(iter(anew.container.decode(anew.stream)))


def _make_seek_table(packets: list[Packet]) -> SeekTable:
    """Return the times of the frames in display order, and which of these are keyframes, of a file of closed GOPs."""
    decoded = np.array([packet.pts for packet in packets])
    ticks = np.sort(decoded)
    return SeekTable(ticks, np.searchsorted(ticks, decoded[[packet.is_keyframe for packet in packets]]))


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
