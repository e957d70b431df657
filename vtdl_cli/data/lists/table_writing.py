"""Write a list as CSV, which unlike lines of text has a place for intervals, class names and parts of a split."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from vtdl_cli.data.lists.rows import UNKNOWN_CLASS
from vtdl_cli.data.lists.video_list import VideoList
from vtdl_cli.data.lists.writable import check_listable

TABLE_COLUMNS = ("path", "label", "class", "frames", "start", "end")


def write_table(
    path: str | Path,
    videos: VideoList,
    indices: Iterable[int] | None = None,
    sides: Sequence[str] | None = None,
    *,
    delimiter: str = ",",
) -> None:
    """Write videos as a CSV list that every command reads; what is unknown is left empty.

    Args:
        path: the file.
        videos: the N videos.
        indices: those to write; None: all.
        sides: the part of the split of each of the N, for a column `split`.
        delimiter: what separates the columns.

    Raises:
        ListError: a path cannot be written to a list (see `unlistable`); the rows before it have been.
    """
    with Path(path).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
        writer.writerow([*TABLE_COLUMNS, *(["split"] if sides else [])])
        for index in range(len(videos)) if indices is None else indices:
            writer.writerow([*_cells(videos, index), *([sides[index]] if sides else [])])


def _cells(videos: VideoList, index: int) -> list[str | int | float]:
    label, frames = int(videos.labels[index]), int(videos.frames[index])
    named = videos.classes[label] if videos.classes and label != UNKNOWN_CLASS else ""
    start, end = videos.interval(index) or ("", "")
    return [check_listable(videos.name(index)), named, label, frames or "", start, end]
