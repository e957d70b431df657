"""The formats of lists: how each is recognised and read. The last reads lines of text, whatever they are."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from vtdl_cli.data.lists import json_lists, table_lists, ucf_crime
from vtdl_cli.data.lists.class_names import CLASSES_FILE
from vtdl_cli.data.lists.columns import read_lines
from vtdl_cli.data.lists.list_file import ListFile
from vtdl_cli.data.lists.rows import ListRows
from vtdl_cli.data.lists.stored_names import find_stored, unify_slashes
from vtdl_cli.errors import UsageError

TABLE = "table"


class ListFormat(NamedTuple):
    """A format of lists."""

    detects: Callable[[ListFile], bool]
    read: Callable[[ListFile], ListRows]


FORMATS = {
    "mmaction2": ListFormat(json_lists.is_mmaction, json_lists.read_mmaction),
    "diving48": ListFormat(json_lists.is_diving48, json_lists.read_diving48),
    "something-something": ListFormat(json_lists.is_something, json_lists.read_something),
    "activitynet": ListFormat(json_lists.is_activitynet, json_lists.read_activitynet),
    "json": ListFormat(lambda file: file.json is not None, json_lists.refuse_json),
    "ucf-crime": ListFormat(ucf_crime.is_ucf_crime, ucf_crime.read_ucf_crime),
    "kinetics": ListFormat(table_lists.is_kinetics, table_lists.read_kinetics),
    "pairs": ListFormat(table_lists.is_pairs, table_lists.read_pairs),
    TABLE: ListFormat(table_lists.is_table, table_lists.read_table),
}
"""Format -> detector and reader, in the order in which they are tried; other lists are lines of text."""


def read_rows(file: ListFile, columns: str | None) -> ListRows:
    """Read a list of any format.

    Args:
        file: the list.
        columns: the order of the columns of a text list; None: the format is detected.

    Raises:
        ListError: the list is malformed; names the line.
        UsageError: an option does not fit the list.
    """
    canonical = file.beside(CLASSES_FILE) is not None
    if columns is not None and not file.chosen:
        return read_lines(file, columns, canonical=canonical)
    kind = next((name for name, form in FORMATS.items() if form.detects(file)), None)
    if file.chosen and kind != TABLE:
        content, name = next(iter(file.chosen.items()))
        rule = f"chooses a column by name, but list '{file.source}' does not name its columns"
        raise UsageError(f"--{content}-column '{name}' {rule}. Leave the option out")
    if kind is None:
        return read_lines(file, canonical=canonical)
    rows = FORMATS[kind].read(file)
    names = unify_slashes(rows.names, file.root)
    file.check_prefix(names)
    return find_stored(replace(rows, names=[name.removeprefix(file.prefix) for name in names]), file)
