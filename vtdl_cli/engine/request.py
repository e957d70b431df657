"""Requests from the commands to the engine, in plain types: which videos, and how to run."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from vtdl_cli.data.lists.video_list import (
    ParsedList,
    VideoList,
    check_labelled,
    check_present,
    find_missing,
    list_of_videos,
    parse_list,
)
from vtdl_cli.data.lists.writable import unlistable
from vtdl_cli.data.video.disk import may_be_video
from vtdl_cli.data.video.folder_scan import find_videos, is_video_folder
from vtdl_cli.errors import ListError, UsageError
from vtdl_cli.runtime import Reporter
from vtdl_cli.text import counted

MOST_LOOKED_FOR = 10_000  # videos of a list that a dry run looks for: network disks may be slow


@dataclass(frozen=True)
class ListSource:
    """A list of videos and how to find them, see `data.lists.video_list.parse_list`; or a video or folder of videos.

    In place of a list, `path` may be a video file, a folder of frames, or a folder that holds videos at any depth.
    """

    path: Path
    root: Path | None = None
    strip_prefix: str = ""
    columns: str | None = None
    chosen: Mapping[str, str] = field(default_factory=dict)
    """What a column holds -> its name, for columns of a table that the user chose."""

    def read(
        self,
        *,
        needs_classes: bool = True,
        flow: bool = False,
        dry_run: Reporter | None = None,
        may_lack_all: bool = False,
    ) -> VideoList:
        """Read the list, and check that some of its first videos exist; in a dry run, how many of all.

        Args:
            needs_classes: every video must have a class.
            flow: a folder holds optical flow.
            dry_run: of a dry run, receives a warning if videos do not exist; None: no dry run.
            may_lack_all: a dry run continues with a warning even if none of the first videos exists.

        Raises:
            ListError: the list is invalid, none of its first videos exists, or classes are missing.
            UsageError: a folder holds no video, or options of a list are given for a video or folder.
        """
        if needs_classes and may_be_video(self.path):
            raise ListError(
                f"list '{self.path}' is a {self._kind}, whose class is unknown. Name a list with classes; "
                "to make one of class folders: vtdl prepare-lists folder --root videos --out lists"
            )
        videos = self.parse(flow=flow)
        if needs_classes:
            check_labelled(videos)
        try:
            check_present(videos)
        except ListError as error:
            if dry_run is None or not may_lack_all:
                raise
            dry_run.warn(f"a run would be refused: {error}")
            return videos
        if dry_run:
            self._look_for_all(videos, dry_run)
        return videos

    def _look_for_all(self, videos: VideoList, reporter: Reporter) -> None:
        """Warn if videos do not exist; of a very long list, some are looked for."""
        looked_for, missing = find_missing(videos, MOST_LOOKED_FOR)
        which = counted(looked_for, "video")
        if looked_for < len(videos):
            which = f"{looked_for} videos, spread evenly over its {len(videos)},"
        if missing:
            verb = "does not exist:" if len(missing) == 1 else "do not exist, the first is"
            what = f"{len(missing)} of {which} {verb} '{videos.path(missing[0])}'"
            reporter.warn(f"list '{self.path}': {what}. To see which: {self._check_command}")
        elif looked_for < len(videos):
            reporter.line(f"list '{self.path}': {which} were looked for, and all exist")

    @property
    def _check_command(self) -> str:
        """What to type to have the list checked."""
        return shlex.join(["vtdl", "lists", "check", str(self.path), *self._options])

    def command_that_counts(self, *, flow: bool = False) -> str:
        """Return what to type for a list with the frame counts of these videos, which may be optical flow."""
        decoder = ["--decoder", "flow"] if flow else []
        if may_be_video(self.path):
            folder = self.path if self.path.is_dir() else self.path.parent
            return shlex.join(["vtdl", "prepare-lists", "folder", "--root", str(folder), *decoder, "--out", "lists"])
        out = f"counted/{self.path.stem}.txt"
        return shlex.join(["vtdl", "lists", "convert", str(self.path), *self._options, *decoder, "--out", out])

    @property
    def _options(self) -> list[str]:
        """The options of the list, as they are typed."""
        options = {"--root": self.root, "--strip-prefix": self.strip_prefix, "--list-columns": self.columns}
        return [word for option, value in options.items() if value for word in (option, str(value))]

    def parse(self, *, flow: bool = False) -> VideoList:
        """Read the list whether or not its videos exist or have classes.

        Raises:
            ListError, UsageError: as `read`.
        """
        return self.parse_parts(flow=flow).whole()

    def parse_parts(self, first_class: int = 0, *, flow: bool = False) -> ParsedList:
        """Read a list that may hold several parts of a split; a video or a folder holds none.

        Args:
            first_class: the number that the list gives its first class; it becomes 0.
            flow: a folder holds optical flow.

        Raises:
            ListError, UsageError: as `read`, and see `data.lists.video_list.parse_list`.
        """
        if may_be_video(self.path):
            return ParsedList(self._find_videos(flow=flow), None, None)
        return parse_list(
            self.path,
            root=self.root,
            strip_prefix=self.strip_prefix,
            columns=self.columns,
            first_class=first_class,
            chosen=self.chosen,
        )

    def _find_videos(self, *, flow: bool) -> VideoList:
        """Return the video, or those of the folder, given in place of a list."""
        if self.root is not None or self.strip_prefix or self.columns:
            raise UsageError(
                f"list '{self.path}' is a {self._kind}, for which --root, --strip-prefix and --list-columns have no "
                "meaning. Leave them out"
            )
        if self.path.is_dir() and not is_video_folder(self.path, flow=flow):
            names = find_videos(self.path, flow=flow).videos
            listed = [name for name in names if not unlistable(name)]
            videos = list_of_videos(self.path, listed or names, root=self.path)
            return replace(videos, left_out=list(filter(unlistable, names)))
        return list_of_videos(self.path, [str(self.path)])

    @property
    def _kind(self) -> str:
        return "folder" if self.path.is_dir() else "video"


@dataclass(frozen=True)
class Execution:
    """How to run a command that computes.

    Attributes:
        seed: seed of weight init, order, clips and augmentation.
        device: `auto`, `cpu`, `cuda` or `mps`.
        workers: decoding processes; None: one for each core, at most 8.
        resume: resume from the last checkpoint.
        overwrite: replace existing outputs.
        dry_run: check everything without computing.
        deterministic: train with the same bits again on the same GPU, where torch can.
    """

    seed: int = 0
    device: str = "auto"
    workers: int | None = None
    resume: bool = False
    overwrite: bool = False
    dry_run: bool = False
    deterministic: bool = False


@dataclass(frozen=True)
class Protocol:
    """Which views of a video are evaluated, and how they are combined.

    Attributes:
        clips: clips spread evenly over each video; None: the number in the preset, or its starts.
        crops: 1 centre crop, or 3 along the long side.
        aggregate: what is averaged over the views: `softmax` or `logits`.
    """

    clips: int | None = None
    crops: int = 1
    aggregate: str = "softmax"


def protocol_name(clips: int, crops: int = 1) -> str:
    """Return `clip@1` for one clip, `video@10` for the mean of ten, `video@10x3` with three crops each."""
    if crops > 1:
        return f"video@{clips}x{crops}"
    return "clip@1" if clips == 1 else f"video@{clips}"
