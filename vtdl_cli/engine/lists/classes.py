"""Find the videos below a folder, and decide whether their folders are classes."""

from pathlib import Path, PurePosixPath
from typing import NamedTuple

from vtdl_cli.data.lists.rows import UNKNOWN_CLASS
from vtdl_cli.data.lists.splits import ClassFolders, scan_class_folders
from vtdl_cli.data.video.disk import find_videos
from vtdl_cli.errors import UsageError

AUTO, FOLDER, NONE = LABELS = ("auto", "folder", "none")
"""Where labels come from: the folder that a video lies in, nowhere, or whichever fits most videos."""


class FoundVideos(NamedTuple):
    """The videos below a folder.

    Attributes:
        labels: `FOLDER` or `NONE`.
        content: videos, with class names if they have classes.
        left_out: videos that lie in no class folder.
    """

    labels: str
    content: ClassFolders
    left_out: list[str]

    def warnings(self) -> list[str]:
        """Return a line about videos that are left out."""
        if not self.left_out:
            return []
        what = f"{len(self.left_out)} videos do not lie directly in a class folder and are left out"
        return [f"{what}; the first is '{self.left_out[0]}'. To list all videos without classes: --labels none"]

    def describe(self) -> str:
        """Return the line that reports the choice of `auto`."""
        if self.labels == FOLDER:
            return f"labels: from {len(self.content.classes)} class folders (--labels none: without classes)"
        return "labels: none, class -1, as most videos do not lie in <root>/<class>/ (--labels folder: from folders)"


def find_labelled_videos(root: Path, labels: str, *, flow: bool = False) -> FoundVideos:
    """Find videos as `<root>/<class>/<video>`, or at any depth without classes.

    Args:
        root: the top folder.
        labels: one of `LABELS`; `auto` takes folders as classes if at least half of the videos lie in such a place.
        flow: look for optical flow, see `data.video.flow_folder`.

    Raises:
        UsageError: `labels` is unknown, `root` has no video or, for `folder`, no class folder.
    """
    if labels not in LABELS:
        raise UsageError(f"--labels '{labels}' is not one of {', '.join(LABELS)}")
    names = find_videos(root, flow=flow)
    if labels == AUTO:
        in_class_folders = sum(name.count("/") == 1 for name in names)
        labels = FOLDER if 2 * in_class_folders >= len(names) else NONE
    if labels == NONE:
        return FoundVideos(NONE, ClassFolders([], [(name, UNKNOWN_CLASS) for name in names], []), [])
    content = scan_class_folders(root, flow=flow)
    listed = {name for name, _ in content.videos}
    left_out = [name for name in names if name not in listed]
    places = {place for name in left_out for place in (name, *(f"{folder}/" for folder in PurePosixPath(name).parents))}
    ignored = [name for name in content.ignored if name not in places]  # the others hold a video
    return FoundVideos(FOLDER, content._replace(ignored=ignored), left_out)
