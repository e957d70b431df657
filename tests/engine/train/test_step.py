"""The step by itself: what it computes on each rank, from one batch or several, and in the narrow range of fp16."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from vtdl_cli.engine.networks.machine import Machine
from vtdl_cli.engine.train import step
from vtdl_cli.engine.train.meter import Meter
from vtdl_cli.engine.train.training import Training
from vtdl_cli.errors import VtdlError

OFF = torch.amp.GradScaler("cpu", enabled=False)


class Bookkeeping:
    """What `train_epoch` asks of a Training, for one weight and steps of batches of given sizes."""

    def __init__(
        self,
        weight: nn.Parameter,
        *sizes: tuple[int, int] | list[tuple[int, int]],
        scaler: torch.amp.GradScaler = OFF,
        max_grad_norm: float | None = None,
    ) -> None:
        self.machine = Machine(torch.device("cpu"), None, 0)
        self.config = SimpleNamespace(data=SimpleNamespace(crop_size=1))
        self.state = SimpleNamespace(
            step=0,
            optimizer=torch.optim.SGD([{"params": [weight], "lr_scale": 1.0}], lr=99.0),
            meter=Meter(),
            lr_at=lambda step: 1.0 / (1 + step),
            scaler=scaler,
            skipped_steps=0,
            options=SimpleNamespace(max_grad_norm=max_grad_norm),
            identity={"stage": "finetune"},
        )
        self._sizes = sizes

    def steps(self) -> Any:
        for sizes in self._sizes:
            yield [(range(mine), everyone) for mine, everyone in (sizes if isinstance(sizes, list) else [sizes])]

    def finish_step(self) -> None:
        self.state.step += 1


@pytest.fixture(autouse=True)
def no_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step, "device_clips", lambda *_: torch.empty(0))


def train(bookkeeping: Bookkeeping, *losses: Tensor | float, weight: Tensor, **options: Any) -> None:
    """Train on losses that are the weight times these."""
    factors, ddp_model = iter(losses), nn.Identity()
    step.train_epoch(cast(Training, bookkeeping), ddp_model, lambda *_: (next(factors) * weight, {}), **options)


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


def test_step__of_several_batches_weighs_every_video_alike() -> None:
    """Oracle: by hand: batches of 3 and 1 videos with mean gradients 2 and 6: (3 * 2 + 6) / 4; then a batch alone."""
    weight = nn.Parameter(torch.tensor(0.0))
    bookkeeping = Bookkeeping(weight, [(3, 3), (1, 1)], [(2, 2)])
    positions = list[float]()
    train(bookkeeping, 2.0, 6.0, 5.0, weight=weight, after_step=lambda: positions.append(weight.item()))
    assert positions == [-3.0, -3.0 - 5.0 / 2]
    assert bookkeeping.state.step == 2


@pytest.mark.parametrize("scale", [None, 1024.0])
def test_step__clips_the_mean_of_all_batches(scale: float | None) -> None:
    """Oracle: by hand: the mean of 3 and 6, 4.5, exceeds 4; clipped apart, or before the loss scale is taken out, it would
    be 3.5 or 4/1024. The second step, 1, is below 4, and its lr is 1/2."""
    weight = nn.Parameter(torch.tensor(0.0))
    scaler = OFF if scale is None else torch.amp.GradScaler("cpu", init_scale=scale)
    train(Bookkeeping(weight, [(2, 2)] * 2, (2, 2), scaler=scaler, max_grad_norm=4.0), 3.0, 6.0, 1.0, weight=weight)
    assert weight.item() == pytest.approx(-4.0 - 0.5, rel=1e-5)


def test_step__that_overflows_in_fp16_is_skipped_and_counted() -> None:
    """Oracle: by hand: of gradients 1, infinite and 2 at lr 1, 1/2 and 1/3 the second moves nothing and halves the scale."""
    weight = nn.Parameter(torch.tensor(0.0))
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    bookkeeping = Bookkeeping(weight, *[(1, 1)] * 3, scaler=scaler)
    train(bookkeeping, 1.0, float("inf"), 2.0, weight=weight)
    assert weight.item() == pytest.approx(-1 - 2 / 3)
    assert (bookkeeping.state.skipped_steps, scaler.get_scale()) == (1, 512.0)


def test_step__that_always_overflows_is_an_error() -> None:
    """Oracle: by hand: 4 halves to 2, 1 and then below 1."""
    weight = nn.Parameter(torch.tensor(0.0))
    bookkeeping = Bookkeeping(weight, *[(1, 1)] * 9, scaler=torch.amp.GradScaler("cpu", init_scale=4.0))
    says = "of step 2 overflow fp16 even with a loss scale of 1: 3 steps were skipped. --set finetune.precision=fp32"
    with pytest.raises(VtdlError, match=says):
        train(bookkeeping, *[float("nan")] * 9, weight=weight)


def test_step__loss_that_is_not_finite_shows_in_the_means_of_the_epoch() -> None:
    """Oracle: by hand: one of three losses is infinite; the last one is not."""
    weight = nn.Parameter(torch.tensor(1.0))
    bookkeeping = Bookkeeping(weight, *[(1, 1)] * 3)
    forward = iter([1.0, float("inf"), 2.0])
    step.train_epoch(cast(Training, bookkeeping), nn.Identity(), lambda *_: (0 * weight + next(forward), {}))
    assert bookkeeping.state.meter.latest() == {"loss": 2.0}
    assert bookkeeping.state.meter.means() == {"loss": float("inf")}
