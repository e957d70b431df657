"""Frames as they are shown: with square pixels, of the size that is asked for, from every decoder."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as tv

from tests.data.video.test_decoding import decoder  # noqa: F401  # a fixture
from tests.odd_videos import RADIUS, disc_extent, write_disc
from vtdl_cli.data.video.decoding import open_video
from vtdl_cli.data.video.probe import probe_video
from vtdl_cli.data.video.resizing import resize_shown, square_size
from vtdl_cli.data.video.whole_video import whole_video
from vtdl_cli.errors import UnreadableVideo


@pytest.mark.parametrize(
    ("height", "width", "short_side"),
    [
        (24, 32, 16),
        (32, 24, 16),
        (30, 30, 16),
        (13, 37, 16),  # enlarged
        (24, 33, 7),
        (123, 205, 72),  # 205 * 72 / 123 is 120, and 119.99 in floating point
        (103, 206, 64),
        (16, 20, 16),
    ],
)
def test_resize_shown__equals_torchvision(height: int, width: int, short_side: int) -> None:
    """Oracle: torchvision's resize of the same uint8 frames to the same short side, antialiased and bilinear."""
    frames = np.random.default_rng(0).integers(256, size=(2, height, width, 3), dtype=np.uint8)
    images = torch.from_numpy(frames).permute(0, 3, 1, 2)
    expected = tv.resize(images, [short_side], antialias=True).permute(0, 2, 3, 1).numpy()
    resized = resize_shown(frames, Fraction(1), short_side)
    assert (str(resized.dtype), resized.shape) == ("uint8", expected.shape)
    assert np.abs(resized.astype(int) - expected).max() <= 1


@pytest.mark.parametrize(
    ("stored", "aspect", "shown"),
    [
        ((576, 720), Fraction(64, 45), (576, 1024)),  # PAL DVD, 16:9
        ((480, 720), Fraction(8, 9), (540, 720)),  # NTSC DVD, 4:3
        ((720, 576), Fraction(45, 64), (1024, 576)),  # the first, turned by 90 degrees
        ((256, 340), Fraction(1), (256, 340)),
    ],
)
def test_square_size__enlarges_one_side(stored: tuple[int, int], aspect: Fraction, shown: tuple[int, int]) -> None:
    """Oracle: by hand, from the display aspect ratios of the formats."""
    assert square_size(*stored, aspect) == shown


@pytest.mark.parametrize(
    ("name", "aspect", "options", "shown"),
    [
        ("wide.mp4", "64/45", {}, (64, 137)),
        ("wide.mkv", "64/45", {}, (64, 137)),
        ("wide.avi", "4/3", {}, (64, 128)),
        ("high.mp4", "8/9", {}, (72, 96)),
        ("turned.mp4", "64/45", {"rotation": 90}, (137, 64)),
        ("upside_down.mov", "3/2", {"rotation": 180}, (64, 144)),
        ("stored_square_and_turned.mp4", "4/3", {"rotation": -90, "width": 64}, (85, 64)),
        ("rounded.mp4", "255/254", {}, (64, 96)),  # as in HMDB51
    ],
)
def test_open_video__a_disc_is_round(
    tmp_path: Path,
    decoder: str,  # noqa: F811
    name: str,
    aspect: str,
    options: dict[str, int],
    shown: tuple[int, int],
) -> None:
    """Oracle: the disc's height and width, 40 pixels or in the same ratio larger; 2 for the edge's blur."""
    path = write_disc(tmp_path / name, aspect, **options)
    if decoder == "torchcodec" and path.suffix == ".avi":
        pytest.skip("refused: its timestamps are unreliable")
    with open_video(path, decoder) as reader:
        (frame,) = reader.read([2])
    assert frame.shape == (*shown, 3)
    diameter = 2 * RADIUS * max(1.0, 1 / float(Fraction(aspect)))
    assert disc_extent(frame) == pytest.approx((diameter, diameter), abs=2)
    facts = probe_video(path, decoder)
    assert (facts.height, facts.width) == shown
    assert np.array_equal(list(whole_video(path))[2].shape, frame.shape)


def test_open_video__short_side_is_resized_in_one_step(tmp_path: Path) -> None:
    """Oracle: torchvision's resize of the stored frame; resizing twice would blur it, and differ by more."""
    path = write_disc(tmp_path / "wide.mp4", "64/45")
    with av.open(str(path)) as container:
        stored = next(container.decode(video=0)).to_ndarray(format="rgb24")
    expected = tv.resize(torch.from_numpy(stored).permute(2, 0, 1), [32, 68], antialias=True).permute(1, 2, 0).numpy()
    with open_video(path, "pyav", short_side=32) as reader:
        (frame,) = reader.read([0])
    assert frame.shape == (32, 68, 3)  # 137 * 32 / 64
    assert np.abs(frame.astype(int) - expected).max() <= 1
    assert np.array_equal(next(whole_video(path, short_side=32)), frame)


@pytest.mark.parametrize("aspect", ["40/1", "1/40"])
def test_open_video__absurd_pixels_are_refused(tmp_path: Path, aspect: str) -> None:
    path = write_disc(tmp_path / "absurd.mp4", aspect, width=64)
    with pytest.raises(UnreadableVideo, match="times as wide as high"), open_video(path):
        pass
