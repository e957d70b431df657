"""Compute a network's first convolution in the form in which the GPU is fastest.

Tensor cores take channels in groups, of 4 for TF32 and 8 for 16 bits (NVIDIA, Deep Learning Performance, Convolutional
Layers, Channels In And Out), and a first convolution has 3. Its stride may be folded into them, or zeros be added.
Which form cuDNN computes fastest depends on its version, the GPU and the convolution: it is measured. All are the same
function, see `models.convolution.Form`.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from vtdl_cli.engine.networks.machine import wait_for
from vtdl_cli.models.convolution import Conv3d, Form

GROUPS = (1, 4, 8)
"""Channels are filled up with zeros to a multiple of each."""

REPEATS = 5  # of which the fastest counts; one more comes before, in which cuDNN chooses its algorithms
LEAST_GAIN = 1.05  # times as fast as in its plain form: less is noise


def first_convolution(backbone: torch.nn.Module) -> Conv3d:
    """Return the convolution that sees the clips."""
    return next(layer for layer in backbone.modules() if isinstance(layer, Conv3d))


def forms(convolution: Conv3d) -> list[Form]:
    """Return the forms to try, its plain one first."""
    tried = [
        form._replace(channels=-(-form.channels // group) * group) for form in convolution.forms() for group in GROUPS
    ]
    return list(dict.fromkeys(tried))


def choose_form(convolution: Conv3d, clips: Tensor, autocast: torch.autocast) -> tuple[Form, float]:
    """Time a training step of the convolution on clips (N, C, T, R, R) in each form; its own stays as it is.

    Returns:
        The form to compute it in, the plain one if no other pays; and how many times as fast it then is.
    """
    before, seconds = convolution.form, {}
    for form in forms(convolution):
        convolution.form = form
        seconds[form] = _fastest(lambda: _step(convolution, clips, autocast), clips.device)
    convolution.form = before
    best = min(seconds, key=seconds.__getitem__)
    gain = seconds[convolution.plain] / seconds[best]
    return (best, gain) if gain >= LEAST_GAIN else (convolution.plain, 1.0)


@contextmanager
def plain_forms(model: torch.nn.Module) -> Iterator[None]:
    """Let convolutions compute in their plain form: what others do with zeros is no work of the network."""
    found = {layer: layer.form for layer in model.modules() if isinstance(layer, Conv3d)}
    try:
        for layer in found:
            layer.form = layer.plain
        yield
    finally:
        for layer, form in found.items():
            layer.form = form


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
