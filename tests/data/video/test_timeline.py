"""Intervals and frame rates: which frames of a file a sample shows."""

import itertools
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.toy import write_video
from vtdl_cli.data.video.decoding import DECODERS, open_video
from vtdl_cli.data.video.reader import VideoScan
from vtdl_cli.data.video.timeline import Interval, name_sample, sampled_frames
from vtdl_cli.data.video.whole_video import whole_video
from vtdl_cli.errors import UnreadableVideo

NO_FILE = Path("video.mp4")
INSTALLED = [name for name in DECODERS if name != "torchcodec"]


def even(num_frames: int, rate: float) -> VideoScan:
    """A video of evenly spaced frames, whose file gives no times."""
    return VideoScan(num_frames, "avi", "mpeg4", 64, 48, rate, num_frames, timed=False)


def clock(times: np.ndarray) -> np.ndarray:
    """Frames (T, 32, 320, 3) that show their moments in seconds: a bright bar grows by 80 pixels a second."""
    bright = np.arange(320) < 80 * times[:, None]
    return np.broadcast_to(np.where(bright, 200, 40).astype(np.uint8)[:, None, :, None], (len(times), 32, 320, 3))


def moments(frames: np.ndarray) -> np.ndarray:
    """What the clock shows, in seconds; at most CLOCK_ERROR off, for MPEG-4 and whole pixels."""
    seconds: np.ndarray = (frames > 120).mean(axis=(1, 2, 3)) * 320 / 80
    return seconds


CLOCK_ERROR = 2 / 80


