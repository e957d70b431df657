"""Find videos on disk: files by their suffix, frame folders by the names of their images. Nothing is opened."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from vtdl_cli.data.video.flow_folder import flow_pair
from vtdl_cli.data.video.frame_folder import FRAME_NAME
from vtdl_cli.errors import UsageError

_KINDS = ("avi", "mp4", "mkv", "webm", "mov", "m4v", "mpg", "mpeg", "flv", "wmv", "3gp", "ts")
VIDEO_SUFFIXES = frozenset(f".{kind}" for kind in _KINDS)


def walk_videos(root: Path, *, flow: bool = False) -> Iterator[str]:
    """Yield the paths of all videos under `root`, relative to it and sorted; a frame folder is one video.

    Hidden files and folders are skipped; a folder that can be reached by several links is entered once.

    Args:
        root: the top folder.
        flow: look for optical flow instead, see `data.video.flow_folder`.

    Raises:
        UsageError: `root` is not a folder, or a folder cannot be listed.
    """
    if not root.is_dir():
        raise UsageError(f"--root '{root}' is not a folder. Name the folder that holds the videos")
    pending, entered = [""], set[tuple[int, int]]()
    while pending:
        folder = pending.pop()
        try:
            status = (root / folder).stat()
            entries = [entry for entry in sorted_entries(root / folder) if not entry.name.startswith(".")]
            videos = {entry.name for entry in entries if is_video(entry, flow=flow)}
        except OSError as error:
            raise UsageError(
                f"folder '{error.filename}' cannot be listed ({error.strerror}). Check its permissions"
            ) from error
        if (status.st_dev, status.st_ino) in entered:
            continue
        entered.add((status.st_dev, status.st_ino))
        yield from (f"{folder}{entry.name}" for entry in entries if entry.name in videos)
        inner = [f"{folder}{entry.name}/" for entry in entries if entry.name not in videos and is_folder(entry)]
        pending.extend(reversed(inner))


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder or a link to one; a link in a cycle is not."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def is_video(entry: os.DirEntry[str], *, flow: bool = False) -> bool:
    """Whether an entry is a video: a file with a video suffix, or a folder that holds frames but no video files.

    A folder that holds both is a folder of videos with thumbnails.
    """
    if entry.name.startswith("."):
        return False
    if flow:
        return is_folder(entry) and flow_pair(Path(entry.path)) is not None
    if not is_folder(entry):
        return _is_named_as_video(entry.name)  # a broken link too: it is reported when it is opened
    has_frame = False
    with os.scandir(entry.path) as inside:
        for inner in inside:
            if _is_named_as_video(inner.name):
                return False
            has_frame = has_frame or FRAME_NAME.fullmatch(inner.name) is not None
    return has_frame


def may_be_video(path: Path) -> bool:
    """Whether a path that the user gave in place of a list may be a video: a folder, or a file with a video suffix."""
    return path.is_dir() or (path.is_file() and _is_named_as_video(path.name))


def _is_named_as_video(name: str) -> bool:
    return Path(name).suffix.lower() in VIDEO_SUFFIXES


def stem(path: str) -> str:
    """Return the file name without its video suffixes; other dots are part of the name.

    Downloaders write names such as `<id>.mp4.webm`.
    """
    name = path.rpartition("/")[2]
    before, dot, suffix = name.rpartition(".")
    return stem(before) if f"{dot}{suffix}".lower() in VIDEO_SUFFIXES else name


def sorted_entries(folder: str | Path) -> list[os.DirEntry[str]]:
    """Return the entries of a folder, sorted by name."""
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)
