"""The format of the videos in an output folder, recorded in it, so that no two are mixed."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vtdl_cli.data.lists.video_list import VideoList
from vtdl_cli.data.video.transcoding import FrameFolderWriter, Mp4Writer
from vtdl_cli.errors import UsageError
from vtdl_cli.runtime import write_json

VideoWriter = Mp4Writer | FrameFolderWriter
FORMS: dict[type[VideoWriter], str] = {Mp4Writer: "compressed", FrameFolderWriter: "pictures"}
"""The name of each format in form.json."""
FORM_FILE = "form.json"  # in the output folder: the format of its videos, and the lists they were written for


def check_form(listing: Path, writer: VideoWriter, videos: VideoList, *, resume: bool) -> None:
    """Refuse to mix two formats in one folder, or to resume with another list of the same name.

    Raises:
        UsageError: the format or the list differs.
    """
    out = listing.parent
    before, lists = _read_form(out)
    if before and before != _describe_form(writer):
        settings = ", ".join(f"{name} {value}" for name, value in before.items())
        raise UsageError(f"output folder '{out}' holds videos of {settings}. Use the same, or choose another --out")
    if resume and lists.get(listing.name, videos.sha256) != videos.sha256:
        raise UsageError(
            f"output folder '{out}' was begun with another list '{listing.name}' than '{videos.source}' is now. "
            "Use --overwrite, or another --out"
        )


def record_form(listing: Path, writer: VideoWriter, videos: VideoList) -> bool:
    """Record the format and the list in the folder; return whether a format was recorded before."""
    out = listing.parent
    before, lists = _read_form(out)
    form = {**_describe_form(writer), "lists": {**lists, listing.name: videos.sha256}}
    write_json(out / FORM_FILE, form)
    return bool(before)


def _describe_form(writer: VideoWriter) -> dict[str, Any]:
    return {"form": FORMS[type(writer)], **asdict(writer)}


def _read_form(out: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the format of a folder's videos, and the hash of each list they were written for; empty if it is new.

    Raises:
        UsageError: the file is damaged.
    """
    path = out / FORM_FILE
    try:
        form = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return form, dict(form.pop("lists", {}))
    except (ValueError, AttributeError, TypeError):  # not JSON, or not a mapping
        raise UsageError(f"file '{path}' is damaged, so its videos are unknown. Choose another --out") from None