def write_uneven(path: Path, times: list[float]) -> None:
    """Write one frame of the clock at each time, a whole number of milliseconds."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("mpeg4", rate=1000, options={"qscale": "2"})
        stream.width, stream.height, stream.pix_fmt, stream.time_base = 320, 32, "yuv420p", Fraction(1, 1000)
        stream.codec_context.time_base = Fraction(1, 1000)
        for time, pixels in zip(times, clock(np.array(times)), strict=True):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame.pts, frame.time_base = round(1000 * time), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def test_sampled_frames__interval_of_25_frames_a_second() -> None:
    frames = sampled_frames(NO_FILE, even(250, 25), Interval(2.0, 3.0), None)
    assert frames.tolist() == list(range(50, 75))  # by hand: 2.0 * 25 up to, but not including, 3.0 * 25


def test_sampled_frames__adjoining_intervals_share_no_frame_and_lose_none() -> None:
    ends = [0.0, 0.31, 1.0001, 1.02, 2.5, 3.5]
    parts = [
        sampled_frames(NO_FILE, even(100, 30000 / 1001), Interval(*pair), None) for pair in itertools.pairwise(ends)
    ]
    assert np.concatenate(parts).tolist() == list(range(100))


@pytest.mark.parametrize(
    ("rate", "wanted", "first"),
    [
        (30, 10, [0, 3, 6, 9, 12]),
        (10, 30, [0, 0, 1, 1, 1, 2, 2, 2]),  # frame 1, at 0.1 s, is nearest from 0.05 to 0.15 s
        (25, 10, [0, 3, 5, 8, 10]),  # 2.5 is half way between two frames: the later
        (25, 25, [0, 1, 2, 3]),
    ],
)
def test_sampled_frames__rates_by_hand(rate: int, wanted: int, first: list[int]) -> None:
    frames = sampled_frames(NO_FILE, even(rate * 4, rate), None, wanted)
    assert frames[: len(first)].tolist() == first
    assert len(frames) == 4 * wanted  # four seconds, at any rate
    assert frames[-1] <= rate * 4 - 1


def test_sampled_frames__rate_within_an_interval() -> None:
    frames = sampled_frames(NO_FILE, even(300, 30), Interval(2, 3), 10)
    assert frames.tolist() == list(range(60, 90, 3))


def test_sampled_frames__never_empty() -> None:
    assert sampled_frames(NO_FILE, even(250, 25), Interval(2.0, 2.001), None).tolist() == [50]
    assert sampled_frames(NO_FILE, even(250, 25), Interval(9.999, 10), None).tolist() == [249]
    assert sampled_frames(NO_FILE, even(1, 25), None, 0.5).tolist() == [0]


def test_sampled_frames__clips_what_rounding_explains_and_refuses_the_rest() -> None:
    assert sampled_frames(NO_FILE, even(250, 25), Interval(9, 10.5), None).tolist() == list(range(225, 250))
    for outside in (Interval(9, 10.6), Interval(10, 12), Interval(12, 13)):
        with pytest.raises(UnreadableVideo, match=r"is not within its 10\.00 s"):
            sampled_frames(NO_FILE, even(250, 25), outside, None)


def test_sampled_frames__needs_times_where_it_samples_by_time(tmp_path: Path) -> None:
    assert len(sampled_frames(NO_FILE, even(7, 0), None, None)) == 7
    for path, says in ((NO_FILE, "its frame rate is unknown"), (tmp_path, "a folder of frames has no frame rate")):
        with pytest.raises(UnreadableVideo, match=f"{says}, which data.frame_rate needs"):
            sampled_frames(path, even(7, 0), None, 10)
        with pytest.raises(UnreadableVideo, match=f"{says}, which an interval in seconds needs"):
            sampled_frames(path, even(7, 0), Interval(0, 1), None)


@pytest.mark.parametrize("decoder", INSTALLED)
def test_open_video__same_moments_from_files_of_10_15_and_30_frames_a_second(tmp_path: Path, decoder: str) -> None:
    for rate in (10, 15, 30):
        path = tmp_path / f"{rate}.mp4"
        write_video(path, clock(np.arange(3 * rate) / rate), rate)
        with open_video(path, decoder, frame_rate=10) as reader:
            assert (reader.num_frames, reader.scan.frame_rate) == (30, 10)
            shown = moments(reader.read(np.arange(30)))
        # the oracle is the clock, and half a frame of the file
        assert np.abs(shown - np.arange(30) / 10).max() <= 0.5 / rate + CLOCK_ERROR
        assert np.abs(moments(np.stack(list(whole_video(path, frame_rate=10)))) - shown).max() < CLOCK_ERROR


@pytest.mark.parametrize("decoder", INSTALLED)
def test_open_video__interval_is_exactly_those_frames_of_the_file(tmp_path: Path, decoder: str) -> None:
    path = tmp_path / "25.mp4"
    write_video(path, clock(np.arange(100) / 25), 25)
    with open_video(path, decoder) as reader:
        expected = reader.read(np.arange(50, 75))
    with open_video(path, decoder, Interval(2, 3)) as reader:
        assert reader.num_frames == 25
        assert np.array_equal(reader.read(np.arange(25)), expected)
        with pytest.raises(IndexError):
            reader.read([25])
        with pytest.raises(IndexError):
            reader.read([-1])


def test_open_video__follows_the_times_of_a_variable_frame_rate(tmp_path: Path) -> None:
    path = tmp_path / "uneven.mkv"
    times = [*np.arange(20) * 0.05, *(1 + np.arange(6) * 0.4)]  # 20 frames a second, then 2.5
    write_uneven(path, times)
    with open_video(path, "pyav", frame_rate=5) as reader:
        shown = moments(reader.read(np.arange(reader.num_frames)))
    by_hand = [0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.4, 1.4, 1.8, 1.8, 2.2]  # of two frames as near, the later
    assert np.abs(shown[:11] - by_hand).max() <= CLOCK_ERROR
    with open_video(path, "pyav", Interval(1.0, 1.9)) as reader:
        assert np.abs(moments(reader.read(np.arange(reader.num_frames))) - [1.0, 1.4]).max() <= CLOCK_ERROR


def test_name_sample__is_a_media_fragment() -> None:
    named = [name_sample("a.mp4", each) for each in (None, Interval(2, 3.25), Interval(0, 1 / 3))]
    assert named == ["a.mp4", "a.mp4#t=2,3.25", "a.mp4#t=0,0.333333333333"]


def test_scan__mean_rate_is_that_of_the_frames_not_of_a_false_header(data_dir: Path, tmp_path: Path) -> None:
    """By their packets, the 167 frames of the clip are 1/29.97 s apart; its header has 27.9 frames a second."""
    with open_video(data_dir / "faults" / "declares_more_frames_than_it_has.mp4", "pyav") as reader:
        assert reader.scan.frame_rate == pytest.approx(30000 / 1001, rel=1e-3)
    write_uneven(tmp_path / "screen.mkv", [0, 1, 1.5, 2.5])
    with open_video(tmp_path / "screen.mkv", "pyav") as reader:
        assert reader.scan.frame_rate == pytest.approx(3 / 2.5)  # by hand: three steps in 2.5 s
