"""Windows that slide over whole videos."""

import itertools
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.data.video.test_timeline import even, write_uneven
from tests.toy import HEIGHT, WIDTH, colour_video, write_video
from vtdl_cli.data.clips.views import FixedViews
from vtdl_cli.data.clips.window_loading import SlidingWindows, load_windows
from vtdl_cli.data.clips.windows import CentreView, Hop, WindowRule, open_windows, slide
from vtdl_cli.data.lists.video_list import list_of_videos
from vtdl_cli.data.video.decoding import open_video
from vtdl_cli.data.video.file_readers import PyAvReader
from vtdl_cli.data.video.resizing import resize_shown
from vtdl_cli.data.video.timeline import Interval, sample_timeline
from vtdl_cli.errors import UnreadableVideo


def rule(clip_len: int, stride: int, hop: Hop | None, frame_rate: float | None = None) -> WindowRule:
    return WindowRule(clip_len, stride, hop, "loop", HEIGHT, 32, frame_rate=frame_rate)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of 24 frames at 12 frames a second: 2 s."""
    path = tmp_path_factory.mktemp("windows") / "two_seconds.mp4"
    write_video(path, colour_video(0, seed=1), rate=12)
    return path


def test_slide__clips_are_those_of_a_fixed_view() -> None:
    """Oracle: all frames at once, resized and cut. Clips overlap, and one loops."""
    frames = np.random.default_rng(0).integers(0, 256, (9, 20, 30, 3), np.uint8)
    indices = np.array([[0, 2, 4], [4, 6, 8], [5, 7, 5]])
    expected, _ = FixedViews(12)(resize_shown(frames, Fraction(1), 16), indices, np.random.default_rng(0))
    clips = list(slide(iter(frames), indices[:2], CentreView(16, 12)))
    assert np.array_equal(np.stack(clips), expected[:2])
    (looped,) = slide(iter(frames), indices[2:], CentreView(16, 12))
    assert np.array_equal(looped, expected[2])
    with ThreadPoolExecutor(3) as pool:
        assert np.array_equal(np.stack(list(slide(iter(frames), indices[:2], CentreView(16, 12), pool))), expected[:2])


def test_starts__of_a_tiny_hop_are_all_frames(video: Path) -> None:
    """Oracle: by hand: 24 frames, windows of 7; a nanosecond would ask for two billion moments."""
    windows = open_windows(video, rule(4, 2, Hop(1e-9, "seconds")))
    assert windows.starts.tolist() == list(range(18))
    assert open_windows(video, rule(4, 2, Hop(1 / 12, "seconds"))).starts.tolist() == list(range(18))


@pytest.mark.parametrize(("hop", "first"), [(1, 0), (3, 0), (7, 0), (20, 0), (3, 2)])
def test_windows__are_the_frames_of_the_file(video: Path, hop: int, first: int) -> None:
    """Oracle: the same frames read at once, resized, and cut by evaluation's view."""
    with open_video(video, "pyav", short_side=HEIGHT) as reader:
        frames = reader.read(range(24))
    windows = list(open_windows(video, rule(4, 2, Hop(hop, "frames"))).read(first))
    starts = list(range(hop * first, 24 - 7 + 1, hop))  # the last of 7 frames is in the video
    indices = np.array([[start, start + 2, start + 4, start + 6] for start in starts])
    expected, _ = FixedViews(32)(frames, indices, np.random.default_rng(0))
    assert [window.start_frame for window in windows] == starts
    assert [window.end_frame for window in windows] == [start + 7 for start in starts]
    assert np.array_equal(np.stack([window.frames for window in windows]), expected)


