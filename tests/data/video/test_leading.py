"""Files cut by copying packets: frames at their start need others that are gone, and no player shows them.

Oracle throughout: the frames themselves. Each has a grey level that tells its number, so that those that have to remain
are known without decoding.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.data.video.test_decoding import decoder, difference, number_frame  # noqa: F401  # a fixture
from vtdl_cli.data.video.decoding import open_video
from vtdl_cli.data.video.probe import probe_video
from vtdl_cli.data.video.scan import scan_video
from vtdl_cli.data.video.whole_video import whole_video
from vtdl_cli.errors import UnreadableVideo

NUM_FRAMES, GOP = 34, 12  # grey levels step by 7, and fit in a byte
X264 = f"open-gop=1:bframes=3:b-adapt=0:keyint={GOP}:min-keyint={GOP}:scenecut=0"
OPTIONS: dict[str, dict[str, str]] = {
    "libx264": {"x264-params": X264, "crf": "4"},
    "libx265": {"x265-params": f"{X264}:log-level=none", "crf": "4"},
    "mpeg4": {"g": str(GOP), "bf": "2", "qmin": "1", "qmax": "1", "sc_threshold": "1000000000"},
}
CUTS = [
    ("cut.mkv", "libx264", 0),
    ("cut.mp4", "libx264", 0),  # an edit list hides the leading frames
    ("cut.mkv", "libx265", 0),
    ("cut.avi", "mpeg4", 0),  # without timestamps
    ("headless.mkv", "libx264", -4),
    ("headless.mp4", "libx264", -4),
    ("headless.mkv", "libx264", 2),
]
MakeCut = Callable[[str, str, int], Path]


@pytest.fixture
def make_cut(tmp_path: Path) -> MakeCut:
    """Copy a video from its second keyframe on, or from some packets after it."""

    def make(name: str, codec: str, offset: int) -> Path:
        if codec not in av.codecs_available:
            pytest.skip(f"PyAV was built without {codec}")
        whole, path = tmp_path / "whole.mkv", tmp_path / name
        with av.open(str(whole), "w") as container:
            stream: Any = container.add_stream(codec, rate=25, options=OPTIONS[codec])
            stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
            for number in range(NUM_FRAMES):
                frame = av.VideoFrame.from_ndarray(number_frame(number, 64), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        with av.open(str(whole)) as source, av.open(str(path), "w") as target:
            stream = target.add_stream_from_template(source.streams.video[0])
            packets = [packet for packet in source.demux(video=0) if packet.size]
            second = [index for index, packet in enumerate(packets) if packet.is_keyframe][1]
            for packet in packets[second + offset :]:
                packet.stream = stream
                target.mux(packet)
        return path

    return make


@pytest.mark.parametrize(("name", "codec", "offset"), CUTS)
def test_read__a_cut_is_what_is_shown(
    make_cut: MakeCut,
    decoder: str,  # noqa: F811
    name: str,
    codec: str,
    offset: int,
) -> None:
    path = make_cut(name, codec, offset)
    if (decoder == "decord" and "headless" in name) or (decoder == "torchcodec" and ".avi" in name):
        with pytest.raises(UnreadableVideo, match="use the decoder auto or pyav"):
            probe_video(path, decoder)
        return
    first = 2 * GOP if offset > 0 else GOP
    with open_video(path, decoder) as reader:
        assert reader.num_frames == NUM_FRAMES - first
        wanted = [reader.num_frames - 1, 0, 5, 1]
        frames = reader.read(wanted)
    expected = np.stack([number_frame(first + number, 64) for number in wanted])
    assert difference(frames, expected).max() < 3.5  # half a step: each is nearer to its own level than to others
    assert probe_video(path, decoder, verify=True).num_frames == NUM_FRAMES - first
    assert len(list(whole_video(path))) == NUM_FRAMES - first


def test_scan_video__of_a_whole_file_decodes_nothing(
    make_cut: MakeCut, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: a decoder that must not be called: counting by it costs a tenth of reading a clip."""
    cut = make_cut("cut.mkv", "libx264", 0)
    monkeypatch.setattr("vtdl_cli.data.video.scan.count_undecodable", lambda path: pytest.fail(f"decoded {path}"))
    for path in (
        cut.with_name("whole.mkv"),
        *(data_dir / "UCF-101").rglob("*.avi"),
        *(data_dir / "hmdb51").rglob("*.*"),
    ):
        assert scan_video(path).undecodable == 0
    with pytest.raises(pytest.fail.Exception):
        scan_video(cut)
