"""Make lists from a folder of classes: open every video once, leave out what cannot be read, split, write an audit."""

from __future__ import annotations

import json
import multiprocessing
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vtdl_cli.data.decoding import probe_video
from vtdl_cli.data.lists import CLASSES_FILE, unlistable, write_classes, write_list
from vtdl_cli.data.splits import (
    check_fraction,
    draw_per_class,
    group_keys,
    scan_class_folders,
    split_fraction,
    split_groups,
)
from vtdl_cli.errors import ListError, UnreadableVideo, UsageError
from vtdl_cli.runtime import Reporter, default_workers, leave_signals_to_parent, replacing

LIST_FILES = {"train": "train_split_1.txt", "val": "val_split_1.txt"}
AUDIT_FILE = "audit.json"
_NAMED_AT_MOST = 5  # classes in one warning

Row = tuple[str, int, int]  # path relative to the root, class, frames
Sides = dict[str, list[Row]]  # of train and val
Probe = Callable[[str, str], int]  # path, decoder -> frames
BoundProbe = Callable[[str], int | str]  # path -> frames, or why it cannot be read
Task = tuple[int, str]  # index of the video, its path
Result = tuple[int, int | str]  # index of the video, its frames or why it cannot be read


def prepare_folder(
    *,
    root: str | Path,
    out: str | Path,
    val_fraction: float = 0.25,
    seed: int = 0,
    group_by: str | None = None,
    val_groups: Sequence[str] = (),
    per_class: int | None = None,
    decoder: str = "decord",
    workers: int | None = None,
    overwrite: bool = False,
    reporter: Reporter,
) -> dict[str, Any]:
    """Write lists for the videos `<root>/<class>/<video>`, their class names and an audit, into `out`.

    Args:
        root: the folder of class folders; listed paths are relative to it.
        out: the folder to write into, made when absent.
        val_fraction: share of every class for validation, 0 <= val_fraction < 1; 0 writes no validation list.
        seed: of the draw.
        group_by: a regex; its first group, searched in file names, is the key of a group that is kept whole.
        val_groups: the groups that are the validation set; nothing is drawn then.
        per_class: videos of each class that the training list keeps, drawn by `seed`; the validation list stays whole.
        decoder: what opens the videos, see `data.decoding`.
        workers: processes that open videos; 0 opens them in this one, None takes one for each core.
        overwrite: replace what an earlier run wrote.
        reporter: for progress, and a warning for whatever in the audit needs a look.

    Returns:
        The audit, as audit.json holds it.

    Raises:
        UsageError: an option or a folder cannot be right, or an output exists.
        ListError: no video can be read.
        VtdlError: an output cannot be written.
    """
    root, out = Path(root), Path(out)
    _refuse_outputs(out, overwrite)
    found = scan_class_folders(root)
    names, labels = [name for name, _ in found.videos], np.array([label for _, label in found.videos], dtype=np.int64)
    groups, chosen = _choose_groups(names, group_by, val_groups)
    check_fraction(val_fraction)  # whatever was typed wrong shows before any video is opened
    frames, reasons = probe_videos(root, names, decoder=decoder, workers=workers, reporter=reporter)
    kept = np.flatnonzero(frames)
    if not len(kept):
        raise ListError(f"--root '{root}' has no readable video: '{names[0]}': {reasons[0]}. Try another --decoder")
    kept_groups = None if groups is None else [groups[index] for index in kept]
    is_val = split_fraction(labels[kept], kept_groups, val_fraction, seed) if chosen is None else chosen[kept]
    listed = is_val | _drawn(labels[kept], ~is_val, per_class, seed)
    sides: Sides = {"train": [], "val": []}
    for index, val in zip(kept[listed], is_val[listed], strict=True):
        sides["val" if val else "train"].append((names[index], int(labels[index]), int(frames[index])))
    audit = {
        "dataset": "folder",
        "root": str(root),
        "options": {
            "val_fraction": val_fraction if chosen is None else None,
            "seed": seed,
            "group_by": group_by,
            "val_groups": sorted(set(val_groups)),
            "per_class": per_class,
            "decoder": decoder,
        },
        **_counts(found.classes, sides, frames[kept[listed]]),
        "left_out": int((~listed).sum()),
        "groups": None if kept_groups is None else _group_sides(kept_groups, is_val),
        "unreadable": [{"path": _printable(names[index]), "reason": reason} for index, reason in reasons.items()],
        "ignored": [_printable(name) for name in found.ignored],
    }
    audit["warnings"] = _warnings(audit, val_wanted=chosen is not None or val_fraction > 0)
    _write_outputs(out, found.classes, sides, audit)
    for warning in audit["warnings"]:
        reporter.warn(warning)
    return audit


