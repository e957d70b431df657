"""Videos that need care: with pixels that are not square, and cut by copying packets."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

RADIUS = 20  # pixels of the disc as it is shown
NUM_FRAMES, GOP = 34, 12  # of the video that is cut; grey levels step by 7, and fit in a byte
X264 = f"open-gop=1:bframes=3:b-adapt=0:keyint={GOP}:min-keyint={GOP}:scenecut=0"
OPTIONS: dict[str, dict[str, str]] = {
    "libx264": {"x264-params": X264, "crf": "4"},
    "libx265": {"x265-params": f"{X264}:log-level=none:lossless=1"},
    "mpeg4": {"g": str(GOP), "bf": "2", "qmin": "1", "qmax": "1", "sc_threshold": "1000000000"},
}


def number_frame(number: int, size: int = 32) -> np.ndarray:
    """A grey frame whose level tells its number: 7 levels a step, so a neighbour is 7 off; noise makes packets real."""
    noise = np.random.default_rng(number).integers(24, size=(size, size, 1))
    return (number * 7 + noise).astype(np.uint8).repeat(3, axis=2)


def write_disc(path: Path, aspect: str, *, rotation: int = 0, width: int = 96) -> Path:
    """Write four frames of a white disc that is round as it is shown, in stored frames of 64 rows.

    Args:
        path: the suffix names the container.
        aspect: width over height of a pixel, of the stored frame.
        rotation: degrees, for players.
        width: pixels, of the stored frame.
    """
    y, x = np.mgrid[:64, :width]
    inside = ((x - width / 2) * float(Fraction(aspect))) ** 2 + (y - 32) ** 2 < RADIUS**2
    frame = np.where(inside[..., None], 220, 30).repeat(3, 2).astype(np.uint8)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("mpeg4" if path.suffix == ".avi" else "libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, 64, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(aspect)
        if rotation:
            stream.set_display_rotation(rotation)
        for _ in range(4):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def disc_extent(frame: np.ndarray) -> tuple[int, int]:
    """Return the height and width of the disc in a frame (H, W, 3)."""
    inside = frame[..., 0] > 125
    return int(inside.any(1).sum()), int(inside.any(0).sum())


def write_numbered(path: Path, codec: str) -> None:
    """Write NUM_FRAMES frames of `number_frame`, in GOPs of GOP frames that are open."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=25, options=OPTIONS[codec])
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for number in range(NUM_FRAMES):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(number_frame(number, 64), format="rgb24")))
        container.mux(stream.encode(None))


def write_cut(path: Path, codec: str = "libx264", offset: int = 0) -> Path:
    """Copy the packets of such a video from its second keyframe on, or from `offset` packets after it.

    What is shown then begins with frame GOP; if the keyframe is cut off as well, with frame 2 * GOP.
    """
    whole = path.with_name("whole.mkv")
    write_numbered(whole, codec)
    with av.open(str(whole)) as source, av.open(str(path), "w") as target:
        stream: Any = target.add_stream_from_template(source.streams.video[0])
        packets = [packet for packet in source.demux(video=0) if packet.size]
        second = [index for index, packet in enumerate(packets) if packet.is_keyframe][1]
        for packet in packets[second + offset :]:
            packet.stream = stream
            target.mux(packet)
    whole.unlink()
    return path
