"""Lists of videos: one video a line, read without guessing which column is which, and written in one order.

Canonical lines are `path class frames`, UTF-8, classes from 0. Integers are taken from the right, so paths may hold
spaces. A loaded list stays flat in memory (one run of bytes, a few integer arrays): it costs what its file weighs.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vtdl_cli.data.lists.label_sets import LabelSet, label_set
from vtdl_cli.errors import ListError, UsageError

LIST_COLUMNS = ("path class frames", "path frames class", "path class")
CLASSES_FILE = "classes.txt"
MOST_CLASSES = 1_000_000  # a class beyond is a slip: a classifier of so many would fill the memory
UNKNOWN_CLASS = -1
"""Of a video that stands for itself, see `list_of_one`: no line of a list has it."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_INTEGER = re.compile(rb"-?[0-9]{1,18}")  # 18 digits fit an int64
_NO_INTEGER = np.iinfo(np.int64).min
_EVIDENCE_LINES = 10  # how many files detection may look for on the disk, under each of two metrics


@dataclass(frozen=True, eq=False, repr=False)
class VideoList:
    """The videos of one list, in its order.

    Attributes:
        source: the list's file.
        root: the folder that relative paths start from.
        columns: how the lines were read, one of `LIST_COLUMNS`.
        labels: int64 [N], classes from 0.
        frames: int64 [N], frame counts as listed, 0 where the list gives none. A hint: the video decides.
        classes: the names in the classes.txt beside the list, or None.
        sha256: of the file's bytes, for provenance.
    """

    source: Path
    root: Path
    columns: str
    labels: NDArray[np.int64]
    frames: NDArray[np.int64]
    classes: list[str] | None
    sha256: str
    _names: bytes
    _bounds: NDArray[np.int64]  # [N + 1]: name i is _names[_bounds[i] : _bounds[i + 1]]
    _numbers: NDArray[np.int64]  # [N] line numbers in the file, from 1

    def __len__(self) -> int:
        return len(self.labels)

    def name(self, index: int) -> str:
        """The path as the list has it, without the stripped prefix."""
        index = range(len(self))[index]  # negative ones count from the end, others out of range raise
        return self._names[self._bounds[index] : self._bounds[index + 1]].decode()

    def path(self, index: int) -> Path:
        """Where the video lies: under the root, unless the list gives an absolute path."""
        return self.root / self.name(index)

    def line(self, index: int) -> int:
        """The line number in the file, from 1, for messages."""
        return int(self._numbers[index])

    @property
    def num_classes(self) -> int:
        """As many as classes.txt names; without one, the largest class plus 1."""
        return len(self.classes) if self.classes is not None else int(self.labels.max()) + 1

    @property
    def label_set(self) -> LabelSet:
        """What its labels stand for."""
        return label_set(f"list '{self.source}'", self.classes, self.labels)


@dataclass(frozen=True, eq=False)
class _Lines:
    """The lines of one list that are not blank, before anything is decided about their columns."""

    source: Path
    root: Path
    prefix: bytes  # what to strip from paths: ends in a slash, or is empty
    texts: list[bytes]
    numbers: NDArray[np.int64]  # [N]
    ends: NDArray[np.int64]  # [N, 2]: the last two words where they are integers behind a path, else _NO_INTEGER

    def name(self, index: int, num_columns: int) -> bytes:
        """The path of a line that ends in `num_columns - 1` integers, without the prefix."""
        return self.texts[index].rsplit(None, num_columns - 1)[0].removeprefix(self.prefix)

    def any_exists(self, indices: NDArray[np.intp], num_columns: int) -> bool:
        """Whether the disk holds any of the first few of these paths."""
        names = (self.name(int(index), num_columns).decode() for index in indices[:_EVIDENCE_LINES])
        return any(exists(self.root / name) for name in names)

    def misfit(self, index: int, rule: str) -> ListError:
        """The error for a line that is not like `rule`."""
        reads = f"list '{self.source}:{self.numbers[index]}' reads '{_shortened(self.texts[index].decode())}'"
        hint = "Correct the line (words are separated by spaces), or name the list's columns with --list-columns"
        return ListError(f"{reads}, which is not {rule}. {hint}")


