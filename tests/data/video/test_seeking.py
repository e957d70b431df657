"""Oracle throughout: the same frames of the same file decoded from its start, bit for bit."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import av
import numpy as np
import pytest

from vtdl_cli.data.video import file_readers
from vtdl_cli.data.video.decoding import open_video
from vtdl_cli.data.video.file_readers import PyAvReader
from vtdl_cli.data.video.reader import SeekTable, VideoScan
from vtdl_cli.data.video.scan import scan_video
from vtdl_cli.data.video.seeking import seek_frames
from vtdl_cli.data.video.stream import open_stream
from vtdl_cli.errors import UnreadableVideo

CODECS = [
    ("closed.mp4", "libx264", {"g": "12", "bf": "3", "x264-params": "open-gop=0"}),
    ("every_frame.mp4", "libx264", {"g": "1"}),
    ("short_groups.mp4", "libx264", {"g": "3", "bf": "2"}),
    ("closed.mkv", "libx264", {"g": "12", "bf": "3"}),
    ("xvid.avi", "mpeg4", {"g": "12"}),
    ("closed.mov", "mpeg2video", {"g": "12"}),
]


def write_noise(path: Path, codec: str, options: dict[str, str], num_frames: int = 60, aspect: int = 1) -> Path:
    """Frames of moving noise, so that no two are alike and none is exactly what was encoded."""
    picture = np.random.default_rng(0).integers(0, 255, (64, 96, 3)).astype(np.uint8)
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream(codec, rate=25, options=options)
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        video.codec_context.sample_aspect_ratio = aspect
        for number in range(num_frames):
            moved = np.roll(picture, (number, 2 * number), (0, 1))
            container.mux(video.encode(av.VideoFrame.from_ndarray(moved, format="rgb24")))
        container.mux(video.encode())
    return path


def from_start(path: Path, scan: VideoScan, wanted: list[int]) -> np.ndarray:
    return PyAvReader(path, replace(scan, seek_table=None)).read(wanted)


@pytest.mark.parametrize(("name", "codec", "options"), CODECS)
@pytest.mark.parametrize("wanted", [[50], [0, 11, 12, 13, 59], list(range(20, 44, 4)), [59, 3, 3]])
def test_read__from_keyframes_equals_from_the_start(
    tmp_path: Path, name: str, codec: str, options: dict[str, str], wanted: list[int]
) -> None:
    path = write_noise(tmp_path / name, codec, options)
    scan = scan_video(path)
    assert scan.seek_table is not None
    assert np.array_equal(PyAvReader(path, scan).read(wanted), from_start(path, scan, wanted))


@pytest.mark.parametrize(
    "clip",
    [
        "weizmann/bend/daria_bend.avi",
        "tennis7/smash/smash48.mp4",
        "UCF-101/BenchPress/v_BenchPress_g01_c03.avi",
        "faults/video_90.mov",
    ],
)
def test_read__real_clips_from_keyframes_equal_those_from_the_start(data_dir: Path, clip: str) -> None:
    path = data_dir / clip
    scan = scan_video(path)
    assert scan.seek_table is not None
    wanted = np.random.default_rng(0).integers(scan.num_frames, size=5).tolist()
    assert np.array_equal(PyAvReader(path, scan).read(wanted), from_start(path, scan, wanted))


@pytest.mark.parametrize(("name", "codec", "options"), CODECS)
def test_seek_frames__decodes_no_more_than_from_the_keyframe(
    tmp_path: Path, name: str, codec: str, options: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: from the start is refused here, so the frames came from their keyframes; numbers by hand."""
    path = write_noise(tmp_path / name, codec, options)
    table = scan_video(path).seek_table
    assert table is not None
    assert table.keyframes[:2].tolist() == [0, int(options["g"])]
    monkeypatch.setattr(file_readers, "decode_frames", None)
    assert len(PyAvReader(path, scan_video(path)).read([0, 40, 59])) == 3


def test_seek_frames__a_frame_with_another_time_is_not_taken(tmp_path: Path) -> None:
    """Oracle: a table that is wrong by a frame; the reader, which tries the start next, still returns the right one."""
    path = write_noise(tmp_path / "v.mp4", "libx264", {"g": "12"})
    scan = scan_video(path)
    assert scan.seek_table is not None
    step = int(scan.seek_table.ticks[1] - scan.seek_table.ticks[0])
    wrong = SeekTable(scan.seek_table.ticks + step, scan.seek_table.keyframes)
    with pytest.raises(UnreadableVideo, match="keyframe"):
        list(seek_frames(open_stream(path), wrong, np.array([30])))
    assert np.array_equal(PyAvReader(path, replace(scan, seek_table=wrong)).read([30]), from_start(path, scan, [30]))


def test_read__damage_before_the_keyframe_does_not_matter_and_after_it_is_refused(tmp_path: Path) -> None:
    """Oracle: the intact file; from the start the same frames cannot be had."""
    path = write_noise(tmp_path / "v.mp4", "libx264", {"g": "12"})
    intact = PyAvReader(path, scan_video(path)).read([50])
    with av.open(str(path)) as container:
        positions = [packet.pos or 0 for packet in container.demux(video=0) if packet.size]
    content = bytearray(path.read_bytes())
    content[positions[2] + 8 : positions[4]] = bytes(positions[4] - positions[2] - 8)
    path.write_bytes(content)
    reader = PyAvReader(path, scan_video(path))
    assert np.array_equal(reader.read([50]), intact)
    with pytest.raises(UnreadableVideo, match="damaged at frame"):
        reader.read([8])


@pytest.mark.parametrize("aspect", [1, 2])
@pytest.mark.parametrize("decoder", ["auto", "pyav"])
def test_open_video__opens_a_seekable_file_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decoder: str, aspect: int
) -> None:
    """Oracle: calls of PyAV's `open` are counted; for pixels that are not square a frame is decoded during the scan."""
    path = write_noise(tmp_path / "v.mp4", "libx264", {"g": "12"}, aspect=aspect)
    opened = Mock(wraps=av.open)
    monkeypatch.setattr(av, "open", opened)
    with open_video(path, decoder) as reader:
        reader.read([3])
        frames = reader.read([50, 7])
    assert opened.call_count == 1
    with open_video(path, decoder) as reader:
        assert np.array_equal(frames[1], reader.read([7])[0])
        assert reader.scan.pixel_aspect == aspect
