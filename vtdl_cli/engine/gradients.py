"""How far gradients reach: a reading of every weight tensor."""

import math

import torch
from torch import nn

Sizes = dict[str, float | None]


def gradient_readings(model: nn.Module) -> dict[str, Sizes]:
    """Mean and largest absolute gradient of each weight tensor, as the last step left them.

    Vectors, that is biases and batch norm's numbers, are left out. Called after an epoch's last step, whose gradients
    stay until the next: so no step waits for the device.

    Returns:
        `mean` and `largest`: the tensor's name -> its reading, in the network's order; none where it is not finite.
    """
    gradients = {name: weight.grad for name, weight in model.named_parameters() if weight.ndim > 1}
    moved = {name: gradient.abs() for name, gradient in gradients.items() if gradient is not None}
    sizes = [torch.stack([size.mean(), size.max()]) for size in moved.values()]
    table = torch.stack(sizes).tolist() if sizes else []
    finite = [[value if math.isfinite(value) else None for value in row] for row in table]
    columns = zip(*finite, strict=True) if finite else ((), ())
    return {
        reading: dict(zip(moved, column, strict=True))
        for reading, column in zip(("mean", "largest"), columns, strict=True)
    }
