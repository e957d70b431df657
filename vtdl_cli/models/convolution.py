"""The 3D convolution of all networks here, and weight initialisation.

Shapes: `N` clips, `C` channels, `T` frames, `H`, `W` pixels; tensors are (N, C, T, H, W).
"""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Triple = tuple[int, int, int]  # time, height, width


class Form(NamedTuple):
    """How a convolution is computed; every form is the same function, but for rounding.

    Attributes:
        channels: that clip and kernel then have; those beyond what the form makes of their own are zeros.
        folds: the pixels of a stride become channels, so that the convolution has no stride left: a 7x7x7 one with
            stride 2 of 3 channels becomes a 4x4x4 one of 24 channels.
        unrolls: so do, after that, the frames that the kernel sees: it becomes a 1x4x4 one of 96 channels.
    """

    channels: int
    folds: bool = False
    unrolls: bool = False


class Conv3d(nn.Conv3d):
    """A 3D convolution with zero padding whose weight gradients are also correct in bf16 on a CPU.

    torch (seen in 2.13 and 2.15, on CPUs with bf16 instructions) silently computes wrong weight gradients if
    1 < T < temporal kernel and the convolution pads time itself; method/README has the measurements. In this case
    only, we pad time explicitly: the same function without the bug. Longer clips take torch's path at no cost.

    One of 1x1x1 is a matrix product over channels, and computed as such if the clips are stored channels last: its
    gradients took a third of the time on an H100, and half on a CPU.

    Args:
        in_channels, out_channels: channels of the input and of the output.
        kernel_size, stride, padding: each (time, height, width), in frames and pixels.
        bias: add a learned constant per output channel; off by default, as batch norm nearly always follows.

    Attributes:
        form: how it is computed. The weight itself stays as it is.
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
        self.form = self.plain
        self.is_pointwise = kernel_size == stride == (1, 1, 1) and padding == (0, 0, 0)

    @property
    def plain(self) -> Form:
        """The form in which it is written."""
        return Form(self.in_channels)

    def forms(self) -> list[Form]:
        """Return the forms that need no zeros, the plain one first."""
        folded = self.in_channels * math.prod(self.stride)
        unrolled = folded * -(-self.kernel_size[0] // self.stride[0])
        tried = (self.plain, Form(folded, folds=True), Form(unrolled, folds=True, unrolls=True))
        return [form for form, fewer in zip(tried, (0, self.in_channels, folded), strict=True) if form.channels > fewer]

    def forward(self, input: Tensor) -> Tensor:
        """Convolve: (N, C, T, H, W) -> (N, out_channels, t, h, w)."""
        if self.is_pointwise and input.is_contiguous(memory_format=torch.channels_last_3d):
            return self._multiply(input)
        return self._convolve(input)

    def _multiply(self, input: Tensor) -> Tensor:
        return F.linear(input.movedim(1, -1), self.weight.flatten(1), self.bias).movedim(-1, 1)

    def _convolve(self, input: Tensor) -> Tensor:
        if self.form.folds:
            clips, weight = self._fold(input)
            if self.form.unrolls:
                clips, weight = (unroll(each, weight.shape[2]) for each in (clips, weight))
            return F.conv3d(_padded(clips, self.form.channels), _padded(weight, self.form.channels), self.bias)
        clips, padding = input, (self.time_padding, *self.space_padding)
        if self.time_padding > 0 and input.shape[2] < self.kernel_size[0]:
            clips = F.pad(input, (0, 0, 0, 0, self.time_padding, self.time_padding))
            padding = (0, *self.space_padding)
        clips, weight = (_padded(each, self.form.channels) for each in (clips, self.weight))
        return F.conv3d(clips, weight, self.bias, self.stride, padding)

    def _fold(self, clips: Tensor) -> tuple[Tensor, Tensor]:
        """Return clips and weight of the convolution without stride and padding that does the same."""
        if torch.is_autocast_enabled(clips.device.type):  # as the convolution would, but before the copies
            clips = clips.to(torch.get_autocast_dtype(clips.device.type))
        sides, ends = [], []  # of clips and of the kernel, from the last axis to the first, as F.pad counts
        sizes = (self.kernel_size, self.stride, (self.time_padding, *self.space_padding), clips.shape[2:])
        for kernel, stride, padding, size in reversed(list(zip(*sizes, strict=True))):
            taps, positions = -(-kernel // stride), (size + 2 * padding - kernel) // stride + 1
            sides += [padding, (positions + taps - 1) * stride - size - padding]
            ends += [0, taps * stride - kernel]
        return fold(F.pad(clips, sides), self.stride), fold(F.pad(self.weight, ends), self.stride)


def fold(values: Tensor, stride: tuple[int, ...]) -> Tensor:
    """Make channels of the pixels of each stride: (N, C, T, H, W) -> (N, thwC, T/t, H/h, W/w), channels last."""
    time, height, width = stride
    parts: Tensor = values.unflatten(4, (-1, width)).unflatten(3, (-1, height)).unflatten(2, (-1, time))
    return parts.permute(0, 2, 4, 6, 3, 5, 7, 1).flatten(4).movedim(-1, 1)


def unroll(values: Tensor, frames: int) -> Tensor:
    """Make channels of each run of frames: (N, C, T, H, W) -> (N, frames C, T - frames + 1, H, W), channels last."""
    runs: Tensor = values.unfold(2, frames, 1)  # (N, C, T - frames + 1, H, W, frames)
    return runs.permute(0, 2, 3, 4, 5, 1).flatten(4).movedim(-1, 1)


def _padded(values: Tensor, channels: int) -> Tensor:
    """Return values (N, C, T, H, W) with so many channels, zeros beyond their own."""
    zeros = channels - values.shape[1]
    return F.pad(values, (0, 0) * 3 + (0, zeros)) if zeros else values


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
