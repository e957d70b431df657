"""Convert a list of any format to ours: lines of text, CSV, or a folder with a list of each part of a split."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vtdl_cli.data.lists.class_names import CLASSES_FILE, read_classes
from vtdl_cli.data.lists.label_sets import compare_classes, counting_warning, label_set
from vtdl_cli.data.lists.rows import UNKNOWN_CLASS
from vtdl_cli.data.lists.video_list import ParsedList, VideoList
from vtdl_cli.data.video.decoding import AUTO
from vtdl_cli.data.video.disk import may_be_video
from vtdl_cli.engine.lists.convert_outputs import (
    choose_classes_file,
    choose_files,
    is_table_file,
    write_lists,
)
from vtdl_cli.engine.lists.parts import (
    assign_parts,
    describe_contradictions,
    find_contradictions,
    find_duplicates,
    find_shared_groups,
)
from vtdl_cli.engine.request import ListSource
from vtdl_cli.errors import UsageError
from vtdl_cli.locks import lock_file, lock_folder, releasing_locks
from vtdl_cli.runtime import Reporter
from vtdl_cli.text import counted


@dataclass(frozen=True)
class ConvertOptions:
    """Options of a conversion.

    Attributes:
        decoder: what opens videos to count their frames.
        workers: processes that open them.
        first_class: the number that the list gives its first class; written as 0.
        val_fraction: fraction of each class to validate on, drawn at random, if the list has no parts; 0: none.
        seed: seed of that draw.
        overwrite: replace the outputs.
    """

    decoder: str = AUTO
    workers: int | None = None
    first_class: int = 0
    val_fraction: float = 0.0
    seed: int = 0
    overwrite: bool = False


@releasing_locks
def convert_list(source: ListSource, out: Path, reporter: Reporter, options: ConvertOptions) -> dict[str, Any]:
    """Rewrite a list in our format, without its prefix, with a classes.txt beside it for names that it cannot hold.

    Videos that are not on the disk are left out and counted, unless none is there.

    Args:
        source: the list.
        out: a list to write, as CSV by its suffix, or else as lines of text, for which missing frame counts are
            determined; without a suffix, a folder for a list of each part of the split.
        reporter: for progress and warnings.
        options: how to convert.

    Returns:
        A summary of what was read and written.

    Raises:
        ListError: the list cannot be read, or a video whose frames must be counted is unreadable.
        UsageError: an output exists, the classes.txt in its folder belongs to another list, or the list holds what
            `out` has no place for.
    """
    if may_be_video(source.path):
        what = f"list '{source.path}' is a folder of videos, or a video, and no list"
        raise UsageError(f"{what}. To make lists of a folder: vtdl prepare-lists folder --root videos --out lists")
    is_folder = out.is_dir() or not out.suffix
    (lock_folder if is_folder else lock_file)(out, reporter)
    if not is_folder:
        _refuse_existing(out, overwrite=options.overwrite)
    parsed = source.parse_parts(options.first_class)
    parsed = parsed._replace(videos=_number_as_in(out if is_folder else out.parent, parsed.videos))
    videos = parsed.videos
    kept = _keep_present(videos, reporter)
    parts = assign_parts(parsed, kept, options.val_fraction, options.seed)
    sides = parts.sides if is_folder or parts.origin != "the folders" else None
    if not is_folder:
        _check_place(out, videos, sides, kept)
    files = choose_files(out, source.path, videos, sides, kept) if is_folder else {out: kept}
    for file in files:
        _refuse_existing(file, overwrite=options.overwrite)
    duplicates = _warn_of_rows(parsed, sides, kept, reporter)
    if warning := counting_warning(videos.label_set):
        reporter.warn(warning)
    classes_file = (
        out / CLASSES_FILE if is_folder and videos.classes else choose_classes_file(out.parent, videos, files)
    )
    counted = write_lists(
        videos,
        files,
        classes_file,
        None if is_folder else sides,
        reporter,
        decoder=options.decoder,
        workers=options.workers,
    )
    return {
        "list": str(source.path),
        "columns": videos.columns,
        "videos": len(kept),
        "missing": len(videos) - len(kept),
        "unlabelled": int((videos.labels[kept] == UNKNOWN_CLASS).sum()),
        "split": parts.origin if sides else None,
        "duplicates": duplicates,
        "counted": counted,
        "out": str(out),
        "lists": {str(file): len(chosen) for file, chosen in files.items()},
        "classes_file": str(classes_file) if classes_file else None,
    }


def _refuse_existing(file: Path, *, overwrite: bool) -> None:
    if file.exists() and not overwrite:
        raise UsageError(f"file '{file}' exists already. Choose another --out, or add --overwrite")


def _number_as_in(folder: Path, videos: VideoList) -> VideoList:
    """Return a list whose classes are numbered by the classes.txt in a folder, if that names all of them.

    Lists of one dataset that are converted one after the other, some without a video of each class, get the same
    numbers.

    Raises:
        UsageError: the file there belongs to a list with other classes.
    """
    beside = folder / CLASSES_FILE
    if not beside.exists():
        return videos
    names = read_classes(beside)
    if videos.classes and set(videos.classes) <= set(names):
        numbers = np.array([*(names.index(name) for name in videos.classes), UNKNOWN_CLASS])
        return replace(videos, labels=numbers[videos.labels], classes=names)
    check_same_classes(folder, videos)
    return videos


def check_same_classes(folder: Path, videos: VideoList) -> None:
    """Make sure that a classes.txt in the folder of a new list names the list's classes.

    Raises:
        UsageError: it has other names, or the list has none.
    """
    beside, remedy = folder / CLASSES_FILE, "Choose another folder: --out"
    if not beside.exists():
        return
    names = read_classes(beside)
    theirs = label_set(f"file '{beside}'", names, np.arange(len(names)))
    if compare_classes(videos.label_set, theirs, remedy):
        raise UsageError(f"list '{videos.source}' has no class names, and would take those of '{beside}'. {remedy}")


def _keep_present(videos: VideoList, reporter: Reporter) -> NDArray[np.intp]:
    """Return the indices of the videos that are written."""
    exist = np.array([videos.exists(index) for index in range(len(videos))])
    if not exist.any():
        reporter.warn(f"none of the {len(videos)} videos was found below '{videos.root}': all are listed. Check --root")
        return np.arange(len(videos))
    if not exist.all():
        first = videos.name(int(exist.argmin()))
        missing = int((~exist).sum())
        was, are = ("was", "is") if missing == 1 else ("were", "are")
        what = f"{missing} of the {len(videos)} videos {was} not found below '{videos.root}' and {are} left out"
        reporter.warn(f"{what}; the first is '{first}'")
    return np.flatnonzero(exist)


def _check_place(out: Path, videos: VideoList, sides: Sequence[str] | None, kept: NDArray[np.intp]) -> None:
    """Refuse a list of lines for intervals or several parts of a split."""
    if is_table_file(out):
        return
    hint = f"Write a table, --out {out.with_suffix('.csv')}, or a folder of lists, --out {out.parent / 'lists'}"
    if videos.intervals is not None:
        raise UsageError(f"--out '{out}' is a list of lines, which have no place for the intervals of the list. {hint}")
    if sides and len({sides[index] for index in kept}) > 1:
        raise UsageError(f"--out '{out}' is one list, but '{videos.source}' holds several parts of a split. {hint}")


def _warn_of_rows(parsed: ParsedList, sides: Sequence[str] | None, kept: NDArray[np.intp], reporter: Reporter) -> int:
    """Warn of rows that repeat or contradict others, and of groups in several parts; return how many are repeated."""
    videos = parsed.videos
    repeated = find_duplicates(videos, kept)
    if repeated:
        first = f"line {videos.line(repeated[0])}, '{videos.sample_name(repeated[0])}'"
        reporter.warn(
            f"{counted(len(repeated), 'row repeats', 'rows repeat')} the video and interval of another row; "
            f"the first is {first}"
        )
    if contradictions := find_contradictions(videos, kept):
        reporter.warn(describe_contradictions(videos, contradictions))
    if parsed.groups and sides and (shared := find_shared_groups(parsed.groups, sides, kept)):
        reporter.warn(
            f"{counted(len(shared), 'group has', 'groups have')} videos in several parts of the split; the "
            f"first is '{shared[0]}'"
        )
    return len(repeated)
