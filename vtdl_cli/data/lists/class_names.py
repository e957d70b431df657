"""classes.txt, the names of the classes beside a list."""

from collections.abc import Iterable
from pathlib import Path

from vtdl_cli.data.lists.list_file import BYTE_ORDER_MARK, read_text
from vtdl_cli.data.lists.writable import unlistable
from vtdl_cli.errors import ListError

CLASSES_FILE = "classes.txt"


def write_classes(path: str | Path, names: Iterable[str]) -> None:
    """Write class names one a line; the first is class 0.

    Raises:
        ListError: a name cannot be written (see `unlistable`).
    """
    names = list(names)
    for name in names:
        if reason := unlistable(name):
            raise ListError(f"class {name!a} cannot be written to {CLASSES_FILE}: {reason}. Rename it")
    Path(path).write_text("".join(f"{name}\n" for name in names), encoding="utf-8", newline="\n")


def read_classes(path: str | Path) -> list[str]:
    """Read class names, one a line; the first is class 0.

    Raises:
        ListError: the file cannot be read, is empty, has a blank line between names, or names a class twice.
    """
    source = Path(path)
    content = read_text(source, "class file").removeprefix(BYTE_ORDER_MARK)
    names = [line.strip().decode() for line in content.rstrip().splitlines()]
    if not names:
        raise ListError(f"class file '{source}' is empty. Write one class name a line; the first is class 0")
    first_lines: dict[str, int] = {}
    for number, name in enumerate(names, start=1):
        if not name:
            raise ListError(f"class file '{source}:{number}' is blank, but lines count classes. Remove the line")
        if (first := first_lines.setdefault(name, number)) != number:
            raise ListError(f"class file '{source}:{number}' repeats '{name}' of line {first}. Remove one")
    return names
