"""Look at a list that exists: how it reads, whether its videos are there, and what would make them be found."""

import shlex
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from vtdl_cli.data.lists.label_sets import compare_classes, counting_warning, label_set
from vtdl_cli.data.lists.video_list import (
    CLASSES_FILE,
    VideoList,
    exists,
    read_classes,
    read_list,
    write_classes,
    write_list,
)
from vtdl_cli.data.video.decoding import FLOW
from vtdl_cli.data.video.disk import stem, walk_videos
from vtdl_cli.engine.lists.audit import spread
from vtdl_cli.engine.lists.survey import survey
from vtdl_cli.engine.request import ListSource
from vtdl_cli.errors import ListError, UsageError
from vtdl_cli.locks import lock_file, releasing_locks
from vtdl_cli.runtime import Reporter, atomic_write

SAMPLE = 1000  # listed paths that a proposal is drawn from


def check_list(
    source: ListSource, reporter: Reporter, *, open_videos: bool = False, decoder: str = "decord", workers: int | None
) -> dict[str, Any]:
    """Say how a list reads, which of its videos are there, and what options would find the others.

    Args:
        source: the list; its root, the list's own folder when None, is also where missing videos are looked for.
        open_videos: count the frames of those that are there.
        decoder: what opens them.
        workers: processes that open them.
        reporter: for progress, and a warning where the list seems to count classes from 1.

    Returns:
        What was found; `proposal`, options that would make missing videos be found, or none; `problems`, a line each.

    Raises:
        ListError: the list cannot be read at all.
    """
    videos = read_list(source.path, root=source.root, strip_prefix=source.strip_prefix, columns=source.columns)
    names = [videos.name(index) for index in range(len(videos))]
    present = np.array([exists(videos.path(index)) for index in range(len(videos))])
    missing = np.flatnonzero(~present)
    labels, counts = np.unique(videos.labels, return_counts=True)
    repeated = [name for name, times in Counter(names).items() if times > 1]
    report: dict[str, Any] = {
        "list": str(source.path),
        "columns": videos.columns,
        "videos": len(videos),
        "classes": {
            "named": len(videos.classes) if videos.classes else None,
            "highest": int(labels[-1]),
            "without_videos": int(labels[-1]) + 1 - len(labels),
            "seem_to_count_from_one": videos.label_set.seems_to_count_from_one,
            "fewest_videos": int(counts.min()),
            "most_videos": int(counts.max()),
        },
        "listed_frames": spread(videos.frames.tolist()) if videos.frames.any() else None,
        "root": str(videos.root),
        "present": int(present.sum()),
        "missing": [names[index] for index in missing],
        "repeated": repeated,
        "proposal": _proposal(videos, missing, source.strip_prefix, flow=decoder == FLOW) if len(missing) else None,
    }
    if warning := counting_warning(videos.label_set):
        reporter.warn(warning)
    if open_videos and present.any():
        report |= _open(videos, np.flatnonzero(present), names, decoder, workers, reporter)
    return {**report, "problems": _problems(report)}


def _open(
    videos: VideoList, present: np.ndarray, names: list[str], decoder: str, workers: int | None, reporter: Reporter
) -> dict[str, Any]:
    """Frame counts against the listed ones."""
    found = survey(
        videos.root,
        [names[index] for index in present],
        decoder=decoder,
        workers=workers,
        reporter=reporter,
    )
    counted = {int(present[position]): facts.num_frames for position, facts in found.facts.items()}
    return {
        "unreadable": [
            {"path": names[present[position]], "reason": reason} for position, reason in found.reasons.items()
        ],
        "other_frames": [
            {"path": names[index], "listed": int(videos.frames[index]), "counted": frames}
            for index, frames in counted.items()
            if videos.frames[index] not in (0, frames)
        ],
    }


def _problems(report: dict[str, Any]) -> list[str]:
    problems = []
    if missing := report["missing"]:
        hint = (
            report["proposal"] or f"no video of these names is under '{report['root']}'. Name their folder: --root DIR"
        )
        problems.append(
            f"{len(missing)} of {report['videos']} videos are not there, '{missing[0]}' to begin with: {hint}"
        )
    if repeated := report["repeated"]:
        problems.append(f"{len(repeated)} videos are listed more than once; the first is '{repeated[0]}'")
    if unreadable := report.get("unreadable"):
        first = f"'{unreadable[0]['path']}': {unreadable[0]['reason']}"
        problems.append(f"{len(unreadable)} videos cannot be read; the first is {first}")
    return problems


