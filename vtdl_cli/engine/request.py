"""What a command asks of the engine, in plain types: which videos, and how to run."""

from dataclasses import dataclass
from pathlib import Path

from vtdl_cli.data.lists import VideoList, check_present, read_list


@dataclass(frozen=True)
class ListSource:
    """A list of videos and how to find them; see `data.lists.read_list`."""

    path: Path
    root: Path | None = None
    strip_prefix: str = ""
    columns: str | None = None

    def read(self) -> VideoList:
        """The list, with its first videos looked for on the disk.

        Raises:
            ListError: the list is wrong, or none of its first videos is there.
        """
        videos = read_list(self.path, root=self.root, strip_prefix=self.strip_prefix, columns=self.columns)
        check_present(videos)
        return videos


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
