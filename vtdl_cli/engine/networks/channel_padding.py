"""Pad the input of a network's first convolution with channels of zeros, where the GPU is faster for it.

Tensor cores take channels in groups, of 4 for TF32 and 8 for 16 bits (NVIDIA, Deep Learning Performance, Convolutional
Layers, Channels In And Out), and a first convolution has 3. Whether cuDNN gains by the padding depends on its version,
the GPU and the convolution: it is measured. The convolution computes the same with it, see `models.convolution.Conv3d`.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from vtdl_cli.engine.networks.machine import wait_for
from vtdl_cli.models.convolution import Conv3d

PADDED_CHANNELS = (4, 8)
REPEATS = 5  # of which the fastest counts; one more comes before, in which cuDNN chooses its algorithms
LEAST_GAIN = 1.05  # times as fast as without padding: less is noise


def first_convolution(backbone: torch.nn.Module) -> Conv3d:
    """Return the convolution that sees the clips."""
    return next(layer for layer in backbone.modules() if isinstance(layer, Conv3d))


def choose_padding(convolution: Conv3d, clips: Tensor, autocast: torch.autocast) -> tuple[int, float]:
    """Time a training step of the convolution on clips (N, C, T, R, R) with each padding; its own stays as it is.

    Returns:
        The number of channels to pad to, C if no padding pays; and how many times as fast it then is.
    """
    before, channels = convolution.padded_channels, clips.shape[1]
    seconds = {}
    for padded in (channels, *(each for each in PADDED_CHANNELS if each > channels)):
        convolution.padded_channels = padded
        seconds[padded] = _fastest(lambda: _step(convolution, clips, autocast), clips.device)
    convolution.padded_channels = before
    best = min(seconds, key=seconds.__getitem__)
    gain = seconds[channels] / seconds[best]
    return (best, gain) if gain >= LEAST_GAIN else (channels, 1.0)


@contextmanager
def unpadded(model: torch.nn.Module) -> Iterator[None]:
    """Let convolutions compute without padding: what they do with zeros is no work of the network."""
    padded = {layer: layer.padded_channels for layer in model.modules() if isinstance(layer, Conv3d)}
    try:
        for layer in padded:
            layer.padded_channels = layer.in_channels
        yield
    finally:
        for layer, channels in padded.items():
            layer.padded_channels = channels


def _step(convolution: Conv3d, clips: Tensor, autocast: torch.autocast) -> None:
    """Forward and, unless the weights are frozen, backward to them alone; they keep no gradient."""
    trains = convolution.weight.requires_grad
    with torch.set_grad_enabled(trains), autocast:
        output = convolution(clips)
    if trains:
        torch.autograd.grad(output, convolution.weight, torch.ones_like(output))


def _fastest(run: Callable[[], None], device: torch.device) -> float:
    """Return the seconds of the fastest of REPEATS runs."""
    durations = []
    for _ in range(1 + REPEATS):
        wait_for(device)
        began = time.perf_counter()
        run()
        wait_for(device)
        durations.append(time.perf_counter() - began)
    return min(durations[1:])