def _proposal(videos: VideoList, missing: np.ndarray, stripped: str, *, flow: bool) -> str | None:
    try:
        return propose(videos, missing, stripped, flow=flow)
    except UsageError as error:  # a folder beside the list that may not be entered is no fault of the list's
        return f"they could not be looked for under '{videos.root}': {error}"


def propose(videos: VideoList, missing: np.ndarray, stripped: str = "", *, flow: bool = False) -> str | None:
    """Options that would find missing videos, from where files of their names lie under the list's root; or none.

    Args:
        videos: the list.
        missing: indices.
        stripped: the prefix that was removed from its paths already.
        flow: look for optical flow.
    """
    places: dict[str, list[str]] = {}
    for name in walk_videos(videos.root, flow=flow):
        places.setdefault(stem(name), []).append(name)
    votes: Counter[tuple[str, str]] = Counter()
    others: Counter[tuple[str, str]] = Counter()
    for index in missing[:: max(1, len(missing) // SAMPLE)]:
        listed = videos.name(int(index)).split("/")
        for place in places.get(stem(listed[-1]), []):
            found = place.split("/")
            same = _common_end(listed, found)
            if same:
                votes["/".join(listed[:-same]), "/".join(found[:-same])] += 1
            else:
                others[listed[-1], place] += 1
    if votes:
        (prefix, folder), _ = votes.most_common(1)[0]
        whole = "/".join(part for part in (stripped.rstrip("/"), prefix) if part)
        return _options(videos.root / folder, whole or ("/" if videos.name(int(missing[0])).startswith("/") else ""))
    if others:
        (name, place), _ = others.most_common(1)[0]
        return f"the disk has '{place}' for '{name}'. Make lists of what is there: vtdl prepare-lists"
    return None


def _common_end(ours: list[str], theirs: list[str]) -> int:
    """How many parts two paths end in alike."""
    same = 0
    while same < min(len(ours), len(theirs)) and ours[-1 - same] == theirs[-1 - same]:
        same += 1
    return same


def _options(root: Path, prefix: str) -> str:
    strip = f"--strip-prefix {shlex.quote(prefix)} " if prefix else ""
    return f"try {strip}--root {shlex.quote(str(root))}"


def check_same_classes(folder: Path, videos: VideoList) -> None:
    """A list that is written beside a classes.txt goes by its names: they have to be its own.

    Raises:
        UsageError: the folder has other names, or the list has none.
    """
    beside, remedy = folder / CLASSES_FILE, "Choose another folder: --out"
    if not beside.exists():
        return
    names = read_classes(beside)
    theirs = label_set(f"file '{beside}'", names, np.arange(len(names)))
    if compare_classes(videos.label_set, theirs, remedy):
        raise UsageError(f"list '{videos.source}' has no class names, and would go by '{beside}'. {remedy}")


@releasing_locks
def convert_list(
    source: ListSource,
    out: Path,
    reporter: Reporter,
    *,
    decoder: str = "decord",
    workers: int | None = None,
    first_class: int = 0,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Rewrite a list in the canonical order, its prefix stripped; frames that it does not give are counted.

    Args:
        source: the list.
        out: the list to write, with a classes.txt beside it where `source` has one.
        reporter: for progress.
        decoder: what opens videos whose frames are counted.
        workers: processes that open them.
        first_class: what the list counts its classes from; written from 0.
        overwrite: replace `out`.

    Returns:
        What was read and written.

    Raises:
        ListError: it cannot be read, or frames are to be counted and a video is not there or cannot be read.
        UsageError: an output is in the way.
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
    frames = videos.frames.copy()
    unknown = np.flatnonzero(frames == 0)
    if len(unknown):
        chosen = [names[index] for index in unknown]
        found = survey(videos.root, chosen, decoder=decoder, workers=workers, reporter=reporter)
        if found.reasons:
            position, reason = next(iter(found.reasons.items()))
            raise ListError(
                f"list '{source.path}' does not give the frames of {len(unknown)} videos, and {len(found.reasons)} of "
                f"these cannot be opened; the first is '{chosen[position]}': {reason}. See: vtdl lists check"
            )
        frames[unknown] = [facts.num_frames for facts in found.facts.values()]
    with atomic_write(out) as temporary:
        write_list(temporary, zip(names, videos.labels.tolist(), frames.tolist(), strict=True))
    if videos.classes:
        with atomic_write(out.with_name(CLASSES_FILE)) as temporary:
            write_classes(temporary, videos.classes)
    return {
        "list": str(source.path),
        "columns": videos.columns,
        "videos": len(videos),
        "counted": len(unknown),
        "out": str(out),
    }
