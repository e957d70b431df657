"""Make lists of a folder of classes: open every video once, leave out what cannot be read, split, write an audit."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vtdl_cli.data.decoding import FLOW
from vtdl_cli.data.lists import CLASSES_FILE, write_classes, write_list
from vtdl_cli.data.splits import (
    check_fraction,
    draw_fraction,
    draw_per_class,
    group_keys,
    scan_class_folders,
    split_fraction,
    split_groups,
)
from vtdl_cli.engine.audit import Listed, Sides, count, line_of, printable, warnings_of
from vtdl_cli.engine.survey import survey
from vtdl_cli.engine.survey_notes import Notes
from vtdl_cli.errors import ListError, UsageError
from vtdl_cli.locks import releasing_locks, take_folder
from vtdl_cli.runtime import Reporter, replacing

AUDIT_FILE = "audit.json"
REJECTED_FILE = "rejected.txt"
NOTES_FILE = ".survey.jsonl"


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
        fraction: or which share of each class.
        seed: of all draws.
        decoder: what opens the videos, see `data.decoding`.
        verify: decode every video whole.
        min_frames: of a video that is not too short to be listed.
        workers: processes that open videos; 0 opens them in this one, None takes one for each core.
        overwrite: replace what an earlier run wrote.
        reporter: for progress, and a warning for whatever in the audit needs a look.
    """

    out: Path
    reporter: Reporter
    per_class: int | None = None
    fraction: float | None = None
    seed: int = 0
    decoder: str = "decord"
    verify: bool = False
    min_frames: int = 1
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
        groups: the key of each video, where some are known to be cut from one recording.
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


@releasing_locks
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
    refuse_outputs(making, split=1)
    take_folder(making.out, making.reporter)
    found = scan_class_folders(root, flow=making.decoder == FLOW)
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
    return make_lists("folder", root, candidates, options, making)


def make_lists(
    dataset: str, root: Path, candidates: Candidates, options: dict[str, Any], making: Making, split: int = 1
) -> dict[str, Any]:
    """Open all candidates, split the readable ones, and write lists, class names and audit; returns the audit."""
    notes = Notes(making.out / NOTES_FILE, f"{making.decoder} {making.verify}")
    try:
        audit = _make_lists(dataset, root, candidates, options, making, split, notes)
    except (UsageError, ListError):  # a refusal leaves nothing behind but what an interrupted run kept
        notes.forget(new_only=True)
        raise
    notes.forget()
    for warning in audit["warnings"]:
        making.reporter.warn(warning)
    return audit


def _make_lists(
    dataset: str,
    root: Path,
    candidates: Candidates,
    options: dict[str, Any],
    making: Making,
    split: int,
    notes: Notes,
) -> dict[str, Any]:
    names, labels = candidates.names, candidates.labels
    found = survey(
        root,
        names,
        decoder=making.decoder,
        verify=making.verify,
        min_frames=making.min_frames,
        workers=making.workers,
        reporter=making.reporter,
        notes=notes,
    )
    if not found.facts:
        raise ListError(
            f"--root '{root}' has no readable video: '{names[0]}': {found.reasons[0]}. Try another --decoder"
        )
    is_val = candidates.split(found.readable)
    listed = is_val | _drawn(labels[found.readable], ~is_val, making)
    chosen = found.readable[listed].tolist()
    sides: Sides = {"train": [], "val": []}
    for index, val in zip(chosen, is_val[listed], strict=True):
        row = Listed(names[index], int(labels[index]), found.facts[index])
        sides["val" if val else "train"].append(row)
    groups = _group_sides([candidates.groups[index] for index in chosen], is_val[listed]) if candidates.groups else {}
    audit = {
        "dataset": dataset,
        "root": printable(str(root)),
        "options": {
            **options,
            "per_class": making.per_class,
            "fraction": making.fraction,
            "seed": making.seed,
            "decoder": making.decoder,
            "verify": making.verify,
            "min_frames": making.min_frames,
        },
        **count(sides, candidates.classes, root),
        "left_out": int((~listed).sum()),
        "groups": groups if options.get("group_by") else None,
        "groups_on_both_sides": [group for group, side in groups.items() if side == "both"],
        "rejected": [
            {"path": printable(names[index]), "reason": printable(reason)} for index, reason in found.reasons.items()
        ],
        "ignored": [printable(name) for name in candidates.ignored],
        **candidates.findings,
    }
    files = list_files(split)
    audit["warnings"] = candidates.warnings + warnings_of(audit, files, val_wanted=candidates.val_wanted)
    _write_outputs(making.out, files, candidates.classes, sides, audit)
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


def _drawn(labels: NDArray[np.int64], is_train: NDArray[np.bool_], making: Making) -> NDArray[np.bool_]:
    """Which videos [N] the training list keeps."""
    drawn = is_train.copy()
    if making.per_class is not None:
        drawn[is_train] = draw_per_class(labels[is_train], making.per_class, making.seed)
    elif making.fraction is not None:
        drawn[is_train] = draw_fraction(labels[is_train], making.fraction, making.seed)
    return drawn


def _group_sides(groups: Sequence[str], is_val: NDArray[np.bool_]) -> dict[str, str]:
    """Where the clips of each group are: train, val, or both."""
    sides: dict[str, str] = {}
    for group, val in sorted(zip(groups, is_val.tolist(), strict=True)):
        side = "val" if val else "train"
        sides[group] = side if sides.get(group, side) == side else "both"
    return sides


def refuse_outputs(making: Making, split: int) -> None:
    """Raise UsageError where something is in the way, or options exclude each other."""
    out = making.out
    if making.per_class is not None and making.fraction is not None:
        raise UsageError("--per-class and --fraction exclude each other. Choose one")
    if making.fraction is not None and not 0 < making.fraction <= 1:
        raise UsageError(f"--fraction '{making.fraction}' is not a share of the videos. Try 0.1")
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out '{out}' is not a folder. Name one to write the lists into")
    for name in (*list_files(split).values(), CLASSES_FILE, REJECTED_FILE, AUDIT_FILE):
        if not making.overwrite and (out / name).exists():
            raise UsageError(f"file '{out / name}' exists already. Choose another --out, or add --overwrite")


def _write_outputs(
    out: Path, files: dict[str, str], classes: Sequence[str], sides: Sides, audit: dict[str, Any]
) -> None:
    """Write every file under a temporary name, then rename them all; the audit comes last and says they are whole."""
    rejected = "".join(f"{line_of(bad['path'])}\t{line_of(bad['reason'])}\n" for bad in audit["rejected"])
    wanted = {AUDIT_FILE, CLASSES_FILE, *(files[side] for side in sides if sides[side])}
    wanted |= {REJECTED_FILE} if rejected else set()
    with ExitStack() as stack:  # the audit is entered first, so renamed last
        parts = {name: stack.enter_context(replacing(out / name)) for name in sorted(wanted)}
        for side in sides:
            if files[side] in parts:
                write_list(parts[files[side]], ((row.name, row.label, row.facts.num_frames) for row in sides[side]))
        write_classes(parts[CLASSES_FILE], classes)
        if rejected:
            parts[REJECTED_FILE].write_text(rejected, encoding="utf-8", newline="\n")
        parts[AUDIT_FILE].write_text(json.dumps(audit, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    for name in {*files.values(), REJECTED_FILE} - wanted:  # an earlier run's does not belong to this audit
        (out / name).unlink(missing_ok=True)
