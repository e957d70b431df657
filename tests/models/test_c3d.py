"""C3D against the published architecture."""

import torch
import torch.nn.functional as F
from torch import Tensor

from vtdl_cli.models.c3d import c3d
from vtdl_cli.models.convolution import Conv3d

# channels and size of each stage for a clip of 3x16x112x112: arXiv 1412.0767, figure 3, worked out by hand
STAGES = {
    "conv1a": (64, 16, 112, 112),
    "pool1": (64, 16, 56, 56),
    "conv2a": (128, 16, 56, 56),
    "pool2": (128, 8, 28, 28),
    "conv3a": (256, 8, 28, 28),
    "conv3b": (256, 8, 28, 28),
    "pool3": (256, 4, 14, 14),
    "conv4a": (512, 4, 14, 14),
    "conv4b": (512, 4, 14, 14),
    "pool4": (512, 2, 7, 7),
    "conv5a": (512, 2, 7, 7),
    "conv5b": (512, 2, 7, 7),
}
BATCH_NORM = ["running_mean", "running_var", "weight", "bias"]


def test_c3d__stage_shapes() -> None:
    """Oracle: figure 3 of the paper."""
    with torch.device("meta"):
        backbone, x = c3d(), torch.empty(1, 3, 16, 112, 112)
    assert [name for name, _ in backbone.named_children()] == list(STAGES)
    for name, stage in backbone.named_children():
        x = stage(x)
        assert x.shape == (1, *STAGES[name]), name
    assert backbone.feature_dim == 512


def test_c3d__counts_published_parameters() -> None:
    """Oracle: the published network's convolutions hold 27,655,936 weights and biases."""
    with torch.device("meta"):
        layers = [layer for layer in c3d().modules() if isinstance(layer, Conv3d)]
    assert sum(parameter.numel() for layer in layers for parameter in layer.parameters()) == 27_655_936


def reference(weights: dict[str, Tensor], x: Tensor) -> Tensor:
    """The backbone written out from the paper, evaluating."""
    for name in STAGES:
        if name.startswith("pool"):
            x = F.max_pool3d(x, (1, 2, 2) if name == "pool1" else 2)
            continue
        x = F.conv3d(x, weights[f"{name}.0.weight"], weights[f"{name}.0.bias"], padding=1)
        mean, variance, scale, shift = (weights[f"{name}.1.{key}"] for key in BATCH_NORM)
        x = F.batch_norm(x, mean, variance, scale, shift).relu()
    return x


def test_c3d__against_reference() -> None:
    """Oracle: the paper's layers one after the other, on a thin network, T = 2 inside; 17 frames lose the last."""
    torch.manual_seed(0)
    backbone = c3d(width=4, in_channels=2).eval()
    clips = torch.randn(2, 2, 17, 32, 36)
    torch.testing.assert_close(backbone(clips), reference(backbone.state_dict(), clips))
    assert backbone(clips).shape == (2, 32, 2, 2, 2)
