"""The generated videos: that they are what was rendered, and that only motion tells their classes apart."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.random import default_rng
from scipy.stats import kstest
from torch import Tensor
from torch.nn import functional as F

from vtdl_cli.data.video.decoding import open_video
from vtdl_cli.data.video.motion import CLASSES, NUM_FRAMES, SIDE, orbit, render_video, write_videos
from vtdl_cli.models.encoder import Encoder
from vtdl_cli.models.zoo import create_backbone, create_classifier


@pytest.mark.parametrize("name", CLASSES)
def test_orbit__is_uniform_in_every_frame_of_every_class(name: str) -> None:
    """Oracle: Kolmogorov and Smirnov against the uniform distribution, in the first, a middle and the last frame."""
    places = np.stack([orbit(name, default_rng(seed)) for seed in range(2000)]) % 1
    assert all(kstest(places[:, frame], "uniform").pvalue > 1e-3 for frame in (0, 13, NUM_FRAMES - 1))


def test_orbit__by_class() -> None:
    """Oracle: by hand: a class is its speed and its way, and right is left backwards."""
    steps = {name: np.diff(orbit(name, default_rng(3))) for name in CLASSES}
    for speed, (fastest, slowest) in {"fast": (6, 8), "medium": (11, 14), "slow": (20, 28)}.items():
        assert np.allclose(steps[f"left_{speed}"], -steps[f"right_{speed}"])
        assert (1 / slowest <= steps[f"left_{speed}"]).all()
        assert (steps[f"left_{speed}"] <= 1 / fastest).all()
    assert not steps["still"].any()
    assert 3 <= (np.diff(np.sign(steps["sway"])) != 0).sum() <= 6  # reversals in 32 frames, one each 5.5 to 7


def test_write_videos__a_video_depends_on_seed_class_and_number_alone(tmp_path: Path) -> None:
    write_videos(tmp_path / "two", 2, 5, lambda: None)
    write_videos(tmp_path / "one", 1, 5, lambda: None)
    write_videos(tmp_path / "other", 1, 6, lambda: None)
    assert len(list((tmp_path / "two").rglob("*.mp4"))) == 2 * len(CLASSES)
    for name in CLASSES:
        first = f"{name}/{name}_000.mp4"
        one, two, other = ((tmp_path / folder / first).read_bytes() for folder in ("one", "two", "other"))
        assert one == two != other


@pytest.mark.parametrize("decoder", ["decord", "pyav"])
def test_write_videos__decode_to_what_was_rendered(tmp_path: Path, decoder: str) -> None:
    """Oracle: the rendered frames; the codec keeps a quarter of the colours, so levels differ a little."""
    write_videos(tmp_path / "videos", 1, 0, lambda: None)
    for label, name in enumerate(CLASSES):
        with open_video(tmp_path / "videos" / name / f"{name}_000.mp4", decoder) as reader:
            frames = reader.read(np.arange(reader.num_frames))
        assert frames.shape == (NUM_FRAMES, SIDE, SIDE, 3)
        assert np.abs(frames.astype(int) - render_video(label, default_rng((0, label, 0)))).mean() < 8


def clips(first_number: int, num_per_class: int) -> tuple[Tensor, Tensor]:
    """Every second frame and pixel of each video's first half: (N, 3, 8, 16, 16) around 0, and labels (N,)."""
    labels = [label for label in range(len(CLASSES)) for _ in range(num_per_class)]
    videos = [
        render_video(label, default_rng((1, label, first_number + number % num_per_class)))[:16:2, 4:36:2, 4:36:2]
        for number, label in enumerate(labels)
    ]
    return torch.from_numpy(np.stack(videos)).permute(0, 4, 1, 2, 3).float() / 255 - 0.45, torch.tensor(labels)


@pytest.mark.slow
@pytest.mark.usefixtures("one_torch_thread")
def test_classes__are_told_apart_by_motion_alone() -> None:
    """A network that has learnt from many labels is right on whole clips, clearly less with their frames shuffled, and
    at chance on one frame repeated. A second network learns from repeated frames only, and does not come off chance.

    Oracle: chance is 12.5%; of 256 videos three deviations are 6.2 points. Shuffled, the three pairs are guesses
    between two at best: at most 62.5% for who knows all speeds.
    """
    train, test = clips(0, 60), clips(60, 32)
    order = torch.from_numpy(default_rng(0).permuted(np.tile(np.arange(8), (len(test[0]), 1)), axis=1))
    shuffled = torch.stack([video[:, row] for video, row in zip(test[0], order, strict=True)])
    network = learn(*train, epochs=6)
    whole = accuracy(network, *test)
    assert whole > 70
    assert accuracy(network, shuffled, test[1]) < whole - 25
    assert accuracy(network, still(test[0]), test[1]) < 12.5 + 6.2
    assert accuracy(learn(still(train[0]), train[1], epochs=3), still(test[0]), test[1]) < 12.5 + 6.2


def still(videos: Tensor) -> Tensor:
    """One frame, repeated."""
    return videos[:, :, 3:4].expand_as(videos)


def learn(videos: Tensor, labels: Tensor, epochs: int) -> Encoder:
    torch.manual_seed(0)
    backbone = create_backbone("r3d", depth=10, width=8)
    network = Encoder(backbone, create_classifier("r3d", backbone.feature_dim, len(CLASSES), 0.0))
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    for _ in range(epochs):
        for chosen in torch.randperm(len(labels)).split(16):
            loss = F.cross_entropy(network(videos[chosen]), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return network.eval()


def accuracy(network: Encoder, videos: Tensor, labels: Tensor) -> float:
    with torch.inference_mode():
        scores = torch.cat([network(part) for part in videos.split(32)])
    return 100 * float((scores.argmax(1) == labels).float().mean())
