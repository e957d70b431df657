"""Text that others wrote, such as names of files and classes or lines of lists, made safe and short enough to show."""

import re
from collections.abc import Sequence

_UNPRINTABLE = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # control characters: they move the cursor, clear the screen, name the window
    "\u2028\u2029"  # separators of lines and paragraphs
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # what turns the direction of writing: `gpj.exe` for `exe.jpg`
    "\ud800-\udfff"  # halves of characters: bytes of a file name that are no UTF-8
    "]"
)


def printable(text: str) -> str:
    """`text` in one line; what would act on a terminal, or cannot be written, as an escape such as `\\x1b`."""
    return _UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def printable_lines(text: str) -> str:
    """The same where the line breaks are meant."""
    return "\n".join(map(printable, text.split("\n")))


def count_names(names: Sequence[str], kind: str = "", shown: int = 3) -> str:
    """Count names and show the first: `5 missing (a, b, c and 2 more)`; all of them where they are few."""
    count = f"{len(names)} {kind}".rstrip()
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return f"{count} ({', '.join(names[:shown])}{more})" if names else count
