"""The files that `vtdl prepare-lists` writes: lists, class names, rejected videos and the audit."""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from vtdl_cli.data.lists.class_names import CLASSES_FILE, write_classes
from vtdl_cli.data.lists.layouts import side_of
from vtdl_cli.data.lists.splits import SIDES, TRAIN
from vtdl_cli.data.lists.video_list import write_list
from vtdl_cli.engine.lists.audit import Sides
from vtdl_cli.errors import UsageError
from vtdl_cli.runtime import atomic_write

AUDIT_FILE = "audit.json"
REJECTED_FILE = "rejected.txt"


def list_files(split: int) -> dict[str, str]:
    """Return the file name of each side's list."""
    return {side: f"{side}_split_{split}.txt" for side in SIDES}


LIST_FILES = list_files(1)


def side_of_list(file: Path) -> str:
    """Return the side that the name of a list stands for; train if for none."""
    return side_of(file.stem) or TRAIN


def find_list(side: str, listed: Path) -> Path | None:
    """Return the list of a side that was written together with the list `listed`, if there is one."""
    for split in (1, 2, 3):
        files = list_files(split)
        other = listed.with_name(files[side]).with_suffix(listed.suffix)  # lists with intervals are CSV
        if listed.with_suffix(".txt").name in files.values() and other.is_file():
            return other
    return None


def refuse_existing(out: Path, split: int, *, overwrite: bool) -> None:
    """Raise UsageError if an output exists and may not be overwritten, or `out` is not a folder."""
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out '{out}' is not a folder. Name one to write the lists to")
    for name in (*list_files(split).values(), CLASSES_FILE, REJECTED_FILE, AUDIT_FILE):
        if not overwrite and (out / name).exists():
            raise UsageError(f"file '{out / name}' exists already. Choose another --out, or add --overwrite")


def write_outputs(
    out: Path, files: dict[str, str], classes: Sequence[str], sides: Sides, audit: dict[str, Any]
) -> None:
    """Write all files under temporary names, then rename them; the audit last, as proof that they are complete.

    Args:
        out: the folder.
        files: the file name of each side's list.
        classes: class names, in the order of their numbers; empty for unlabelled videos.
        sides: the listed videos of each side; an empty side gets no list.
        audit: the content of audit.json; its `rejected` also goes to rejected.txt.

    Raises:
        VtdlError: a file cannot be written; the old files are intact.
    """
    rejected = "".join(f"{_on_one_line(bad['path'])}\t{_on_one_line(bad['reason'])}\n" for bad in audit["rejected"])
    wanted = {AUDIT_FILE, *(files[side] for side in sides if sides[side])}
    wanted |= {REJECTED_FILE} if rejected else set()
    wanted |= {CLASSES_FILE} if classes else set()
    with ExitStack() as stack:  # the audit is entered first, so it is renamed last
        parts = {name: stack.enter_context(atomic_write(out / name)) for name in sorted(wanted)}
        for side in sides:
            if files[side] in parts:
                rows = ((video.name, video.label, video.facts.num_frames) for video in sides[side])
                write_list(parts[files[side]], rows)
        if classes:
            write_classes(parts[CLASSES_FILE], classes)
        if rejected:
            parts[REJECTED_FILE].write_text(rejected, encoding="utf-8", newline="\n")
        parts[AUDIT_FILE].write_text(json.dumps(audit, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    known = {*files.values(), CLASSES_FILE, REJECTED_FILE}
    for name in known - wanted:  # of an earlier run: they do not belong to this audit
        (out / name).unlink(missing_ok=True)


def _on_one_line(text: str) -> str:
    """Escape line breaks."""
    return text.replace("\r", "\\r").replace("\n", "\\n")
