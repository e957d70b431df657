"""The lists that a conversion writes: a file of lines or of CSV, or one for each part of a split."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vtdl_cli.data.lists.class_names import CLASSES_FILE, write_classes
from vtdl_cli.data.lists.table_writing import write_table
from vtdl_cli.data.lists.tables import TABLE_SUFFIXES
from vtdl_cli.data.lists.video_list import VideoList, write_list
from vtdl_cli.engine.lists.outputs import list_files
from vtdl_cli.engine.lists.survey import survey
from vtdl_cli.errors import ListError
from vtdl_cli.runtime import Reporter, atomic_write

Files = dict[Path, NDArray[np.intp]]
"""The lists to write, each with the indices of its videos."""


def is_table_file(file: Path) -> bool:
    """Whether a list is written as CSV."""
    return file.suffix.lower() in TABLE_SUFFIXES


def choose_files(
    folder: Path, source: Path, videos: VideoList, sides: Sequence[str] | None, kept: NDArray[np.intp]
) -> Files:
    """Return the lists to write to a folder, with the indices of their videos: one for each part of the split.

    Intervals need CSV.
    """
    suffix = ".csv" if videos.intervals is not None else ".txt"
    if sides is None:
        return {folder / f"{source.stem}{suffix}": kept}
    parts = np.array(sides)[kept]
    files = {folder / f"{Path(name).stem}{suffix}": kept[parts == side] for side, name in list_files(1).items()}
    files |= {folder / f"{source.stem}{suffix}": kept[parts == ""]}
    return {file: chosen for file, chosen in files.items() if len(chosen)}


def choose_classes_file(folder: Path, videos: VideoList, files: Files) -> Path | None:
    """Return the classes.txt to write to a folder; None if there are no names, or each list holds all of them.

    A table holds the names of the classes that its videos have; the file would name those of other lists beside it.
    """
    if not videos.classes or all(
        is_table_file(file) and _has_all_classes(videos, chosen) for file, chosen in files.items()
    ):
        return None
    return folder / CLASSES_FILE


def _has_all_classes(videos: VideoList, chosen: NDArray[np.intp]) -> bool:
    return set(range(videos.num_classes)) <= set(videos.labels[chosen].tolist())


def write_lists(
    videos: VideoList,
    files: Files,
    classes_file: Path | None,
    sides: Sequence[str] | None,
    reporter: Reporter,
    *,
    decoder: str,
    workers: int | None,
) -> int:
    """Write lists, and the names of their classes.

    Args:
        videos: the N videos.
        files: the lists.
        classes_file: where to write the names of the classes, if they have some; None: nowhere.
        sides: the part of the split of each video, for a column of CSV.
        reporter: for progress.
        decoder: what opens videos to count their frames, for lists of lines.
        workers: processes that open them.

    Returns:
        How many frame counts were determined.

    Raises:
        ListError: a video cannot be opened, or a name cannot be written.
        VtdlError: a file cannot be written.
    """
    frames = videos.frames.copy()
    counted = [index for file, chosen in files.items() if not is_table_file(file) for index in chosen.tolist()]
    counted = [index for index in counted if frames[index] == 0]
    frames[counted] = _count_frames(videos, counted, decoder, workers, reporter)
    with ExitStack() as stack:
        for file, chosen in files.items():
            temporary = stack.enter_context(atomic_write(file))
            if is_table_file(file):
                write_table(temporary, videos, chosen.tolist(), sides, delimiter=TABLE_SUFFIXES[file.suffix.lower()])
            else:
                rows = (
                    (videos.name(index), int(videos.labels[index]), int(frames[index])) for index in chosen.tolist()
                )
                write_list(temporary, rows)
        if classes_file and videos.classes:
            write_classes(stack.enter_context(atomic_write(classes_file)), videos.classes)
    return len(counted)


def _count_frames(
    videos: VideoList, unknown: list[int], decoder: str, workers: int | None, reporter: Reporter
) -> list[int]:
    """Return the frame counts of some videos."""
    if not unknown:
        return []
    names = [videos.name(index) for index in unknown]
    found = survey(videos.root, names, decoder=decoder, workers=workers, reporter=reporter)
    if found.reasons:
        position, reason = next(iter(found.reasons.items()))
        raise ListError(
            f"list '{videos.source}' has no frame counts for {len(unknown)} videos, and {len(found.reasons)} of "
            f"these cannot be opened; the first is '{names[position]}': {reason}. See: vtdl lists check"
        )
    return [facts.num_frames for facts in found.facts.values()]
