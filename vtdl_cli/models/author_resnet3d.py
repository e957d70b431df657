"""R3D and R(2+1)D of VTDL's authors (`src/model/r3d.py`, `src/model/r2p1d.py`), which are not torchvision's.

Their R3D is the 3D ResNet of Hara et al. 2018 (arXiv 1711.09577): its stem sees 7 frames and pools, so that feature
maps have half as many positions along each axis. Their R(2+1)D takes the mid channels of the paper's formula
everywhere: in the stem, where that gives 83 and torchvision has 45, in a block's second convolution, and in the
shortcuts, which are factored as well.

Shapes: `N` clips, `C` channels, `T` frames, `H`, `W` pixels; tensors are (N, C, T, H, W).
"""

from torch import nn

from vtdl_cli.models.convolution import Conv3d
from vtdl_cli.models.normalisation import BatchNorm3d
from vtdl_cli.models.pooling import MaxPool3d
from vtdl_cli.models.resnet3d import (
    Design,
    ResNet3D,
    count_mid_channels,
    factored_convolution,
    full_convolution,
    split_stem,
)

AUTHOR_DEPTHS = (10, 18)  # 10: their R(2+1)D in pretraining; 18: both in all else
POINTWISE = (1, 1)


def pooled_stem(in_channels: int, width: int) -> nn.Sequential:
    """Build a 7x7x7 convolution and a 3x3x3 max pool: (N, in, T, H, W) -> (N, width, T/2, H/4, W/4), rounded up."""
    return nn.Sequential(
        Conv3d(in_channels, width, (7, 7, 7), stride=(1, 2, 2), padding=(3, 3, 3)),
        BatchNorm3d(width),
        nn.ReLU(inplace=True),
        MaxPool3d((3, 3, 3), (2, 2, 2), (1, 1, 1)),
    )


def author_convolution(in_channels: int, out_channels: int, stride: int, _block_channels: int) -> nn.Sequential:
    """Build a factored 3x3x3 convolution whose mid channels are its own: not those of the block's first one."""
    mid_channels = count_mid_channels(in_channels, out_channels)
    return factored_convolution(in_channels, mid_channels, out_channels, stride=(stride, stride))


def author_projection(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    """Build a factored shortcut: 1x1x1 strided in space, batch norm, ReLU, 1x1x1 strided in time."""
    mid_channels = count_mid_channels(in_channels, out_channels, POINTWISE)
    return factored_convolution(in_channels, mid_channels, out_channels, POINTWISE, (stride, stride))


def r3d_author(depth: int = 18, width: int = 64, in_channels: int = 3) -> ResNet3D:
    """Build the authors' R3D: (N, C, T, H, W) -> (N, 8 * width, T/16, H/32, W/32), rounded up.

    At depth 18 and width 64 it has 33,203,904 parameters. Arguments and errors are those of `resnet3d.r3d`.
    """
    return ResNet3D(depth, width, pooled_stem(in_channels, width), Design(full_convolution))


def r2p1d_author(depth: int = 18, width: int = 64, in_channels: int = 3) -> ResNet3D:
    """Build the authors' R(2+1)D: (N, C, T, H, W) -> (N, 8 * width, T/8, H/16, W/16), rounded up.

    At width 64 it has 14,365,303 parameters at depth 10, which they pretrain, and 33,178,423 at depth 18, which they
    finetune. Arguments and errors are those of `resnet3d.r3d`.
    """
    stem = split_stem(in_channels, width, count_mid_channels(in_channels, width, (3, 7)))
    return ResNet3D(depth, width, stem, Design(author_convolution, author_projection))
