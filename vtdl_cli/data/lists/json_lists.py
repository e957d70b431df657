"""Annotation files in JSON: Something-Something v2, Diving48, mmaction2, ActivityNet and Kinetics."""

import json
import re
from pathlib import Path
from typing import Any

from vtdl_cli.data.lists.entries import Entry, check_interval, name_clip, rows_of_entries
from vtdl_cli.data.lists.layouts import side_of_cell
from vtdl_cli.data.lists.list_file import ListFile
from vtdl_cli.data.lists.rows import UNKNOWN_CLASS, ListRows
from vtdl_cli.errors import ListError

SOMETHING_LABELS = ("labels.json", "something-something-v2-labels.json")
DIVING_LABELS = ("Diving48_vocab.json",)


def is_something(file: ListFile) -> bool:
    """Whether the file is of the form of Something-Something v2: a list of ids, with templates or without."""
    return _is_list_with(file, "id") and "filename" not in file.json[0]


def read_something(file: ListFile) -> ListRows:
    """Read `id` and `template`; classes are in the order of the labels.json beside the file, else alphabetical.

    Raises:
        ListError: an entry lacks its id.
    """
    entries = [
        Entry(number, str(_get(file, number, video, "id")), re.sub(r"[\[\]]", "", str(video.get("template", ""))))
        for number, video in enumerate(file.json, start=1)
    ]
    labels = file.beside(*SOMETHING_LABELS)
    names = _read_order(labels) if labels else None
    return rows_of_entries(file, "something-something v2: path from 'id', label from 'template'", entries, names)


def is_diving48(file: ListFile) -> bool:
    """Whether the file is of the form of Diving48."""
    return _is_list_with(file, "vid_name", "label")


def read_diving48(file: ListFile) -> ListRows:
    """Read `vid_name`, `label` and, as videos are trimmed, their frame count; the vocabulary beside it names classes.

    Raises:
        ListError: an entry lacks a value.
    """
    entries = _numbered(file, "vid_name", "end_frame")
    vocabulary = file.beside(*DIVING_LABELS)
    names = [" ".join(map(str, words)) for words in _load(vocabulary, list)] if vocabulary else None
    return rows_of_entries(file, "diving48: path from 'vid_name', class from 'label'", entries, names)


def is_mmaction(file: ListFile) -> bool:
    """Whether the file is of the form of mmaction2: a list of `filename` or `frame_dir`."""
    return _is_list_with(file, "filename") or _is_list_with(file, "frame_dir")


def read_mmaction(file: ListFile) -> ListRows:
    """Read `filename` or `frame_dir`, `label` and `total_frames`.

    Raises:
        ListError: an entry lacks a value, or has several labels.
    """
    key = "filename" if "filename" in file.json[0] else "frame_dir"
    entries = _numbered(file, key, "total_frames")
    return rows_of_entries(file, f"mmaction2: path from '{key}', class from 'label'", entries)


def is_activitynet(file: ListFile) -> bool:
    """Whether the file maps video ids to annotations, as those of ActivityNet, THUMOS14 and Kinetics."""
    videos = _database(file)
    return bool(videos) and all(
        isinstance(video, dict) and isinstance(video.get("annotations"), list | dict) for video in videos.values()
    )


def read_activitynet(file: ListFile) -> ListRows:
    """Read one row for each annotated segment; a video without any is a row without a class.

    In the JSON of Kinetics the one annotation says which part of the original the downloaded clip is.

    Raises:
        ListError: a segment lacks its label, or does not start before it ends.
    """
    entries = []
    for number, (name, video) in enumerate(_database(file).items(), start=1):
        annotations, side = video["annotations"], _side(file, number, video)
        if isinstance(annotations, dict):  # Kinetics
            start, end = _segment(file, number, annotations)
            clip, label = name_clip(name, start, end), str(annotations.get("label", ""))
            entries.append(Entry(number, clip, label, side=side, other_name=name))
            continue
        if not annotations:
            entries.append(Entry(number, name, "", side=side, other_name=f"v_{name}"))
        for annotation in annotations:
            label, segment = str(_get(file, number, annotation, "label")), _segment(file, number, annotation)
            entries.append(Entry(number, name, label, 0, segment, side, f"v_{name}"))
    return rows_of_entries(file, "activitynet: path from the id, label and interval from 'annotations'", entries)


