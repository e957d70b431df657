"""Whole videos, one frame in memory at a time: read from beginning to end, and written."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from vtdl_cli.data.video.decoding import PyAvReader
from vtdl_cli.data.video.frame_folder import FrameFolderReader
from vtdl_cli.data.video.reader import refuse_sizes
from vtdl_cli.errors import UnreadableVideo

REPEATABLE = {"x264-params": "cpu-independent=1"}
"""Of x264: the same bytes every time, on every CPU.

Its SIMD code for the macroblock tree gives other bytes now and then, in pictures up to 320x240: 5 of 400 files of 50x36
differed on an AVX-512 CPU (x264 of PyAV 18.1), and none of 3200 of four sizes with this, which does that tree in C.
"""

ENCODERS = {"libx264": {"crf": "18", "preset": "fast", **REPEATABLE}, "mpeg4": {"qscale": "3"}}
"""By preference: FFmpeg's name of an encoder -> options that lose little of a picture."""


def whole_video(source: Path) -> Iterator[np.ndarray]:
    """All frames (H, W, 3) uint8 of a file or a folder of pictures, in order.

    Raises:
        UnreadableVideo: it cannot be read to its end, or its frames differ in size.
    """
    reader = FrameFolderReader(source) if source.is_dir() else PyAvReader(source)
    count, sizes = 0, set[tuple[int, ...]]()
    for picture in reader.frames():
        sizes.add(picture.shape[:2])
        refuse_sizes(source, sizes)
        yield np.ascontiguousarray(picture)  # a rotated one is a view with negative strides, which torch refuses
        count += 1
    if count != reader.num_frames:
        raise UnreadableVideo(str(source), f"it shows {count} frames where its packets promise {reader.num_frames}")


def choose_encoder() -> tuple[str, dict[str, str]]:
    """The first of ENCODERS that PyAV was built with, and its options: H.264 is under a licence that not all take."""
    import av

    return next((name, options) for name, options in ENCODERS.items() if name in av.codecs_available)


def write_mp4(
    path: Path, pictures: Iterable[np.ndarray], rate: int | Fraction, codec: str, options: dict[str, str]
) -> int:
    """Encode pictures (H, W, 3) of one size as yuv420p, less an odd last row or column, which its colours do not allow.

    Args:
        path: where to; the suffix does not matter.
        rate: pictures a second.
        codec: FFmpeg's name of the encoder.
        options: of the encoder.

    Returns:
        How many pictures there were.
    """
    import av

    count = 0
    with av.open(str(path), "w", format="mp4") as container:
        stream: Any = container.add_stream(codec, rate=rate, options=options)
        stream.codec_context.thread_count = 1  # where videos are written side by side, the others have the other cores
        for count, picture in enumerate(pictures, start=1):
            even = picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2]
            if count == 1:
                stream.height, stream.width, stream.pix_fmt = *even.shape[:2], "yuv420p"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")))
        container.mux(stream.encode())
    return count
