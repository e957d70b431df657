"""C3D (Tran et al. 2015, arXiv 1412.0767): eight 3x3x3 convolutions and four poolings.

Shapes: `N` clips, `C` channels, `T` frames, `H`, `W` pixels; tensors are (N, C, T, H, W).
"""

from torch import nn

from vtdl_cli.models.convolution import Conv3d, initialise
from vtdl_cli.models.encoder import Backbone
from vtdl_cli.models.normalisation import BatchNorm3d
from vtdl_cli.models.pooling import MaxPool3d


def convolution_unit(in_channels: int, out_channels: int) -> nn.Sequential:
    """Build 3x3x3 convolution with bias, batch norm, ReLU: (N, in, T, H, W) -> (N, out, T, H, W)."""
    return nn.Sequential(
        Conv3d(in_channels, out_channels, (3, 3, 3), padding=(1, 1, 1), bias=True),
        BatchNorm3d(out_channels),
        nn.ReLU(inplace=True),
    )


class C3D(Backbone):
    """The published network up to conv5b; see `c3d`. (N, C, T, H, W) -> (N, 8 * width, T/8, H/16, W/16), floored."""

    stages = ("conv2a", "conv3a", "conv4a", "conv5a")

    def __init__(self, width: int, in_channels: int) -> None:
        super().__init__(feature_dim=8 * width)
        self.conv1a = convolution_unit(in_channels, width)
        self.pool1 = MaxPool3d(
            (1, 2, 2), (1, 2, 2)
        )  # no temporal pooling yet, not to merge motion too early (section 3.2)
        self.conv2a = convolution_unit(width, 2 * width)
        self.pool2 = MaxPool3d((2, 2, 2), (2, 2, 2))
        self.conv3a = convolution_unit(2 * width, 4 * width)
        self.conv3b = convolution_unit(4 * width, 4 * width)
        self.pool3 = MaxPool3d((2, 2, 2), (2, 2, 2))
        self.conv4a = convolution_unit(4 * width, 8 * width)
        self.conv4b = convolution_unit(8 * width, 8 * width)
        self.pool4 = MaxPool3d((2, 2, 2), (2, 2, 2))
        self.conv5a = convolution_unit(8 * width, 8 * width)
        self.conv5b = convolution_unit(8 * width, 8 * width)
        initialise(self)


def c3d(width: int = 64, in_channels: int = 3) -> C3D:
    """Build the C3D backbone; the head's global average replaces pool5 and the fully connected layers.

    At width 64 the convolutions have the published 27,655,936 parameters (conv1a 64, conv2a 128, conv3 256, conv4 and
    conv5 512 channels). Batch norm after each is not in the paper. It is common practice for self-supervised C3D (code
    of VCOP, Xu et al. 2019, and of RSPNet, Chen et al. 2021), as without the wide fully connected layers and a low
    learning rate the plain network hardly trains from scratch.

    Args:
        width: channels of the first stage; the others scale with it.
        in_channels: 3 for RGB, 2 for optical flow.

    Returns:
        A backbone of feature dimension 8 * width (512, as published). Clips need at least 8 frames and 16 pixels.
    """
    return C3D(width, in_channels)
