"""R3D and R(2+1)D against torchvision's networks."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from vtdl_cli.errors import UsageError
from vtdl_cli.models.heads import pool_features
from vtdl_cli.models.resnet3d import DEPTHS, BasicBlock, ResNet3D, r2p1d, r3d

BUILDERS = {"r3d": r3d, "r2p1d": r2p1d}


def build_torchvision(name: str, depth: int) -> nn.Module:
    """Torchvision's network of that depth, with random weights and random batch norm statistics."""
    from torchvision.models.video import resnet

    block: Any = resnet.BasicBlock if DEPTHS[depth][0] is BasicBlock else resnet.Bottleneck
    convolution, stem = {
        "r3d": (resnet.Conv3DSimple, resnet.BasicStem),
        "r2p1d": (resnet.Conv2Plus1D, resnet.R2Plus1dStem),
    }[name]
    theirs: nn.Module = resnet.VideoResNet(block, [convolution] * 4, list(DEPTHS[depth][1]), stem, num_classes=7)
    for layer in theirs.modules():
        if isinstance(layer, nn.BatchNorm3d):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            for statistic in (layer.running_mean, layer.bias):
                statistic.data.normal_(0.0, 0.1)
            for statistic in (layer.running_var, layer.weight):
                statistic.data.uniform_(0.5, 1.5)
    return theirs


@pytest.mark.parametrize("depth", [10, 18, pytest.param(50, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["r3d", "r2p1d"])
def test_r3d__against_torchvision(name: str, depth: int) -> None:
    """Oracle: torchvision's VideoResNet with the same weights: same logits, evaluating and training, T = 1 inside."""
    torch.manual_seed(0)
    theirs = build_torchvision(name, depth)
    weights = {key: value for key, value in theirs.state_dict().items() if not key.startswith("fc.")}
    with torch.device("meta"):
        ours = BUILDERS[name](depth)
    ours.load_state_dict(weights, assign=True)  # strict: the names are torchvision's
    clips = torch.randn(2, 3, 5, 30, 32)
    for training in (False, True):
        with torch.no_grad():
            expected = theirs.train(training)(clips)
            actual = theirs.get_submodule("fc")(pool_features(ours.train(training)(clips)))
        torch.testing.assert_close(actual, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "depth", "expected"),
    [("r3d", 18, 33_371_472), ("r2p1d", 18, 31_505_325)],
)
def test_r3d__counts_published_parameters(name: str, depth: int, expected: int) -> None:
    """Oracle: `num_params` of torchvision's weights (400 classes), less the 512 x 400 + 400 of its classifier."""
    with torch.device("meta"):
        backbone = BUILDERS[name](depth)
    assert sum(parameter.numel() for parameter in backbone.parameters()) == expected - 205_200


@pytest.mark.parametrize(("depth", "feature_dim"), [(10, 512), (18, 512), (50, 2048)])
@pytest.mark.parametrize("build", [r3d, r2p1d])
def test_r3d__stage_shapes(build: Callable[[int], ResNet3D], depth: int, feature_dim: int) -> None:
    """Oracle: table 1 of arXiv 1711.11248 (a clip of 16x112x112), by hand; feature dimensions: README."""
    with torch.device("meta"):
        backbone = build(depth)
        x = torch.empty(1, 3, 16, 112, 112)
    stages = [backbone.stem, backbone.layer1, backbone.layer2, backbone.layer3, backbone.layer4]
    sizes = [(16, 56, 56), (16, 56, 56), (8, 28, 28), (4, 14, 14), (2, 7, 7)]
    for stage, size in zip(stages, sizes, strict=True):
        x = stage(x)
        assert x.shape[2:] == size
    assert x.shape[1] == backbone.feature_dim == feature_dim


def test_r2p1d__narrow_stem_and_flow() -> None:
    """Oracle: by hand: 45 mid channels at width 64 are 6 at width 8 (5.6 rounded); flow has 2 channels."""
    backbone = r2p1d(10, width=8, in_channels=2).eval()
    weights = backbone.state_dict()
    assert weights["stem.0.weight"].shape == (6, 2, 1, 7, 7)
    assert weights["stem.3.weight"].shape == (8, 6, 3, 1, 1)
    assert backbone(torch.zeros(1, 2, 4, 16, 16)).shape == (1, 64, 1, 1, 1)


def test_r3d__refuses_other_depths() -> None:
    with pytest.raises(UsageError, match=r"depth '34' .* 10, 18 or 50"):
        r3d(34)
