"""What form.json records of the videos in an output folder: their format, lists and sources, so that none are mixed."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vtdl_cli.data.lists.video_list import VideoList
from vtdl_cli.data.video.transcoding import FrameFolderWriter, Mp4Writer
from vtdl_cli.errors import UsageError
from vtdl_cli.runtime import write_json

VideoWriter = Mp4Writer | FrameFolderWriter
FORMS: dict[type[VideoWriter], str] = {Mp4Writer: "compressed", FrameFolderWriter: "pictures"}
"""The name of each format in form.json."""
FORM_FILE = "form.json"

Stamp = tuple[int, int]  # of a source: its size in bytes, and the time of its last change in ns


@dataclass(frozen=True)
class Form:
    """What is recorded of an output folder.

    Attributes:
        settings: the format of its videos; empty: nothing is recorded.
        lists: the hash of the list that each new list was begun for.
        stamps: of the source of each new video, when that was begun.
        knows_videos: whether videos are recorded; earlier versions did not.
    """

    settings: dict[str, Any]
    lists: dict[Path, str]
    stamps: dict[Path, Stamp]
    knows_videos: bool

    def wrote(self, path: Path) -> bool:
        """Whether an earlier run has written a video or a list; of earlier versions, all that is there counts."""
        return not self.knows_videos or path in self.stamps or path in self.lists


def read_form(out: Path) -> Form:
    """Read what is recorded of a folder.

    Raises:
        UsageError: the file is damaged.
    """
    path = out / FORM_FILE
    try:
        form = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"videos": {}}
        lists = {out / name: digest for name, digest in dict(form.pop("lists", {})).items()}
        knows_videos = "videos" in form
        stamps = {out / name: (int(size), int(time)) for name, (size, time) in form.pop("videos", {}).items()}
        return Form(form, lists, stamps, knows_videos)
    except (ValueError, AttributeError, TypeError):  # not JSON, or not a mapping
        raise UsageError(f"file '{path}' is damaged, so its videos are unknown. Choose another --out") from None


def check_form(form: Form, listing: Path, writer: VideoWriter, videos: VideoList, *, resume: bool) -> None:
    """Refuse to mix two formats in one folder, or to resume with another list of the same name.

    Raises:
        UsageError: the format or the list differs.
    """
    out = listing.parent
    if form.settings and form.settings != _describe_writer(writer):
        settings = ", ".join(f"{name} {value}" for name, value in form.settings.items())
        raise UsageError(f"output folder '{out}' holds videos of {settings}. Use the same, or choose another --out")
    if resume and form.lists.get(listing, videos.sha256) != videos.sha256:
        raise UsageError(
            f"output folder '{out}' was begun with another list '{listing.name}' than '{videos.source}' is now. "
            "Use --overwrite, or another --out"
        )


def record_form(
    form: Form, listing: Path, writer: VideoWriter, videos: VideoList, stamps: Mapping[Path, Stamp]
) -> None:
    """Record the format, the list beside those that were recorded before, and the sources of all new videos."""
    out = listing.parent
    lists = {**form.lists, listing: videos.sha256}
    write_json(
        out / FORM_FILE,
        {
            **_describe_writer(writer),
            "lists": {path.name: digest for path, digest in lists.items()},
            "videos": {path.relative_to(out).as_posix(): stamp for path, stamp in stamps.items()},
        },
    )


def stamp_sources(videos: VideoList, targets: list[Path]) -> dict[Path, Stamp]:
    """Return the stamp of the source of each new video, where it is there."""
    of_source: dict[Path, Stamp | None] = {}  # intervals share one
    stamps: dict[Path, Stamp] = {}
    for index, target in enumerate(targets):
        source = videos.path(index)
        if source not in of_source:
            of_source[source] = _stamp(source)
        if (stamp := of_source[source]) is not None:
            stamps[target] = stamp
    return stamps


def _stamp(source: Path) -> Stamp | None:
    """Return the stamp of a video file, or of all images of a folder together."""
    try:
        found = [path.stat() for path in (source.iterdir() if source.is_dir() else [source])]
    except OSError:
        return None
    return sum(each.st_size for each in found), max((each.st_mtime_ns for each in found), default=0)


def _describe_writer(writer: VideoWriter) -> dict[str, Any]:
    return {"form": FORMS[type(writer)], **asdict(writer)}
