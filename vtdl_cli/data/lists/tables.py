"""Tables as text: CSV, or with tabs or semicolons, with the names of their columns in the first line or without."""

import csv
import io
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from vtdl_cli.data.lists.list_file import ListFile, path_exists
from vtdl_cli.errors import ListError, UsageError

DELIMITERS = ",\t;"
TABLE_SUFFIXES = {".csv": ",", ".tsv": "\t"}
"""Suffix of a table -> what separates the columns of one that we write."""
KNOWN_NAMES = {
    "path": "path video_path file_path filepath video file filename file_name video_name vid_name clip video_id vid id",
    "label": "label action activity category class label_name class_name action_name action_label",
    "class": "class class_id label_id class_index",
    "frames": "frames num_frames total_frames frame_count",
    "split": "split subset set partition",
    "group": "group group_id subject subject_id person participant participant_id actor",
    "start": "start start_time time_start t_start start_seconds start_sec start_timestamp",
    "end": "end end_time time_end t_end end_seconds end_sec end_timestamp stop stop_time stop_timestamp",
    "start frame": "start_frame frame_start first_frame",
    "end frame": "end_frame frame_end stop_frame last_frame",
}
"""What a column holds -> names by which it is found, the first that occurs; case, spaces and hyphens are ignored."""

_CLOCK = re.compile(r"(?:([0-9]+):)?([0-9]{1,2}):([0-9]{1,2}(?:\.[0-9]*)?)")
_HEADER_BYTES = 1 << 16  # more than the first lines of any table
_Value = TypeVar("_Value")


@dataclass(frozen=True, eq=False)
class Table:
    """A table as text.

    Attributes:
        file: where it is.
        header: names of the columns.
        rows: the cells of each row; as many as the header has.
        numbers: line number of each row.
    """

    file: ListFile
    header: list[str]
    rows: list[list[str]]
    numbers: list[int]

    def find(self, content: str) -> str | None:
        """Return the column that holds `content`, as chosen by the user or by its name; see `KNOWN_NAMES`.

        Raises:
            UsageError: the table has no column of the chosen name.
        """
        if content in self.file.chosen:
            name = self.file.chosen[content]
            if name not in self.header:
                rule = f"is no column of list '{self.file.source}'. It has {', '.join(self.header)}"
                raise UsageError(f"--{content}-column '{name}' {rule}")
            return name
        return find_column(self.header, content)

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
                where = f"{self.file.line(number)} has {name} '{cell}', which is not {rule}"
                raise ListError(f"{where}. Correct the line") from None
        return values


def find_column(header: Sequence[str], content: str) -> str | None:
    """Return the column that holds `content`, a key of KNOWN_NAMES, by its name."""
    named = {_plain(name): name for name in reversed(header)}
    return next((named[known] for known in KNOWN_NAMES[content].split() if known in named), None)


def has_known_name(column: str) -> bool:
    """Whether a column is named as one of KNOWN_NAMES."""
    return any(_plain(column) in names.split() for names in KNOWN_NAMES.values())


def split_header(file: ListFile) -> tuple[list[str], str]:
    """Return the cells of the first line that is no comment, and the delimiter that gives most of them."""
    beginning = file.body[:_HEADER_BYTES].decode(errors="ignore")
    lines = (line.strip() for line in re.split("[\r\n]", beginning))
    first = next((line for line in lines if line and not line.startswith("#")), "")
    split = {delimiter: next(csv.reader([first], delimiter=delimiter), []) for delimiter in DELIMITERS}
    delimiter = max(DELIMITERS, key=lambda each: len(split[each]))
    return [cell.strip() for cell in split[delimiter]], delimiter


def split_table(file: ListFile, header: Sequence[str] | None = None) -> Table:
    """Split a table into cells; blank lines, and comments after `#`, are left out.

    Args:
        file: the table.
        header: names of its columns; None: they are in the first line.

    Raises:
        ListError: a row has too many or too few cells, quotes are wrong, or there is no row.
    """
    first, delimiter = split_header(file)
    rows, numbers = [], []
    lines = csv.reader(io.StringIO(file.text, newline=""), delimiter=delimiter, strict=True)
    try:
        for row in lines:
            if any(row) and not _is_comment(row, file):
                rows.append(row)
                numbers.append(lines.line_num)
    except csv.Error as error:
        raise ListError(f"{file.line(lines.line_num)} is not a row of a table: {error}. Correct the line") from error
    names = list(header or first)
    for row, number in zip(rows, numbers, strict=True):
        if len(row) != len(names):
            rule = f"has {len(row)} cells, but the first line has {len(names)}"
            raise ListError(f"{file.line(number)} {rule}. Put text with '{delimiter}' in double quotes")
    skipped = 0 if header else 1
    if len(rows) <= skipped:
        raise ListError(f"list '{file.source}' names columns, but has no video. Write one video a line")
    return Table(file, names, rows[skipped:], numbers[skipped:])


def _is_comment(row: list[str], file: ListFile) -> bool:
    return row[0].startswith("#") and not path_exists(file.root / row[0])


def _plain(name: str) -> str:
    return re.sub(r"[\s-]+", "_", name.strip().lower())


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


def parse_count(text: str) -> int:
    """Return a number from 0; 0 for an empty text.

    Raises:
        ValueError: it is none.
    """
    number = int(text or 0)
    if not 0 <= number < 2**63:
        raise ValueError(text)
    return number
