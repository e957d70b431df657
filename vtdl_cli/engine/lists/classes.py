"""Find the videos below a folder, and give them the lists and classes that their folders stand for."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from vtdl_cli.data.lists.layouts import (
    DRAW,
    LABELS,
    NONE,
    PARENT,
    SPLIT_SOURCES,
    Folders,
    Layout,
    count_folders,
    describe,
    describe_shapes,
    recognise,
)
from vtdl_cli.data.lists.rows import UNKNOWN_CLASS
from vtdl_cli.data.lists.writable import unlistable
from vtdl_cli.data.video.folder_scan import find_videos
from vtdl_cli.engine.lists.audit import escape_non_utf8
from vtdl_cli.errors import UsageError
from vtdl_cli.text import counted


class FoundVideos(NamedTuple):
    """The N videos below a folder that have a place in its layout, sorted by class, then by name.

    Attributes:
        layout: how the folders were read.
        classes: class names; empty for unlabelled videos.
        names: paths [N].
        labels: int64 [N].
        sides: str [N]; `TRAIN` for all if folders do not name lists.
        ignored: files and folders that hold no video.
        description: the line that reports how the folder was read.
        warnings: lines about what needs attention.
        redraw: the options that draw lists of them in place of those that folders stand for, with the same classes;
            empty if lists are drawn anyway, None if no options do.
    """

    layout: Layout
    classes: list[str]
    names: list[str]
    labels: NDArray[np.int64]
    sides: NDArray[np.str_]
    ignored: list[str]
    description: str
    warnings: list[str]
    redraw: str | None


def find_labelled_videos(root: Path, labels: str, split_from: str, *, flow: bool = False) -> FoundVideos:
    """Find the videos at any depth below a folder, and recognise its layout.

    Args:
        root: the top folder.
        labels: one of `LABELS`.
        split_from: one of `SPLIT_SOURCES`.
        flow: look for optical flow, see `data.video.flow_folder`.

    Raises:
        UsageError: an option is unknown, or asks for folders that do not exist; `root` has no video; the name of a
            class cannot be written to a list.
    """
    for option, value, allowed in (("--labels", labels, LABELS), ("--split-from", split_from, SPLIT_SOURCES)):
        if value not in allowed:
            raise UsageError(f"{option} '{value}' is not one of {', '.join(allowed)}")
    found = find_videos(root, flow=flow)
    counts = count_folders(found.videos)
    layout = recognise(counts, labels, split_from)
    places = {"/".join(folders): layout.place(folders) for folders in counts}
    class_of = _name_classes({place.name for place in places.values() if place and place.name})
    if layout.labels != NONE and not class_of:
        hint = "Name the folder that holds one sub-folder for each class, or add --labels none"
        raise UsageError(f"--root '{root}' has no class folder with a video in it: {describe_shapes(counts)}. {hint}")
    classes = sorted(set(class_of.values()))
    numbers = {folder: classes.index(name) for folder, name in class_of.items()} | {"": UNKNOWN_CLASS}
    redraw = _options_to_redraw(counts, layout)
    rows, left_out = [], []
    for name in found.videos:
        if place := places[name.rpartition("/")[0]]:
            rows.append((numbers[place.name], name, place.side))
        else:
            left_out.append(name)
    rows.sort()
    names = [name for _, name, _ in rows]
    return FoundVideos(
        layout,
        classes,
        names,
        np.array([label for label, _, _ in rows], dtype=np.int64),
        np.array([side for _, _, side in rows], "<U8"),
        found.ignored,
        describe(layout, counts, len(classes), len(set(found.frame_folders).intersection(names))),
        [*_warn_of_left_out(left_out, layout, counts, redraw), *_warn_of_forms(class_of)],
        redraw,
    )


def _name_classes(folders: Collection[str]) -> dict[str, str]:
    """Return the class of each class folder: its name in Unicode's composed form, whichever the disk has.

    Archives made on a Mac hold decomposed names; those of one data set may come in both forms.

    Raises:
        UsageError: a name cannot be written to a list.
    """
    for folder in sorted(folders):
        if reason := unlistable(folder):
            raise UsageError(f"class folder {folder!a} cannot be written to a list: {reason}. Rename it")
    return {folder: normalize("NFC", folder) for folder in folders}


def _warn_of_forms(class_of: dict[str, str]) -> list[str]:
    twice = sorted(folder for folder, name in class_of.items() if folder != name and name in class_of)
    if not twice:
        return []
    what = f"{len(twice)} class folders exist under two Unicode forms of one name, which are read as one class"
    return [f"{what}; the first is '{class_of[twice[0]]}'"]


def _options_to_redraw(counts: Mapping[Folders, int], layout: Layout) -> str | None:
    """Return `FoundVideos.redraw`."""
    if not layout.sides:
        return ""
    labels = NONE if layout.labels == NONE else PARENT
    drawn = recognise(counts, labels, DRAW)
    for folders in counts:
        place, redrawn = layout.place(folders), drawn.place(folders)
        if place and (redrawn is None or redrawn.name != place.name):
            return None
        if labels == PARENT and redrawn and len(folders) == len(layout.prefix) + 1:  # a folder beside those of lists
            return None
    return f"--split-from {DRAW} --labels {labels}"


def _warn_of_left_out(names: list[str], layout: Layout, counts: Mapping[Folders, int], redraw: str | None) -> list[str]:
    if not names:
        return []
    where = (
        "folder of a list" if layout.labels == NONE else "class folder of a list" if layout.sides else "class folder"
    )
    what = (
        f"{counted(len(names), 'video lies', 'videos lie')} in no {where}, and will not be listed; the "
        f"first is '{escape_non_utf8(names[0])}'"
    )
    left_out = [folders for folders in counts if not layout.place(folders)]
    if redraw and (layout.labels == NONE or len(layout.prefix) < min(map(len, left_out))):
        return [f"{what}. To list them too: {redraw}"]
    keeps_lists = all(replace(layout, labels=NONE).place(folders) for folders in left_out)
    options = f"--labels {NONE}" if keeps_lists else f"--split-from {DRAW} --labels {NONE}"
    return [f"{what}. Move them there, or list all without classes: {options}"]
