"""Which videos lie on a disk: files by their suffix, folders by the frames in them. Nothing is opened."""

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
    """Paths of all videos under `root`, relative to it and in order; a folder of frames is one, and not entered.

    Hidden files and folders are passed over, and a folder that links lead back to is entered once.

    Args:
        root: where to start.
        flow: look for optical flow instead, see `data.flow_folder`.

    Raises:
        UsageError: `root` is no folder, or a folder cannot be listed.
    """
    if not root.is_dir():
        raise UsageError(f"--root '{root}' is not a folder. Name the folder that the videos lie in")
    pending, entered = [""], set[tuple[int, int]]()
    while pending:
        folder = pending.pop()
        try:
            status = (root / folder).stat()
            entries = [entry for entry in sorted_entries(root / folder) if not entry.name.startswith(".")]
            videos = {entry.name for entry in entries if is_video(entry, flow=flow)}
        except OSError as error:
            raise UsageError(
                f"folder '{error.filename}' cannot be listed ({error.strerror}). Check its rights"
            ) from error
        if (status.st_dev, status.st_ino) in entered:
            continue
        entered.add((status.st_dev, status.st_ino))
        yield from (f"{folder}{entry.name}" for entry in entries if entry.name in videos)
        inner = [f"{folder}{entry.name}/" for entry in entries if entry.name not in videos and is_folder(entry)]
        pending.extend(reversed(inner))


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Tell a folder, or a link to one; a link that leads round in a circle is none, and no reason to stop."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def is_video(entry: os.DirEntry[str], *, flow: bool = False) -> bool:
    """Tell a video file by its suffix, and a folder of frames by a frame in it, and no video: those have thumbnails."""
    if entry.name.startswith("."):
        return False
    if flow:
        return is_folder(entry) and flow_pair(Path(entry.path)) is not None
    if not is_folder(entry):
        return _is_named_as_video(entry.name)  # a broken link too: opening it will tell
    has_frame = False
    with os.scandir(entry.path) as inside:
        for inner in inside:
            if _is_named_as_video(inner.name):
                return False
            has_frame = has_frame or FRAME_NAME.fullmatch(inner.name) is not None
    return has_frame


def may_be_video(path: Path) -> bool:
    """Tell what a user names in place of a list: a folder, whose frames are to be, or a video file by its suffix."""
    return path.is_dir() or (path.is_file() and _is_named_as_video(path.name))


def _is_named_as_video(name: str) -> bool:
    return Path(name).suffix.lower() in VIDEO_SUFFIXES


def stem(path: str) -> str:
    """The last part of a path without what video files end in; other dots belong to it.

    Downloaders leave `<id>.mp4.webm` behind.
    """
    name = path.rpartition("/")[2]
    before, dot, suffix = name.rpartition(".")
    return stem(before) if f"{dot}{suffix}".lower() in VIDEO_SUFFIXES else name


def sorted_entries(folder: str | Path) -> list[os.DirEntry[str]]:
    """What is in a folder, by name."""
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)
