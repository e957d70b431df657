"""Lists of videos, one video a line: read, checked and written.

Canonical lines are `path class frames`, UTF-8, classes from 0, -1 for an unlabelled video. A loaded list stays flat in
memory (one run of bytes, a few integer arrays), so it takes about as much room as its file.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vtdl_cli.data.lists.class_names import CLASSES_FILE, read_classes
from vtdl_cli.data.lists.class_numbers import number_classes
from vtdl_cli.data.lists.columns import LIST_COLUMNS
from vtdl_cli.data.lists.formats import read_rows
from vtdl_cli.data.lists.label_sets import LabelSet, label_set
from vtdl_cli.data.lists.list_file import ListFile, path_exists, read_text
from vtdl_cli.data.lists.rows import UNKNOWN_CLASS
from vtdl_cli.data.lists.writable import check_listable, unlistable
from vtdl_cli.data.video.timeline import Interval, interval_at, name_sample
from vtdl_cli.errors import ListError, UsageError


@dataclass(frozen=True, eq=False, repr=False)
class VideoList:
    """The N videos of a list, in order.

    Attributes:
        source: the list's file.
        root: the folder that relative paths start from.
        columns: how the lines were read: one of `LIST_COLUMNS`, or a description of a table's columns.
        labels: int64 [N], classes from 0; `UNKNOWN_CLASS` for unlabelled videos.
        frames: int64 [N], listed frame counts, 0 where the list has none. A hint: the video itself decides.
        classes: the names in the classes.txt beside the list, or in the list itself, or None.
        intervals: float64 [N, 2], start and end in seconds of the part of the video that a line stands for, NaN where
            it is the whole video; None: all lines are whole videos.
        sha256: of the file's bytes, for provenance.
        command_that_converts: the beginning of the command that converts the list, to be typed; empty for videos found
            on the disk.
        left_out: names of videos of a folder that no list can hold; see `data.lists.writable.unlistable`.
    """

    source: Path
    root: Path
    columns: str
    labels: NDArray[np.int64]
    frames: NDArray[np.int64]
    classes: list[str] | None
    intervals: NDArray[np.float64] | None
    sha256: str
    command_that_converts: str
    _names: bytes
    _bounds: NDArray[np.int64]  # [N + 1]: name i is _names[_bounds[i] : _bounds[i + 1]]
    _numbers: NDArray[np.int64]  # [N] line numbers in the file, from 1
    left_out: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def name(self, index: int) -> str:
        """Return the path as listed, without the stripped prefix."""
        index = range(len(self))[index]  # negative indices count from the end, others out of range raise
        return self._names[self._bounds[index] : self._bounds[index + 1]].decode()

    def path(self, index: int) -> Path:
        """Return the video's path: below the root, unless the list has an absolute path."""
        return self.root / self.name(index)

    def exists(self, index: int) -> bool:
        """Whether the video exists and can be reached."""
        return path_exists(self.path(index))

    def interval(self, index: int) -> Interval | None:
        """Return the part of the video that a line stands for; None: all of it."""
        return interval_at(self.intervals, index)

    def sample_name(self, index: int) -> str:
        """Return what identifies a line: the path as listed and the interval, as in `clip.mp4#t=2,3`."""
        return name_sample(self.name(index), self.interval(index))

    def line(self, index: int) -> int:
        """Return the line number in the file, from 1, for messages."""
        return int(self._numbers[index])

    @property
    def num_classes(self) -> int:
        """The number of names in classes.txt; without one, the largest class plus 1; 0 if no video has a class."""
        return len(self.classes) if self.classes is not None else int(self.labels.max()) + 1

    @property
    def label_set(self) -> LabelSet:
        """The classes that the labels stand for."""
        return label_set(f"list '{self.source}'", self.classes, self.labels, self.command_that_converts)


class ParsedList(NamedTuple):
    """A list with what it tells about a split of its N videos.

    Attributes:
        videos: the list.
        sides: train, val or test [N], if the list has a column of them.
        groups: the group of each video [N], if the list has a column of them.
    """

    videos: VideoList
    sides: Sequence[str] | None
    groups: Sequence[str] | None

    def whole(self) -> VideoList:
        """Return the list, if it is one part of a split.

        Raises:
            ListError: it holds several parts.
        """
        sides = sorted(set(self.sides or ()))
        if len(sides) > 1:
            raise ListError(
                f"list '{self.videos.source}' holds the videos of {', '.join(sides)} together. Write a list of each: "
                f"{self.videos.command_that_converts} --out lists"
            )
        return self.videos