def read_list(
    path: str | Path,
    *,
    root: str | Path | None = None,
    strip_prefix: str = "",
    columns: str | None = None,
    first_class: int = 0,
) -> VideoList:
    """Read a list of videos.

    Args:
        path: the list's file.
        root: the folder that relative paths start from; the list's own folder when None.
        strip_prefix: a folder to drop from the start of paths, such as `/data/hmdb51`.
        columns: one of `LIST_COLUMNS`; found out from the lines when None.
        first_class: what the file counts its classes from; here they count from 0.

    Raises:
        ListError: the file cannot be read, a line is malformed, a class does not fit, or the columns are ambiguous.
        UsageError: `columns` is unknown, or no path starts with `strip_prefix`.
    """
    if columns is not None and columns not in LIST_COLUMNS:
        allowed = ", ".join(f"'{known}'" for known in LIST_COLUMNS)
        raise UsageError(f"--list-columns '{columns}' is not a known order of columns. Use one of {allowed}")
    source = Path(path)
    content = _read_text(source, "list")
    lines = _split_lines(content, source, source.parent if root is None else Path(root), strip_prefix)
    beside = source.with_name(CLASSES_FILE)
    classes = read_classes(beside) if beside.is_file() else None
    columns = columns or _detect_columns(lines, canonical=classes is not None)
    labels, frames = _read_integers(lines, columns, classes, first_class)
    names = [lines.name(index, len(columns.split())) for index in range(len(labels))]
    bounds = np.cumsum([0, *map(len, names)], dtype=np.int64)
    digest = hashlib.sha256(content).hexdigest()
    return VideoList(
        source, lines.root, columns, labels, frames, classes, digest, b"".join(names), bounds, lines.numbers
    )


def list_of_one(video: Path) -> VideoList:
    """A video file, or a folder of frames, as a list of itself; nothing says its class.

    Raises:
        ListError: its path could not stand in a list.
    """
    name = str(video)
    if reason := unlistable(name):
        raise ListError(f"video {name!a} cannot stand for a list: {reason}. Rename it")
    encoded, one = name.encode(), np.ones(1, np.int64)
    digest = hashlib.sha256(encoded).hexdigest()
    bounds = np.array([0, len(encoded)])
    return VideoList(
        video, Path(), LIST_COLUMNS[0], UNKNOWN_CLASS * one, 0 * one, None, digest, encoded, bounds, _numbers=one
    )


def check_present(videos: VideoList, sample: int = 20) -> None:
    """Stop early where a root is wrong: look for the first `sample` videos, and be content with one.

    Raises:
        ListError: none of them exists.
    """
    checked = min(sample, len(videos))
    if any(exists(videos.path(index)) for index in range(checked)):
        return
    what = f"list '{videos.source}' (read as '{videos.columns}') names videos that do not exist"
    looked = f"of the first {checked} none is there, '{videos.path(0)}' to begin with"
    hint = "Name their folder with --root, and with --strip-prefix what to drop from the start of the paths"
    raise ListError(f"{what}: {looked}. {hint}")


def write_list(path: str | Path, rows: Iterable[tuple[str, int, int]]) -> None:
    """Write rows of (path, class, frames) as a canonical list.

    Raises:
        ListError: a path cannot stand in a list (see `unlistable`); what was written so far stays.
    """
    with Path(path).open("w", encoding="utf-8", newline="\n") as file:
        for name, label, frames in rows:
            if reason := unlistable(name):
                raise ListError(f"video {name!a} cannot stand in a list: {reason}. Rename it")
            file.write(f"{name} {label} {frames}\n")


