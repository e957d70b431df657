"""Groups of videos that were cut from one recording: their errors are correlated, so intervals go by recording."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vtdl_cli.data.lists.splits import group_keys
from vtdl_cli.engine.lists.outputs import AUDIT_FILE
from vtdl_cli.errors import UsageError
from vtdl_cli.runtime import Reporter
from vtdl_cli.text import counted


@dataclass(frozen=True)
class Groups:
    """How videos are grouped for intervals.

    Attributes:
        regex: a grouping, see `data.lists.splits.grouping`, whose key is that of a video's recording; empty: each
            file is a recording of its own, of which a list may name several intervals.
    """

    regex: str = ""

    def keys(self, names: Sequence[str]) -> list[str] | None:
        """Return the key of each video, or None if each is a group of its own.

        Args:
            names: paths as listed, the same for all intervals of a file.

        Raises:
            UsageError: the regex is malformed, or does not match a name.
        """
        if self.regex:
            return group_keys(names, self.regex)
        return list(names) if len(set(names)) < len(names) else None

    def describe(self, names: Sequence[str]) -> dict[str, Any]:
        """Return the entries for metrics.json."""
        keys = self.keys(names)
        if keys is None:
            return {"intervals_by": "video"}
        by = {"intervals_by": "group", "group_by": self.regex} if self.regex else {"intervals_by": "file"}
        return {**by, "num_groups": len(set(keys))}


def recorded_regex(list_path: Path) -> str:
    """Return the `--group-by` that a list was prepared with, from the audit.json beside it; empty if unknown."""
    try:
        audit = json.loads((list_path.parent / AUDIT_FILE).read_text(encoding="utf-8"))
        regex = audit["options"]["group_by"]
    except (OSError, ValueError, KeyError, TypeError):  # missing, or written by another program
        return ""
    return regex if isinstance(regex, str) else ""


def choose_groups(names: Sequence[str], asked: str | None, recorded: str, reporter: Reporter) -> Groups:
    """Return the requested groups, or else those recorded when the list was prepared, or files; report which.

    Args:
        names: paths of the videos, as listed.
        asked: `--group-by`; empty: by file, whatever was recorded; None: not given.
        recorded: the recorded regex, or empty.
        reporter: for the line or warning.

    Raises:
        UsageError: the requested regex is malformed, or does not match a name.
    """
    groups = Groups(recorded if asked is None else asked)
    try:
        keys = groups.keys(names)
    except UsageError as error:
        if asked is not None:
            raise
        reporter.warn(f"intervals are by video: the list was prepared with other names: {error}")
        groups = Groups()
        keys = groups.keys(names)
    if keys is not None and not groups.regex:
        reporter.line(
            f"confidence intervals are by {counted(len(set(keys)), 'file')}, of which the list has "
            f"{counted(len(keys), 'row')}"
        )
    elif keys is not None and asked is None:
        reporter.line(
            f"intervals are by {counted(len(set(keys)), 'group')} of --group-by '{recorded}', as the list was prepared"
        )
    return groups
