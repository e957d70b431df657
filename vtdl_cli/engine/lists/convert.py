"""Convert a list to the canonical order of columns."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vtdl_cli.data.lists.label_sets import compare_classes, label_set
from vtdl_cli.data.lists.video_list import (
    CLASSES_FILE,
    VideoList,
    read_classes,
    read_list,
    write_classes,
    write_list,
)
from vtdl_cli.data.video.decoding import AUTO
from vtdl_cli.engine.lists.survey import survey
from vtdl_cli.engine.request import ListSource
from vtdl_cli.errors import ListError, UsageError
from vtdl_cli.locks import lock_file, releasing_locks
from vtdl_cli.runtime import Reporter, atomic_write


@releasing_locks
def convert_list(
    source: ListSource,
    out: Path,
    reporter: Reporter,
    *,
    decoder: str = AUTO,
    workers: int | None = None,
    first_class: int = 0,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Rewrite a list in the canonical order, without its prefix; missing frame counts are determined.

    Args:
        source: the list.
        out: the list to write, with a classes.txt beside it if `source` has one.
        reporter: for progress.
        decoder: what opens videos to count their frames.
        workers: processes that open them.
        first_class: the number that the list gives its first class; written as 0.
        overwrite: replace `out`.

    Returns:
        A summary of what was read and written.

    Raises:
        ListError: the list cannot be read, or a video whose frames must be counted is missing or unreadable.
        UsageError: an output exists, or the classes.txt in its folder belongs to another list.
    """
    lock_file(out, reporter)
    if out.exists() and not overwrite:
        raise UsageError(f"file '{out}' exists already. Choose another --out, or add --overwrite")
    videos = read_list(
        source.path,
        root=source.root,
        strip_prefix=source.strip_prefix,
        columns=source.columns,
        first_class=first_class,
    )
    check_same_classes(out.parent, videos)
    names = [videos.name(index) for index in range(len(videos))]
    frames = _count_missing_frames(videos, names, decoder, workers, reporter)
    with atomic_write(out) as temporary:
        write_list(temporary, zip(names, videos.labels.tolist(), frames.tolist(), strict=True))
    if videos.classes:
        with atomic_write(out.with_name(CLASSES_FILE)) as temporary:
            write_classes(temporary, videos.classes)
    return {
        "list": str(source.path),
        "columns": videos.columns,
        "videos": len(videos),
        "counted": int((videos.frames == 0).sum()),
        "out": str(out),
    }


def _count_missing_frames(
    videos: VideoList, names: list[str], decoder: str, workers: int | None, reporter: Reporter
) -> NDArray[np.int64]:
    """Return frame counts [N], from the list or else from the video."""
    frames = videos.frames.copy()
    unknown = np.flatnonzero(frames == 0)
    if not len(unknown):
        return frames
    chosen = [names[index] for index in unknown]
    found = survey(videos.root, chosen, decoder=decoder, workers=workers, reporter=reporter)
    if found.reasons:
        position, reason = next(iter(found.reasons.items()))
        raise ListError(
            f"list '{videos.source}' has no frame counts for {len(unknown)} videos, and {len(found.reasons)} of "
            f"these cannot be opened; the first is '{chosen[position]}': {reason}. See: vtdl lists check"
        )
    frames[unknown] = [facts.num_frames for facts in found.facts.values()]
    return frames


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
