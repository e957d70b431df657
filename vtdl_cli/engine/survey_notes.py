"""What a survey has found so far, in a file, so that one that is stopped goes on where it was."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from vtdl_cli.data.video_probe import VideoFacts
from vtdl_cli.runtime import cannot_write


class Notes:
    """One line a video, written as it is found.

    Args:
        path: the file, made with the first note; it is hidden, and not there once the work is done.
        how: what results depend on besides the videos; notes made otherwise are not taken.
    """

    def __init__(self, path: Path, how: str) -> None:
        self.path, self.how = path, f"{how} {' '.join(VideoFacts._fields)}"
        self._made_folder = not path.parent.exists()
        self._is_new = not path.exists()
        self._known: dict[str, VideoFacts | str] = {}
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                self._read(line)

    def _read(self, line: str) -> None:
        try:
            how, key, result = json.loads(line)
        except ValueError:  # a line that a kill cut short
            return
        if how == self.how:
            self._known[key] = result if isinstance(result, str) else VideoFacts._make(result)

    def recall(self, video: str) -> VideoFacts | str | None:
        """What was found of a video, unless it has changed since."""
        return self._known.get(_key(video)) if self._known else None

    def add(self, video: str, result: VideoFacts | str) -> None:
        """Keep what was found.

        Raises:
            VtdlError: the file cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps([self.how, _key(video), result]) + "\n")
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def forget(self, *, new_only: bool = False) -> None:
        """Remove the file, and its folder where that was made for it and holds nothing else.

        Args:
            new_only: not where it was there before.
        """
        if new_only and not self._is_new:
            return
        self.path.unlink(missing_ok=True)
        if self._made_folder:
            with contextlib.suppress(OSError):
                self.path.parent.rmdir()


def _key(video: str) -> str:
    try:
        status = os.stat(video)  # noqa: PTH116  # making a Path takes longer than the call, 240,000 times
    except OSError:
        return video
    return f"{video}\0{status.st_size}\0{status.st_mtime_ns}"
