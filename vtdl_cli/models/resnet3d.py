"""R3D and R(2+1)D (Tran et al. 2018, arXiv 1711.11248): 3D residual networks, one implementation for all.

They differ in their stem and in their `Design`. Function and state-dict names are those of torchvision's VideoResNet,
whose weights load once `fc.*` is dropped. `author_resnet3d.py` has the variants of VTDL's authors.

Shapes: `N` clips, `C` channels, `T` frames, `H`, `W` pixels; tensors are (N, C, T, H, W).
"""

from collections.abc import Callable
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from vtdl_cli.errors import UsageError
from vtdl_cli.models.convolution import Conv3d, initialise
from vtdl_cli.models.encoder import Backbone
from vtdl_cli.models.normalisation import BatchNorm3d

Pair = tuple[int, int]  # time, space


def full_convolution(in_channels: int, out_channels: int, stride: int, _block_channels: int) -> Conv3d:
    """Build R3D's 3x3x3 convolution: (N, in, T, H, W) -> (N, out, T/stride, H/stride, W/stride)."""
    return Conv3d(in_channels, out_channels, (3, 3, 3), stride=(stride, stride, stride), padding=(1, 1, 1))


def pointwise_convolution(in_channels: int, out_channels: int, stride: int) -> Conv3d:
    """Build the 1x1x1 convolution of a shortcut; shapes as in `full_convolution`."""
    return Conv3d(in_channels, out_channels, (1, 1, 1), stride=(stride, stride, stride))


def split_convolution(in_channels: int, out_channels: int, stride: int, block_channels: int) -> nn.Sequential:
    """Build R(2+1)D's 3x3x3 convolution; both of a block have as many channels between space and time."""
    mid_channels = count_mid_channels(block_channels, out_channels)
    return factored_convolution(in_channels, mid_channels, out_channels, stride=(stride, stride))


