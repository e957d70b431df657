"""Find videos on disk: files by their suffix, frame folders by the names of their images. Nothing is opened."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from vtdl_cli.data.video.flow_folder import flow_pair
from vtdl_cli.data.video.frame_folder import FRAME_NAME
from vtdl_cli.errors import UsageError

_KINDS = ("avi", "mp4", "mkv", "webm", "mov", "m4v", "mpg", "mpeg", "flv", "wmv", "3gp", "ts")
VIDEO_SUFFIXES = frozenset(f".{kind}" for kind in _KINDS)
_MOST_SUFFIXES_SHOWN = 3  # in an error line


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


def find_videos(root: Path, *, flow: bool = False) -> list[str]:
    """Return the paths of all videos under `root` that `walk_videos` finds, relative to it and sorted.

    Raises:
        UsageError: there is none, or a folder cannot be listed.
    """
    if names := sorted(walk_videos(root, flow=flow)):
        return names
    kind = "optical flow" if flow else "video"
    raise UsageError(f"folder '{root}' holds no {kind} at any depth: {_describe_files(root)}. {_expected(flow)}")


def _expected(flow: bool) -> str:
    if flow:
        return "Flow is read from folders of images such as flow_x_00001.jpg and flow_y_00001.jpg"
    return "Videos are files such as clip.mp4, or folders of numbered images such as clip/00001.jpg"


def _describe_files(root: Path) -> str:
    """Count the files under a folder by suffix, the most frequent first."""
    files = (name for _, _, inside in os.walk(root) for name in inside if not name.startswith("."))
    counts = Counter(Path(name).suffix.lower() or "without suffix" for name in files)
    shown = [f"{number} {suffix}" for suffix, number in counts.most_common(_MOST_SUFFIXES_SHOWN)]
    if len(counts) > len(shown):
        shown.append("others")
    return f"it holds {', '.join(shown)}" if shown else "it is empty"


def is_video_folder(folder: Path, *, flow: bool = False) -> bool:
    """Whether a folder is itself one video: it holds frames, and no video lies in it or below it."""
    if flow:
        return flow_pair(folder) is not None
    return not any(walk_videos(folder)) and any(FRAME_NAME.fullmatch(entry.name) for entry in folder.iterdir())


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
