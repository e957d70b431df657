"""I3D (Carreira and Zisserman 2017, arXiv 1705.07750): Inception-v1 inflated to video, the paper's main backbone.

Module names are those of the authors' code (`src/model/i3d.py`, after hassony2/kinetics_i3d_pytorch), so that its
checkpoints load.

Shapes: `N` clips, `C` channels, `T` frames, `H`, `W` pixels; tensors are (N, C, T, H, W).
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vtdl_cli.models.convolution import Conv3d, Triple, initialise
from vtdl_cli.models.encoder import Backbone
from vtdl_cli.models.normalisation import BatchNorm3d
from vtdl_cli.models.pooling import MaxPool3d

# Channels of each mixed block at width 64: branch 0, branch 1 (reduce, out), branch 2 (reduce, out), branch 3.
# Inception-v1, Szegedy et al. 2015 (arXiv 1409.4842), table 1, as in the authors' file.
MIXED_CHANNELS: dict[str, tuple[int, int, int, int, int, int]] = {
    "mixed_3b": (64, 96, 128, 16, 32, 32),
    "mixed_3c": (128, 128, 192, 32, 96, 64),
    "mixed_4b": (192, 96, 208, 16, 48, 64),
    "mixed_4c": (160, 112, 224, 24, 64, 64),
    "mixed_4d": (128, 128, 256, 24, 64, 64),
    "mixed_4e": (112, 144, 288, 32, 64, 64),
    "mixed_4f": (256, 160, 320, 32, 128, 128),
    "mixed_5b": (256, 160, 320, 32, 128, 128),
    "mixed_5c": (384, 192, 384, 48, 128, 128),
}
# name and kernel (the same in time and space) of the pooling before a block; stride 2
POOLS_BEFORE = {"mixed_4b": ("maxPool3d_4a_3x3", 3), "mixed_5b": ("maxPool3d_5a_2x2", 2)}


def pad_same(x: Tensor, kernel_size: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    """Pad with zeros as TensorFlow's SAME if the stride divides the size: kernel - stride in total, an odd one last.

    Static, as in the PyTorch ports; for other sizes TensorFlow's padding depends on the size.
    """
    totals = [max(kernel - step, 0) for kernel, step in zip(kernel_size, stride, strict=True)]
    sides = [(total // 2, total - total // 2) for total in reversed(totals)]  # F.pad counts from the last axis
    return F.pad(x, [pixels for side in sides for pixels in side])


class Unit(nn.Module):
    """SAME convolution without bias, batch norm, ReLU: (N, in, T, H, W) -> (N, out, T/stride, H/stride, W/stride)."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        padding = kernel // 2 if stride == 1 else 0  # with a stride, more at the end: see forward
        self.conv3d = Conv3d(in_channels, out_channels, (kernel,) * 3, stride=(stride,) * 3, padding=(padding,) * 3)
        self.batch3d = BatchNorm3d(out_channels)
        self.pads = stride > 1

    def forward(self, x: Tensor) -> Tensor:
        """Convolve, normalise, rectify."""
        if self.pads:
            x = pad_same(x, self.conv3d.kernel_size, self.conv3d.stride)
        return F.relu(self.batch3d(self.conv3d(x)), inplace=True)


class SamePool(MaxPool3d):
    """SAME max pooling: (N, C, T, H, W) -> each size divided by its stride, rounded up, so that no border is lost.

    It pads with zeros, as the PyTorch ports do; after a ReLU this changes no maximum. Nor does it along an axis that
    the stride divides: there, windows that reach beyond the end are the same.
    """

    def __init__(self, kernel_size: Triple, stride: Triple) -> None:
        super().__init__(kernel_size, stride, ceil_mode=True)

    def forward(self, x: Tensor) -> Tensor:
        """Pad, then pool."""
        if any(size % step for size, step in zip(x.shape[2:], self.stride, strict=True)):
            x = pad_same(x, self.kernel_size, self.stride)
        return super().forward(x)


class Mixed(nn.Module):
    """Four parallel branches: (N, in, T, H, W) -> (N, out_channels, T, H, W).

    Args:
        in_channels: channels of the input.
        channels: branch 0, branch 1 (reduce, out), branch 2 (reduce, out), branch 3.
    """

    def __init__(self, in_channels: int, channels: list[int]) -> None:
        super().__init__()
        self.out_channels = channels[0] + channels[2] + channels[4] + channels[5]
        self.branch_0 = Unit(in_channels, channels[0], 1)
        self.branch_1 = nn.Sequential(Unit(in_channels, channels[1], 1), Unit(channels[1], channels[2], 3))
        self.branch_2 = nn.Sequential(Unit(in_channels, channels[3], 1), Unit(channels[3], channels[4], 3))
        # this pool's padding of -inf acts like SAME's zeros after a ReLU, and saves a padded copy
        self.branch_3 = nn.Sequential(MaxPool3d((3, 3, 3), (1, 1, 1), (1, 1, 1)), Unit(in_channels, channels[5], 1))

    def forward(self, x: Tensor) -> Tensor:
        """Concatenate the branches along the channels."""
        return torch.cat([self.branch_0(x), self.branch_1(x), self.branch_2(x), self.branch_3(x)], dim=1)


def build_layers(width: int, in_channels: int) -> Iterator[tuple[str, nn.Module]]:
    """Build the layers one by one, named as in the authors' checkpoints; see `i3d`."""

    def scaled(channels: int) -> int:
        return max(1, round(channels * width / 64))

    yield "conv3d_1a_7x7", Unit(in_channels, scaled(64), 7, stride=2)
    yield "maxPool3d_2a_3x3", SamePool((1, 3, 3), (1, 2, 2))
    yield "conv3d_2b_1x1", Unit(scaled(64), scaled(64), 1)
    yield "conv3d_2c_3x3", Unit(scaled(64), scaled(192), 3)
    yield "maxPool3d_3a_3x3", SamePool((1, 3, 3), (1, 2, 2))
    channels = scaled(192)
    for name, branch_channels in MIXED_CHANNELS.items():
        if name in POOLS_BEFORE:
            pool_name, kernel = POOLS_BEFORE[name]
            yield pool_name, SamePool((kernel, kernel, kernel), (2, 2, 2))
        mixed = Mixed(channels, [scaled(branch) for branch in branch_channels])
        yield name, mixed
        channels = mixed.out_channels


class I3D(Backbone):
    """The backbone up to mixed_5c; see `i3d`. (N, C, T, H, W) -> (N, 16 * width, T/8, H/32, W/32)."""

    stages = ("mixed_3b", "mixed_4b", "mixed_5b")

    def __init__(self, width: int, in_channels: int) -> None:
        super().__init__(feature_dim=16 * width)  # mixed_5c's 6 + 6 + 2 + 2 times the width
        for name, layer in build_layers(width, in_channels):
            self.add_module(name, layer)
        initialise(self)


def i3d(width: int = 64, in_channels: int = 3) -> I3D:
    """Build the I3D backbone; classifier and embedding are separate heads.

    At width 64 it has 12,287,264 parameters: the 12,697,264 of the published RGB network with 400 classes minus the
    410,000 of its logits. Batch norm has torch's eps of 1e-5, as in the authors' code (TensorFlow: 1e-3).

    Args:
        width: channels of the first convolution; all others scale by width / 64, rounded, at least 1.
        in_channels: 3 for RGB, 2 for optical flow.

    Returns:
        A backbone of feature dimension 16 * width (1024, as published). Clips need at least 2 frames and 2 pixels.
    """
    return I3D(width, in_channels)
