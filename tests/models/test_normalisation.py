"""Batch norm of a batch that has one value a channel."""

import pytest
import torch
from torch import nn

from vtdl_cli.models.normalisation import BatchNorm3d
from vtdl_cli.models.zoo import BACKBONES, create_backbone


def make(kind: type[nn.BatchNorm3d]) -> nn.BatchNorm3d:
    norm = kind(3)
    norm.load_state_dict(
        {
            "weight": torch.tensor([1.0, 2.0, 3.0]),
            "bias": torch.tensor([0.0, -1.0, 1.0]),
            "running_mean": torch.tensor([0.5, 0.0, -0.5]),
            "running_var": torch.tensor([1.0, 4.0, 0.25]),
            "num_batches_tracked": torch.tensor(7),
        }
    )
    return norm


@pytest.mark.parametrize("shape", [(1, 3, 1, 1, 1), (2, 3, 1, 1, 1), (1, 3, 1, 2, 1)])
def test_batch_norm__against_torch(shape: tuple[int, ...]) -> None:
    """Oracle: torch's layer, in evaluation for a single value a channel, where it raises in training."""
    ours, theirs = make(BatchNorm3d), make(nn.BatchNorm3d)
    single = shape == (1, 3, 1, 1, 1)
    theirs.train(not single)
    clips = torch.randn(shape, generator=torch.Generator().manual_seed(0)).requires_grad_()
    output, expected = ours(clips), theirs(clips)
    torch.testing.assert_close(output, expected)
    gradients = (torch.autograd.grad((x**2).sum(), clips)[0] for x in (output, expected))
    torch.testing.assert_close(*gradients)
    for name, values in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], values, msg=name)
    if single:
        with pytest.raises(ValueError, match="more than 1 value"):
            theirs.train()(clips)


def test_batch_norm__of_bf16_has_float32_statistics() -> None:
    """Oracle: float64 mean and variance of the bf16 values; sums in bf16 would be off by a percent and more.

    10 + noise: bf16 has 8 bits, so that a variance by E(x^2) - E(x)^2 in it would be none at all.
    """
    torch.manual_seed(0)
    norm = BatchNorm3d(3, momentum=1.0)  # the running averages are this batch's
    clips = (10 + torch.randn(4, 3, 8, 16, 16)).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        output = norm(clips)
    values = clips.double().transpose(0, 1).flatten(1)
    for name, expected in {"running_mean": values.mean(1), "running_var": values.var(1)}.items():
        assert norm.state_dict()[name].dtype == torch.float32
        torch.testing.assert_close(norm.state_dict()[name].double(), expected, rtol=1e-5, atol=0)
    assert output.dtype == torch.bfloat16


@pytest.mark.parametrize("is_training", [True, False])
def test_batch_norm__of_images_is_that_of_clips(is_training: bool) -> None:
    """Oracle: torch's layer; a GPU takes time and height as one axis, which a CPU can do as well."""
    torch.manual_seed(0)
    ours, theirs = make(BatchNorm3d).train(is_training), make(nn.BatchNorm3d).train(is_training)
    clips = torch.randn(2, 3, 4, 5, 6).to(memory_format=torch.channels_last_3d).requires_grad_()
    assert isinstance(ours, BatchNorm3d)
    output, expected = ours.normalise_as_images(clips), theirs(clips)
    torch.testing.assert_close(output, expected)
    assert output.is_contiguous(memory_format=torch.channels_last_3d)
    gradients = (torch.autograd.grad((each**2).sum(), clips)[0] for each in (output, expected))
    torch.testing.assert_close(*gradients)
    for name, values in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], values, msg=name)


@pytest.mark.parametrize("name", BACKBONES)
def test_backbones__learn_from_one_clip_of_one_position(name: str) -> None:
    backbone = create_backbone(name, depth=next(iter(BACKBONES[name].depths), None), width=4).train()
    feature_map = backbone(torch.randn(1, 3, 8, 16, 16))
    assert feature_map.shape[2:] == (1, 1, 1)
    feature_map.sum().backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in backbone.parameters())
    assert all(values.isfinite().all() for values in backbone.state_dict().values())
