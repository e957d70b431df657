import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vtdl_cli.method.stcr import STCR, network_mixup
from vtdl_cli.method.transforms import transform


def random_clips(seed: int, count: int = 4) -> Tensor:
    return torch.rand(count, 2, 3, 4, 4, generator=torch.Generator().manual_seed(seed))


class Recorded(nn.Module):
    """Keeps the clips of each pass."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.seen: list[Tensor] = []

    def forward(self, clips: Tensor) -> Tensor:
        self.seen.append(clips)
        maps: Tensor = self.network(clips)
        return maps


def test_stcr__of_an_equivariant_network() -> None:
    """Oracle: by hand: without mixup the paths agree, and another clip's map does not."""
    task, clips = STCR(nn.Tanh(), transforms="all", mixup_alpha=0.0), random_clips(0)
    step = task(clips, clips, torch.arange(4))
    assert step.loss.item() == step.metrics["consistency_loss"].item() == pytest.approx(0, abs=1e-12)
    assert step.metrics["unmatched_distance"].item() > 0.01
    assert step.metrics["map_size"].item() == pytest.approx(clips.tanh().square().mean().sqrt().item())
    assert "chance_loss" not in step.metrics


def test_stcr__the_noise_path_gets_the_other_view() -> None:
    """Oracle: by hand: clean clips as they are, then the other view's pixels in another order, as 0 is no mixup."""
    network = Recorded(nn.Identity())
    clean, other = random_clips(0), random_clips(1)
    STCR(network, transforms="all", mixup_alpha=0.0)(clean, other, torch.arange(4))
    (both,) = network.seen
    assert torch.equal(both[:4], clean)
    assert torch.equal(both[4:].flatten(1).sort().values, other.flatten(1).sort().values)


def test_stcr__predicts_the_transform_of_the_noise_path() -> None:
    """Oracle: by hand: one clip's 16 transforms are recognised, and a quarter of a guess of ln 16 is added."""
    clip = torch.arange(2.0 * 3 * 4 * 4).reshape(1, 2, 3, 4, 4)
    results, clips = transform(clip.repeat(16, 1, 1, 1, 1), torch.arange(16)), clip.repeat(30, 1, 1, 1, 1)

    class Known(nn.Module):
        def forward(self, maps: Tensor) -> Tensor:
            return 100.0 * torch.stack([(results == each).flatten(1).all(1) for each in maps])

    class Guess(nn.Module):
        def forward(self, maps: Tensor) -> Tensor:
            return torch.zeros(len(maps), 16)

    for classifier, loss in ((Known(), 0.0), (Guess(), math.log(16) / 4)):
        task = STCR(nn.Identity(), classifier, "all", mixup_alpha=0.0, classification_weight=0.25)
        step = task(clips, clips, torch.arange(30))
        assert step.loss.item() == pytest.approx(loss, abs=1e-6)
        assert step.metrics["chance_loss"].item() == pytest.approx(math.log(16) / 4)
        assert (step.metrics["transform_top1"].item() == 100) == (loss == 0)


def test_network_mixup__is_none_of_a_linear_network() -> None:
    """Oracle: linearity."""
    torch.manual_seed(0)
    assert network_mixup(nn.Conv3d(2, 3, 3, bias=False), random_clips(0)).item() == pytest.approx(0, abs=1e-12)


def test_network_mixup__by_hand() -> None:
    """Oracle: NumPy, on squares: the network is none of mixing's."""
    clips = random_clips(0)
    torch.manual_seed(5)
    share = torch.rand(4, 1, 1, 1, 1).numpy()
    torch.manual_seed(5)
    found = network_mixup(torch.square, clips).item()
    a = clips.numpy()
    b = np.roll(a, 1, 0)
    mixture = share * a + (1 - share) * b
    assert found == pytest.approx(((mixture**2 - (share * a**2 + (1 - share) * b**2)) ** 2).mean(), rel=1e-4)


def test_network_mixup__is_added_by_its_weight() -> None:
    """Oracle: by hand: of a network whose paths agree, it is all of the loss, and none of a linear network's."""
    clips = random_clips(0)
    losses = [
        STCR(network, mixup_alpha=0.0, network_mixup_weight=2.0)(clips, clips, torch.arange(4)).loss.item()
        for network in (nn.Tanh(), nn.Identity())
    ]
    assert losses[0] > 1e-4
    assert losses[1] == pytest.approx(0, abs=1e-12)