def refuse_json(file: ListFile) -> ListRows:
    """Refuse a JSON file of another form.

    Raises:
        ListError: always.
    """
    first = file.json[0] if isinstance(file.json, list) and file.json else file.json
    keys = ", ".join(list(first)[:8]) if isinstance(first, dict) else type(first).__name__
    known = "id and template, vid_name and label, filename and label, or database"
    raise ListError(
        f"list '{file.source}' is JSON of no known form: it has {keys or 'nothing'}, not {known}. "
        "Write it as CSV with a first line 'path,label'"
    )


def _is_list_with(file: ListFile, *keys: str) -> bool:
    videos = file.json
    return isinstance(videos, list) and bool(videos) and isinstance(videos[0], dict) and set(keys) <= set(videos[0])


def _database(file: ListFile) -> dict[str, Any]:
    content = file.json if isinstance(file.json, dict) else {}
    database = content.get("database", content)
    return database if isinstance(database, dict) else {}


def _get(file: ListFile, number: int, entry: Any, key: str) -> Any:
    if not isinstance(entry, dict) or key not in entry:
        raise ListError(f"{file.line(number)} has no '{key}'. Correct the file")
    return entry[key]


def _numbered(file: ListFile, name: str, frames: str) -> list[Entry]:
    """Return the entries of a list of videos whose classes are numbers, by the keys of their names and frame counts."""
    return [
        Entry(
            number,
            str(_get(file, number, video, name)),
            _integer(file, number, video),
            _count(file, number, video, frames),
        )
        for number, video in enumerate(file.json, start=1)
    ]


def _integer(file: ListFile, number: int, entry: Any) -> int:
    """Return the class of an entry, -1 if it has none."""
    label = entry.get("label", UNKNOWN_CLASS) if isinstance(entry, dict) else UNKNOWN_CLASS
    if isinstance(label, list) and len(label) == 1:
        label = label[0]
    if not isinstance(label, int) or abs(label) >= 2**63:
        raise ListError(f"{file.line(number)} has label '{label}', which is not one class number. Correct the file")
    return label


def _count(file: ListFile, number: int, entry: dict[str, Any], key: str) -> int:
    """Return a frame count, 0 if the entry has none."""
    count = entry.get(key, 0)
    if not isinstance(count, int) or not 0 <= count < 2**63:
        raise ListError(f"{file.line(number)} has {key} '{count}', which is not a number of frames. Correct the file")
    return count


def _segment(file: ListFile, number: int, annotation: Any) -> tuple[float, float]:
    segment = _get(file, number, annotation, "segment")
    try:
        start, end = map(float, segment)
    except (TypeError, ValueError):
        raise ListError(
            f"{file.line(number)} has segment '{segment}', not two numbers of seconds. Correct it"
        ) from None
    return check_interval(file, number, start, end)


def _side(file: ListFile, number: int, video: dict[str, Any]) -> str:
    if "subset" not in video:
        return ""
    if side := side_of_cell(str(video["subset"])):
        return side
    rule = "which is not train, val or test"
    raise ListError(f"{file.line(number)} has subset '{video['subset']}', {rule}. Correct the file")


def _read_order(path: Path) -> list[str]:
    """Return the names in a labels.json, which maps each to its number, in the order of these."""
    numbers = _load(path, dict)
    try:
        return sorted(numbers, key=lambda name: int(numbers[name]))
    except (TypeError, ValueError):
        raise ListError(f"class file '{path}' does not map each class to its number. Correct or remove it") from None


def _load(path: Path, kind: type) -> Any:
    """Return the content of a JSON file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise ListError(f"class file '{path}' cannot be read as JSON: {error}. Correct or remove it") from error
    if not isinstance(content, kind):
        raise ListError(f"class file '{path}' is not a JSON {kind.__name__}. Correct or remove it")
    return content
