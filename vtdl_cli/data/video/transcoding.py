"""Transcode videos for faster loading: to frame folders, or to small files with many keyframes."""

import io
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from vtdl_cli.data.video.disk import sorted_entries
from vtdl_cli.data.video.frame_folder import FrameFolderReader
from vtdl_cli.data.video.reader import unreadable_on_error
from vtdl_cli.data.video.resizing import resized
from vtdl_cli.data.video.scan import scan_video
from vtdl_cli.data.video.timeline import Interval
from vtdl_cli.data.video.whole_video import DEFAULT_FRAME_RATE, REPEATABLE, encode_video, encoding_rate, whole_video
from vtdl_cli.runtime import atomic_write, write_error


@dataclass(frozen=True)
class FrameFolderWriter:
    """Writes each video as a folder of JPEG images, `img_00001.jpg`, `img_00002.jpg`, ...

    Args:
        short_side: pixels; smaller videos keep their size.
        quality: of JPEG, 1 to 95.
    """

    short_side: int
    quality: int
    suffix: ClassVar[str] = ""

    def write(self, source: Path, target: Path, interval: Interval | None = None) -> int:
        """Write a video, or an interval of it, atomically; returns its number of frames.

        Raises:
            UnreadableVideo: the source cannot be read to its end.
            VtdlError: the target cannot be written.
        """
        from PIL import Image

        self.remove(target)  # of a worker that died before it could say that it was finished
        part = _part_of(target)
        part.mkdir(parents=True)
        try:
            count = 0
            for count, frame in enumerate(_resized_frames(source, self.short_side, interval), start=1):
                image = io.BytesIO()  # given a file, Pillow leaves a truncated image where the disk is nearly full
                Image.fromarray(frame).save(image, "jpeg", quality=self.quality)
                try:
                    (part / f"img_{count:05d}.jpg").write_bytes(image.getvalue())
                except OSError as error:
                    raise write_error(target, error) from error
            part.rename(target)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return count

    def count(self, target: Path) -> int:
        """Count the frames of a video that was written before."""
        return FrameFolderReader(target).num_frames

    def find_foreign(self, target: Path) -> Path | None:
        """Return what is there and was not written in this format: a file in the folder, or what is no folder."""
        if target.is_symlink() or not target.is_dir():
            return target
        others = (entry for entry in sorted_entries(target) if not _is_image(entry))
        return next((target / entry.name for entry in others), None)

    def remove(self, target: Path) -> None:
        """Remove a video, if it is there: under another name, as a part of one would be taken for the whole."""
        part = _part_of(target)
        shutil.rmtree(part, ignore_errors=True)
        if target.exists():
            target.rename(part)
            shutil.rmtree(part)


@dataclass(frozen=True)
class Mp4Writer:
    """Writes each video as an MP4 file in H.264.

    Args:
        short_side: pixels; smaller videos keep their size.
        crf: of x264: 18 is visually lossless, 28 is a quarter of its size.
        gop: frames from one keyframe to the next, at most as many are decoded to reach a frame.
    """

    short_side: int
    crf: int
    gop: int
    suffix: ClassVar[str] = ".mp4"

    def write(self, source: Path, target: Path, interval: Interval | None = None) -> int:
        """Write a video, or an interval of it, atomically; returns its number of frames.

        Raises:
            UnreadableVideo: the source cannot be read to its end.
            VtdlError: the target cannot be written.
        """
        rate = DEFAULT_FRAME_RATE if source.is_dir() else encoding_rate(scan_video(source))
        options = {"crf": str(self.crf), "g": str(self.gop), "keyint_min": str(self.gop), "sc_threshold": "0"}
        options |= {"bf": "0", "preset": "fast", **REPEATABLE}
        with atomic_write(target) as temporary:
            return encode_video(temporary, _resized_frames(source, self.short_side, interval), rate, "libx264", options)

    def count(self, target: Path) -> int:
        """Count the frames of a video that was written before."""
        return scan_video(target).num_frames

    def find_foreign(self, target: Path) -> Path | None:
        """Return what is there, unless it is a file, as those that are written are."""
        return None if target.is_file() and not target.is_symlink() else target

    def remove(self, target: Path) -> None:
        """Remove a video."""
        target.unlink()


def _part_of(target: Path) -> Path:
    """Return where a folder is until it is whole; a fixed name: the next run removes what a killed run left."""
    return target.with_name(f".{target.name}.part")


def _is_image(entry: os.DirEntry[str]) -> bool:
    """Whether an entry of a folder has the name of an image that is written, and is a file."""
    return re.fullmatch(r"img_\d{5,}\.jpg", entry.name) is not None and entry.is_file(follow_symlinks=False)


def _resized_frames(source: Path, short_side: int, interval: Interval | None = None) -> Iterator[np.ndarray]:
    """Yield all frames of a video or an interval (H, W, 3), with a short side of at most `short_side` pixels."""
    from PIL import Image

    for frame in whole_video(source, interval):
        height, width = frame.shape[:2]
        if min(height, width) > short_side:
            size = resized(height, width, short_side)[::-1]
            with unreadable_on_error(source, "a frame cannot be resized"):
                frame = np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BILINEAR))
        yield frame
