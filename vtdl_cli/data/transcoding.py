"""Videos in another form, for quicker reading: folders of small pictures, or small files with many keyframes."""

import io
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from vtdl_cli.data.frame_folder import FrameFolderReader
from vtdl_cli.data.video_reader import unreadable_on_error
from vtdl_cli.data.video_scan import scan_video
from vtdl_cli.data.whole_video import REPEATABLE, whole_video, write_mp4
from vtdl_cli.runtime import cannot_write, replacing


@dataclass(frozen=True)
class Pictures:
    """A writer of a folder `img_00001.jpg`, `img_00002.jpg`, ... for each video.

    Args:
        short_side: pixels; smaller videos stay as they are.
        quality: of JPEG, 1 to 95.
    """

    short_side: int
    quality: int
    suffix: ClassVar[str] = ""

    def write(self, source: Path, target: Path) -> int:
        """Write a video, whole or not at all; returns its number of frames.

        Raises:
            UnreadableVideo: the source cannot be read to its end.
            VtdlError: the target cannot be written.
        """
        from PIL import Image

        part = target.with_name(f".{target.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        try:
            count = 0
            for count, picture in enumerate(_small_pictures(source, self.short_side), start=1):
                content = (
                    io.BytesIO()
                )  # given a file, Pillow leaves a picture cut short where the disk takes only a part
                Image.fromarray(picture).save(content, "jpeg", quality=self.quality)
                try:
                    (part / f"img_{count:05d}.jpg").write_bytes(content.getvalue())
                except OSError as error:
                    raise cannot_write(target, error) from error
            if target.exists():
                shutil.rmtree(target)
            part.rename(target)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return count

    def count(self, target: Path) -> int:
        """Frames of a video that was written before."""
        return FrameFolderReader(target).num_frames


@dataclass(frozen=True)
class Compressed:
    """A writer of an MP4 of H.264 for each video.

    Args:
        short_side: pixels; smaller videos stay as large as they are.
        crf: of x264: 18 looks like the source, 28 is a quarter of its size.
        gop: frames from one keyframe to the next: what has to be decoded to reach a frame.
    """

    short_side: int
    crf: int
    gop: int
    suffix: ClassVar[str] = ".mp4"

    def write(self, source: Path, target: Path) -> int:
        """Write a video, whole or not at all; returns its number of frames.

        Raises:
            UnreadableVideo: the source cannot be read to its end.
            VtdlError: the target cannot be written.
        """
        rate = 25 if source.is_dir() else round(scan_video(source).frame_rate) or 25
        options = {"crf": str(self.crf), "g": str(self.gop), "keyint_min": str(self.gop), "sc_threshold": "0"}
        options |= {"bf": "0", "preset": "fast", **REPEATABLE}
        with replacing(target) as temporary:
            return write_mp4(temporary, _small_pictures(source, self.short_side), rate, "libx264", options)

    def count(self, target: Path) -> int:
        """Frames of a video that was written before."""
        return scan_video(target).num_frames


def _small_pictures(source: Path, short_side: int) -> Iterator[np.ndarray]:
    """All frames of a video (H, W, 3), none larger than `short_side` asks."""
    from PIL import Image

    for picture in whole_video(source):
        height, width = picture.shape[:2]
        shortest = min(height, width)
        if shortest > short_side:
            size = (short_side * width // shortest, short_side * height // shortest)
            with unreadable_on_error(source, "a picture cannot be resized"):
                picture = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR))
        yield picture
