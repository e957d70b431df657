"""Lists as tables: CSV, or with tabs or semicolons, whose first line names the columns."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from vtdl_cli.data.lists.columns import BYTE_ORDER_MARK
from vtdl_cli.data.lists.rows import UNKNOWN_CLASS, ListPlace, ListRows
from vtdl_cli.errors import ListError

DELIMITERS = ",\t;"
TABLE_SUFFIXES = (".csv", ".tsv")
KNOWN_NAMES = {
    "path": "path video_path file_path filepath video file filename file_name video_name vid_name clip video_id vid id",
    "label": "label action activity category class label_name class_name action_name action_label",
    "class": "class class_id label_id class_index",
    "frames": "frames num_frames total_frames frame_count",
    "start": "start start_time time_start t_start start_seconds start_sec start_timestamp",
    "end": "end end_time time_end t_end end_seconds end_sec end_timestamp stop stop_time stop_timestamp",
}
"""What a column holds -> names by which it is found, the first that occurs; case, spaces and hyphens are ignored."""

_CLOCK = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{1,2}(?:\.\d*)?)")
_INTEGER = re.compile(r"-?\d{1,18}")
_Value = TypeVar("_Value")


@dataclass(frozen=True, eq=False)
class Table:
    """A table as text.

    Attributes:
        place: where it is.
        header: names of the columns.
        rows: the cells of each row; as many as the header has.
        numbers: line number of each row.
    """

    place: ListPlace
    header: list[str]
    rows: list[list[str]]
    numbers: list[int]

    def find(self, content: str) -> str | None:
        """Return the column that holds `content`, by its name; see `KNOWN_NAMES`."""
        named = {_plain(name): name for name in reversed(self.header)}
        return next((named[known] for known in KNOWN_NAMES[content].split() if known in named), None)

    def cells(self, name: str) -> list[str]:
        """Return the cells of a column [N], stripped."""
        column = self.header.index(name)
        return [row[column].strip() for row in self.rows]

    def parse(self, name: str, convert: Callable[[str], _Value], rule: str) -> list[_Value]:
        """Return the cells of a column as values.

        Raises:
            ListError: `convert` raises ValueError for a cell, which then is not `rule`.
        """
        values = []
        for cell, number in zip(self.cells(name), self.numbers, strict=True):
            try:
                values.append(convert(cell))
            except ValueError:
                where = f"{self.place.line(number)} has {name} '{cell}', which is not {rule}"
                raise ListError(f"{where}. Correct the line") from None
        return values


def is_table(content: bytes, place: ListPlace) -> bool:
    """Whether the first line names columns, one of which holds paths."""
    header, _ = _read_header(content)
    several_or_named = len(header) > 1 or place.source.suffix.lower() in TABLE_SUFFIXES
    return several_or_named and Table(place, header, [], []).find("path") is not None


def read_table(content: bytes, place: ListPlace) -> ListRows:
    """Read a table with a column of paths, and as far as it has them labels, frame counts, and starts and ends.

    Raises:
        ListError: the table is malformed, or a value is invalid; names the line.
    """
    table = split_table(content, place)
    path = table.find("path")
    assert path is not None  # see is_table
    labels, classes, label = _read_labels(table)
    frames = table.find("frames")
    intervals = _read_intervals(table)
    used = {"path": path, "label": label, "frames": frames}
    return ListRows(
        "table: " + ", ".join(f"{content} '{name}'" for content, name in used.items() if name),
        [cell.encode() for cell in table.cells(path)],
        np.array(table.numbers, np.int64),
        labels,
        np.array(table.parse(frames, _count, "a number of frames") if frames else [0] * len(table.rows), np.int64),
        classes,
        intervals,
    )


def split_table(content: bytes, place: ListPlace) -> Table:
    """Split a table into cells; blank lines and comments after `#` are left out.

    Raises:
        ListError: a row has more or fewer cells than the first line, quotes are wrong, or there is no row.
    """
    header, delimiter = _read_header(content)
    rows, numbers = [], []
    lines = csv.reader(io.StringIO(_decode(content), newline=""), delimiter=delimiter, strict=True)
    try:
        for row in lines:
            if any(row) and not row[0].startswith("#"):
                rows.append(row)
                numbers.append(lines.line_num)
    except csv.Error as error:
        raise ListError(f"{place.line(lines.line_num)} is not a row of a table: {error}. Correct the line") from error
    for row, number in zip(rows, numbers, strict=True):
        if len(row) != len(header):
            rule = f"has {len(row)} cells, but the first line names {len(header)} columns"
            raise ListError(f"{place.line(number)} {rule}. Put text with '{delimiter}' in double quotes")
    if len(rows) < 2:
        raise ListError(f"list '{place.source}' names columns, but has no video. Write one video a line")
    return Table(place, header, rows[1:], numbers[1:])


def _decode(content: bytes) -> str:
    return content.removeprefix(BYTE_ORDER_MARK).decode()


def _read_header(content: bytes) -> tuple[list[str], str]:
    """Return the cells of the first line, and the delimiter that gives most of them."""
    lines = (line for line in _decode(content[: 1 << 16] if len(content) > 1 << 16 else content).split("\n"))
    first = next((line.strip() for line in lines if line.strip() and not line.startswith("#")), "")
    split = {delimiter: next(csv.reader([first], delimiter=delimiter), []) for delimiter in DELIMITERS}
    delimiter = max(DELIMITERS, key=lambda each: len(split[each]))
    return [cell.strip() for cell in split[delimiter]], delimiter


def _plain(name: str) -> str:
    return re.sub(r"[\s-]+", "_", name.strip().lower())


def _read_labels(table: Table) -> tuple[NDArray[np.int64] | list[str], list[str] | None, str | None]:
    """Return labels, class names in order if the table gives the numbers too, and the name of the column."""
    label, number = table.find("label"), table.find("class")
    if label is None:
        return np.full(len(table.rows), UNKNOWN_CLASS), None, None
    cells = table.cells(label)
    if number not in (None, label) and all(map(_INTEGER.fullmatch, table.cells(number))):
        numbers = np.array(table.cells(number), np.int64)
        return numbers, _name_numbers(table, cells, numbers.tolist()), label
    if all(map(_INTEGER.fullmatch, cells)):
        return np.array(cells, np.int64), None, label
    empty = [number for cell, number in zip(cells, table.numbers, strict=True) if not cell]
    if empty and len(empty) < len(cells):
        rule = f"has no {label}, as have {len(empty)} of the {len(cells)} videos"
        raise ListError(f"{table.place.line(empty[0])} {rule}. Give each video a label, or none of them")
    return cells, None, label


def _name_numbers(table: Table, names: Sequence[str], numbers: Sequence[int]) -> list[str] | None:
    """Return the names of classes 0 to the highest; None if no video has one.

    Raises:
        ListError: a number has two names, or a name two numbers.
    """
    named: dict[int, str] = {}
    numbered: dict[str, int] = {}
    for name, number, line in zip(names, numbers, table.numbers, strict=True):
        if number == UNKNOWN_CLASS:
            continue
        if named.setdefault(number, name) != name or numbered.setdefault(name, number) != number:
            rule = f"has class {number} '{name}', but a line before names class {numbered.get(name, number)} "
            raise ListError(f"{table.place.line(line)} {rule}'{named[number]}'. Correct one of them")
    return [named.get(number, str(number)) for number in range(max(named) + 1)] if named else None


def _read_intervals(table: Table) -> NDArray[np.float64] | None:
    """Return starts and ends in seconds, float64 [N, 2], NaN for whole videos; None if the table has none."""
    names = [name for name in (table.find("start"), table.find("end")) if name]
    if len(names) < 2:
        return None
    rule = "a time: seconds from 0, or hours:minutes:seconds"
    pairs = np.array([table.parse(name, parse_seconds, rule) for name in names]).T
    for index in np.flatnonzero(~(pairs[:, 0] < pairs[:, 1]) & ~np.isnan(pairs).all(axis=1))[:1]:
        start, end = (cells[index] for cells in map(table.cells, names))
        where = f"{table.place.line(table.numbers[index])} has {names[0]} '{start}' and {names[1]} '{end}'"
        raise ListError(f"{where}: an interval starts before it ends. Correct the line, or leave both empty")
    return None if np.isnan(pairs).all() else pairs


def parse_seconds(text: str) -> float:
    """Return a time in seconds, from seconds or `hours:minutes:seconds`; NaN for an empty text.

    Raises:
        ValueError: it is neither, or negative.
    """
    if not text:
        return math.nan
    if clock := _CLOCK.fullmatch(text):
        hours, minutes, seconds = (float(part or 0) for part in clock.groups())
        return 3600 * hours + 60 * minutes + seconds
    seconds = float(text)
    if not 0 <= seconds < math.inf:
        raise ValueError(text)
    return seconds


def _count(text: str) -> int:
    if not text:
        return 0
    if (number := int(text)) < 0:
        raise ValueError(text)
    return number
