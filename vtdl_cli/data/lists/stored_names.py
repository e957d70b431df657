"""Find the files of videos that a list names by an id, without a suffix or a folder."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vtdl_cli.data.lists.list_file import path_exists
from vtdl_cli.data.lists.rows import ListRows
from vtdl_cli.data.video.disk import VIDEO_SUFFIXES, stem
from vtdl_cli.data.video.folder_scan import scan_folder
from vtdl_cli.errors import UsageError

_SAMPLE = 20  # names that show whether the list names files as they are


def unify_slashes(names: Sequence[bytes], root: Path) -> list[bytes]:
    """Turn the backslashes of Windows into slashes, unless a file of such a name exists."""
    slanted = [name for name in names if b"\\" in name]
    if slanted and not any(path_exists(root / name.decode()) for name in slanted[:_SAMPLE]):
        return [name.replace(b"\\", b"/") for name in names]
    return list(names)


def find_stored(rows: ListRows, root: Path) -> ListRows:
    """Replace names such as `<id>` or `<id>.mp4` by the path of the file below `root` that has this name.

    Names of files as they are remain; so do those that are not found. Of several files the first by path counts.
    """
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
    found = [_find(name, other, places) for name, other in zip(names, others, strict=True)]
    if found == names:
        return rows
    return replace(rows, columns=f"{rows.columns}; files found by name", names=[name.encode() for name in found])


def _is_id(name: str) -> bool:
    return "/" not in name or Path(name).suffix.lower() not in VIDEO_SUFFIXES


def _find(name: str, other: str, places: dict[str, list[str]]) -> str:
    for known in filter(None, (name, other)):
        folder, slash, _ = known.rpartition("/")
        for place in places.get(stem(known), []):
            if f"/{place}".rpartition("/")[0].endswith(f"{slash}{folder}"):
                return place
    return name