def factored_convolution(
    in_channels: int, mid_channels: int, out_channels: int, kernel: Pair = (3, 3), stride: Pair = (1, 1)
) -> nn.Sequential:
    """Build R(2+1)D's convolution in space, then in time: (N, in, T, H, W) -> (N, out, T', H', W'), divided by stride.

    Args:
        in_channels: of the clips.
        mid_channels: between space and time.
        out_channels: of the result.
        kernel: in time and in space.
        stride: in time and in space.
    """
    (frames, pixels), (time_stride, space_stride) = kernel, stride
    in_space, in_time = (1, pixels, pixels), (frames, 1, 1)
    return nn.Sequential(
        Conv3d(
            in_channels,
            mid_channels,
            in_space,
            stride=(1, space_stride, space_stride),
            padding=(0, pixels // 2, pixels // 2),
        ),
        BatchNorm3d(mid_channels),
        nn.ReLU(inplace=True),
        Conv3d(mid_channels, out_channels, in_time, stride=(time_stride, 1, 1), padding=(frames // 2, 0, 0)),
    )


def count_mid_channels(in_channels: int, out_channels: int, kernel: Pair = (3, 3)) -> int:
    """Compute the channels between space and time that give R(2+1)D as many weights as R3D (arXiv 1711.11248, 3.5)."""
    frames, area = kernel[0], kernel[1] ** 2
    return max(1, (frames * area * in_channels * out_channels) // (area * in_channels + frames * out_channels))


class Design(NamedTuple):
    """What the residual blocks of a network are built from.

    Attributes:
        convolution: builds a 3x3x3 one, from (in, out, stride, channels that enter the block).
        projection: builds that of a shortcut that changes the shape, from (in, out, stride).
    """

    convolution: Callable[[int, int, int, int], nn.Module]
    projection: Callable[[int, int, int], nn.Module] = pointwise_convolution


def full_stem(in_channels: int, width: int) -> nn.Sequential:
    """Build R3D's 3x7x7 stem: (N, in, T, H, W) -> (N, width, T, H/2, W/2)."""
    return nn.Sequential(
        Conv3d(in_channels, width, (3, 7, 7), stride=(1, 2, 2), padding=(1, 3, 3)),
        BatchNorm3d(width),
        nn.ReLU(inplace=True),
    )


def split_stem(in_channels: int, width: int, mid_channels: int | None = None) -> nn.Sequential:
    """Build R(2+1)D's stem, 1x7x7 then 3x1x1; shapes as in `full_stem`.

    Args:
        in_channels: of the clips.
        width: of the stem.
        mid_channels: between space and time; none: 45 at width 64, as in the paper's released weights and torchvision,
            not by the formula.
    """
    mid_channels = mid_channels or max(1, round(45 * width / 64))
    return nn.Sequential(
        *factored_convolution(in_channels, mid_channels, width, (3, 7), (1, 2)),
        BatchNorm3d(width),
        nn.ReLU(inplace=True),
    )


def shortcut(in_channels: int, out_channels: int, stride: int, design: Design) -> nn.Module:
    """Build a block's shortcut: the identity, or a strided projection if the shape changes."""
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    return nn.Sequential(design.projection(in_channels, out_channels, stride), BatchNorm3d(out_channels))


class BasicBlock(nn.Module):
    """Two convolutions and a shortcut: (N, in, T, H, W) -> (N, channels, T/stride, H/stride, W/stride)."""

    expansion = 1

    def __init__(self, in_channels: int, channels: int, stride: int, design: Design) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(
            design.convolution(in_channels, channels, stride, in_channels), BatchNorm3d(channels), nn.ReLU(inplace=True)
        )
        self.conv2 = nn.Sequential(design.convolution(channels, channels, 1, in_channels), BatchNorm3d(channels))
        self.downsample = shortcut(in_channels, channels, stride, design)

    def forward(self, x: Tensor) -> Tensor:
        """Add the shortcut to the convolved clip, then ReLU."""
        return F.relu(self.conv2(self.conv1(x)) + self.downsample(x))


class Bottleneck(nn.Module):
    """A convolution between two 1x1x1 ones: (N, in, T, H, W) -> (N, 4 * channels, T/stride, H/stride, W/stride)."""

    expansion = 4

    def __init__(self, in_channels: int, channels: int, stride: int, design: Design) -> None:
        super().__init__()
        out_channels = self.expansion * channels
        self.conv1 = nn.Sequential(
            Conv3d(in_channels, channels, (1, 1, 1)), BatchNorm3d(channels), nn.ReLU(inplace=True)
        )
        self.conv2 = nn.Sequential(
            design.convolution(channels, channels, stride, in_channels), BatchNorm3d(channels), nn.ReLU(inplace=True)
        )
        self.conv3 = nn.Sequential(Conv3d(channels, out_channels, (1, 1, 1)), BatchNorm3d(out_channels))
        self.downsample = shortcut(in_channels, out_channels, stride, design)

    def forward(self, x: Tensor) -> Tensor:
        """Add the shortcut to the convolved clip, then ReLU."""
        return F.relu(self.conv3(self.conv2(self.conv1(x))) + self.downsample(x))


Block = type[BasicBlock] | type[Bottleneck]
# depth -> block and blocks in each of the four stages. 18 and 50: He et al. 2016 (arXiv 1512.03385), table 1;
# 10 is the authors' (1,1,1,1) for pretraining (method/README), and small enough for a CPU
DEPTHS: dict[int, tuple[Block, tuple[int, int, int, int]]] = {
    10: (BasicBlock, (1, 1, 1, 1)),
    18: (BasicBlock, (2, 2, 2, 2)),
    50: (Bottleneck, (3, 4, 6, 3)),
}


def residual_stage(
    block: Block, in_channels: int, channels: int, num_blocks: int, stride: int, design: Design
) -> nn.Sequential:
    """Build `num_blocks` blocks; the first has the stride and changes the number of channels."""
    wide = block.expansion * channels
    first = block(in_channels, channels, stride, design)
    return nn.Sequential(first, *(block(wide, channels, 1, design) for _ in range(num_blocks - 1)))


class ResNet3D(Backbone):
    """Stem and four residual stages; see `r3d` and `r2p1d`. (N, C, T, H, W) -> (N, D, T/8, H/16, W/16), rounded up.

    Args:
        depth: a key of DEPTHS.
        width: channels of the stem and of the first stage.
        stem: maps the clips to `width` channels.
        design: of the stages' blocks.
    """

    stages = ("layer1", "layer2", "layer3", "layer4")

    def __init__(self, depth: int, width: int, stem: nn.Module, design: Design) -> None:
        if depth not in DEPTHS:
            raise UsageError(f"depth '{depth}' is not a depth of r3d and r2p1d. Choose 10, 18 or 50")
        block, num_blocks = DEPTHS[depth]
        expansion = block.expansion
        super().__init__(feature_dim=8 * width * expansion)
        self.stem = stem
        self.layer1 = residual_stage(block, width, width, num_blocks[0], 1, design)
        self.layer2 = residual_stage(block, width * expansion, 2 * width, num_blocks[1], 2, design)
        self.layer3 = residual_stage(block, 2 * width * expansion, 4 * width, num_blocks[2], 2, design)
        self.layer4 = residual_stage(block, 4 * width * expansion, 8 * width, num_blocks[3], 2, design)
        initialise(self)


def r3d(depth: int = 18, width: int = 64, in_channels: int = 3) -> ResNet3D:
    """Build R3D: 3x3x3 convolutions throughout.

    Args:
        depth: 10, 18 or 50.
        width: channels of the stem; 64 as published.
        in_channels: 3 for RGB, 2 for optical flow.

    Returns:
        A backbone of feature dimension 8 * width (512 as published), at depth 50 32 * width (2048).

    Raises:
        UsageError: another depth.
    """
    return ResNet3D(depth, width, full_stem(in_channels, width), Design(full_convolution))


def r2p1d(depth: int = 18, width: int = 64, in_channels: int = 3) -> ResNet3D:
    """Build R(2+1)D: each 3x3x3 convolution is split into space and time. Arguments, result and errors as in `r3d`."""
    return ResNet3D(depth, width, split_stem(in_channels, width), Design(split_convolution))
