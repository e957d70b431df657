"""Leading packets: those at the start of a file whose frames cannot be decoded, because frames before them are cut off.

A cut that copies packets (ffmpeg -c copy) begins with a keyframe, after which frames may follow that are shown before
it and need frames that are gone (an open GOP); or it begins between keyframes. No decoder shows such frames. In MP4 an
edit list mostly hides them; other containers have none.
"""

from collections.abc import Sequence
from pathlib import Path

from vtdl_cli.data.video.reader import unreadable_on_error
from vtdl_cli.data.video.stream import Packet, open_stream

STEADY_PACKETS = 32  # twice the most frames by which H.264 and HEVC reorder
MPEG4_FRAME_START = b"\0\0\1\xb6"
MPEG4_B_FRAME = 2  # ISO/IEC 14496-2: vop_coding_type, the two bits after the start code


def may_be_cut(packets: Sequence[Packet], *, has_times: bool, leads: bool) -> bool:
    """Whether frames at the start may be undecodable: only decoding tells (`count_undecodable`).

    Args:
        packets: all of the file.
        has_times: whether the packets' times are true.
        leads: if they are not: whether the second packet may be shown before the first.
    """
    if not packets:
        return False
    first = packets[0]
    if not first.is_keyframe or not has_times:
        return leads or not first.is_keyframe
    shown = (packet.pts for packet in packets if not packet.is_discard)
    return first.pts is None or any(time is None or time < first.pts for time in shown)


def begins_with_b_frame(data: bytes) -> bool:
    """Whether the first frame in an MPEG-4 packet is a B-frame."""
    start = data.find(MPEG4_FRAME_START) + len(MPEG4_FRAME_START)
    return MPEG4_FRAME_START in data and start < len(data) and data[start] >> 6 == MPEG4_B_FRAME


def count_undecodable(path: Path) -> int:
    """Count the packets at the start whose frames are meant to be shown, but cannot be decoded.

    Decodes until STEADY_PACKETS packets in a row have yielded a frame each.

    Raises:
        UnreadableVideo: the file is damaged at its start.
    """
    sent = received = steady = 0
    with open_stream(path) as file, unreadable_on_error(path, "it is damaged at its start"):
        for packet in file.container.demux(file.stream):  # the last one is empty, and flushes the decoder
            pending = sent - received
            sent += bool(packet.size) and not packet.is_discard
            received += len(packet.decode())
            steady = steady + 1 if received and sent - received == pending else 0
            if packet.size and steady == STEADY_PACKETS:
                received += len(file.stream.codec_context.decode(None))
                break
    return sent - received
