"""Which videos are cut from one recording: they are right or wrong together, so intervals go by recordings."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vtdl_cli.data.lists.splits import group_keys
from vtdl_cli.engine.lists.prepare import AUDIT_FILE
from vtdl_cli.errors import UsageError
from vtdl_cli.runtime import Reporter


@dataclass(frozen=True)
class Groups:
    """What intervals go by.

    Attributes:
        regex: its first group, searched in the file names, is the key of a video's recording; empty: every video is a
            recording of its own.
    """

    regex: str = ""

    def keys(self, names: Sequence[str]) -> list[str] | None:
        """The key of each video; none: by video.

        Raises:
            UsageError: the regex is malformed, or finds nothing in a name.
        """
        return group_keys(names, self.regex) if self.regex else None

    def describe(self, names: Sequence[str]) -> dict[str, Any]:
        """For metrics.json."""
        keys = self.keys(names)
        if keys is None:
            return {"intervals_by": "video"}
        return {"intervals_by": "group", "group_by": self.regex, "num_groups": len(set(keys))}


def recorded_regex(list_path: Path) -> str:
    """What `prepare-lists` kept groups together by, from the audit.json beside a list; empty where nothing says so."""
    try:
        audit = json.loads((list_path.parent / AUDIT_FILE).read_text(encoding="utf-8"))
        regex = audit["options"]["group_by"]
    except (OSError, ValueError, KeyError, TypeError):  # absent, or another program's
        return ""
    return regex if isinstance(regex, str) else ""


def choose_groups(names: Sequence[str], asked: str | None, recorded: str, reporter: Reporter) -> Groups:
    """What was asked for; else what was recorded when the list was made, which is told.

    Args:
        names: of the videos, as the list has them.
        asked: `--group-by`; empty: by video whatever was recorded; none: not given.
        recorded: the regex of the list, or empty.
        reporter: who is told.

    Raises:
        UsageError: what was asked for is malformed, or finds nothing in a name.
    """
    groups = Groups(recorded if asked is None else asked)
    try:
        keys = groups.keys(names)
    except UsageError as error:
        if asked is not None:
            raise
        reporter.warn(f"intervals go by video: the list was made with other names: {error}")
        return Groups()
    if keys is not None and asked is None:
        reporter.line(f"intervals go by {len(set(keys))} groups of --group-by '{recorded}', as the list was made")
    return groups
