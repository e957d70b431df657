"""Which names can be written to a list and read back."""

import re

from vtdl_cli.data.lists.list_file import BYTE_ORDER_MARK
from vtdl_cli.errors import ListError


def unlistable(name: str) -> str:
    """Return why a path or class name would change when written and read back; empty if it would not."""
    try:
        encoded = name.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    if encoded.strip() != encoded or not encoded:
        return "its name begins or ends with a space"
    return "its name contains a line break" if re.search(rb"[\r\n\0]", encoded) else ""


def check_listable(name: str) -> str:
    """Return a path as it is written to a list: after `./` if its start could be read as that of a comment or a file.

    Raises:
        ListError: it cannot be written to a list (see `unlistable`).
    """
    if reason := unlistable(name):
        raise ListError(f"video {name!a} cannot be written to a list: {reason}. Rename it")
    return f"./{name}" if name.encode().startswith((b"#", BYTE_ORDER_MARK)) else name
