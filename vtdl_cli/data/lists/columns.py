"""The lines of a list, and which of their columns holds what.

Integers are taken from the right, so paths may hold spaces. Lines are kept as bytes: `str.splitlines` would also split
at U+2028, U+0085 and the like, which file names may hold.
"""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vtdl_cli.data.lists.list_file import ListFile, path_exists, shortened
from vtdl_cli.data.lists.rows import UNKNOWN_CLASS, ListRows
from vtdl_cli.errors import ListError

LIST_COLUMNS = ("path class frames", "path frames class", "path class", "path")

_INTEGER = re.compile(rb"-?[0-9]{1,18}")  # 18 digits fit an int64
_CANONICAL = re.compile(rb"\S.*(\s+-?[0-9]{1,18}){2}")
_NO_INTEGER = np.iinfo(np.int64).min
_EVIDENCE_LINES = 10  # paths that detection looks for on the disk, for each way to read them


@dataclass(frozen=True, eq=False)
class ListLines:
    """The N non-blank lines of a list, before their columns are known.

    Attributes:
        file: the list.
        texts: the lines [N], stripped.
        numbers: int64 [N], line numbers in the file, from 1.
        ends: int64 [N, 2], the last two words where they are integers after a path, else `_NO_INTEGER`.
    """

    file: ListFile
    texts: list[bytes]
    numbers: NDArray[np.int64]
    ends: NDArray[np.int64]

    def name(self, index: int, num_columns: int) -> bytes:
        """Return the path of a line that ends in `num_columns - 1` integers, without the prefix."""
        return self.texts[index].rsplit(None, num_columns - 1)[0].removeprefix(self.file.prefix)

    def any_exists(self, indices: NDArray[np.intp], num_columns: int) -> bool:
        """Whether any of the first few of these paths exists."""
        names = (self.name(int(index), num_columns).decode() for index in indices[:_EVIDENCE_LINES])
        return any(path_exists(self.file.root / name) for name in names)

    def place(self, index: int) -> str:
        """Name a line in an error message."""
        return self.file.line(int(self.numbers[index]))

    def misfit(self, index: int, rule: str) -> ListError:
        """Return the error for a line that breaks `rule`."""
        hint = "Correct the line (words are separated by spaces), or name the list's columns with --list-columns"
        return ListError(
            f"{self.place(index)} reads '{shortened(self.texts[index].decode())}', which is not {rule}. {hint}"
        )


def split_lines(file: ListFile) -> ListLines:
    """Split the text of a list into lines, without blank ones and comments; backslashes of Windows become slashes.

    A line that starts with `#` is a comment, and a backslash one of Windows, unless a file of that name exists.

    Raises:
        ListError: the list is empty.
        UsageError: no path starts with the prefix.
    """
    stripped = [line.strip() for line in file.body.splitlines()]
    numbered = [(number, line) for number, line in enumerate(stripped, start=1) if line]
    lines = _collect(file, [pair for pair in numbered if not pair[1].startswith(b"#") or _exists(file, pair[1])])
    if not lines.texts:
        raise ListError(f"list '{file.source}' is empty. Write one video a line: '{LIST_COLUMNS[0]}'")
    slanted = [text for text in lines.texts if b"\\" in text]
    if slanted and not any(_exists(file, text) for text in slanted[:_EVIDENCE_LINES]):
        lines.texts[:] = [text.replace(b"\\", b"/") for text in lines.texts]
    file.check_prefix(lines.texts)
    return lines


def is_canonical(file: ListFile) -> bool:
    """Whether every line ends in two integers, as in the lists that we write."""
    lines = (line.strip() for line in file.body.splitlines())
    return all(_CANONICAL.fullmatch(line) for line in lines if line and not line.startswith(b"#"))


def _collect(file: ListFile, numbered: list[tuple[int, bytes]]) -> ListLines:
    texts, integers = [text for _, text in numbered], _Integers()
    ends = np.array([_end_integers(text, integers) for text in texts], np.int64).reshape(-1, 2)
    return ListLines(file, texts, np.array([number for number, _ in numbered], np.int64), ends)


def _exists(file: ListFile, text: bytes) -> bool:
    """Whether a line is the path of a file, with up to two columns after it."""
    return any(path_exists(file.root / text.rsplit(None, columns)[0].decode()) for columns in range(3))


class _Integers(dict[bytes, int]):
    """Word -> integer or `_NO_INTEGER`; each word is parsed once, since classes and frame counts repeat."""

    def __missing__(self, word: bytes) -> int:
        self[word] = int(word) if _INTEGER.fullmatch(word) else _NO_INTEGER
        return self[word]


def _end_integers(text: bytes, integers: _Integers) -> tuple[int, int]:
    words = text.rsplit(None, 2)  # the first belongs to the path
    last = integers[words[-1]] if len(words) > 1 else _NO_INTEGER
    return integers[words[-2]] if len(words) > 2 else _NO_INTEGER, last


