"""What a command asks of the engine, in plain types: which videos, and how to run."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vtdl_cli.data.lists.video_list import VideoList, check_present, list_of_one, read_list
from vtdl_cli.data.video.disk import may_be_video
from vtdl_cli.errors import ListError, UsageError


@dataclass(frozen=True)
class ListSource:
    """A list of videos and how to find them; see `data.lists.read_list`."""

    path: Path
    root: Path | None = None
    strip_prefix: str = ""
    columns: str | None = None

    def read(self, *, needs_classes: bool = True, absent: Callable[[str], None] | None = None) -> VideoList:
        """The list, with its first videos looked for on the disk.

        Args:
            needs_classes: without, a video file or a folder of frames may stand in place of a list, of class -1.
            absent: who is told where none of its first videos is there, as a dry run may go on; none: that is an error.

        Raises:
            ListError: the list is wrong, none of its first videos is there, or it is a video where classes are needed.
            UsageError: options of a list go with a video.
        """
        if may_be_video(self.path):
            return self._read_video(needs_classes)
        videos = read_list(self.path, root=self.root, strip_prefix=self.strip_prefix, columns=self.columns)
        try:
            check_present(videos)
        except ListError as error:
            if absent is None:
                raise
            absent(f"a run would be refused: {error}")
        return videos

    def _read_video(self, needs_classes: bool) -> VideoList:
        kind = "folder" if self.path.is_dir() else "video"
        if needs_classes:
            raise ListError(
                f"list '{self.path}' is a {kind}, and nothing says which class it is of. "
                "Name a list; to make one: vtdl prepare-lists folder"
            )
        if self.root is not None or self.strip_prefix or self.columns:
            raise UsageError(
                f"list '{self.path}' is a {kind}, which --root, --strip-prefix and --list-columns do not go with. "
                "Leave them out"
            )
        return list_of_one(self.path)


@dataclass(frozen=True)
class Execution:
    """How to run: common to all commands that compute.

    Attributes:
        seed: of initial weights, order, clips and augmentation.
        device: `auto`, `cpu` or `cuda`.
        workers: decoding processes; none: one a core, at most 8.
        resume: go on from the last checkpoint.
        overwrite: replace an output that is in the way.
        dry_run: check everything, compute nothing.
    """

    seed: int = 0
    device: str = "auto"
    workers: int | None = None
    resume: bool = False
    overwrite: bool = False
    dry_run: bool = False


@dataclass(frozen=True)
class Protocol:
    """How a video is looked at, and what is made of its views.

    Attributes:
        clips: spread evenly over each video; none: the preset's clips, or its starts.
        crops: 1 centre square, or 3 along the long side.
        aggregate: what is averaged over the views: `softmax` or `logits`.
    """

    clips: int | None = None
    crops: int = 1
    aggregate: str = "softmax"


def protocol_name(clips: int, crops: int = 1) -> str:
    """`clip@1` for one clip, `video@10` for the mean of ten, `video@10x3` with three crops of each."""
    if crops > 1:
        return f"video@{clips}x{crops}"
    return "clip@1" if clips == 1 else f"video@{clips}"
