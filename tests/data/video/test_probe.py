"""What is found out about a video, on real clips and on ones made to be wrong."""

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tests.toy import NUM_FRAMES, Toy, colour_video, write_video
from vtdl_cli.data.video.probe import FLAT_DEVIATION, is_flat, probe_video
from vtdl_cli.errors import UnreadableVideo


def test_probe__facts_of_a_real_clip(data_dir: Path) -> None:
    """Oracle: the data's README: 320x240, xvid (FFmpeg's mpeg4), 25 frames a second."""
    path = data_dir / "UCF-101/BenchPress/v_BenchPress_g01_c02.avi"
    facts = probe_video(path)
    assert (facts.width, facts.height, facts.frame_rate, facts.codec) == (320, 240, 25.0, "mpeg4")
    assert facts.declared_frames == facts.num_frames
    assert facts.num_bytes == path.stat().st_size


def test_probe__count_that_the_header_gets_wrong(data_dir: Path) -> None:
    """Oracle: the file's name, and decoding it whole, which `verify` does."""
    facts = probe_video(data_dir / "faults" / "declares_more_frames_than_it_has.mp4", "pyav", verify=True)
    assert facts.declared_frames > facts.num_frames


def test_probe__frame_folder(tmp_path: Path) -> None:
    for number in range(3):
        noise = np.random.default_rng(number).integers(255, size=(20, 30, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / f"img_{number:05d}.jpg")
    facts = probe_video(tmp_path, verify=True)
    assert facts == (3, 3, "jpeg", 30, 20, 0.0, 0)


@pytest.mark.parametrize("decoder", ["decord", "pyav"])
def test_verify__finds_a_video_of_one_colour(tmp_path: Path, decoder: str) -> None:
    """Half of the frames is too many, less is a film that fades."""
    frames = colour_video(0, seed=0)
    for share, name in ((NUM_FRAMES // 2 - 4, "fades.mp4"), (NUM_FRAMES // 2 + 2, "flat.mp4")):
        frames[:share] = 128
        write_video(tmp_path / name, frames)
    assert probe_video(tmp_path / "fades.mp4", decoder, verify=True).num_frames == NUM_FRAMES
    assert probe_video(tmp_path / "flat.mp4", decoder).num_frames == NUM_FRAMES
    with pytest.raises(UnreadableVideo, match="2 of 3 frames checked are a single colour"):
        probe_video(tmp_path / "flat.mp4", decoder, verify=True)


@pytest.mark.parametrize("spread", [0, 3, 20, 30, 45, 60, 255])
def test_is_flat__is_the_deviation(spread: int) -> None:
    """Oracle: the deviation itself, of the frame that has the least for its range, and of noise."""
    frame = np.full((30, 40), spread // 2, np.uint8)
    frame[0, 0], frame[0, 1] = 0, spread
    noise = np.random.default_rng(0).integers(spread + 1, size=(30, 40), dtype=np.uint8)
    for each in (frame, noise):
        assert is_flat(each) == (each.std() < FLAT_DEVIATION)


def test_verify__is_content_with_good_videos(toy: Toy) -> None:
    for path in toy.root.glob("*/*.mp4"):
        assert probe_video(path, verify=True).num_frames == NUM_FRAMES


@pytest.mark.parametrize("decoder", ["decord", "pyav"])
def test_probe__video_without_a_keyframe(data_dir: Path, tmp_path: Path, decoder: str) -> None:
    """Its packets are there and no frame can be decoded; a good video of its kind came before it."""
    good = min((data_dir / "tennis7").rglob("*.mp4"))
    with av.open(str(good)) as source, av.open(str(tmp_path / "headless.mp4"), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size and not packet.is_keyframe:
                packet.stream = stream
                target.mux(packet)
    probe_video(good, decoder)
    with pytest.raises(UnreadableVideo):
        probe_video(tmp_path / "headless.mp4", decoder)
