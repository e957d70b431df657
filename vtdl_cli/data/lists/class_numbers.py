"""Number the classes of a list: integers are checked, names become numbers."""

import numpy as np
from numpy.typing import NDArray

from vtdl_cli.data.lists.class_names import CLASSES_FILE
from vtdl_cli.data.lists.list_file import ListFile, counting_from_zero
from vtdl_cli.data.lists.rows import UNKNOWN_CLASS, ListRows
from vtdl_cli.errors import ListError

MOST_CLASSES = 1_000_000  # a larger class is a typing error: a classifier of that size would fill the memory


def number_classes(
    rows: ListRows, file: ListFile, beside: list[str] | None, first_class: int
) -> tuple[NDArray[np.int64], list[str] | None]:
    """Return the classes of the rows, int64 [N], counted from 0, and their names.

    Names are numbered as in the classes.txt beside the list, else as the list orders them, else in alphabetical order.

    Args:
        rows: the list.
        file: its file.
        beside: the names in that classes.txt.
        first_class: the number that the list gives its first class; it becomes 0.

    Raises:
        ListError: a class is out of range, or not in classes.txt.
    """
    if isinstance(rows.labels, np.ndarray):
        labels = _count_from_zero(rows, rows.labels, file, first_class)
        names = beside or rows.classes
        _check_names(rows, labels, file, beside)
        _check_range(rows, labels, file, names)
        return labels, names
    names = beside or rows.classes or sorted(set(rows.labels) - {""})
    numbers = {name: number for number, name in enumerate(names)} | {"": UNKNOWN_CLASS}
    for name, line in zip(rows.labels, rows.numbers.tolist(), strict=True):
        if name not in numbers:
            rule = f"which the {CLASSES_FILE} beside it does not name" if beside else "which is not one of its classes"
            raise ListError(f"{file.line(line)} has class '{name}', {rule}. Correct either file")
    return np.array([numbers[name] for name in rows.labels], np.int64), names or None


def _count_from_zero(rows: ListRows, labels: NDArray[np.int64], file: ListFile, first_class: int) -> NDArray[np.int64]:
    is_unknown = labels == UNKNOWN_CLASS
    for index in np.flatnonzero((labels < first_class) & ~is_unknown)[:1]:
        has = f"{file.line(int(rows.numbers[index]))} has class '{labels[index]}'"
        rule = f"but class counts from {first_class} (read as '{rows.columns}')"
        raise ListError(f"{has}, {rule}. Correct the line, or use --list-columns")
    return np.where(is_unknown, UNKNOWN_CLASS, labels - first_class)


def _check_names(rows: ListRows, labels: NDArray[np.int64], file: ListFile, beside: list[str] | None) -> None:
    """Raise ListError if a list that names its classes gives a number another name than classes.txt does."""
    if not beside or not rows.classes:
        return
    for index, label in enumerate(labels.tolist()):
        if 0 <= label < min(len(beside), len(rows.classes)) and beside[label] != rows.classes[label]:
            has = f"{file.line(int(rows.numbers[index]))} has class {label} '{rows.classes[label]}'"
            raise ListError(f"{has}, which the {CLASSES_FILE} beside it names '{beside[label]}'. Correct either file")


def _check_range(rows: ListRows, labels: NDArray[np.int64], file: ListFile, classes: list[str] | None) -> None:
    """Raise ListError for a class that has no name, or that is absurdly large."""
    number = MOST_CLASSES if classes is None else len(classes)
    for index in np.flatnonzero(labels >= number)[:1]:
        has = f"{file.line(int(rows.numbers[index]))} has class '{labels[index]}' (read as '{rows.columns}')"
        if classes is None:
            raise ListError(f"{has}, but classes go from 0 to {number - 1}. Correct it, or use --list-columns")
        rule = f"but the {CLASSES_FILE} beside it names {number}, 0 to {number - 1}"
        if labels.min() == 1 and labels.max() == number:  # as in the split files of UCF101
            rewrite = counting_from_zero(file.command_that_converts)
            raise ListError(f"{has}, {rule}. If the list counts classes from 1: {rewrite}")
        raise ListError(f"{has}, {rule}. Correct either file, or use --list-columns")
