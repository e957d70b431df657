"""The 3D convolution of all networks here, and weight initialisation.

Shapes: `N` clips, `C` channels, `T` frames, `H`, `W` pixels; tensors are (N, C, T, H, W).
"""

import math
from collections.abc import Callable
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

Triple = tuple[int, int, int]  # time, height, width


class Conv3d(nn.Conv3d):
    """A 3D convolution with zero padding whose weight gradients are also correct in bf16 on a CPU.

    torch (seen in 2.13 and 2.15, on CPUs with bf16 instructions) silently computes wrong weight gradients if
    1 < T < temporal kernel and the convolution pads time itself; method/README has the measurements. In this case
    only, we pad time explicitly: the same function without the bug. Longer clips take torch's path at no cost.

    Args:
        in_channels, out_channels: channels of the input and of the output.
        kernel_size, stride, padding: each (time, height, width), in frames and pixels.
        bias: add a learned constant per output channel; off by default, as batch norm nearly always follows.

    Attributes:
        padded_channels: channels that input and weight have while they are convolved, zeros beyond `in_channels`: the
            same function, which some GPUs compute faster. The weight itself stays as it is.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Triple,
        *,
        stride: Triple = (1, 1, 1),
        padding: Triple = (0, 0, 0),
        bias: bool = False,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride=stride, padding=padding, bias=bias)
        self.time_padding, self.space_padding = padding[0], padding[1:]
        self.padded_channels = in_channels

    def forward(self, input: Tensor) -> Tensor:
        """Convolve: (N, C, T, H, W) -> (N, out_channels, t, h, w)."""
        weight, padding = self.weight, (self.time_padding, *self.space_padding)
        if zeros := self.padded_channels - self.in_channels:
            input, weight = (F.pad(each, (0, 0) * 3 + (0, zeros)) for each in (input, weight))
        if self.time_padding > 0 and input.shape[2] < self.kernel_size[0]:
            input = F.pad(input, (0, 0, 0, 0, self.time_padding, self.time_padding))
            padding = (0, *self.space_padding)
        return F.conv3d(input, weight, self.bias, self.stride, padding)


def initialise(module: nn.Module, rule: str = "kaiming") -> None:
    """Initialise all 3D convolutions and batch norms of `module` in place, by `rule`. Linear layers are left as built.

    `kaiming`, as in torchvision's VideoResNet: convolutions Kaiming normal, fan out, gain of a ReLU, which preserves
    the variance of the gradients from layer to layer (He et al. 2015, arXiv 1502.01852); batch-norm weights 1.
    `xavier`, as in the authors' code (`utils/load_weights.py:26-43`): convolutions Xavier uniform with gain sqrt(2),
    batch-norm weights from N(1, 0.02). Both set biases to 0.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv3d | nn.BatchNorm3d):
            _WEIGHT_INIT[rule, isinstance(layer, nn.BatchNorm3d)](layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


_WEIGHT_INIT: dict[tuple[str, bool], Callable[[Tensor], Tensor]] = {
    ("kaiming", False): partial(nn.init.kaiming_normal_, mode="fan_out", nonlinearity="relu"),
    ("kaiming", True): nn.init.ones_,
    ("xavier", False): partial(nn.init.xavier_uniform_, gain=math.sqrt(2)),
    ("xavier", True): partial(nn.init.normal_, mean=1.0, std=0.02),
}
"""By rule and by whether the layer is a batch norm."""
