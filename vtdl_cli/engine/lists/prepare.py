"""Make lists of a folder of classes: open every video once, leave out what cannot be read, split, write an audit."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vtdl_cli.data.lists.splits import (
    SIDES,
    TEST,
    TRAIN,
    VAL,
    Share,
    check_shares,
    draw_fraction,
    draw_per_class,
    group_keys,
    scan_class_folders,
    split_videos,
)
from vtdl_cli.data.lists.video_list import CLASSES_FILE, write_classes, write_list
from vtdl_cli.data.video.decoding import FLOW
from vtdl_cli.engine.lists.audit import Listed, Sides, count, line_of, printable, warnings_of
from vtdl_cli.engine.lists.survey import survey
from vtdl_cli.engine.lists.survey_notes import Notes
from vtdl_cli.errors import ListError, UsageError
from vtdl_cli.locks import lock_folder, releasing_locks
from vtdl_cli.runtime import Reporter, atomic_write

AUDIT_FILE = "audit.json"
REJECTED_FILE = "rejected.txt"
NOTES_FILE = ".survey.jsonl"


def list_files(split: int) -> dict[str, str]:
    """The lists' names, by side."""
    return {side: f"{side}_split_{split}.txt" for side in SIDES}


LIST_FILES = list_files(1)


def find_test_list(val_list: Path) -> Path | None:
    """The test list that was made together with a validation list; none: it is not there."""
    for split in (1, 2, 3):
        files = list_files(split)
        if val_list.name == files[VAL] and val_list.with_name(files[TEST]).is_file():
            return val_list.with_name(files[TEST])
    return None


@dataclass(frozen=True)
class Making:
    """What all lists are made with.

    Attributes:
        out: the folder to write into, made when absent.
        per_class: videos of each class that the training list keeps, drawn; the other lists stay whole.
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
        split: from the indices [K] of the readable ones to the side of each, str [K].
        groups: the key of each video, where some are known to be cut from one recording.
        sides: those that a list is expected of, of SIDES.
        ignored: what holds no video.
        findings: what else belongs into the audit.
        warnings: what of that needs a look.
    """

    classes: list[str]
    names: list[str]
    labels: NDArray[np.int64]
    split: Callable[[NDArray[np.intp]], NDArray[np.str_]]
    groups: list[str] | None = None
    sides: tuple[str, ...] = (TRAIN, VAL)
    ignored: list[str] = field(default_factory=list)
    findings: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


