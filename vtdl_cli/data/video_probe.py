"""What a list maker wants to know of a video: whether it can be read, and what it is."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vtdl_cli.data.decoding import PyAvReader, open_video
from vtdl_cli.data.frame_folder import FrameFolderReader
from vtdl_cli.data.video_reader import refuse_sizes
from vtdl_cli.errors import UnreadableVideo

FLAT_DEVIATION = 1.0  # of 255 grey levels: a picture below it shows one colour
FLAT_SHARE = 0.5  # of a video's pictures: films fade in and out, and lectures show dark slides


class VideoFacts(NamedTuple):
    """One video that was opened."""

    num_frames: int  # that can be read
    declared_frames: int  # by the container's header; 0 where it says nothing
    codec: str
    width: int
    height: int
    frame_rate: float  # frames a second; 0 where nothing says so
    digest: bytes  # of a file's content; empty for a folder of pictures


def probe_video(path: str | Path, decoder: str = "decord", *, verify: bool = False) -> VideoFacts:
    """Open a video, decode its first frame, and say what it is.

    With `verify` all of it is decoded, by PyAV: other decoders repeat a frame, or show a damaged or a grey one, without
    a word.

    Raises:
        UnreadableVideo: it cannot be opened; with `verify` also: it ends early, is damaged anywhere, or half of its
            pictures show one colour.
    """
    path = Path(path)
    with open_video(path, decoder) as reader:
        reader.read([0])
        scan = reader.scan
    if verify:
        _decode_whole(path, scan.num_frames)
    return VideoFacts(
        scan.num_frames, scan.declared_frames, scan.codec, scan.width, scan.height, scan.frame_rate, _digest(path)
    )


def _decode_whole(path: Path, num_frames: int) -> None:
    count, flat, sizes = 0, 0, set[tuple[int, ...]]()
    for picture in _grey_pictures(path):
        sizes.add(picture.shape)
        refuse_sizes(path, sizes)
        count += 1
        flat += int(picture.std() < FLAT_DEVIATION)
    if count < num_frames:
        raise UnreadableVideo(str(path), f"it ends before frame {count} of {num_frames}")
    if flat >= FLAT_SHARE * num_frames:
        raise UnreadableVideo(str(path), f"{flat} of its {num_frames} pictures show one colour")


def _grey_pictures(path: Path) -> Iterator[np.ndarray]:
    if path.is_dir():
        yield from (picture.mean(-1) for picture in FrameFolderReader(path).pictures())
    else:
        yield from (frame.to_ndarray(format="gray", threads=1) for frame in PyAvReader(path).decode())


def _digest(path: Path) -> bytes:
    if path.is_dir():
        return b""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).digest()
