"""I3D against the published architecture and the authors' checkpoint names."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vtdl_cli.models.i3d import i3d, pad_same

# channels and size of each stage for a clip of 3x16x224x224: arXiv 1705.07750, figure 3 (there 64 frames), by hand
STAGES = {
    "conv3d_1a_7x7": (64, 8, 112, 112),
    "maxPool3d_2a_3x3": (64, 8, 56, 56),
    "conv3d_2b_1x1": (64, 8, 56, 56),
    "conv3d_2c_3x3": (192, 8, 56, 56),
    "maxPool3d_3a_3x3": (192, 8, 28, 28),
    "mixed_3b": (256, 8, 28, 28),
    "mixed_3c": (480, 8, 28, 28),
    "maxPool3d_4a_3x3": (480, 4, 14, 14),
    "mixed_4b": (512, 4, 14, 14),
    "mixed_4c": (512, 4, 14, 14),
    "mixed_4d": (512, 4, 14, 14),
    "mixed_4e": (528, 4, 14, 14),
    "mixed_4f": (832, 4, 14, 14),
    "maxPool3d_5a_2x2": (832, 2, 7, 7),
    "mixed_5b": (832, 2, 7, 7),
    "mixed_5c": (1024, 2, 7, 7),
}
BRANCHES = ["branch_0", "branch_1.0", "branch_1.1", "branch_2.0", "branch_2.1", "branch_3.1"]
BATCH_NORM = ["running_mean", "running_var", "weight", "bias"]


def test_i3d__stage_shapes() -> None:
    """Oracle: figure 3 of the paper."""
    with torch.device("meta"):
        backbone, x = i3d(), torch.empty(1, 3, 16, 224, 224)
    assert [name for name, _ in backbone.named_children()] == list(STAGES)
    for name, stage in backbone.named_children():
        x = stage(x)
        assert x.shape == (1, *STAGES[name]), name
    assert backbone.feature_dim == 1024


def test_i3d__counts_published_parameters() -> None:
    """Oracle: the published RGB network's 12,697,264 (400 classes) less the 1024 x 400 + 400 of its logits."""
    with torch.device("meta"):
        backbone = i3d()
    assert sum(parameter.numel() for parameter in backbone.parameters()) == 12_697_264 - 410_000 == 12_287_264


def test_i3d__names_of_authors_checkpoint() -> None:
    """Oracle: the keys that `src/model/i3d.py` of the authors' code saves, spelt out from its classes."""
    units = [name for name in STAGES if name.startswith("conv3d")]
    units += [f"{name}.{branch}" for name in STAGES if name.startswith("mixed") for branch in BRANCHES]
    expected = {f"{unit}.conv3d.weight" for unit in units}
    expected |= {f"{unit}.batch3d.{key}" for unit in units for key in [*BATCH_NORM, "num_batches_tracked"]}
    with torch.device("meta"):
        assert set(i3d().state_dict()) == expected


def tensorflow_pad(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    """SAME as TensorFlow's documentation has it: as much as makes ceil(size / stride) outputs, the odd one last."""
    sides: list[int] = []
    for size, window, step in zip(reversed(x.shape[2:]), reversed(kernel), reversed(stride), strict=True):
        total = max((math.ceil(size / step) - 1) * step + window - size, 0)
        sides += [total // 2, total - total // 2]
    return F.pad(x, sides)


def reference(weights: dict[str, Tensor], x: Tensor) -> Tensor:
    """The backbone written out from the paper with TensorFlow's padding, evaluating."""

    def unit(name: str, x: Tensor, stride: int = 1) -> Tensor:
        kernel = weights[f"{name}.conv3d.weight"]
        x = F.conv3d(tensorflow_pad(x, kernel.shape[2:], (stride,) * 3), kernel, stride=stride)
        mean, variance, scale, shift = (weights[f"{name}.batch3d.{key}"] for key in BATCH_NORM)
        return F.batch_norm(x, mean, variance, scale, shift).relu()

    def pool(x: Tensor, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> Tensor:
        return F.max_pool3d(tensorflow_pad(x, kernel, stride), kernel, stride)

    strided_pools = {"2a_3x3": (1, 3), "3a_3x3": (1, 3), "4a_3x3": (3, 3), "5a_2x2": (2, 2)}  # time, space
    for name in STAGES:
        if name.startswith("maxPool"):
            time, space = strided_pools[name.removeprefix("maxPool3d_")]
            x = pool(x, (time, space, space), (min(time, 2), 2, 2))
        elif name.startswith("conv3d"):
            x = unit(name, x, stride=2 if name == "conv3d_1a_7x7" else 1)
        else:
            b0 = unit(f"{name}.branch_0", x)
            b1 = unit(f"{name}.branch_1.1", unit(f"{name}.branch_1.0", x))
            b2 = unit(f"{name}.branch_2.1", unit(f"{name}.branch_2.0", x))
            b3 = unit(f"{name}.branch_3.1", pool(x, (3, 3, 3), (1, 1, 1)))
            x = torch.cat([b0, b1, b2, b3], dim=1)
    return x


def test_i3d__against_reference() -> None:
    """Oracle: the paper's layers with TensorFlow's own padding rule, on a thin network whose sizes all halve evenly."""
    torch.manual_seed(0)
    backbone = i3d(width=8, in_channels=2).eval()
    for name, buffer in backbone.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.uniform_(0.2, 1.0)  # a shift, so that zero padding is not what a batch norm makes of nothing
    clips = torch.randn(2, 2, 16, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(backbone(clips), reference(backbone.state_dict(), clips), rtol=1e-4, atol=1e-5)


def test_pad_same__by_hand() -> None:
    """Oracle: by hand: kernel 7 stride 2 lacks 5, 2 before and 3 after; kernel 3 stride 2 lacks 1, after."""
    x = torch.ones(1, 1, 4, 4, 4)
    assert pad_same(x, (7, 7, 7), (2, 2, 2)).shape[2:] == (9, 9, 9)
    assert pad_same(x, (7, 1, 1), (2, 1, 1))[0, 0, :, 0, 0].tolist() == [0, 0, 1, 1, 1, 1, 0, 0, 0]
    assert pad_same(x, (1, 3, 1), (1, 2, 1))[0, 0, 0, :, 0].tolist() == [1, 1, 1, 1, 0]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        # 9 frames: floor((9 + 5 - 7) / 2) + 1 = 4, then rounded up 2, 1. 75 pixels: 37, then rounded up 19, 10, 5, 3
        ((9, 75, 75), (1, 3, 3)),
        ((16, 112, 112), (2, 4, 4)),
        ((2, 2, 2), (1, 1, 1)),
    ],
)
def test_i3d__odd_sizes(size: tuple[int, int, int], expected: tuple[int, int, int]) -> None:
    """Oracle: by hand, as the comments say: poolings round up."""
    backbone = i3d(width=4).eval()
    assert backbone(torch.zeros(1, 3, *size)).shape == (1, 64, *expected)


def test_i3d__narrowest() -> None:
    """Oracle: by hand: at width 1 a branch of 16 / 64 channels rounds to 0, and is 1 instead."""
    backbone = i3d(width=1)
    assert backbone.state_dict()["mixed_3b.branch_2.0.conv3d.weight"].shape == (1, 3, 1, 1, 1)
    assert backbone.eval()(torch.zeros(1, 3, 8, 32, 32)).shape == (1, 16, 1, 1, 1)
