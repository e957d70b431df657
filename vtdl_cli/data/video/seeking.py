"""Decode single frames of a file with PyAV, without decoding all those before them."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from vtdl_cli.data.video.reader import SeekTable, unreadable_on_error
from vtdl_cli.data.video.stream import OpenFile
from vtdl_cli.errors import UnreadableVideo


def seek_frames(file: OpenFile, table: SeekTable, wanted: np.ndarray) -> Iterator[Any]:
    """Yield PyAV's frames with the numbers `wanted`, in ascending order, decoding each from the keyframe before it.

    It does not matter what of the file has been read before, so that several seeks can share one open file.

    FFmpeg's seeking is approximate. So every frame that is decoded is held to the time that the table has for it, and
    a file where that fails is to be decoded from its start.

    Raises:
        UnreadableVideo: a frame is damaged, or is not the one that was expected.
    """
    starts = table.keyframes[np.searchsorted(table.keyframes, wanted, side="right") - 1]
    container, stream, path = file.container, file.stream, file.path
    with unreadable_on_error(path, "it cannot be decoded from a keyframe"):
        frames: Iterator[Any] = iter(())
        position = -1  # the number of the frame that comes next; unknown before the first seek
        for start, number in zip(starts.tolist(), wanted.tolist(), strict=True):
            if start > position:
                container.seek(int(table.ticks[start]), stream=stream)
                frames, position = container.decode(stream), start
            while position <= number:
                frame = next(frames, None)
                if frame is None or frame.is_corrupt or frame.pts != table.ticks[position]:
                    raise UnreadableVideo(str(path), f"frame {position} is not where its keyframe is")
                position += 1
            yield frame
