"""Scanning the packets of a file."""

from pathlib import Path
from typing import Any

import av
import pytest

from vtdl_cli.data.video import scan as scanning
from vtdl_cli.data.video.scan import scan_video

UCF101 = ["ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi", "SoccerJuggling/v_SoccerJuggling_g23_c01.avi"]


@pytest.mark.parametrize("clip", UCF101)
def test_scan_video__counts_packed_frames_however_few_packets_are_held(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, clip: str
) -> None:
    """Oracle: the frames that PyAV decodes; these files have placeholder packets."""
    path = data_dir / "UCF-101" / clip
    with av.open(str(path)) as container:
        num_frames = sum(1 for _ in container.decode(video=0))
    whole = scan_video(path)
    monkeypatch.setattr(scanning, "HELD_BYTES", 10_000)  # a few packets
    monkeypatch.setattr(scanning, "_count_decoded", pytest.fail)
    bit_by_bit = scan_video(path)
    assert whole.num_frames == bit_by_bit.num_frames == num_frames
    assert whole.undecodable == bit_by_bit.undecodable


def test_scan_video__shows_packets_as_long_as_they_are_wanted(data_dir: Path) -> None:
    shown = list[int]()

    def watch(packet: Any) -> bool:
        shown.append(packet.size)
        return len(shown) < 3

    num_frames = scan_video(data_dir / "UCF-101" / UCF101[0], watch).num_frames
    assert len(shown) == 3
    assert min(shown) > 0
    assert num_frames > 3
