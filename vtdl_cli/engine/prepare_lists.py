"""Make lists: of a folder of classes, or of an official split; open every video once, leave out what cannot be read."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vtdl_cli.data.lists import CLASSES_FILE, write_classes, write_list
from vtdl_cli.data.official import OFFICIAL, Located, OfficialSplit, by_class, locate
from vtdl_cli.data.splits import (
    check_fraction,
    draw_per_class,
    group_keys,
    scan_class_folders,
    split_fraction,
    split_groups,
)
from vtdl_cli.engine.survey import probe_videos
from vtdl_cli.errors import ListError, UsageError
from vtdl_cli.runtime import Reporter, replacing

AUDIT_FILE = "audit.json"
_NAMED_AT_MOST = 5  # classes in one warning
_SHOWN_PATHS = 3  # of what was found, where nothing was that was looked for

Row = tuple[str, int, int]  # path relative to the root, class, frames
Sides = dict[str, list[Row]]  # of train and val


def list_files(split: int) -> dict[str, str]:
    """The lists' names, by side."""
    return {side: f"{side}_split_{split}.txt" for side in ("train", "val")}


LIST_FILES = list_files(1)


@dataclass(frozen=True)
class Making:
    """What all lists are made with.

    Attributes:
        out: the folder to write into, made when absent.
        per_class: videos of each class that the training list keeps, drawn; the validation list stays whole.
        seed: of all draws.
        decoder: what opens the videos, see `data.decoding`.
        workers: processes that open videos; 0 opens them in this one, None takes one for each core.
        overwrite: replace what an earlier run wrote.
        reporter: for progress, and a warning for whatever in the audit needs a look.
    """

    out: Path
    reporter: Reporter
    per_class: int | None = None
    seed: int = 0
    decoder: str = "decord"
    workers: int | None = None
    overwrite: bool = False


@dataclass(frozen=True)
class Candidates:
    """The videos that lists could be made of, before any is opened.

    Attributes:
        classes: names, by number.
        names: N paths relative to the root.
        labels: int64 [N].
        split: from the indices [K] of the readable ones to who of them is in validation, bool [K].
        groups: the key of each video, where they are kept together.
        val_wanted: whether a validation list is expected.
        ignored: what holds no video.
        findings: what else belongs into the audit.
        warnings: what of that needs a look.
    """

    classes: list[str]
    names: list[str]
    labels: NDArray[np.int64]
    split: Callable[[NDArray[np.intp]], NDArray[np.bool_]]
    groups: list[str] | None = None
    val_wanted: bool = True
    ignored: list[str] = field(default_factory=list)
    findings: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def prepare_folder(
    root: Path,
    making: Making,
    *,
    val_fraction: float = 0.25,
    group_by: str | None = None,
    val_groups: Sequence[str] = (),
) -> dict[str, Any]:
    """Write lists for the videos `<root>/<class>/<video>`, their class names and an audit.

    Args:
        root: the folder of class folders; listed paths are relative to it.
        making: where to, and how.
        val_fraction: share of every class for validation, 0 <= val_fraction < 1; 0 writes no validation list.
        group_by: a regex; its first group, searched in file names, is the key of a group that is kept whole.
        val_groups: the groups that are the validation set; nothing is drawn then.

    Returns:
        The audit, as audit.json holds it.

    Raises:
        UsageError: an option or a folder cannot be right, or an output exists.
        ListError: no video can be read.
        VtdlError: an output cannot be written.
    """
    _refuse_outputs(making, split=1)
    found = scan_class_folders(root)
    names, labels = [name for name, _ in found.videos], np.array([label for _, label in found.videos], dtype=np.int64)
    groups, chosen = _choose_groups(names, group_by, val_groups)
    check_fraction(val_fraction)  # whatever was typed wrong shows before any video is opened

    def split(kept: NDArray[np.intp]) -> NDArray[np.bool_]:
        if chosen is not None:
            return chosen[kept]
        return split_fraction(labels[kept], groups and [groups[index] for index in kept], val_fraction, making.seed)

    options = {
        "val_fraction": val_fraction if chosen is None else None,
        "group_by": group_by,
        "val_groups": sorted(set(val_groups)),
    }
    wanted = chosen is not None or val_fraction > 0
    candidates = Candidates(found.classes, names, labels, split, groups, wanted, found.ignored)
    return _make_lists("folder", root, candidates, options, making)


def prepare_official(dataset: str, root: Path, splits: Path, making: Making, *, split: int = 1) -> dict[str, Any]:
    """Write the lists of an official split for as many of its videos as are there, in the split's order.

    Args:
        dataset: one of `data.official.OFFICIAL`.
        root: where its videos lie, in class folders or not; listed paths are relative to it.
        splits: the folder of its split files; of Kinetics' annotations, or one of them.
        making: where to, and how.
        split: which of the official ones.

    Returns:
        The audit, as audit.json holds it: also what is missing, there twice, or there and not in the split.

    Raises:
        UsageError: an option or a folder cannot be right, or an output exists.
        ListError: none of the videos is there, or can be read.
        VtdlError: an output cannot be written.
    """
    _refuse_outputs(making, split)
    official = OFFICIAL[dataset](splits, split)
    located = locate(root, official)
    if not located.found:
        shown = ", ".join(f"'{_printable(name)}'" for name in located.unlisted[:_SHOWN_PATHS])
        raise ListError(
            f"--root '{root}' has none of the {len(official.videos)} videos of the split: expected names like "
            f"'{official.videos[0].name}', found {shown or 'no video'}. Name the folder that the videos lie in"
        )
    videos = [video for _, video in located.found]
    is_val = np.array([video.is_val for video in videos])
    candidates = Candidates(
        official.classes,
        [name for name, _ in located.found],
        np.array([video.label for video in videos], dtype=np.int64),
        lambda kept: is_val[kept],
        findings=_findings(official, located),
        warnings=_against_the_disk(official, located),
    )
    options = {"splits": str(splits), "split": split}
    return _make_lists(dataset, root, candidates, options, making, split=split)


