"""Read frames of a file as each decoding library's manual shows it: what our readers are measured against.

None of it checks anything: these loops return wrong frames, or fail, for files that our readers read.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vtdl_cli.data.video.file_readers import load_decoder


def read_with_pyav(path: Path, wanted: Sequence[int]) -> np.ndarray:
    """Decode from the start to the last wanted frame, and convert those wanted: (len(wanted), H, W, 3)."""
    import av

    chosen, frames = set(wanted), []
    with av.open(str(path), metadata_errors="replace") as container:
        container.streams.video[0].codec_context.thread_count = 1
        for index, frame in enumerate(container.decode(video=0)):
            if index in chosen:
                frames.append(frame.to_ndarray(format="rgb24"))
                if len(frames) == len(chosen):
                    break
    return np.stack(frames)


def read_with_decord(path: Path, wanted: Sequence[int]) -> np.ndarray:
    """Seek to each wanted frame: (len(wanted), H, W, 3)."""
    frames: np.ndarray = load_decoder("decord").VideoReader(str(path), num_threads=1).get_batch(wanted).asnumpy()
    return frames


def read_with_torchcodec(path: Path, wanted: Sequence[int]) -> np.ndarray:
    """Seek to each wanted frame: (len(wanted), H, W, 3)."""
    decoder: Any = load_decoder("torchcodec").decoders.VideoDecoder(
        str(path), dimension_order="NHWC", num_ffmpeg_threads=1
    )
    frames: np.ndarray = decoder.get_frames_at(list(wanted)).data.numpy()
    return frames


PLAIN_READERS: dict[str, Callable[[Path, Sequence[int]], np.ndarray]] = {
    "pyav": read_with_pyav,
    "decord": read_with_decord,
    "torchcodec": read_with_torchcodec,
}
"""Name of the library -> (file, ascending numbers of frames) -> frames."""
