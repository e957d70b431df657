"""Whether padded channels pay is measured; what they compute is in tests/models/test_convolution.py."""

import pytest
import torch

from vtdl_cli.engine.networks import channel_padding
from vtdl_cli.engine.networks.channel_padding import choose_padding, first_convolution
from vtdl_cli.models.zoo import BACKBONES, create_backbone

CLIPS, FLOAT32 = torch.zeros(1, 3, 2, 8, 8), torch.autocast("cpu", enabled=False)


def chosen(monkeypatch: pytest.MonkeyPatch, *seconds: float) -> tuple[int, float]:
    """What is chosen where 3, 4 and 8 channels take so many seconds."""
    times = iter(seconds)
    monkeypatch.setattr(channel_padding, "_fastest", lambda *_: next(times))
    return choose_padding(first_convolution(create_backbone("r3d", depth=10, width=2)), CLIPS, FLOAT32)


def test_choose_padding__takes_the_fastest_that_gains(monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: by hand: twice as fast is chosen, 4% is noise."""
    assert chosen(monkeypatch, 2.0, 1.5, 1.0) == (8, 2.0)
    assert chosen(monkeypatch, 2.0, 1.0, 1.5) == (4, 2.0)
    assert chosen(monkeypatch, 1.04, 1.0, 1.2) == (3, 1.0)


def test_choose_padding__leaves_the_convolution_as_it_was() -> None:
    convolution = first_convolution(create_backbone("r3d", depth=10, width=2))
    padded, gain = choose_padding(convolution, CLIPS, FLOAT32)
    assert padded in (3, 4, 8)
    assert gain >= 1
    assert (convolution.padded_channels, convolution.weight.grad) == (3, None)


def test_choose_padding__of_frozen_weights_needs_no_gradient() -> None:
    """A linear probe, and `finetune.freeze_stages`, freeze the first convolution: there is no backward to time."""
    convolution = first_convolution(create_backbone("r3d", depth=10, width=2)).requires_grad_(False)
    padded, gain = choose_padding(convolution, CLIPS, FLOAT32)
    assert padded in (3, 4, 8)
    assert gain >= 1


@pytest.mark.parametrize("name", BACKBONES)
def test_first_convolution__sees_the_clips(name: str) -> None:
    """Oracle: by definition: it is the one with as many channels as the clips have."""
    depth = next(iter(BACKBONES[name].depths), None)
    assert first_convolution(create_backbone(name, depth=depth, width=2, in_channels=2)).in_channels == 2
