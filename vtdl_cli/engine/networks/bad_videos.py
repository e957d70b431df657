"""Unreadable videos: they are skipped, counted and reported, and too many of them stop the run."""

from dataclasses import dataclass, field

from vtdl_cli.data.clips.datasets import Unreadable
from vtdl_cli.errors import ListError
from vtdl_cli.runtime import Reporter

MIN_BAD_VIDEOS = 3  # fewer do not stop a run, however short the list


@dataclass
class BadVideos:
    """The videos found unreadable so far, each counted once.

    Args:
        num_videos: in the list.
        max_fraction: the fraction of them that may be unreadable.
    """

    num_videos: int
    max_fraction: float
    found: dict[int, tuple[str, str]] = field(default_factory=dict)

    def add(self, unreadable: list[Unreadable], reporter: Reporter) -> None:
        """Count new ones, and warn of each.

        Raises:
            ListError: too many of the list's videos are unreadable.
        """
        for video in unreadable:
            if video.index not in self.found:
                self.found[video.index] = (video.path, video.reason)
                reporter.warn(f"skipped video '{video.path}': {video.reason}")
        count = len(self.found)
        if count == self.num_videos or (count >= MIN_BAD_VIDEOS and count > self.max_fraction * self.num_videos):
            path, reason = next(iter(self.found.values()))
            if self.num_videos == 1:
                raise ListError(f"video '{path}' cannot be read: {reason}. It is the only one")
            raise ListError(
                f"{count} of {self.num_videos} videos cannot be read, more than data.max_bad_fraction "
                f"{self.max_fraction:g} allows; the first is '{path}': {reason}. "
                "Remove them from the list, or --set data.max_bad_fraction=1"
            )

    def as_list(self) -> list[dict[str, str]]:
        """Return path and reason of each."""
        return [{"path": path, "reason": reason} for path, reason in self.found.values()]