def unlistable(name: str) -> str:
    """Why a path, or a class's name, would not survive being written and read again; empty when it would."""
    try:
        encoded = name.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    if encoded.strip() != encoded or not encoded:
        return "its name begins or ends with a space"
    return "its name holds a line break" if re.search(rb"[\r\n\0]", encoded) else ""


def write_classes(path: str | Path, names: Iterable[str]) -> None:
    """Write class names one a line, in the order of their indices from 0.

    Raises:
        ListError: a name cannot stand in a list (see `unlistable`).
    """
    names = list(names)
    for name in names:
        if reason := unlistable(name):
            raise ListError(f"class {name!a} cannot stand in {CLASSES_FILE}: {reason}. Rename it")
    Path(path).write_text("".join(f"{name}\n" for name in names), encoding="utf-8", newline="\n")


def read_classes(path: str | Path) -> list[str]:
    """Read class names, one a line; the first is class 0.

    Raises:
        ListError: the file cannot be read, is empty, has a blank line between names, or names a class twice.
    """
    source = Path(path)
    content = _read_text(source, "class file").removeprefix(_BYTE_ORDER_MARK)
    names = [line.strip().decode() for line in content.rstrip().splitlines()]
    if not names:
        raise ListError(f"class file '{source}' is empty. Write one class name a line; the first is class 0")
    first_lines: dict[str, int] = {}
    for number, name in enumerate(names, start=1):
        if not name:
            raise ListError(f"class file '{source}:{number}' is blank, but lines count classes. Remove the line")
        if (first := first_lines.setdefault(name, number)) != number:
            raise ListError(f"class file '{source}:{number}' names '{name}' again, as line {first} does. Remove one")
    return names


def _read_text(source: Path, kind: str) -> bytes:
    """The file's bytes, known to be UTF-8; `kind` names the file in errors."""
    try:
        content = source.read_bytes()
        content.decode()
    except OSError as error:
        raise ListError(f"{kind} '{source}' cannot be read ({error.strerror}). Name a text file") from error
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        raise ListError(f"{kind} '{source}:{number}' is not UTF-8 text. Save the file as UTF-8") from error
    if b"\0" in content:  # UTF-16 without its mark passes for UTF-8
        number = content.count(b"\n", 0, content.index(b"\0")) + 1
        raise ListError(f"{kind} '{source}:{number}' holds a zero byte: not UTF-8 text. Save the file as UTF-8")
    return content


def _split_lines(content: bytes, source: Path, root: Path, strip_prefix: str) -> _Lines:
    # Bytes, not str: str would also split at U+2028, U+0085 and no-break spaces, which names may hold.
    stripped = [line.strip() for line in content.removeprefix(_BYTE_ORDER_MARK).splitlines()]
    numbers = np.array([number for number, line in enumerate(stripped, start=1) if line], dtype=np.int64)
    texts = [line for line in stripped if line]
    if not texts:
        raise ListError(f"list '{source}' is empty. Write one video a line: '{LIST_COLUMNS[0]}'")
    prefix = strip_prefix.rstrip("/").encode() + b"/" if strip_prefix else b""
    if not any(text.startswith(prefix) for text in texts):
        first = _shortened(texts[0].decode())
        rule = f"starts no line of list '{source}', whose first is '{first}'"
        raise UsageError(f"--strip-prefix '{strip_prefix}' {rule}. Give whole folders from the start of its paths")
    ends = np.fromiter((end for text in texts for end in _end_integers(text)), np.int64, 2 * len(texts))
    return _Lines(source, root, prefix, texts, numbers, ends.reshape(-1, 2))


def _end_integers(text: bytes) -> tuple[int, int]:
    words = text.rsplit(None, 2)[1:]  # a line needs a path: its first word is none of its integers
    integers = [int(word) if _INTEGER.fullmatch(word) else _NO_INTEGER for word in words]
    last, before = [*reversed(integers), _NO_INTEGER, _NO_INTEGER][:2]
    return before, last