def detect_columns(lines: ListLines, *, canonical: bool) -> str:
    """Choose the one of `LIST_COLUMNS` that fits: by the ends of the lines, then by existing files, then by values.

    Args:
        lines: the list.
        canonical: a classes.txt lies beside the list: two integers are class and frames.

    Raises:
        ListError: the order is ambiguous, or some lines lack a column that the others have.
    """
    two = (lines.ends != _NO_INTEGER).all(axis=1)
    with_two = np.flatnonzero(two)
    if canonical and two.all():
        return LIST_COLUMNS[0]
    three_columns = lines.any_exists(with_two, 3)
    has_class = lines.ends[:, 1] != _NO_INTEGER
    if not three_columns and _are_bare_paths(lines, has_class):
        return LIST_COLUMNS[3]
    if not has_class.all():
        raise _partly_labelled(lines, has_class)
    two_columns = lines.any_exists(with_two, 2)
    if not two.all():
        if three_columns and not two_columns:  # as `path class` the paths of all other lines would be wrong
            raise lines.misfit(int(np.flatnonzero(~two)[0]), "a path and two integers, like its other lines")
        return LIST_COLUMNS[2]
    if two_columns and not three_columns:
        return LIST_COLUMNS[2]  # the paths themselves end in an integer
    low_before, low_last = (bool((lines.ends[:, column] < 1).any()) for column in (0, 1))
    if low_before == low_last:  # a column with 0 or -1 holds no frame counts: if only one has them, it is the class
        seen = "both contain" if low_last else "neither contains"
        rule = f"ends each line in two integers, and {seen} a 0 or -1: which one is the class cannot be determined"
        hint = f"Choose with --list-columns '{LIST_COLUMNS[0]}' or --list-columns '{LIST_COLUMNS[1]}'"
        raise ListError(f"list '{lines.file.source}' {rule}. {hint}")
    return LIST_COLUMNS[0] if low_before else LIST_COLUMNS[1]


def _are_bare_paths(lines: ListLines, has_class: NDArray[np.bool_]) -> bool:
    """Whether no line ends in an integer, or only because the paths do, as those of frame folders may."""
    with_class = np.flatnonzero(has_class)
    return not len(with_class) or (lines.any_exists(with_class, 1) and not lines.any_exists(with_class, 2))


def _partly_labelled(lines: ListLines, has_class: NDArray[np.bool_]) -> ListError:
    """Return the error for a list that gives only some of its videos a class."""
    first, number = int(has_class.argmin()), int((~has_class).sum())
    what = f"{lines.place(first)} reads '{shortened(lines.texts[first].decode())}', which has no class"
    rule = f"as have {number} of the {len(has_class)} lines"
    hint = f"Write class {UNKNOWN_CLASS} for videos without one, or name the list's columns with --list-columns"
    return ListError(f"{what}, {rule}. {hint}")


def read_lines(file: ListFile, columns: str | None = None, *, canonical: bool = False) -> ListRows:
    """Read a list whose columns are separated by spaces.

    Args:
        file: the list.
        columns: one of `LIST_COLUMNS`; None: detected from the lines.
        canonical: see `detect_columns`.

    Raises:
        ListError: the list is empty, a line is malformed, or the columns are ambiguous.
        UsageError: no path starts with the prefix.
    """
    lines = split_lines(file)
    columns = columns or detect_columns(lines, canonical=canonical)
    labels, frames = read_integers(lines, columns)
    num_columns = len(columns.split())
    names = [lines.name(index, num_columns) for index in range(len(labels))]
    return ListRows(columns, names, lines.numbers, labels, frames)


def read_integers(lines: ListLines, columns: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return classes as listed, and frame counts; int64 [N] each.

    The class is `UNKNOWN_CLASS`, and the count 0, where the list has none.

    Args:
        lines: the list.
        columns: one of `LIST_COLUMNS`.

    Raises:
        ListError: a line does not fit `columns`, or holds a negative frame count.
    """
    order = columns.split()[1:]
    ends = lines.ends[:, 2 - len(order) :]
    for index in np.flatnonzero((ends == _NO_INTEGER).any(axis=1))[:1]:
        raise lines.misfit(int(index), f"'{columns}'")
    frames = ends[:, order.index("frames")].copy() if "frames" in order else np.zeros(len(ends), np.int64)
    for index in np.flatnonzero(frames < 0)[:1]:
        has = f"{lines.place(int(index))} has frames '{frames[index]}'"
        raise ListError(
            f"{has}, but frames counts from 0 (read as '{columns}'). Correct the line, or use --list-columns"
        )
    return ends[:, order.index("class")] if "class" in order else np.full_like(frames, UNKNOWN_CLASS), frames
