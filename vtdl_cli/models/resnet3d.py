"""R3D and R(2+1)D (Tran et al. 2018, arXiv 1711.11248): 3D residual networks, one implementation for both.

They differ in their convolution only, a factory (in, out, mid, stride) -> module. Function and state-dict names are
those of torchvision's VideoResNet, whose weights load once `fc.*` is dropped.

Shapes: `N` clips, `C` channels, `T` frames, `H`, `W` pixels; tensors are (N, C, T, H, W).
"""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from vtdl_cli.errors import UsageError
from vtdl_cli.models.convolution import Conv3d, initialise
from vtdl_cli.models.encoder import Backbone
from vtdl_cli.models.normalisation import BatchNorm3d

Convolution = Callable[[int, int, int, int], nn.Module]


def full_convolution(in_channels: int, out_channels: int, _mid_channels: int, stride: int) -> Conv3d:
    """Build R3D's 3x3x3 convolution: (N, in, T, H, W) -> (N, out, T/stride, H/stride, W/stride)."""
    return Conv3d(in_channels, out_channels, (3, 3, 3), stride=(stride, stride, stride), padding=(1, 1, 1))


def split_convolution(in_channels: int, out_channels: int, mid_channels: int, stride: int) -> nn.Sequential:
    """Build R(2+1)D's pair, 1x3x3 in space then 3x1x1 in time; shapes as in `full_convolution`."""
    return nn.Sequential(
        Conv3d(in_channels, mid_channels, (1, 3, 3), stride=(1, stride, stride), padding=(0, 1, 1)),
        BatchNorm3d(mid_channels),
        nn.ReLU(inplace=True),
        Conv3d(mid_channels, out_channels, (3, 1, 1), stride=(stride, 1, 1), padding=(1, 0, 0)),
    )


def count_mid_channels(in_channels: int, channels: int) -> int:
    """Compute the channels between space and time that give R(2+1)D as many weights as R3D (arXiv 1711.11248, 3.5)."""
    return (in_channels * channels * 27) // (in_channels * 9 + 3 * channels)


def full_stem(in_channels: int, width: int) -> nn.Sequential:
    """Build R3D's 3x7x7 stem: (N, in, T, H, W) -> (N, width, T, H/2, W/2)."""
    return nn.Sequential(
        Conv3d(in_channels, width, (3, 7, 7), stride=(1, 2, 2), padding=(1, 3, 3)),
        BatchNorm3d(width),
        nn.ReLU(inplace=True),
    )


def split_stem(in_channels: int, width: int) -> nn.Sequential:
    """Build R(2+1)D's stem, 1x7x7 then 3x1x1; shapes as in `full_stem`."""
    mid_channels = max(1, round(45 * width / 64))  # 45 at width 64: the authors' file and torchvision, not the formula
    return nn.Sequential(
        Conv3d(in_channels, mid_channels, (1, 7, 7), stride=(1, 2, 2), padding=(0, 3, 3)),
        BatchNorm3d(mid_channels),
        nn.ReLU(inplace=True),
        Conv3d(mid_channels, width, (3, 1, 1), padding=(1, 0, 0)),
        BatchNorm3d(width),
        nn.ReLU(inplace=True),
    )


def shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    """Build a block's shortcut: the identity, or a strided 1x1x1 projection if the shape changes."""
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    return nn.Sequential(
        Conv3d(in_channels, out_channels, (1, 1, 1), stride=(stride, stride, stride)),
        BatchNorm3d(out_channels),
    )


