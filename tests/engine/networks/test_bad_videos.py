import pytest

from vtdl_cli.data.clips.datasets import Unreadable
from vtdl_cli.engine.networks.bad_videos import BadVideos
from vtdl_cli.errors import ListError
from vtdl_cli.runtime import SilentReporter


class Recorder(SilentReporter):
    """A reporter that remembers its warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def bad(*indices: int) -> list[Unreadable]:
    return [Unreadable(index, f"{index}.mp4", "it is empty") for index in indices]


def test_add__names_each_video_once() -> None:
    videos, reporter = BadVideos(100, 0.05), Recorder()
    videos.add(bad(3, 7), reporter)
    videos.add(bad(7), reporter)
    assert reporter.warnings == ["skipped video '3.mp4': it is empty", "skipped video '7.mp4': it is empty"]
    assert videos.as_list() == [{"path": f"{index}.mp4", "reason": "it is empty"} for index in (3, 7)]


@pytest.mark.parametrize(
    ("num_videos", "fraction", "most"),
    [(100, 0.05, 5), (1000, 0.05, 50), (10, 0.05, 2), (3, 0.05, 2), (40, 0.0, 2), (10, 1.0, 9), (100, 0.5, 50)],
)
def test_add__stops_one_above_the_limit(num_videos: int, fraction: float, most: int) -> None:
    """Oracle: DESIGN section 6: more than the fraction, and at least 3 videos; or all there are."""
    videos = BadVideos(num_videos, fraction)
    videos.add(bad(*range(most)), Recorder())
    with pytest.raises(ListError, match=f"{most + 1} of {num_videos} videos cannot be read"):
        videos.add(bad(most), Recorder())


def test_add__single_unreadable_video_stops() -> None:
    with pytest.raises(ListError, match=r"^video '0.mp4' cannot be read: it is empty\. It is the only one$"):
        BadVideos(1, 1.0).add(bad(0), Recorder())
