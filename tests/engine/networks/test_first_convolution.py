"""Which form of the first convolution pays is measured; what they compute is in tests/models/test_convolution.py."""

import pytest
import torch

from vtdl_cli.engine.networks import first_convolution as module
from vtdl_cli.engine.networks.first_convolution import choose_form, first_convolution, forms
from vtdl_cli.models.convolution import Form
from vtdl_cli.models.zoo import BACKBONES, create_backbone

CLIPS, FLOAT32 = torch.zeros(1, 3, 2, 8, 8), torch.autocast("cpu", enabled=False)


def chosen(monkeypatch: pytest.MonkeyPatch, *seconds: float) -> tuple[Form, float]:
    """What is chosen where the forms of R3D take so many seconds: 3, 4 and 8 channels, 12 and 16, 36 and 40."""
    times = iter(seconds)
    monkeypatch.setattr(module, "_fastest", lambda *_: next(times))
    return choose_form(first_convolution(create_backbone("r3d", depth=10, width=2)), CLIPS, FLOAT32)


def test_choose_form__takes_the_fastest_that_gains(monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: by hand: twice as fast is chosen, 4% is noise."""
    assert chosen(monkeypatch, 2.0, 1.5, 1.0, 1.5, 1.5, 1.5, 1.5) == (Form(8), 2.0)
    assert chosen(monkeypatch, 2.0, 1.5, 1.2, 1.5, 1.0, 1.1, 1.1) == (Form(16, folds=True), 2.0)
    assert chosen(monkeypatch, 1.04, 1.0, 1.2, 1.2, 1.2, 1.1, 1.1) == (Form(3), 1.0)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("i3d", [3, 4, 8, 24, 96]),
        ("r3d", [3, 4, 8, 12, 16, 36, 40]),
        ("c3d", [3, 4, 8, 9, 12, 16]),
    ],
)
def test_forms__are_in_groups_of_channels(name: str, expected: list[int]) -> None:
    """Oracle: by hand: 3 channels times strides of 2x2x2, 1x2x2 and 1, times 4, 3 and 3 frames, filled up to 4 and 8."""
    depth = next(iter(BACKBONES[name].depths), None)
    found = forms(first_convolution(create_backbone(name, depth=depth, width=2)))
    assert [form.channels for form in found] == expected


def test_choose_form__leaves_the_convolution_as_it_was() -> None:
    convolution = first_convolution(create_backbone("r3d", depth=10, width=2))
    form, gain = choose_form(convolution, CLIPS, FLOAT32)
    assert form in forms(convolution)
    assert gain >= 1
    assert (convolution.form, convolution.weight.grad) == (Form(3), None)


def test_choose_form__of_frozen_weights_needs_no_gradient() -> None:
    """A linear probe, and `finetune.freeze_stages`, freeze the first convolution: there is no backward to time."""
    convolution = first_convolution(create_backbone("r3d", depth=10, width=2)).requires_grad_(False)
    form, gain = choose_form(convolution, CLIPS, FLOAT32)
    assert form in forms(convolution)
    assert gain >= 1


@pytest.mark.parametrize("name", BACKBONES)
def test_first_convolution__sees_the_clips(name: str) -> None:
    """Oracle: by definition: it is the one with as many channels as the clips have."""
    depth = next(iter(BACKBONES[name].depths), None)
    assert first_convolution(create_backbone(name, depth=depth, width=2, in_channels=2)).in_channels == 2
