"""The max pooling of all networks here.

Shapes: `N` clips, `C` channels, `T` frames, `H`, `W` pixels; tensors are (N, C, T, H, W).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vtdl_cli.models.convolution import Triple


class MaxPool3d(nn.Module):
    """Max pooling, on a GPU of space and then of time: the maximum of maxima, with the gradient at the same pixel.

    torch's own kernels for it, in 2.11, leave channels last, took 24 of the 100 ms that the network of a step of I3D
    needed on an H100, and add gradients up in any order. Those of two dimensions keep the layout and took 18, and their
    gradients repeat themselves to the bit.

    Args:
        kernel_size, stride, padding: (time, height, width) each; padding is of -inf.
        ceil_mode: windows may reach beyond the end, see `torch.nn.MaxPool3d`.
    """

    def __init__(
        self, kernel_size: Triple, stride: Triple, padding: Triple = (0, 0, 0), ceil_mode: bool = False
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding, self.ceil_mode = kernel_size, stride, padding, ceil_mode

    def forward(self, x: Tensor) -> Tensor:
        """Pool: (N, C, T, H, W) -> (N, C, t, h, w)."""
        if x.is_cuda and x.is_contiguous(memory_format=torch.channels_last_3d):
            return self.pool_apart(x)
        return F.max_pool3d(x, self.kernel_size, self.stride, self.padding, ceil_mode=self.ceil_mode)

    def pool_apart(self, x: Tensor) -> Tensor:
        """Pool space, then time; of channels last both are views that torch pools without a copy."""
        (frames, *pixels), (step, *steps), (before, *border) = self.kernel_size, self.stride, self.padding
        images = x.transpose(1, 2)  # (N, T, C, H, W)
        if max(*pixels, *steps) > 1:
            pooled = F.max_pool2d(images.flatten(0, 1), pixels, steps, border, ceil_mode=self.ceil_mode)
            images = pooled.unflatten(0, images.shape[:2])
        x = images.transpose(1, 2)
        if max(frames, step) > 1:
            kernel, stride, padding = (frames, 1), (step, 1), (before, 0)
            pooled = F.max_pool2d(x.flatten(3), kernel, stride, padding, ceil_mode=self.ceil_mode)
            x = pooled.unflatten(3, x.shape[3:])
        return x

    def extra_repr(self) -> str:
        """Describe it as torch describes its own."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"
