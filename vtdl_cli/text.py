"""Text to print: file names, class names and lines of lists, made safe and short enough, and numbers."""

import re
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any

_UNPRINTABLE = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # control characters: they move the cursor, clear the screen, set the window title
    "\u2028\u2029"  # line and paragraph separators
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # text direction: `exe.jpg` could be shown as `gpj.exe`
    "\ud800-\udfff"  # surrogates: bytes of a file name that are not UTF-8
    "]"
)
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def has_lone_surrogate(text: str) -> bool:
    """Whether UTF-8 cannot hold `text`: pickles, JSON and YAML can say what no file of ours can be given."""
    return _LONE_SURROGATE.search(text) is not None


def printable(text: str) -> str:
    """Return `text` on one line, with escapes such as `\\x1b` for control and unprintable characters."""
    return _UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def printable_lines(text: str) -> str:
    """Do the same to each line of a text whose line breaks are intended."""
    return "\n".join(map(printable, text.split("\n")))


def shorten(text: str, length: int) -> str:
    """Return at most `length` characters of `text`, the middle left out: names of files often differ in their ends."""
    if len(text) <= length:
        return text
    end = (length - 1) // 2
    return f"{text[: length - 1 - end]}…{text[len(text) - end :]}"


def counted(number: float, one: str, many: str = "") -> str:
    """Return a number and what it counts: `1 video`, `5 videos`, `2 classes`, `0 queries`.

    Args:
        number: how many.
        one: a noun, or words to say of one, such as `video is`.
        many: the same of several; by default the plural of the noun.
    """
    shown = f"{number:g}" if isinstance(number, float) else str(number)
    return f"{shown} {one if number == 1 else many or _plural(one)}"


def _plural(noun: str) -> str:
    """Return the plural of a regular noun."""
    if noun.endswith("s"):
        return f"{noun}es"
    return f"{noun[:-1]}ies" if noun[-1] == "y" and noun[-2] not in "aeiou" else f"{noun}s"


def count_names(names: Sequence[str], kind: str = "", shown: int = 3) -> str:
    """Count names and show the first: `5 missing (a, b, c and 2 more)`; all of them where they are few."""
    count = f"{len(names)} {kind}".rstrip()
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return f"{count} ({', '.join(names[:shown])}{more})" if names else count


def mean_and_half(estimate: Mapping[str, Any], sign: str = "") -> str:
    """Return the `mean` of an estimate and half of its `interval`, which is symmetric, or none: `56.2 ± 8.2`."""
    half = f" ± {estimate['interval'][1] - estimate['mean']:.1f}" if estimate["interval"] else ""
    return f"{estimate['mean']:{sign}.1f}{half}"


def brief_number(value: float) -> str:
    """Return a number of at least 0 in 4 digits or so, never with an exponent: `1234`, `12.34`, `below 0.001`."""
    if 0 < value < 0.001:
        return "below 0.001"
    return f"{value:.0f}" if value >= 1000 else f"{value:.4g}"


def result_rows(
    result: Mapping[str, Any], leave_out: Container[str] = (), prefix: str = ""
) -> Iterator[tuple[str, str]]:
    """Yield the rows of a nested result: JSON keys, some of which are class or file names, and values to 4 digits."""
    for name, value in result.items():
        label = f"{prefix}{name}"
        if name in leave_out:
            continue
        if isinstance(value, Mapping):
            yield from result_rows(value, leave_out, f"{label}: ")
        elif isinstance(value, float):
            yield label, f"{value:.4g}"
        elif isinstance(value, list):
            yield label, _describe_list(value)
        else:
            yield label, "none" if value in (None, "") else str(value)


def _describe_list(values: list[Any]) -> str:
    """Return integers as a shape, two floats as an interval, and any other list as its length."""
    if values and all(isinstance(value, int) for value in values):
        return " x ".join(map(str, values))
    if len(values) == 2 and all(isinstance(value, float) for value in values):
        return f"{values[0]:.4g} to {values[1]:.4g}"
    return str(len(values))