@releasing_locks
def prepare_folder(
    root: Path,
    making: Making,
    *,
    val_fraction: float = 0.25,
    test_fraction: float = 0.0,
    group_by: str | None = None,
    val_groups: Sequence[str] = (),
    test_groups: Sequence[str] = (),
) -> dict[str, Any]:
    """Write lists for the videos `<root>/<class>/<video>`, their class names and an audit.

    Groups that are named are not drawn from: fractions are those of the other videos.

    Args:
        root: the folder of class folders; listed paths are relative to it.
        making: where to, and how.
        val_fraction: share of every class for validation, 0 <= val_fraction < 1; 0 writes no validation list.
        test_fraction: share of every class that neither trains nor validates; 0 writes no test list.
        group_by: a regex; its first group, searched in file names, is the key of a group that is kept whole.
        val_groups: the groups that are the validation set, instead of drawing it.
        test_groups: the groups that are the test set, instead of drawing it.

    Returns:
        The audit, as audit.json holds it.

    Raises:
        UsageError: an option or a folder cannot be right, or an output exists.
        ListError: no video can be read.
        VtdlError: an output cannot be written.
    """
    refuse_outputs(making, split=1)
    lock_folder(making.out, making.reporter)
    found = scan_class_folders(root, flow=making.decoder == FLOW)
    names, labels = [name for name, _ in found.videos], np.array([label for _, label in found.videos], dtype=np.int64)
    held_out: dict[str, Share] = {
        VAL: sorted(set(val_groups)) or float(val_fraction),
        TEST: sorted(set(test_groups)) or float(test_fraction),
    }
    groups = _group(names, group_by, held_out)
    check_shares(groups, held_out)  # whatever was typed wrong shows before any video is opened

    def split(kept: NDArray[np.intp]) -> NDArray[np.str_]:
        return split_videos(labels[kept], groups and [groups[index] for index in kept], held_out, making.seed)

    options: dict[str, Any] = {"group_by": group_by}
    for side, share in held_out.items():
        options[f"{side}_fraction"] = share if isinstance(share, float) else None
        options[f"{side}_groups"] = [] if isinstance(share, float) else share
    sides = (TRAIN, *(side for side, share in held_out.items() if share))
    candidates = Candidates(found.classes, names, labels, split, groups, sides, found.ignored)
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
    side_of = candidates.split(found.readable)
    listed = (side_of != TRAIN) | _drawn(labels[found.readable], side_of == TRAIN, making)
    chosen, dealt = found.readable[listed].tolist(), side_of[listed].tolist()
    sides: Sides = {side: [] for side in candidates.sides}
    for index, side in zip(chosen, dealt, strict=True):
        sides[side].append(Listed(names[index], int(labels[index]), found.facts[index]))
    groups = _sides_of_groups([candidates.groups[index] for index in chosen], dealt) if candidates.groups else {}
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
        "groups": {group: " and ".join(on) for group, on in groups.items()} if options.get("group_by") else None,
        "groups_on_both_sides": [group for group, on in groups.items() if len(on) > 1],
        "rejected": [
            {"path": printable(names[index]), "reason": printable(reason)} for index, reason in found.reasons.items()
        ],
        "ignored": [printable(name) for name in candidates.ignored],
        **candidates.findings,
    }
    files = list_files(split)
    audit["warnings"] = candidates.warnings + warnings_of(audit, files)
    _write_outputs(making.out, files, candidates.classes, sides, audit)
    return audit


def _group(names: Sequence[str], group_by: str | None, held_out: Mapping[str, Share]) -> list[str] | None:
    """The key of each video, if any.

    Raises:
        UsageError: groups are named, and nothing says what a group is; or the regex finds none.
    """
    if group_by is not None:
        return group_keys(names, group_by)
    for side, share in held_out.items():
        if not isinstance(share, float):
            raise UsageError(
                f"--{side}-groups '{next(iter(share))}' needs to know what a group is. Add --group-by REGEX"
            )
    return None


def _drawn(labels: NDArray[np.int64], is_train: NDArray[np.bool_], making: Making) -> NDArray[np.bool_]:
    """Which videos [N] the training list keeps."""
    drawn = is_train.copy()
    if making.per_class is not None:
        drawn[is_train] = draw_per_class(labels[is_train], making.per_class, making.seed)
    elif making.fraction is not None:
        drawn[is_train] = draw_fraction(labels[is_train], making.fraction, making.seed)
    return drawn


def _sides_of_groups(groups: Sequence[str], dealt: Sequence[str]) -> dict[str, list[str]]:
    """Where the clips of each group are: on one side, or on several."""
    pairs = set(zip(groups, dealt, strict=True))
    return {group: [side for side in SIDES if (group, side) in pairs] for group in sorted(set(groups))}


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
        parts = {name: stack.enter_context(atomic_write(out / name)) for name in sorted(wanted)}
        for side in sides:
            if files[side] in parts:
                write_list(parts[files[side]], ((row.name, row.label, row.facts.num_frames) for row in sides[side]))
        write_classes(parts[CLASSES_FILE], classes)
        if rejected:
            parts[REJECTED_FILE].write_text(rejected, encoding="utf-8", newline="\n")
        parts[AUDIT_FILE].write_text(json.dumps(audit, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    for name in {*files.values(), REJECTED_FILE} - wanted:  # an earlier run's does not belong to this audit
        (out / name).unlink(missing_ok=True)
