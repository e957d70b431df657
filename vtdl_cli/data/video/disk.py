"""Names on the disk: which are those of video files, and what is a folder."""

import os
from pathlib import Path

_KINDS = ("avi", "mp4", "mkv", "webm", "mov", "m4v", "mpg", "mpeg", "flv", "wmv", "3gp", "ts", "mts", "m2ts", "ogv")
VIDEO_SUFFIXES = frozenset(f".{kind}" for kind in _KINDS)


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder or a link to one; a link in a cycle is not."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def may_be_video(path: Path) -> bool:
    """Whether a path that the user gave in place of a list may be a video: a folder, or a file with a video suffix."""
    return path.is_dir() or (path.is_file() and is_named_as_video(path.name))


def is_named_as_video(name: str) -> bool:
    """Whether a file name has the suffix of a video."""
    return os.path.splitext(name)[1].lower() in VIDEO_SUFFIXES  # noqa: PTH122  # a Path takes longer, 240,000 times


def stem(path: str) -> str:
    """Return the file name without its video suffixes; other dots, and one at its start, are part of the name.

    Downloaders write names such as `<id>.mp4.webm`.
    """
    name = path.rpartition("/")[2]
    before, dot, suffix = name.rpartition(".")
    return stem(before) if before and f"{dot}{suffix}".lower() in VIDEO_SUFFIXES else name


def sorted_entries(folder: str | Path) -> list[os.DirEntry[str]]:
    """Return the entries of a folder, sorted by name."""
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)
