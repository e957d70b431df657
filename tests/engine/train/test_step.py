"""The step by itself: what it computes on each rank."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from vtdl_cli.engine.networks.machine import Machine
from vtdl_cli.engine.train import step
from vtdl_cli.engine.train.meter import Meter
from vtdl_cli.engine.train.training import Training


class Bookkeeping:
    """What `train_epoch` asks of a Training, for one weight and batches of given sizes."""

    def __init__(self, weight: nn.Parameter, *sizes: tuple[int, int]) -> None:
        self.machine = Machine(torch.device("cpu"), None, 0)
        self.config = SimpleNamespace(data=SimpleNamespace(crop_size=1))
        optimizer = torch.optim.SGD([weight], lr=99.0)
        self.state = SimpleNamespace(step=0, optimizer=optimizer, meter=Meter(), lr_at=lambda step: 1.0 / (1 + step))
        self._sizes = sizes

    def batches(self) -> Any:
        for mine, everyone in self._sizes:
            yield range(mine), everyone

    def finish_step(self) -> None:
        self.state.step += 1


@pytest.fixture(autouse=True)
def no_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step, "device_clips", lambda *_: torch.empty(0))


def train(bookkeeping: Bookkeeping, *losses: Tensor | float, weight: Tensor, **options: Any) -> None:
    """Train on losses that are the weight times these."""
    factors = iter(losses)
    step.train_epoch(cast(Training, bookkeeping), lambda *_: (next(factors) * weight, {}), **options)


def test_step__of_two_ranks_is_that_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: by hand: videos with gradients 1 to 5, three here and two there: their mean is 3, and so is the ranks'."""
    for name, value in {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    moved = []
    for num_videos, mean in ((3, 2.0), (2, 4.5)):
        weight = nn.Parameter(torch.tensor(0.0))
        train(Bookkeeping(weight, (num_videos, 5)), mean, weight=weight)
        moved.append(-weight.item())
    assert sum(moved) / 2 == pytest.approx(3)


def test_step__uses_its_own_lr_and_gradient() -> None:
    """Oracle: by hand: gradients 1 and 4 at learning rates 1 and 1/2 move the weight by -1 and -2."""
    weight = nn.Parameter(torch.tensor(0.0))
    positions = list[float]()
    train(
        Bookkeeping(weight, (2, 2), (2, 2)), 1.0, 4.0, weight=weight, after_step=lambda: positions.append(weight.item())
    )
    assert positions == [-1.0, -3.0]


def test_step__loss_that_is_not_finite_shows_in_the_means_of_the_epoch() -> None:
    """Oracle: by hand: one of three losses is infinite; the last one is not."""
    weight = nn.Parameter(torch.tensor(1.0))
    bookkeeping = Bookkeeping(weight, *[(1, 1)] * 3)
    forward = iter([1.0, float("inf"), 2.0])
    step.train_epoch(cast(Training, bookkeeping), lambda *_: (0 * weight + next(forward), {}))
    assert bookkeeping.state.meter.latest() == {"loss": 2.0}
    assert bookkeeping.state.meter.means() == {"loss": float("inf")}
