"""How far gradients reach: a metric of every weight tensor."""

import math

import torch
from torch import nn

Sizes = dict[str, float | None]


def gradient_metrics(model: nn.Module) -> dict[str, Sizes]:
    """Mean and largest absolute gradient of each weight tensor, as the last step left them.

    Vectors, that is biases and batch norm's numbers, are left out. Called after an epoch's last step, whose gradients
    stay until the next: so no step waits for the device.

    Returns:
        `mean` and `largest`: the tensor's name -> its metric, in the network's order; none where it is not finite.
    """
    gradients = {name: weight.grad for name, weight in model.named_parameters() if weight.ndim > 1}
    sizes = {
        name: torch.stack([gradient.abs().mean(), gradient.abs().max()])
        for name, gradient in gradients.items()
        if gradient is not None
    }
    table = torch.stack(list(sizes.values())).tolist() if sizes else []
    finite = [[value if math.isfinite(value) else None for value in row] for row in table]
    return {
        metric: {name: row[column] for name, row in zip(sizes, finite, strict=True)}
        for column, metric in enumerate(("mean", "largest"))
    }
