"""Colour jitter of clips, batched, on the compute device: brightness, contrast, saturation and hue in random order.

Parameters are drawn once per clip and shared by its frames. `jitter` and `jitter_in_one_pass` compute the same:
the first does the least work, and the second is one graph without a branch, as torch.compile needs it.

Shapes: N clips, T frames, H x W pixels; clips are (N, T, 3, H, W) in [0, 1], factors (N, 1, 1, 1, 1).
"""

import torch
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as in PIL and torchvision


def jitter(clips: Tensor, factor: Tensor, order: Tensor) -> Tensor:
    """Apply the four operations of `data.clips.views.JITTER` to clips (N, T, 3, H, W) in [0, 1], in each clip's order.

    Clips that are due the same operation are batched. `order` (N, 4) stays on the CPU, so that selecting them does not
    synchronise with the device.
    """
    for position in range(4):
        for operation, adjust in enumerate((brightness, contrast, saturation, hue)):
            due = torch.nonzero(order[:, position] == operation).flatten().to(clips.device, non_blocking=True)
            if len(due):
                clips.index_copy_(0, due, adjust(clips[due], factor[due, operation].view(-1, 1, 1, 1, 1)))
    return clips


def jitter_in_one_pass(clips: Tensor, factor: Tensor, order: Tensor) -> Tensor:
    """Do as `jitter`, without branches: at each position compute all operations of all clips, and choose one of each.

    Uncompiled that is four times the work; compiled, the four are one pass over the pixels.
    """
    order = order.to(clips.device, non_blocking=True)
    for position in range(4):
        before = clips
        for operation, adjust in enumerate((brightness, contrast, saturation, hue)):
            is_due = (order[:, position] == operation).view(-1, 1, 1, 1, 1)
            clips = torch.where(is_due, adjust(before, factor[:, operation].view(-1, 1, 1, 1, 1)), clips)
    return clips


def brightness(clips: Tensor, factor: Tensor) -> Tensor:
    """Blend towards black (below 1) or away from it."""
    return (clips * factor).clamp_(0, 1)


def contrast(clips: Tensor, factor: Tensor) -> Tensor:
    """Blend towards each frame's mean grey (below 1) or away from it."""
    return torch.lerp(grey(clips).mean((-2, -1), keepdim=True), clips, factor).clamp_(0, 1)


def saturation(clips: Tensor, factor: Tensor) -> Tensor:
    """Blend towards grey (below 1) or away from it."""
    return torch.lerp(grey(clips), clips, factor).clamp_(0, 1)


def grey(clips: Tensor) -> Tensor:
    """Return the luma (N, T, 1, H, W)."""
    red, green, blue = torch.split(clips, 1, 2)
    return red * LUMA[0] + green * LUMA[1] + blue * LUMA[2]


def hue(clips: Tensor, turns: Tensor) -> Tensor:
    """Shift the hue of HSV by `turns` (1 is a full circle); value and saturation stay.

    With the hue h in sixths of the circle, a channel is value - chroma * clamp(min(k, 4 - k), 0, 1), where
    k = (n + h) mod 6 and n = 5, 3, 1 for red, green and blue.
    """
    red, green, blue = clips.unbind(2)  # (N, T, H, W)
    value, low = clips.amax(2), clips.amin(2)
    chroma = value - low
    safe = chroma.clamp(min=1e-12)
    sixths = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    sixths = sixths + 6 * turns.squeeze(2)
    offsets = torch.arange(5, 0, -2, device=clips.device, dtype=clips.dtype)  # n; `torch.tensor` would wait for the GPU
    k = (sixths.unsqueeze(2) + offsets.view(3, 1, 1)).remainder_(6)
    return value.unsqueeze(2) - chroma.unsqueeze(2) * torch.minimum(k, 4 - k).clamp_(0, 1)