def _detect_columns(lines: _Lines, *, canonical: bool) -> str:
    """Which of `LIST_COLUMNS` fits: by what each line ends in, then by files on the disk, then by where zeros are."""
    two = (lines.ends != _NO_INTEGER).all(axis=1)
    with_two = np.flatnonzero(two)
    if canonical and two.all():
        return LIST_COLUMNS[0]
    three_columns = lines.any_exists(with_two, 3)
    two_columns = lines.any_exists(with_two, 2)
    if not two.all():
        if three_columns and not two_columns:  # `path class` would turn the other lines' paths into nonsense
            raise lines.misfit(int(np.flatnonzero(~two)[0]), "a path and two integers, like its other lines")
        return LIST_COLUMNS[2]
    if two_columns and not three_columns:
        return LIST_COLUMNS[2]  # the paths themselves end in an integer
    zero_before, zero_last = (lines.ends == 0).any(axis=0)
    if zero_before == zero_last:  # a column with a zero holds no frame counts: one alone must be the classes
        seen = "both of them hold" if zero_last else "neither of them holds"
        rule = f"ends each line in two integers, and {seen} a 0: which is the class cannot be told"
        hint = f"Say so with --list-columns '{LIST_COLUMNS[0]}' or --list-columns '{LIST_COLUMNS[1]}'"
        raise ListError(f"list '{lines.source}' {rule}. {hint}")
    return LIST_COLUMNS[0] if zero_before else LIST_COLUMNS[1]


def _read_integers(
    lines: _Lines, columns: str, classes: list[str] | None, first_class: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Classes and frame counts, int64 [N] each, checked."""
    order = columns.split()[1:]
    ends = lines.ends[:, 2 - len(order) :]
    for index in np.flatnonzero((ends == _NO_INTEGER).any(axis=1))[:1]:
        raise lines.misfit(int(index), f"'{columns}'")
    lowest = np.array([first_class if name == "class" else 0 for name in order])
    for index, column in np.argwhere(ends < lowest)[:1]:
        value, rule = ends[index, column], f"but {order[column]} counts from {lowest[column]}"
        where = f"list '{lines.source}:{lines.numbers[index]}' has {order[column]} '{value}'"
        raise ListError(f"{where}, {rule} (read as '{columns}'). Correct the line, or use --list-columns")
    labels = ends[:, order.index("class")] - first_class
    known = len(classes) if classes is not None else np.iinfo(np.int64).max
    for index in np.flatnonzero(labels >= known)[:1]:
        where = f"list '{lines.source}:{lines.numbers[index]}' has class '{labels[index]}' (read as '{columns}')"
        rule = f"but the {CLASSES_FILE} beside it names {known}, 0 to {known - 1}"
        if labels.min() == 1 and labels.max() == known:  # as UCF101's own files do
            rule += f". Where the list counts them from 1: vtdl lists convert {lines.source} --from-one --out ..."
            raise ListError(f"{where}, {rule}")
        raise ListError(f"{where}, {rule}. Correct either file, or use --list-columns")
    for index in np.flatnonzero(labels >= MOST_CLASSES)[:1]:
        where = f"list '{lines.source}:{lines.numbers[index]}' has class '{labels[index]}' (read as '{columns}')"
        raise ListError(f"{where}, and classes go from 0 to {MOST_CLASSES - 1}. Correct it, or use --list-columns")
    frames = ends[:, order.index("frames")].copy() if "frames" in order else np.zeros_like(labels)
    return labels, frames


def exists(path: Path) -> bool:
    """Whether something is there that can be reached."""
    try:
        return path.exists()
    except OSError:  # a name too long, or a folder that may not be entered
        return False


def _shortened(text: str, length: int = 80) -> str:
    return text if len(text) <= length else f"{text[: length - 3]}..."
