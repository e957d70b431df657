from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.data.video.test_decoding import FAULTS, GOOD_CLIPS, find
from tests.toy import NUM_FRAMES, Toy, colour_video
from vtdl_cli.data.video.decoding import open_sequential, open_video
from vtdl_cli.data.video.whole_video import choose_encoder, encode_video, whole_video
from vtdl_cli.errors import UnreadableVideo


def test_whole_video__is_every_frame_in_order(toy: Toy) -> None:
    path = toy.root / "red/red_0.mp4"
    with open_video(path, "pyav") as reader:
        expected = reader.read(range(NUM_FRAMES))
    assert np.array_equal(np.stack(list(whole_video(path))), expected)


def test_whole_video__rotated_one_can_be_given_to_torch(data_dir: Path) -> None:
    assert all(frame.flags.c_contiguous for frame in whole_video(data_dir / "faults/video_90.mov"))


def test_whole_video__damaged_one_is_refused(data_dir: Path) -> None:
    with pytest.raises(UnreadableVideo, match="damaged at frame"):
        list(whole_video(data_dir / "faults/corrupted.mp4"))


def read_whole(path: Path, threads: int) -> tuple[list[bytes], str]:
    """The frames up to the end or to damage, and what is said of that."""
    frames = list[bytes]()
    try:
        frames += (frame.tobytes() for frame in open_sequential(path, threads=threads).frames())
    except UnreadableVideo as error:
        return frames, str(error)
    return frames, ""


@pytest.mark.parametrize("clip", [*GOOD_CLIPS[1:-1], *(f"faults/{fault}" for fault in FAULTS)])
def test_open_sequential__several_threads_read_the_same(data_dir: Path, clip: str) -> None:
    """Oracle: one thread; bits, and where a file is damaged."""
    path = find(data_dir, clip)
    assert read_whole(path, threads=4) == read_whole(path, threads=1)


@pytest.mark.parametrize("number", range(6))
def test_open_sequential__several_threads_find_the_same_damage(data_dir: Path, tmp_path: Path, number: int) -> None:
    """Zeros at a sixth of the file after another, in a codec whose decoder conceals them."""
    content = bytearray((data_dir / "UCF-101/BenchPress/v_BenchPress_g01_c02.avi").read_bytes())
    place = len(content) * (2 * number + 1) // 12
    content[place : place + 2000] = bytes(2000)
    damaged = tmp_path / "damaged.avi"
    damaged.write_bytes(content)
    assert read_whole(damaged, threads=4) == read_whole(damaged, threads=1)


@pytest.mark.parametrize("codecs", [{"libx264", "mpeg4"}, {"mpeg4"}], ids=["libx264", "mpeg4"])
def test_encode_video__holds_every_frame_at_its_rate(
    codecs: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: the frames themselves, less an odd row and column; lossy, so on average."""
    monkeypatch.setattr(av, "codecs_available", codecs)
    frames, rate = colour_video(0, seed=1)[:, :35, :49], Fraction(30000, 1001)
    assert encode_video(tmp_path / "a.part", iter(frames), rate, *choose_encoder()) == NUM_FRAMES
    with av.open(str(tmp_path / "a.part")) as container:
        stream = container.streams.video[0]
        assert (stream.average_rate, stream.codec_context.pix_fmt) == (rate, "yuv420p")
        read = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(stream)])
    assert read.shape == (NUM_FRAMES, 34, 48, 3)
    assert np.abs(read.astype(int) - frames[:, :34, :48]).mean() < 12