def probe_videos(
    root: Path,
    names: Sequence[str],
    *,
    decoder: str,
    workers: int | None,
    reporter: Reporter,
    probe: Probe | None = None,
) -> tuple[NDArray[np.int64], dict[int, str]]:
    """Open every video once, in parallel; a decoder that dies on one costs that video, not the run.

    Args:
        root: the folder that names start from.
        names: of the videos [N].
        decoder: handed to `probe`.
        workers: processes; 0 for none but this one, None for one on each core.
        reporter: for progress.
        probe: counts frames, or raises UnreadableVideo; `probe_video` when None. Processes must be able to import it.

    Returns:
        frames: int64 [N], 0 where a video cannot be read.
        reasons: why, by index, in order.
    """
    workers = default_workers() if workers is None else workers
    frames = np.zeros(len(names), dtype=np.int64)
    reasons = {index: reason for index, name in enumerate(names) if (reason := unlistable(name))}
    tasks = [(index, str(root / name)) for index, name in enumerate(names) if index not in reasons]
    with reporter.progress(len(tasks), "opening videos") as progress:
        for index, result in _probe_each(iter(tasks), partial(_probe_one, probe or probe_video, decoder), workers):
            if isinstance(result, int):
                frames[index] = result
            else:
                reasons[index] = result
            progress.advance(unreadable=str(len(reasons)))
    return frames, dict(sorted(reasons.items()))


def _probe_one(probe: Probe, decoder: str, path: str) -> int | str:
    try:
        return probe(path, decoder) or "it has no frames"
    except UnreadableVideo as error:
        return error.reason


def _probe_each(tasks: Iterator[Task], probe: BoundProbe, workers: int) -> Iterator[Result]:
    """The results of all tasks, in the order they come."""
    if not workers:
        yield from ((index, probe(path)) for index, path in tasks)
        return
    while suspects := (yield from _probe_until_crash(tasks, probe, workers)):
        for suspect in suspects:  # each alone: a second crash tells which one it was
            if (yield from _probe_until_crash(iter([suspect]), probe, 1)):
                yield suspect[0], "the decoder crashed on it"


def _probe_until_crash(tasks: Iterator[Task], probe: BoundProbe, workers: int) -> Generator[Result, None, list[Task]]:
    """Results until a process dies; returns the tasks under way at that moment, none when all are done."""
    # Spawned, not forked: a lock that the display's thread holds would never open in a forked child.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=leave_signals_to_parent) as pool:
        futures: dict[Future[int | str], Task] = {}
        while (new := list(islice(tasks, 2 * workers - len(futures)))) or futures:
            try:
                futures.update({pool.submit(probe, task[1]): task for task in new})
                done = wait(futures, return_when=FIRST_COMPLETED).done
                results = [(futures[future][0], future.result()) for future in done]
            except BrokenProcessPool:
                return sorted({*futures.values(), *new})
            yield from results
            for future in done:
                del futures[future]
    return []


def _choose_groups(
    names: Sequence[str], group_by: str | None, val_groups: Sequence[str]
) -> tuple[list[str] | None, NDArray[np.bool_] | None]:
    """The key of each video, if any; and who is in validation, bool [N], where that was said and need not be drawn."""
    if group_by is None:
        if val_groups:
            raise UsageError(f"--val-groups '{val_groups[0]}' needs to know what a group is. Add --group-by REGEX")
        return None, None
    groups = group_keys(names, group_by)
    return groups, split_groups(groups, val_groups) if val_groups else None


