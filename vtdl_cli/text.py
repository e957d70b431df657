"""Text that others wrote, such as names of files and classes or lines of lists, made safe to show."""

import re

_UNPRINTABLE = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # control characters: they move the cursor, clear the screen, name the window
    "\u2028\u2029"  # separators of lines and paragraphs
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # what turns the direction of writing: `gpj.exe` for `exe.jpg`
    "\ud800-\udfff"  # halves of characters: bytes of a file name that are no UTF-8
    "]"
)
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def has_lone_surrogate(text: str) -> bool:
    """Whether UTF-8 cannot hold `text`: pickles, JSON and YAML can say what no file of ours can be given."""
    return _LONE_SURROGATE.search(text) is not None


def printable(text: str) -> str:
    """`text` in one line; what would act on a terminal, or cannot be written, as an escape such as `\\x1b`."""
    return _UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def printable_lines(text: str) -> str:
    """The same where the line breaks are meant."""
    return "\n".join(map(printable, text.split("\n")))
