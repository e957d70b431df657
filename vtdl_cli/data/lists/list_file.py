"""The file of a list: its content, and where its videos are."""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from vtdl_cli.errors import ListError, UsageError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, eq=False)
class ListFile:
    """The content of a list's file, and how to read it.

    Attributes:
        source: the file.
        content: its bytes, UTF-8.
        root: the folder that relative paths start from.
        strip_prefix: a folder to drop from the start of paths; may be empty.
        chosen: what a column holds -> its name, for columns of a table that the user chose.
        columns: the order of the columns of a text list that the user chose; None: it is detected.
    """

    source: Path
    content: bytes
    root: Path
    strip_prefix: str = ""
    chosen: Mapping[str, str] = field(default_factory=dict)
    columns: str | None = None

    @property
    def body(self) -> bytes:
        """The content, without a byte order mark."""
        return self.content.removeprefix(BYTE_ORDER_MARK)

    @property
    def text(self) -> str:
        """The content, without a byte order mark, decoded."""
        return self.body.decode()

    @cached_property
    def json(self) -> Any:
        """The content of a JSON file; None for other files.

        Raises:
            ListError: a file with the suffix of JSON is none.
        """
        if self.body.lstrip()[:1] not in (b"[", b"{"):
            return None
        try:
            return json.loads(self.text)
        except ValueError as error:
            if self.source.suffix.lower() != ".json":
                return None
            raise ListError(f"list '{self.source}' is not JSON: {error}. Correct the file") from error

    @cached_property
    def prefix(self) -> bytes:
        """What to strip from paths: ends in a slash, or is empty."""
        return self.strip_prefix.replace("\\", "/").rstrip("/").encode() + b"/" if self.strip_prefix else b""

    @property
    def command_that_converts(self) -> str:
        """The beginning of the command that converts the list, with the options that it was read with, to be typed."""
        options = {"--strip-prefix": self.strip_prefix, "--list-columns": self.columns}
        options |= {f"--{content}-column": name for content, name in self.chosen.items()}
        words = [word for option, value in options.items() if value for word in (option, value)]
        return f"{convert_command(self.source, self.root)} {shlex.join(words)}".rstrip()

    def line(self, number: int) -> str:
        """Name a row in an error message."""
        return f"list '{self.source}:{number}'" if self.json is None else f"list '{self.source}', entry {number},"

    def beside(self, *names: str) -> Path | None:
        """Return the first of these files that lies in the list's folder."""
        return next((path for path in map(self.source.with_name, names) if path.is_file()), None)

    def check_prefix(self, names: Sequence[bytes]) -> None:
        """Make sure that the prefix is one of some name, or line.

        Raises:
            UsageError: it is not.
        """
        if not any(name.startswith(self.prefix) for name in names):
            rule = f"starts no line of list '{self.source}', whose first is '{shortened(names[0].decode())}'"
            raise UsageError(
                f"--strip-prefix '{self.strip_prefix}' {rule}. Give whole folders from the start of its paths"
            )


TEXT_START = 4096  # bytes in which a file that is no text has a zero byte
UTF_16 = (b"\xff\xfe", b"\xfe\xff")  # byte order marks of a text that has zero bytes
TEXT_HINT = "Name a list, a folder of videos, or a video by its usual ending (.mp4, .avi, ...)"


def read_text(source: Path, kind: str) -> bytes:
    """Return the bytes of a UTF-8 file.

    Args:
        source: the file.
        kind: names the file in error messages.

    Raises:
        ListError: the file cannot be read, or is not UTF-8.
    """
    hint = TEXT_HINT if kind == "list" else "Name a text file"
    try:
        content = source.read_bytes()
        content.decode()
    except OSError as error:
        raise ListError(f"{kind} '{source}' cannot be read ({error.strerror}). {hint}") from error
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        if b"\0" in content[:TEXT_START] and not content.startswith(UTF_16):
            raise ListError(f"{kind} '{source}' is not a text file. {hint}") from error
        raise ListError(f"{kind} '{source}:{number}' is not UTF-8 text. Save it as text or CSV, in UTF-8") from error
    if b"\0" in content:  # UTF-16 without a byte order mark is valid UTF-8
        number = content.count(b"\n", 0, content.index(b"\0")) + 1
        raise ListError(
            f"{kind} '{source}:{number}' contains a zero byte: not UTF-8 text. Save it as text or CSV, in UTF-8"
        )
    return content


def convert_command(source: Path, root: Path) -> str:
    """Return the beginning of the command that converts a list, to be typed."""
    rooted = [] if root == source.parent else ["--root", str(root)]
    return shlex.join(["vtdl", "lists", "convert", str(source), *rooted])


def counting_from_zero(command: str) -> str:
    """Return what to type for a list that counts classes from 1, from the beginning of the command that converts it."""
    return f"{command} --from-one --out from_zero"


def shortened(text: str, length: int = 80) -> str:
    """Return a text of at most `length` characters for a message."""
    return text if len(text) <= length else f"{text[: length - 3]}..."


def path_exists(path: Path) -> bool:
    """Whether the path exists and can be reached."""
    try:
        return path.exists()
    except OSError:  # the name is too long, or a folder on the way may not be entered
        return False