def _drawn(
    labels: NDArray[np.int64], is_train: NDArray[np.bool_], per_class: int | None, seed: int
) -> NDArray[np.bool_]:
    """Which videos [N] the training list keeps."""
    drawn = is_train.copy()
    if per_class is not None:
        drawn[is_train] = draw_per_class(labels[is_train], per_class, seed)
    return drawn


def _counts(classes: Sequence[str], sides: Sides, frames: NDArray[np.int64]) -> dict[str, Any]:
    by_side = {side: Counter(label for _, label, _ in rows) for side, rows in sides.items()}
    return {
        "total": len(frames),
        "splits": {side: len(rows) for side, rows in sides.items()},
        "classes": {name: {side: by_side[side][label] for side in sides} for label, name in enumerate(classes)},
        "frames": {"min": int(frames.min()), "median": float(np.median(frames)), "max": int(frames.max())},
    }


def _group_sides(groups: Sequence[str], is_val: NDArray[np.bool_]) -> dict[str, str]:
    return {group: "val" if val else "train" for group, val in sorted(zip(groups, is_val.tolist(), strict=True))}


def _warnings(audit: dict[str, Any], *, val_wanted: bool) -> list[str]:
    """What in the audit needs a look, one line each."""
    warnings = []
    if unreadable := audit["unreadable"]:
        first = f"'{unreadable[0]['path']}': {unreadable[0]['reason']}"
        warnings.append(f"{len(unreadable)} videos cannot be read and are left out; the first is {first}")
    if ignored := audit["ignored"]:
        warnings.append(f"{len(ignored)} files or folders hold no video and are ignored; the first is '{ignored[0]}'")
    for side in ("train", "val") if val_wanted else ("train",):
        absent = [name for name, counts in audit["classes"].items() if not counts[side]]
        if not audit["splits"][side]:
            warnings.append(f"no video is left for {side}: {LIST_FILES[side]} is not written")
        elif absent:
            named = ", ".join(absent[:_NAMED_AT_MOST]) + (", ..." if len(absent) > _NAMED_AT_MOST else "")
            warnings.append(f"{len(absent)} of {len(audit['classes'])} classes have no video in {side}: {named}")
    per_class = audit["options"]["per_class"] or 0
    if few := [name for name, counts in audit["classes"].items() if counts["train"] < per_class]:
        warnings.append(f"{len(few)} classes have fewer than --per-class {per_class} videos; the first is {few[0]}")
    return warnings


def _refuse_outputs(out: Path, overwrite: bool) -> None:
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out '{out}' is not a folder. Name one to write the lists into")
    for name in (*LIST_FILES.values(), CLASSES_FILE, AUDIT_FILE):
        if not overwrite and (out / name).exists():
            raise UsageError(f"file '{out / name}' exists already. Choose another --out, or add --overwrite")


def _write_outputs(out: Path, classes: Sequence[str], sides: Sides, audit: dict[str, Any]) -> None:
    """Write every file under a temporary name, then rename them all; the audit comes last and says they are whole."""
    with ExitStack() as stack:
        parts = {name: stack.enter_context(replacing(out / name)) for name in (AUDIT_FILE, CLASSES_FILE)}
        for side, rows in sides.items():
            if rows:
                write_list(stack.enter_context(replacing(out / LIST_FILES[side])), rows)
        write_classes(parts[CLASSES_FILE], classes)
        parts[AUDIT_FILE].write_text(json.dumps(audit, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    for side, rows in sides.items():
        if not rows:  # an earlier run's list does not belong to this audit
            (out / LIST_FILES[side]).unlink(missing_ok=True)


def _printable(name: str) -> str:
    """The name with what is not UTF-8 in it spelled out, for files and terminals."""
    return name.encode(errors="backslashreplace").decode()
