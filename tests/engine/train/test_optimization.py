import math

import pytest
import torch
from torch import nn

from vtdl_cli.engine.train.optimization import (
    build_optimizer,
    build_schedule,
    constant,
    cosine,
    group_parameters,
    set_lr,
    step_decay,
    warmup_epochs,
    with_warmup,
)
from vtdl_cli.settings import load_config, preset_names

PRETRAINING = step_decay([120, 160, 200], 0.1)
FINETUNING = step_decay([10, 20, 25, 30, 35, 40], 0.3)


@pytest.mark.parametrize(
    ("epochs_done", "rate"),
    [(0, 3e-3), (119.99, 3e-3), (120, 3e-4), (159.9, 3e-4), (160, 3e-5), (199, 3e-5), (200, 3e-6), (239.9, 3e-6)],
)
def test_step_decay__of_pretraining(epochs_done: float, rate: float) -> None:
    """Oracle: method/README: .003, times .1 from epochs 121, 161 and 201 on, which begin when 120, 160, 200 are done."""
    assert 0.003 * PRETRAINING(epochs_done) == pytest.approx(rate)


@pytest.mark.parametrize(
    ("epochs_done", "power"),
    [(0, 0), (9.9, 0), (10, 1), (20, 2), (25, 3), (29.5, 3), (30, 4), (35, 5), (40, 6), (45, 6)],
)
def test_step_decay__of_finetuning(epochs_done: float, power: int) -> None:
    """Oracle: method/README: times .3 at epochs 10, 20, 25, 30, 35 and 40."""
    assert FINETUNING(epochs_done) == pytest.approx(0.3**power)


def test_step_decay__without_milestones_is_constant() -> None:
    """Oracle: by hand."""
    for epochs_done in (0, 7, 1e4):
        assert step_decay([], 0.1)(epochs_done) == constant(epochs_done) == 1


@pytest.mark.parametrize(
    ("epochs_done", "factor"),
    [(0, 1), (4, (1 + math.sqrt(0.5)) / 2), (8, 0.5), (12, (1 - math.sqrt(0.5)) / 2), (16, 0), (17, 0)],
)
def test_cosine__by_hand(epochs_done: float, factor: float) -> None:
    """Oracle: by hand: half a cosine over 16 epochs, cos 45° = sqrt(.5); no rise after the end."""
    assert cosine(16)(epochs_done) == pytest.approx(factor, abs=1e-12)


@pytest.mark.parametrize(("epochs_done", "factor"), [(0, 0), (2, 0.5), (4, 1), (9.9, 1), (10, 0.3), (20, 0.09)])
def test_with_warmup__rises_linearly_then_leaves_the_schedule_alone(epochs_done: float, factor: float) -> None:
    """Oracle: by hand: 4 epochs of warm-up before the steps of method/README."""
    assert with_warmup(FINETUNING, 4)(epochs_done) == pytest.approx(factor)


def test_with_warmup__multiplies_where_the_schedule_already_falls() -> None:
    """Oracle: by hand: at 8 of 16 epochs the cosine is at one half, at 4 of its 16 the warm-up at one quarter."""
    assert with_warmup(cosine(16), 32)(8) == pytest.approx(0.5 * 8 / 32)


def test_with_warmup__of_no_epochs_starts_at_the_full_rate() -> None:
    assert with_warmup(constant, 0)(0) == 1


@pytest.mark.parametrize(("epochs", "epochs_done", "factor"), [(2, 0.1, 0.5), (2, 1, 1), (10, 0.5, 0.5), (11, 1, 0.1)])
def test_build_schedule__warmup_as_long_as_the_run_takes_a_tenth(
    epochs: int, epochs_done: float, factor: float
) -> None:
    """Oracle: by hand: ten epochs of warm-up become .2 of two and 1 of ten; of eleven they stay ten."""
    words = [f"pretrain.epochs={epochs}", "pretrain.schedule={name: constant, warmup_epochs: 10}"]
    assert build_schedule(load_config("demo", words).pretrain)(epochs_done) == pytest.approx(factor)


@pytest.mark.parametrize("name", preset_names())
def test_warmup_epochs__of_the_presets_are_their_own(name: str) -> None:
    config = load_config(name)
    for options in (config.pretrain, config.finetune):
        assert warmup_epochs(options) == options.schedule.warmup_epochs


def test_set_lr__scales_each_group() -> None:
    """Oracle: by hand: 0.3 times 0.1 and 1; set twice, as the scale does not add up."""
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr_scale": scale} for scale in (0.1, 1.0)]
    optimizer = torch.optim.SGD(groups, lr=1.0)
    for lr in (99.0, 0.3):
        set_lr(optimizer, lr)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.03, 0.3])


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_build_optimizer__decays_norms_and_biases_too(name: str) -> None:
    """Oracle: by hand, as in MoCo and the authors' code: with no gradient, times 1 - .1 * .2 a step, whatever it is."""
    optimizer = f"pretrain.optimizer={{name: {name}, lr: 0.1, weight_decay: 0.2}}"
    network = nn.Sequential(nn.Conv3d(1, 2, 1), nn.BatchNorm3d(2))
    for parameter in network.parameters():
        parameter.data.fill_(1)
        parameter.grad = torch.zeros_like(parameter)
    build_optimizer(load_config("demo", [optimizer]).pretrain, group_parameters([(network, 1.0)])).step()
    assert [parameter.mean().item() for parameter in network.parameters()] == pytest.approx(4 * [0.98])
