"""Files cut by copying packets: frames at their start need others that are gone, and no player shows them.

Oracle throughout: the frames themselves. Each has a grey level that tells its number, so that those that have to remain
are known without decoding.
"""

from pathlib import Path

import av
import numpy as np
import pytest

from tests.data.video.test_decoding import decoder, difference  # noqa: F401  # a fixture
from tests.odd_videos import GOP, NUM_FRAMES, number_frame, write_cut, write_numbered
from vtdl_cli.data.video.decoding import open_video
from vtdl_cli.data.video.probe import probe_video
from vtdl_cli.data.video.scan import scan_video
from vtdl_cli.data.video.whole_video import whole_video
from vtdl_cli.errors import UnreadableVideo

CUTS = [
    ("cut.mkv", "libx264", 0),
    ("cut.mp4", "libx264", 0),  # an edit list hides the leading frames
    ("cut.mkv", "libx265", 0),
    ("cut.avi", "mpeg4", 0),  # without timestamps
    ("headless.mkv", "libx264", -4),
    ("headless.mp4", "libx264", -4),
    ("headless.mkv", "libx264", 2),
]


@pytest.mark.parametrize(("name", "codec", "offset"), CUTS)
def test_read__a_cut_is_what_is_shown(
    tmp_path: Path,
    decoder: str,  # noqa: F811
    name: str,
    codec: str,
    offset: int,
) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"PyAV was built without {codec}")
    path = write_cut(tmp_path / name, codec, offset)
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
    tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: a decoder that must not be called: counting by it costs a tenth of reading a clip."""
    cut = write_cut(tmp_path / "cut.mkv")
    write_numbered(tmp_path / "whole.mkv", "libx264")
    monkeypatch.setattr("vtdl_cli.data.video.scan.count_undecodable", lambda path: pytest.fail(f"decoded {path}"))
    for path in (
        tmp_path / "whole.mkv",
        *(data_dir / "UCF-101").rglob("*.avi"),
        *(data_dir / "hmdb51").rglob("*.*"),
    ):
        assert scan_video(path).undecodable == 0
    with pytest.raises(pytest.fail.Exception):
        scan_video(cut)