class BasicBlock(nn.Module):
    """Two convolutions and a shortcut: (N, in, T, H, W) -> (N, channels, T/stride, H/stride, W/stride)."""

    expansion = 1

    def __init__(self, in_channels: int, channels: int, stride: int, convolution: Convolution) -> None:
        super().__init__()
        mid = count_mid_channels(in_channels, channels)
        self.conv1 = nn.Sequential(
            convolution(in_channels, channels, mid, stride), BatchNorm3d(channels), nn.ReLU(inplace=True)
        )
        self.conv2 = nn.Sequential(convolution(channels, channels, mid, 1), BatchNorm3d(channels))
        self.downsample = shortcut(in_channels, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Add the shortcut to the convolved clip, then ReLU."""
        return F.relu(self.conv2(self.conv1(x)) + self.downsample(x))


class Bottleneck(nn.Module):
    """A convolution between two 1x1x1 ones: (N, in, T, H, W) -> (N, 4 * channels, T/stride, H/stride, W/stride)."""

    expansion = 4

    def __init__(self, in_channels: int, channels: int, stride: int, convolution: Convolution) -> None:
        super().__init__()
        mid = count_mid_channels(in_channels, channels)
        out_channels = self.expansion * channels
        self.conv1 = nn.Sequential(
            Conv3d(in_channels, channels, (1, 1, 1)), BatchNorm3d(channels), nn.ReLU(inplace=True)
        )
        self.conv2 = nn.Sequential(
            convolution(channels, channels, mid, stride), BatchNorm3d(channels), nn.ReLU(inplace=True)
        )
        self.conv3 = nn.Sequential(Conv3d(channels, out_channels, (1, 1, 1)), BatchNorm3d(out_channels))
        self.downsample = shortcut(in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Add the shortcut to the convolved clip, then ReLU."""
        return F.relu(self.conv3(self.conv2(self.conv1(x))) + self.downsample(x))


Block = type[BasicBlock] | type[Bottleneck]
# depth -> block and blocks in each of the four stages. 18 and 50: He et al. 2016 (arXiv 1512.03385), table 1;
# 10 is the authors' (1,1,1,1) for pretraining (README, Method), and small enough for a CPU
DEPTHS: dict[int, tuple[Block, tuple[int, int, int, int]]] = {
    10: (BasicBlock, (1, 1, 1, 1)),
    18: (BasicBlock, (2, 2, 2, 2)),
    50: (Bottleneck, (3, 4, 6, 3)),
}


def residual_stage(
    block: Block, in_channels: int, channels: int, num_blocks: int, stride: int, convolution: Convolution
) -> nn.Sequential:
    """Build `num_blocks` blocks; the first has the stride and changes the number of channels."""
    wide = block.expansion * channels
    first = block(in_channels, channels, stride, convolution)
    return nn.Sequential(first, *(block(wide, channels, 1, convolution) for _ in range(num_blocks - 1)))


class ResNet3D(Backbone):
    """Stem and four residual stages; see `r3d` and `r2p1d`. (N, C, T, H, W) -> (N, D, T/8, H/16, W/16), rounded up."""

    stages = ("layer1", "layer2", "layer3", "layer4")

    def __init__(self, depth: int, width: int, stem: nn.Module, convolution: Convolution) -> None:
        if depth not in DEPTHS:
            raise UsageError(f"depth '{depth}' is not a depth of r3d and r2p1d. Choose 10, 18 or 50")
        block, num_blocks = DEPTHS[depth]
        expansion = block.expansion
        super().__init__(feature_dim=8 * width * expansion)
        self.stem = stem
        self.layer1 = residual_stage(block, width, width, num_blocks[0], 1, convolution)
        self.layer2 = residual_stage(block, width * expansion, 2 * width, num_blocks[1], 2, convolution)
        self.layer3 = residual_stage(block, 2 * width * expansion, 4 * width, num_blocks[2], 2, convolution)
        self.layer4 = residual_stage(block, 4 * width * expansion, 8 * width, num_blocks[3], 2, convolution)
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
    return ResNet3D(depth, width, full_stem(in_channels, width), full_convolution)


def r2p1d(depth: int = 18, width: int = 64, in_channels: int = 3) -> ResNet3D:
    """Build R(2+1)D: each 3x3x3 convolution is split into space and time. Arguments, result and errors as in `r3d`."""
    return ResNet3D(depth, width, split_stem(in_channels, width), split_convolution)
