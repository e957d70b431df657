"""Read a video from beginning to end, and write one, with one frame in memory at a time."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from vtdl_cli.data.video.decoding import open_sequential
from vtdl_cli.data.video.reader import SequentialReader, VideoScan, refuse_sizes
from vtdl_cli.data.video.resizing import resize_shown
from vtdl_cli.data.video.timeline import Interval, sampled_frames, select_frames
from vtdl_cli.errors import UnreadableVideo
from vtdl_cli.text import counted

REPEATABLE = {"x264-params": "cpu-independent=1"}
"""Options of x264 for the same bytes every time, on every CPU.

Its SIMD code for the macroblock tree is not deterministic for frames up to 320x240: 5 of 400 files of 50x36 differed on
an AVX-512 CPU (x264 of PyAV 18.1). This option computes the tree in C; then none of 3200 files of four sizes differed.
"""

ENCODERS = {"libx264": {"crf": "18", "preset": "fast", **REPEATABLE}, "mpeg4": {"qscale": "3"}}
"""FFmpeg's name of an encoder -> options for high quality, in order of preference."""


DEFAULT_FRAME_RATE = Fraction(25)  # frames/s of folders of frames, which have none
MAX_DENOMINATOR = 1001  # of a frame rate, such as NTSC's 30000/1001


def whole_video(
    source: Path, interval: Interval | None = None, frame_rate: float | None = None, *, short_side: int | None = None
) -> Iterator[np.ndarray]:
    """Yield all frames (H, W, 3) uint8 of a video file, a frame folder, or a sample of it, in order, with square
    pixels.

    Args:
        source: the file or folder.
        interval, frame_rate: of the sample, see `data.video.timeline.sampled_frames`; it is read no further than
            needed.
        short_side: pixels to which frames are resized; None: the size at which the video is shown.

    Raises:
        UnreadableVideo: it cannot be read to its end, its frames differ in size, or it has no such sample.
    """
    reader = open_sequential(source)
    aspect = reader.scan.pixel_aspect
    frames = (resize_shown(frame[None], aspect, short_side)[0] for frame in stored_frames(source, reader))
    if interval is None and frame_rate is None:
        yield from frames
    else:
        yield from select_frames(frames, sampled_frames(source, reader.scan, interval, frame_rate))


def stored_frames(source: Path, reader: SequentialReader) -> Iterator[np.ndarray]:
    """Yield all frames (H, W, C) uint8 as they are stored, in order.

    Raises:
        UnreadableVideo: it cannot be read to its end, or its frames differ in size.
    """
    count, sizes = 0, set[tuple[int, ...]]()
    for frame in reader.frames():
        sizes.add(frame.shape[:2])
        refuse_sizes(source, sizes)
        yield np.ascontiguousarray(frame)  # a rotated one is a view with negative strides, which torch refuses
        count += 1
    if count != reader.num_frames:
        raise UnreadableVideo(
            str(source), f"it has {counted(count, 'frame')}, and its packets indicate {reader.num_frames}"
        )


def choose_encoder() -> tuple[str, dict[str, str]]:
    """Return the first of ENCODERS that PyAV was built with, and its options; some builds leave out H.264."""
    import av

    return next((name, options) for name, options in ENCODERS.items() if name in av.codecs_available)


def encoding_rate(scan: VideoScan) -> Fraction:
    """Return the frame rate to write a video's frames at: its own, so that they last as long."""
    return Fraction(scan.frame_rate).limit_denominator(MAX_DENOMINATOR) or DEFAULT_FRAME_RATE


def encode_video(
    path: Path,
    frames: Iterable[np.ndarray],
    rate: int | Fraction,
    codec: str,
    options: dict[str, str],
    container: str | None = "mp4",
) -> int:
    """Encode frames (H, W, 3) of one size as yuv420p; an odd last row or column is cropped, as it needs even sizes.

    Args:
        path: the output file.
        frames: the frames.
        rate: frames a second.
        codec: FFmpeg's name of the encoder.
        options: of the encoder.
        container: FFmpeg's name of the format, whatever the file's suffix; None: the suffix chooses it.

    Returns:
        The number of frames.
    """
    import av

    count = 0
    with av.open(str(path), "w", format=container) as file:
        stream: Any = file.add_stream(codec, rate=rate, options=options)
        stream.codec_context.thread_count = 1  # parallel processes share the cores; starting more takes long
        for count, frame in enumerate(frames, start=1):
            even = frame[: frame.shape[0] // 2 * 2, : frame.shape[1] // 2 * 2]
            if count == 1:
                stream.height, stream.width, stream.pix_fmt = *even.shape[:2], "yuv420p"
            file.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")))
        file.mux(stream.encode())
    return count
