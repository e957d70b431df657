import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vtdl_cli.method.stcr import STCR, network_mixup


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
    task, clips = STCR(nn.Tanh(), "all", mixup_alpha=0.0), random_clips(0)
    step = task(clips, clips, torch.arange(4))
    assert step.loss.item() == pytest.approx(0, abs=1e-12)
    assert step.metrics["chance_loss"].item() > 0.01
    assert step.metrics["map_size"].item() == pytest.approx(clips.tanh().square().mean().sqrt().item())


def test_stcr__the_noise_path_gets_the_other_view() -> None:
    """Oracle: by hand: clean clips as they are, then the other view's pixels in another order, as 0 is no mixup."""
    network = Recorded(nn.Identity())
    clean, other = random_clips(0), random_clips(1)
    STCR(network, "all", mixup_alpha=0.0)(clean, other, torch.arange(4))
    (both,) = network.seen
    assert torch.equal(both[:4], clean)
    assert torch.equal(both[4:].flatten(1).sort().values, other.flatten(1).sort().values)


def test_stcr__a_single_clip_has_no_chance_to_compare_with() -> None:
    assert STCR(nn.Tanh())(random_clips(0, 1), random_clips(0, 1), torch.zeros(1)).metrics.keys() == {"map_size"}


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
    task = STCR(Recorded(nn.Tanh()), network_mixup_weight=2.0)
    assert "chance_loss" not in task(clips, clips, torch.arange(4)).metrics