def test_windows__each_frame_is_decoded_once_and_few_are_kept(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded, frames = list[int](), PyAvReader.frames

    def counted(self: PyAvReader) -> Iterator[np.ndarray]:
        for frame in frames(self):
            decoded.append(1)
            yield frame

    monkeypatch.setattr(PyAvReader, "frames", counted)
    seen = [len(decoded) for _ in open_windows(video, rule(4, 2, Hop(4, "frames"))).read()]
    assert seen == [7, 11, 15, 19, 23]  # each window as soon as its last frame is there; frame 24 is not needed


def test_windows__seconds_by_hand(video: Path) -> None:
    """At 12 frames a second, windows of 7 frames every half second: from frames 0, 6 and 12; 18 + 7 would be 25."""
    windows = list(open_windows(video, rule(4, 2, Hop(0.5, "seconds"))).read())
    assert [(window.start_frame, window.start_seconds) for window in windows] == [(0, 0.0), (6, 0.5), (12, 1.0)]
    assert [window.end_seconds for window in windows] == pytest.approx([7 / 12, 13 / 12, 19 / 12])


def test_windows__adjoin_without_a_hop(video: Path) -> None:
    assert [window.start_frame for window in open_windows(video, rule(4, 2, None)).read()] == [0, 8, 16]


def test_windows__of_an_interval_have_the_seconds_of_the_file(video: Path) -> None:
    windows = list(open_windows(video, rule(2, 1, Hop(0.25, "seconds")), Interval(1.0, 2.0)).read())
    assert [window.start_frame for window in windows] == [12, 15, 18, 21]
    assert [window.start_seconds for window in windows] == pytest.approx([1.0, 1.25, 1.5, 1.75])


def test_windows__at_a_frame_rate_have_the_seconds_of_the_file(video: Path) -> None:
    """6 of 12 frames a second: two frames of the sample are 1/3 s, four frames of the file."""
    windows = list(open_windows(video, rule(2, 1, Hop(3, "frames"), frame_rate=6)).read())
    assert [(window.start_frame, window.start_seconds) for window in windows] == [(0, 0), (6, 0.5), (12, 1), (18, 1.5)]
    assert windows[1].end_seconds == pytest.approx(0.5 + 2 / 6)


def test_windows__of_uneven_frames_start_at_the_nearest(tmp_path: Path) -> None:
    write_uneven(tmp_path / "uneven.mp4", [0, 0.1, 0.2, 1.0, 1.1, 1.2, 2.0])
    windows = list(open_windows(tmp_path / "uneven.mp4", rule(2, 1, Hop(1, "seconds"))).read())
    assert [window.start_frame for window in windows] == [0, 3]  # the one at 2.0 s has no other after it
    assert [window.end_seconds for window in windows] == pytest.approx([0.2, 1.2])


def test_windows__short_video_loops(video: Path) -> None:
    windows = open_windows(video, rule(20, 2, None))
    with open_video(video, "pyav", short_side=HEIGHT) as reader:
        frames = reader.read([2 * step % 24 for step in range(20)])
    (window,) = windows.read()
    assert windows.is_short
    assert np.array_equal(window.frames, frames[:, 2:34, (WIDTH - 32) // 2 : (WIDTH - 32) // 2 + 32])
    assert (window.start_frame, window.end_frame, window.end_seconds) == (0, 24, 2.0)


def test_windows__hop_below_a_frame_takes_each_once() -> None:
    timeline = sample_timeline(Path("x"), even(10, 25), None, None)
    assert rule(2, 1, Hop(0.001, "seconds")).starts(timeline).tolist() == list(range(9))


def test_windows__two_hours_have_every_second() -> None:
    timeline = sample_timeline(Path("x"), even(2 * 3600 * 30, 30000 / 1001), None, None)
    starts = rule(16, 2, Hop(1, "seconds")).starts(timeline)
    assert len(starts) == 7207  # 216000 frames last 7207.2 s; the last window starts within 31 frames of the end
    assert {after - before for before, after in itertools.pairwise(starts.tolist())} == {29, 30}


def test_load_windows__batches_are_full_across_videos(video: Path, tmp_path: Path) -> None:
    """Each video has 3 windows; the second cannot be read, and the third is shorter than one."""
    (tmp_path / "empty.mp4").touch()
    write_video(tmp_path / "short.mp4", colour_video(1, seed=2)[:5])
    names = [str(path) for path in (video, tmp_path / "empty.mp4", tmp_path / "short.mp4", video)]
    dataset = SlidingWindows(list_of_videos(tmp_path, names), rule(4, 2, None), batch_size=4)
    batches = list(load_windows(dataset, workers=0, on_gpu=False))
    assert [batch.index for batch in batches] == [[0, 0, 0, 2], [3, 3, 3]]
    assert [batch.frames.shape for batch in batches] == [(4, 4, 32, 32, 3), (3, 4, 32, 32, 3)]
    ended = [video for batch in batches for video in batch.ended]
    assert [(video.index, video.is_short, video.error) for video in ended] == [
        (0, False, ""),
        (1, False, "the file is empty"),
        (2, True, ""),
        (3, False, ""),
    ]


def test_load_windows__take_flat_memory(tmp_path: Path) -> None:
    """240 frames of 216 x 300, 47 MB; at a time, 7 frames of 3 KB are kept, a batch, and what one frame needs."""
    path = tmp_path / "long.mp4"
    write_video(path, np.tile(colour_video(0, seed=1), (10, 6, 6, 1)))
    dataset = SlidingWindows(list_of_videos(path, [str(path)]), rule(4, 2, Hop(1, "frames")), batch_size=8)
    tracemalloc.start()
    count = sum(len(batch) for batch in load_windows(dataset, workers=0, on_gpu=False))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 240 - 6
    assert peak_bytes < 5e6


def test_windows__folder_of_frames_has_no_seconds(tmp_path: Path) -> None:
    from PIL import Image

    for number in range(5):
        Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / f"img_{number:05}.png")
    assert [np.isnan(window.start_seconds) for window in open_windows(tmp_path, rule(2, 1, None)).read()] == [True] * 2
    with pytest.raises(UnreadableVideo, match=r"no frame rate, which a hop in seconds needs"):
        open_windows(tmp_path, rule(2, 1, Hop(1, "seconds")))
