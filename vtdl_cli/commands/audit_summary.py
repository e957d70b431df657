"""The audit of prepared lists, shortened to a screen."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from vtdl_cli.text import counted

MOST_ROWS = 20  # classes on the screen
FIRST_SHOWN = 3  # sizes, codecs or copies
NOT_SHOWN = ("options", "warnings")  # entries of the audit: they were typed, or have just been printed


def summarise(audit: dict[str, Any]) -> dict[str, Any]:
    """Shorten the audit to a screen; the rest is in audit.json."""
    return {name: SUMMARIES.get(name, _table)(value) for name, value in audit.items() if name not in NOT_SHOWN}


def _table(value: Any) -> Any:
    """Shorten a table of counts to one line a class, or to its smallest and largest counts if it is too long."""
    if not isinstance(value, dict) or not all(isinstance(row, dict) for row in value.values()) or not value:
        return value
    if len(value) <= MOST_ROWS:
        return {name: ", ".join(f"{side} {count}" for side, count in row.items()) for name, row in value.items()}
    sides = next(iter(value.values()))
    counts = {side: [row[side] for row in value.values()] for side in sides}
    ranges = ", ".join(f"{side} {min(each)} to {max(each)}" for side, each in counts.items())
    return f"{counted(len(value), 'class')}, videos of each: {ranges}; see audit.json"


def _range(value: dict[str, float] | None) -> str | None:
    return f"{value['min']:g} to {value['max']:g}, median {value['median']:g}" if value else None


def _most_frequent(counts: dict[str, int]) -> str:
    return _first([f"{count} of {name}" for name, count in counts.items()])


def _sides_of_groups(sides: dict[str, str] | None) -> str | None:
    """Say how many groups are on each side, or on several."""
    return ", ".join(f"{count} in {side}" for side, count in Counter(sides.values()).items()) if sides else None


def _name_copies(copies: list[list[str]]) -> str:
    return _first([_first(names, " = ") for names in copies]) if copies else "none"


def _first(texts: list[str], separator: str = "; ") -> str:
    """Join the first few texts, and count the others."""
    left = len(texts) - FIRST_SHOWN
    return separator.join(texts[:FIRST_SHOWN]) + (f"{separator}{left} more, see audit.json" if left > 0 else "")


SUMMARIES: dict[str, Callable[[Any], Any]] = {
    "frames": _range,
    "frame_rates": _range,
    "resolutions": _most_frequent,
    "codecs": _most_frequent,
    "groups": _sides_of_groups,
    "duplicates": _name_copies,
    "on_both_sides": _name_copies,
}
"""How an entry of the audit is shown; `_table` for all others."""
