"""Find all videos below a folder in one walk, by the names of files and folders alone. Nothing is opened."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from vtdl_cli.data.video.disk import is_folder, is_named_as_video, sorted_entries
from vtdl_cli.data.video.flow_folder import flow_pair, is_second_direction
from vtdl_cli.data.video.frame_folder import FRAME_NAME, seem_frames
from vtdl_cli.errors import UsageError

_MOST_SUFFIXES_SHOWN = 3  # in an error line


class FoundFiles(NamedTuple):
    """What lies below a folder; paths are relative to it, with forward slashes."""

    files: list[str]  # video files
    frame_folders: list[str]  # each is one video
    ignored: list[str]  # no video and no folder that holds one; folders end in a slash, and stand for all they hold

    @property
    def videos(self) -> list[str]:
        """All videos, sorted."""
        return sorted(self.files + self.frame_folders)


def scan_folder(root: Path, *, flow: bool = False) -> FoundFiles:
    """Find all videos below `root`, at any depth; `root` itself is none.

    A folder is one video if its images are numbered as frames are (`seem_frames`), unless a video file lies in it or
    below it: then they are thumbnails. Hidden files and folders are ignored. A folder that can be reached by several
    links is entered once.

    Args:
        root: the top folder.
        flow: find optical flow instead, see `data.video.flow_folder`.

    Raises:
        UsageError: `root` is not a folder, or a folder cannot be listed.
    """
    if not root.is_dir():
        raise UsageError(f"--root '{root}' is not a folder. Name the folder that holds the videos")
    with _refusing_unlistable():
        return _Scan(root, flow=flow).run()


def find_videos(root: Path, *, flow: bool = False) -> FoundFiles:
    """Return what `scan_folder` finds.

    Raises:
        UsageError: there is no video, or a folder cannot be listed.
    """
    found = scan_folder(root, flow=flow)
    if found.files or found.frame_folders:
        return found
    kind = "optical flow" if flow else "video"
    raise UsageError(f"folder '{root}' holds no {kind} at any depth: {_describe_files(root)}. {_expected(flow)}")


def is_video_folder(folder: Path, *, flow: bool = False) -> bool:
    """Whether a folder is itself one video: its images are numbered as frames are, and it holds no video file.

    Raises:
        UsageError: the folder, or one below it, cannot be listed.
    """
    with _refusing_unlistable():
        if flow:
            return flow_pair(folder) is not None
        return seem_frames(entry.name for entry in folder.iterdir()) and not scan_folder(folder).files


@contextmanager
def _refusing_unlistable() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"folder '{error.filename}' cannot be listed ({error.strerror}). Check its permissions"
        ) from error


class _Scan:
    """One walk. A folder is a path with a slash at its end; the root is the empty path.

    Args:
        root: the top folder.
        flow: find optical flow instead of video files and frames.
    """

    def __init__(self, root: Path, *, flow: bool) -> None:
        self._root, self._flow = root, flow
        self._files: list[str] = []
        self._frame_folders: list[str] = []
        self._others: list[str] = []
        self._entered: set[tuple[int, int]] = set()

    def run(self) -> FoundFiles:
        """Walk, and settle what depends on what was found further down."""
        pending = [""]
        while pending:
            pending.extend(reversed(self._enter(pending.pop())))
        holding = {""} | {above for folder in _folders_of(self._files) for above in _with_parents(folder)}
        videos = self._settle_frame_folders(holding)
        holding |= {above for folder in videos for above in _with_parents(folder)}
        ignored = sorted({_outermost(name, holding) for name in self._others})
        return FoundFiles(self._files, [folder[:-1] for folder in videos], ignored)

    def _enter(self, folder: str) -> list[str]:
        """Note what a folder holds, and return its sub-folders."""
        path = self._root / folder
        if self._flow and folder and flow_pair(path):
            self._frame_folders.append(folder)
            return []
        entries = sorted_entries(path)
        shown = [entry for entry in entries if not entry.name.startswith(".")]
        folders = {entry.name: f"{folder}{entry.name}/" for entry in shown if is_folder(entry)}
        names = [entry.name for entry in shown if entry.name not in folders]
        is_new = self._remember(path)
        if folder and self._seems_video(names):
            self._frame_folders.append(folder)
        elif is_new and entries:
            self._note(folder, names)
            self._others += [f"{folder}{_shown(entry)}" for entry in entries if entry.name.startswith(".")]
        else:
            self._others.append(folder)
        return list(folders.values()) if is_new else []

    def _remember(self, path: Path) -> bool:
        """Return whether a folder is entered for the first time."""
        status = path.stat()
        number = len(self._entered)
        self._entered.add((status.st_dev, status.st_ino))
        return len(self._entered) > number

    def _seems_video(self, names: list[str]) -> bool:
        return not self._flow and not any(map(is_named_as_video, names)) and seem_frames(names)

    def _note(self, folder: str, names: list[str]) -> None:
        """Note the files of a folder: videos, and others but for the second half of a flow."""
        if self._flow and is_second_direction(self._root / folder):
            return
        for name in names:
            is_video = not self._flow and is_named_as_video(name)  # a broken link too: it is reported when opened
            (self._files if is_video else self._others).append(folder + name)

    def _settle_frame_folders(self, holding: set[str]) -> list[str]:
        """Return the folders of images that are videos: no video file lies below, no such folder above."""
        videos: list[str] = []
        for folder in sorted(self._frame_folders):
            if folder in holding:
                names = os.listdir(self._root / folder)  # noqa: PTH208  # names alone
                self._others += [folder + name for name in names if FRAME_NAME.fullmatch(name)]
            elif videos and folder.startswith(videos[-1]):
                self._others.append(folder)
            else:
                videos.append(folder)
        return videos


def _shown(entry: os.DirEntry[str]) -> str:
    return f"{entry.name}/" if is_folder(entry) else entry.name


def _folders_of(names: Iterable[str]) -> set[str]:
    return {name[: name.rfind("/") + 1] for name in names}


def _with_parents(folder: str) -> Iterator[str]:
    """Yield a folder and all above it, for example a/b/, a/."""
    while folder:
        yield folder
        folder = folder[: folder.rfind("/", 0, -1) + 1]


def _outermost(name: str, holding: set[str]) -> str:
    """Return the outermost folder around `name` that holds no video; `name` itself if it lies beside one."""
    while (parent := name[: name.rfind("/", 0, -1) + 1]) not in holding:
        name = parent
    return name


def _expected(flow: bool) -> str:
    if flow:
        return "Flow is read from folders of images such as flow_x_00001.jpg and flow_y_00001.jpg"
    return "Videos are files such as clip.mp4, or folders of images numbered one by one, such as clip/00001.jpg"


def _describe_files(root: Path) -> str:
    """Count the files under a folder by suffix, the most frequent first."""
    files = (name for _, _, inside in os.walk(root) for name in inside if not name.startswith("."))
    counts = Counter(Path(name).suffix.lower() or "without suffix" for name in files)
    shown = [f"{number} {suffix}" for suffix, number in counts.most_common(_MOST_SUFFIXES_SHOWN)]
    if len(counts) > len(shown):
        shown.append("others")
    return f"it holds {', '.join(shown)}" if shown else "it is empty"
