"""Tiny videos in the usual containers and codecs, to find out what a decoder reads.

Every frame is plain grey and brighter than the one before it: its brightness reveals its number.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vtdl_cli.data.video.decoding import open_video
from vtdl_cli.data.video.whole_video import encode_video
from vtdl_cli.errors import VtdlError

NUM_FRAMES, HEIGHT, WIDTH = 16, 64, 96
GREYS = np.arange(NUM_FRAMES) * 12 + 30  # of each frame, from 0 for black to 255
TOLERANCE = 5  # half the way from one frame's grey to the next, less what codecs lose: about 2
ORDER = (NUM_FRAMES - 1, 0, NUM_FRAMES // 3)  # of the frames read: backwards and forwards


@dataclass(frozen=True)
class Sample:
    """A container with a codec; the suffix chooses the container, and `encoder` is FFmpeg's name."""

    suffix: str
    encoder: str
    options: dict[str, str] = field(default_factory=dict)


SAMPLES = {
    "MPEG-4 in AVI": Sample("avi", "mpeg4"),
    "H.264 in MP4": Sample("mp4", "libx264"),
    "H.264 in MKV": Sample("mkv", "libx264"),
    "HEVC in MP4": Sample("mp4", "libx265", {"x265-params": "log-level=none"}),
    "VP9 in WebM": Sample("webm", "libvpx-vp9", {"deadline": "realtime"}),
    "AV1 in MP4": Sample("mp4", "libsvtav1", {"preset": "10"}),
    "MPEG-2 in MPG": Sample("mpg", "mpeg2video"),
}
"""Name -> sample. The first two are those of UCF101, HMDB51 and Kinetics."""

ESSENTIAL = tuple(SAMPLES)[:2]


def write_samples(folder: Path) -> dict[str, Path]:
    """Write each sample that PyAV can encode; returns the files by name.

    Which these are depends on its build, and on decord: imported before PyAV, it replaces its library of VP9.
    """
    import av

    os.environ.setdefault("SVT_LOG", "1")  # the AV1 encoder prints its settings to stderr otherwise
    files = {name: folder / f"{number}.{sample.suffix}" for number, (name, sample) in enumerate(SAMPLES.items())}
    frames = [np.full((HEIGHT, WIDTH, 3), grey, np.uint8) for grey in GREYS]
    written = {}
    for name, file in files.items():
        with suppress(av.FFmpegError):
            encode_video(file, frames, 25, SAMPLES[name].encoder, SAMPLES[name].options, container=None)
            written[name] = file
    return written


def read_sample(item: tuple[str, Path], order: Sequence[int] = ORDER) -> str:
    """Read frames of a sample in mixed order.

    Args:
        item: the decoder, and the file.
        order: numbers of the frames to read.

    Returns:
        Why that fails; '' if all frames are correct.
    """
    decoder, path = item
    try:
        with open_video(path, decoder) as reader:
            greys = reader.read(order).mean(axis=(1, 2, 3))  # (len(order),)
    except VtdlError as error:
        return error.lines[0]
    wrong = np.abs(greys - GREYS[list(order)]) > TOLERANCE
    return f"{wrong.sum()} of {len(order)} frames are not those requested" if wrong.any() else ""