def parse_list(
    path: str | Path,
    *,
    root: str | Path | None = None,
    strip_prefix: str = "",
    columns: str | None = None,
    first_class: int = 0,
    chosen: Mapping[str, str] | None = None,
) -> ParsedList:
    """Read a list of videos of any format, with the parts of a split that it holds.

    Args:
        path: the list's file.
        root: the folder that relative paths start from; None: the list's own folder.
        strip_prefix: a folder to drop from the start of paths, such as `/data/hmdb51`.
        columns: one of `LIST_COLUMNS`; None: detected from the lines.
        first_class: the number that the list gives its first class; it becomes 0.
        chosen: what a column holds -> the name of that column, for a list that names its columns.

    Raises:
        ListError: the file cannot be read, a line is malformed, a class is out of range, or the columns are ambiguous.
        UsageError: `columns` is unknown, or no path starts with `strip_prefix`.
    """
    if columns is not None and columns not in LIST_COLUMNS:
        allowed = ", ".join(f"'{known}'" for known in LIST_COLUMNS)
        raise UsageError(f"--list-columns '{columns}' is not a known order of columns. Use one of {allowed}")
    source = Path(path)
    folder = source.parent if root is None else Path(root)
    file = ListFile(source, read_text(source, "list"), folder, strip_prefix, chosen or {}, columns)
    beside = file.beside(CLASSES_FILE)
    rows = read_rows(file, columns)
    labels, classes = number_classes(rows, file, read_classes(beside) if beside else None, first_class)
    videos = VideoList(
        source,
        folder,
        rows.columns,
        labels,
        rows.frames,
        classes,
        rows.intervals,
        hashlib.sha256(file.content).hexdigest(),
        file.command_that_converts,
        b"".join(rows.names),
        np.cumsum([0, *map(len, rows.names)], dtype=np.int64),
        rows.numbers,
    )
    return ParsedList(videos, rows.sides, rows.groups)


def list_of_videos(source: Path, names: Sequence[str], *, root: Path | None = None) -> VideoList:
    """Return a list of unlabelled videos that were found on the disk.

    Args:
        source: the video or folder that was given in place of a list.
        names: paths, at least one.
        root: the folder that they are relative to; None: the working directory.

    Raises:
        ListError: a path cannot be written to a list (see `unlistable`).
    """
    for name in names:
        if reason := unlistable(name):
            raise ListError(f"video {name!a} cannot be read as a list: {reason}. Rename it")
    encoded = [name.encode() for name in names]
    digest = hashlib.sha256(b"\n".join(encoded)).hexdigest()
    bounds = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    numbers = np.arange(1, len(names) + 1)
    labels, frames = np.full_like(numbers, UNKNOWN_CLASS), np.zeros_like(numbers)
    return VideoList(
        source,
        root or Path(),
        LIST_COLUMNS[3],
        labels,
        frames,
        None,
        None,
        digest,
        "",
        b"".join(encoded),
        bounds,
        numbers,
    )


def join_lists(lists: Sequence[VideoList]) -> VideoList:
    """Return the videos of several lists as one, without their labels, by paths from the working directory.

    Raises:
        ListError: as `list_of_videos`.
    """
    names = [str(videos.path(index)) for videos in lists for index in range(len(videos))]
    joined = list_of_videos(lists[0].source, names)
    if all(videos.intervals is None for videos in lists):
        return joined
    parts = [np.full((len(each), 2), np.nan) if each.intervals is None else each.intervals for each in lists]
    return replace(joined, intervals=np.concatenate(parts))


def check_labelled(videos: VideoList) -> None:
    """Refuse a list with unlabelled videos.

    Raises:
        ListError: it has some.
    """
    unknown = np.flatnonzero(videos.labels == UNKNOWN_CLASS)
    if len(unknown):
        what = f"list '{videos.source}' has no class for {len(unknown)} of its {len(videos)} videos"
        raise ListError(
            f"{what}, the first in line {videos.line(int(unknown[0]))}. Give each a class, counted from 0, or remove "
            "these lines; pretrain and extract need no classes"
        )


def check_present(videos: VideoList, sample: int = 20) -> None:
    """Refuse a list early if none of its first `sample` videos exists: the root is probably wrong.

    Raises:
        ListError: none of them exists.
    """
    checked = min(sample, len(videos))
    if any(videos.exists(index) for index in range(checked)):
        return
    what = f"list '{videos.source}' (read as '{videos.columns}') names videos that do not exist"
    found = f"none of the first {checked} was found, starting with '{videos.path(0)}'"
    hint = "Name their folder with --root, and what to drop from the start of the paths with --strip-prefix"
    raise ListError(f"{what}: {found}. {hint}")


def find_missing(videos: VideoList, most: int) -> tuple[int, list[int]]:
    """Look for up to `most` videos, spread evenly over the list; returns how many, and the indices of the missing."""
    looked_for = np.linspace(0, len(videos) - 1, min(most, len(videos))).astype(np.int64).tolist()
    return len(looked_for), [index for index in looked_for if not videos.exists(index)]


def write_list(path: str | Path, rows: Iterable[tuple[str, int, int]]) -> None:
    """Write rows of (path, class, frames) as a canonical list.

    Raises:
        ListError: a path cannot be written to a list (see `unlistable`); the rows before it have been.
    """
    with Path(path).open("w", encoding="utf-8", newline="\n") as file:
        for name, label, frames in rows:
            file.write(f"{check_listable(name)} {label} {frames}\n")
