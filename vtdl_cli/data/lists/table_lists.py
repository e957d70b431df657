"""Lists as tables: which columns hold paths, classes, and starts and ends of intervals."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vtdl_cli.data.lists.class_names import read_classes
from vtdl_cli.data.lists.columns import is_canonical
from vtdl_cli.data.lists.entries import name_clip
from vtdl_cli.data.lists.layouts import side_of_cell
from vtdl_cli.data.lists.list_file import ListFile, convert_command, path_exists
from vtdl_cli.data.lists.rows import UNKNOWN_CLASS, ListRows
from vtdl_cli.data.lists.tables import (
    TABLE_SUFFIXES,
    Table,
    parse_count,
    parse_seconds,
    split_header,
    split_table,
)
from vtdl_cli.data.video.disk import VIDEO_SUFFIXES
from vtdl_cli.errors import ListError, UsageError

PAIR = ("path", "label")
TRIPLES = (("path", "label", "frames"), ("path", "frames", "label"))
KINETICS = ("youtube_id", "time_start", "time_end")

PAIR_LABELS = ("jester-v1-labels.csv", "something-something-v1-labels.csv")
"""Files beside a list of pairs that give the order of the classes, one a line."""

_UNKNOWN = str(UNKNOWN_CLASS)
_NO_LABEL = ("", _UNKNOWN, "nan", f"{_UNKNOWN}.0")  # the latter two are what pandas makes of the former
_INTEGER = re.compile(r"(-?[0-9]{1,18})(\.0*)?")  # 3.0 is what spreadsheets and pandas make of 3


def is_table(file: ListFile) -> bool:
    """Whether the first line names columns, one of which holds paths.

    Raises:
        UsageError: a column that the user chose is missing.
        ListError: a CSV file of several columns has no column of paths.
    """
    header, delimiter = split_header(file)
    is_named = file.source.suffix.lower() in TABLE_SUFFIXES
    if not header or (not is_named and (len(header) < 2 or is_canonical(file))):
        return False
    if file.chosen or Table(file, header, [], []).find("path") is not None:
        return True
    if len(header) == 1 or not is_named or delimiter == "\t":  # tabs may also separate the columns of a list of lines
        return False
    command = convert_command(file.source, file.root)
    what = f"list '{file.source}' has no column of paths: its first line reads '{delimiter.join(header)}'"
    chosen = f"{command} --path-column {shlex.quote(header[0])} --out lists"
    hint = f"Name the columns there, as in 'path,label', or choose one: {chosen}"
    raise ListError(f"{what}. {hint}")


def is_pairs(file: ListFile) -> bool:
    """Whether the first line of a CSV file names no columns: it is `path,label`, `id;label` as in Jester, or longer."""
    header, delimiter = split_header(file)
    if file.chosen or file.source.suffix.lower() not in TABLE_SUFFIXES or len(header) < len(PAIR):
        return False
    if Table(file, header, [], []).find("path") is not None:
        return False
    name, *others = header
    is_row = Path(name).suffix.lower() in VIDEO_SUFFIXES or _parse_integers(others) is not None
    if len(header) == len(PAIR):
        return delimiter == ";" or is_row or path_exists(file.root / name)
    return is_row and not (delimiter == "\t" and is_canonical(file))  # tabs may also separate the columns of lines


def is_kinetics(file: ListFile) -> bool:
    """Whether the columns are those of the Kinetics annotations."""
    return not file.chosen and set(KINETICS) <= set(split_header(file)[0])


def read_pairs(file: ListFile) -> ListRows:
    """Read lines `path,label` without names of columns, or with a frame count, too.

    Raises:
        ListError: a line has more or fewer cells, or what the columns hold cannot be determined.
    """
    order = file.beside(*PAIR_LABELS)
    rows = read_columns(split_table(file, _find_order(file)))
    return replace(rows, classes=read_classes(order)) if order and not isinstance(rows.labels, np.ndarray) else rows


def _find_order(file: ListFile) -> tuple[str, ...]:
    """Return what columns without names hold: of two columns of integers, the one with a 0 or -1 is the class.

    Raises:
        ListError: they are others, or both or neither have a 0 or -1.
    """
    header, delimiter = split_header(file)
    if len(header) == len(PAIR):
        return PAIR
    table = split_table(file, [str(number) for number in range(len(header))])
    columns = [_parse_integers(table.cells(name)) for name in table.header[1:]]
    low = [bool((column < 1).any()) for column in columns if column is not None]  # frame counts are not below 1
    are_numbers = len(low) == len(columns) == len(TRIPLES)
    if are_numbers and sum(low) == 1:
        return TRIPLES[low.index(True)]
    what = f"list '{file.source}' does not name its columns: its first line reads '{delimiter.join(header)}'"
    if are_numbers:
        what += f", and {'both of its numbers have' if any(low) else 'neither of its numbers has'} a 0 or -1"
    orders = " or ".join(f"'{delimiter.join(order)}'" for order in TRIPLES)
    raise ListError(f"{what}. Name them in a line above it, as in {orders}")


def read_table(file: ListFile) -> ListRows:
    """Read a table with a column of paths, and as far as it has them labels, frame counts, starts and ends, and others.

    Raises:
        ListError: the table is malformed, or a value is invalid; names the line.
        UsageError: a column that the user chose is missing.
    """
    return read_columns(split_table(file))


def read_kinetics(file: ListFile) -> ListRows:
    """Read the annotations of Kinetics, whose times say which part of the original the downloaded clip is.

    Clips are named `<youtube_id>_000042_000052`, or after the id alone.

    Raises:
        ListError: the table is malformed, or a value is invalid; names the line.
    """
    table = split_table(file)
    ids = table.cells(KINETICS[0])
    starts, ends = (table.parse(name, _require_seconds, "a number of seconds") for name in KINETICS[1:])
    names = [name_clip(*clip) for clip in zip(ids, starts, ends, strict=True)]
    labels, classes, label = read_labels(table)
    return ListRows(
        describe({"path": "youtube_id", "label": label}, "kinetics"),
        [name.encode() for name in names],
        np.array(table.numbers, np.int64),
        labels,
        np.zeros(len(names), np.int64),
        classes,
        sides=_read_sides(table),
        groups=ids,
        other_names=ids,
    )


def _require_seconds(text: str) -> float:
    if not text:
        raise ValueError(text)
    return parse_seconds(text)


def read_columns(table: Table) -> ListRows:
    """Read the columns of a table that a list has.

    Raises:
        ListError: no column holds paths, or a value is invalid; names the line.
        UsageError: a column that the user chose is missing.
    """
    path, frames, group = (table.find(content) for content in ("path", "frames", "group"))
    if path is None:
        rule = f"has no column of paths, only {', '.join(table.header)}"
        raise ListError(f"list '{table.file.source}' {rule}. Choose one with --path-column")
    for cell, number in zip(table.cells(path), table.numbers, strict=True):
        if not cell:
            raise ListError(f"{table.file.line(number)} has no {path}. Correct the line")
    labels, classes, label = read_labels(table)
    intervals = _read_intervals(table)
    counts = table.parse(frames, parse_count, "a number of frames") if frames else [0] * len(table.rows)
    sides = _read_sides(table)
    used = {"split": table.find("split") if sides else None, "group": group}
    used |= {content: table.find(content) for content in ("start", "end") if intervals is not None}
    columns = describe({"path": path, "label": label, "frames": frames, **used})
    if sides is None and (other := table.find("split")):
        columns += f", no parts of a split: '{other}' has other words than train, val and test"
    return ListRows(
        columns,
        [cell.encode() for cell in table.cells(path)],
        np.array(table.numbers, np.int64),
        labels,
        np.array(counts, np.int64),
        classes,
        intervals,
        sides,
        table.cells(group) if group else None,
    )


def describe(used: dict[str, str | None], kind: str = "table") -> str:
    """Return how a table was read: which column holds what."""
    parts = [f"{content} from '{name}'" for content, name in used.items() if name]
    return f"{kind}: " + ", ".join([*parts, *([] if used["label"] else ["no labels"])])


def _read_sides(table: Table) -> list[str] | None:
    """Return the part of the split of each video; None if a column that was not chosen holds no word for a part.

    Raises:
        ListError: some cells name a part, or the column was chosen, and a cell names none.
    """
    name = table.find("split")
    if name is None or ("split" not in table.file.chosen and not any(map(side_of_cell, table.cells(name)))):
        return None
    return table.parse(name, _parse_side, "train, val or test")


def _parse_side(text: str) -> str:
    if (side := side_of_cell(text)) is None:
        raise ValueError(text)
    return side


def read_labels(table: Table) -> tuple[NDArray[np.int64] | list[str], list[str] | None, str | None]:
    """Return labels, class names in order if the table gives the numbers too, and the name of the column.

    Raises:
        ListError: names and numbers do not fit together.
    """
    label, number = table.find("label"), table.find("class")
    if label is None:
        return np.full(len(table.rows), UNKNOWN_CLASS), None, None
    names = ["" if cell.lower() in _NO_LABEL else cell for cell in table.cells(label)]
    if number not in (None, label) and "label" not in table.file.chosen:
        cells = table.cells(str(number))
        numbers = _parse_integers([cell if name else cell or _UNKNOWN for name, cell in zip(names, cells, strict=True)])
        if numbers is not None:
            return numbers, _name_numbers(table, names, numbers.tolist()), label
    numbers = _parse_integers([name or _UNKNOWN for name in names])
    return (names if numbers is None else numbers), None, label


def _parse_integers(cells: Sequence[str]) -> NDArray[np.int64] | None:
    """Return the cells as integers; None if one is none."""
    found = [_INTEGER.fullmatch(cell) for cell in cells]
    return np.array([match[1] for match in found if match], np.int64) if all(found) else None


def _name_numbers(table: Table, names: Sequence[str], numbers: Sequence[int]) -> list[str] | None:
    """Return the names of classes 0 to the highest, as long as each has one; None if there is none.

    Raises:
        ListError: a number has two names, or a name two numbers.
    """
    named: dict[int, str] = {}
    numbered: dict[str, int] = {}
    for name, number, line in zip(names, numbers, table.numbers, strict=True):
        if number == UNKNOWN_CLASS or not name:
            continue
        if named.setdefault(number, name) != name or numbered.setdefault(name, number) != number:
            rule = f"has class {number} '{name}', but a line before has class {numbered.get(name, number)} "
            raise ListError(f"{table.file.line(line)} {rule}'{named[number]}'. Correct one of them")
    return [named.get(number, str(number)) for number in range(max(named) + 1)] if named else None


def _read_intervals(table: Table) -> NDArray[np.float64] | None:
    """Return starts and ends in seconds, float64 [N, 2], NaN for whole videos; None if the table has none.

    Raises:
        ListError: only one of them has a column, they are in frames, or a value is invalid; names the line.
        UsageError: only one of them has a column, which the user chose.
    """
    start, end = table.find("start"), table.find("end")
    if start is None or end is None:
        _refuse_half_intervals(table, start, end)
        return None
    rule = "a time: seconds from 0, or hours:minutes:seconds"
    pairs = np.array([table.parse(name, parse_seconds, rule) for name in (start, end)]).T
    for index in np.flatnonzero(~(pairs[:, 0] < pairs[:, 1]) & ~np.isnan(pairs).all(axis=1))[:1]:
        first, last = (table.cells(name)[index] for name in (start, end))
        where = f"{table.file.line(table.numbers[index])} has {start} '{first}' and {end} '{last}'"
        raise ListError(f"{where}: an interval starts before it ends. Correct the line, or leave both empty")
    return None if np.isnan(pairs).all() else pairs


def _refuse_half_intervals(table: Table, start: str | None, end: str | None) -> None:
    """Refuse a table whose intervals cannot be read, rather than use whole videos in their place."""
    has = f"list '{table.file.source}' has a column"
    for content, name, other in (("start", start, "end"), ("end", end, "start")):
        if content in table.file.chosen:
            rule = f"needs the other column of intervals, too. Add --{other}-column"
            raise UsageError(f"--{content}-column '{name}' {rule}")
        if name:
            rule = f"of intervals, but none of {other}s. Add '{other}', or remove it to use whole videos"
            raise ListError(f"{has} '{name}' {rule}")
    for name in filter(None, map(table.find, ("start frame", "end frame"))):
        rule = "but intervals are read in seconds. Write 'start' and 'end', or remove it to use whole videos"
        raise ListError(f"{has} '{name}', {rule}")
