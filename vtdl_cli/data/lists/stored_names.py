"""Find the files of videos that a list names by an id, without a suffix or a folder."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from vtdl_cli.data.lists.list_file import ListFile, path_exists
from vtdl_cli.data.lists.rows import ListRows
from vtdl_cli.data.video.disk import VIDEO_SUFFIXES, stem
from vtdl_cli.data.video.folder_scan import scan_folder
from vtdl_cli.errors import ListError, UsageError

_SAMPLE = 20  # names that show whether the list names files as they are


def unify_slashes(names: Sequence[bytes], root: Path) -> list[bytes]:
    """Turn the backslashes of Windows into slashes, unless a file of such a name exists."""
    slanted = [name for name in names if b"\\" in name]
    if slanted and not any(path_exists(root / name.decode()) for name in slanted[:_SAMPLE]):
        return [name.replace(b"\\", b"/") for name in names]
    return list(names)


def find_stored(rows: ListRows, file: ListFile) -> ListRows:
    """Replace names such as `<id>` or `<id>.mp4` by the path of the file below the root that has this name.

    Names of files as they are remain; so do those that are not found. Of several files, the one that lies where the
    name says counts, or else one in a folder named as the video's class; of copies in one folder, the first by path.

    Raises:
        ListError: a name may be that of files in several folders.
    """
    root = file.root
    names = [name.decode() for name in rows.names]
    others = rows.other_names or [""] * len(names)
    if any(path_exists(root / name) for name in names[:_SAMPLE]) or not any(map(_is_id, names[:_SAMPLE])):
        return rows
    try:
        places: dict[str, list[str]] = {}
        for place in scan_folder(root).videos:
            places.setdefault(stem(place), []).append(place)
    except UsageError:  # no folder: every video is reported as missing
        return rows
    rows_of_names = zip(names, others, _class_names(rows), strict=True)
    several = [_find(name, other, label, places) or [name] for name, other, label in rows_of_names]
    if unclear := [index for index, each in enumerate(several) if len(each) > 1]:
        first, second, *_ = several[unclear[0]]
        what = f"{file.line(int(rows.numbers[unclear[0]]))} names '{names[unclear[0]]}'"
        which = f"each such video ({len(unclear)} of {len(names)})"
        hint = f"Write the folder of {which}, or give one of the folders as --root"
        raise ListError(f"{what}, but below '{root}' are '{first}' and '{second}'. {hint}")
    found = [each[0] for each in several]
    if found == names:
        return rows
    return replace(rows, columns=f"{rows.columns}; files found by name", names=[name.encode() for name in found])


def _is_id(name: str) -> bool:
    return "/" not in name or Path(name).suffix.lower() not in VIDEO_SUFFIXES


def _class_names(rows: ListRows) -> Sequence[str]:
    """Return the name of the class of each video [N]; empty if it is not known."""
    if not isinstance(rows.labels, np.ndarray):
        return rows.labels
    named = dict(enumerate(rows.classes or ()))
    return [named.get(label, "") for label in rows.labels.tolist()]


def _find(name: str, other: str, label: str, places: dict[str, list[str]]) -> list[str]:
    """Return the files that a name, or else the other, may stand for, the first of each folder; empty if none may."""
    for known in filter(None, (name, other)):
        folder, slash, _ = known.rpartition("/")
        end = f"{slash}{folder}"
        found: dict[str, str] = {}
        for place in places.get(stem(known), []):
            above = f"/{place}".rpartition("/")[0]
            if above.endswith(end):
                found.setdefault(above, place)
        if end in found:
            return [found[end]]
        if found:
            of_class = [place for above, place in found.items() if label and _plain(label) in _plain(above).split("/")]
            return of_class or list(found.values())
    return []


def _plain(name: str) -> str:
    return name.casefold().replace(" ", "_")