def _findings(official: OfficialSplit, located: Located) -> dict[str, Any]:
    return {
        "expected": len(official.videos),
        "missing": [video.name for video in located.missing],
        "missing_by_class": by_class(located.missing, official.classes),
        "twice": [{"taken": _printable(taken), "left": _printable(left)} for taken, left in located.twice],
        "not_in_split": [_printable(name) for name in located.unlisted],
    }


def _against_the_disk(official: OfficialSplit, located: Located) -> list[str]:
    warnings = []
    if located.missing:
        warnings.append(
            f"{len(located.missing)} of the split's {len(official.videos)} videos are not there, of "
            f"{len(by_class(located.missing, official.classes))} classes; the first is '{located.missing[0].name}'"
        )
    if located.twice:
        taken, left = (_printable(name) for name in located.twice[0])
        warnings.append(f"{len(located.twice)} videos are there twice; of the first, '{taken}' is listed, not '{left}'")
    return warnings


def _make_lists(
    dataset: str, root: Path, candidates: Candidates, options: dict[str, Any], making: Making, split: int = 1
) -> dict[str, Any]:
    """Open all candidates, split the readable ones, and write lists, class names and audit; returns the audit."""
    names, labels = candidates.names, candidates.labels
    frames, reasons = probe_videos(
        root, names, decoder=making.decoder, workers=making.workers, reporter=making.reporter
    )
    kept = np.flatnonzero(frames)
    if not len(kept):
        raise ListError(f"--root '{root}' has no readable video: '{names[0]}': {reasons[0]}. Try another --decoder")
    is_val = candidates.split(kept)
    listed = is_val | _drawn(labels[kept], ~is_val, making.per_class, making.seed)
    sides: Sides = {"train": [], "val": []}
    for index, val in zip(kept[listed], is_val[listed], strict=True):
        sides["val" if val else "train"].append((names[index], int(labels[index]), int(frames[index])))
    groups = candidates.groups and [candidates.groups[index] for index in kept]
    audit = {
        "dataset": dataset,
        "root": str(root),
        "options": {**options, "per_class": making.per_class, "seed": making.seed, "decoder": making.decoder},
        **_counts(candidates.classes, sides, frames[kept[listed]]),
        "left_out": int((~listed).sum()),
        "groups": groups and _group_sides(groups, is_val),
        "unreadable": [{"path": _printable(names[index]), "reason": reason} for index, reason in reasons.items()],
        "ignored": [_printable(name) for name in candidates.ignored],
        **candidates.findings,
    }
    files = list_files(split)
    audit["warnings"] = candidates.warnings + _warnings(audit, files, val_wanted=candidates.val_wanted)
    _write_outputs(making.out, files, candidates.classes, sides, audit)
    for warning in audit["warnings"]:
        making.reporter.warn(warning)
    return audit


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


def _warnings(audit: dict[str, Any], files: dict[str, str], *, val_wanted: bool) -> list[str]:
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
            warnings.append(f"no video is left for {side}: {files[side]} is not written")
        elif absent:
            named = ", ".join(absent[:_NAMED_AT_MOST]) + (", ..." if len(absent) > _NAMED_AT_MOST else "")
            warnings.append(f"{len(absent)} of {len(audit['classes'])} classes have no video in {side}: {named}")
    per_class = audit["options"]["per_class"] or 0
    if few := [name for name, counts in audit["classes"].items() if counts["train"] < per_class]:
        warnings.append(f"{len(few)} classes have fewer than --per-class {per_class} videos; the first is {few[0]}")
    return warnings


def _refuse_outputs(making: Making, split: int) -> None:
    out = making.out
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out '{out}' is not a folder. Name one to write the lists into")
    for name in (*list_files(split).values(), CLASSES_FILE, AUDIT_FILE):
        if not making.overwrite and (out / name).exists():
            raise UsageError(f"file '{out / name}' exists already. Choose another --out, or add --overwrite")


def _write_outputs(
    out: Path, files: dict[str, str], classes: Sequence[str], sides: Sides, audit: dict[str, Any]
) -> None:
    """Write every file under a temporary name, then rename them all; the audit comes last and says they are whole."""
    with ExitStack() as stack:
        parts = {name: stack.enter_context(replacing(out / name)) for name in (AUDIT_FILE, CLASSES_FILE)}
        for side, rows in sides.items():
            if rows:
                write_list(stack.enter_context(replacing(out / files[side])), rows)
        write_classes(parts[CLASSES_FILE], classes)
        parts[AUDIT_FILE].write_text(json.dumps(audit, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    for side, rows in sides.items():
        if not rows:  # an earlier run's list does not belong to this audit
            (out / files[side]).unlink(missing_ok=True)


def _printable(name: str) -> str:
    """The name with what is not UTF-8 in it spelled out, for files and terminals."""
    return name.encode(errors="backslashreplace").decode()
