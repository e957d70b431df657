"""Colour jitter of clips, batched and in place, on the compute device.

Numbers of the operations are torchvision's, but for the luma. Each rounds as little as float32 allows, and clamps where
it can leave the range of pixels.

Shapes: clips are (N, T, 3, H, W), float32 from 0 to 255; factors (N,) or broadcast to clips.
"""

import torch
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as in PIL and torchvision
SIXTH = 1 / 6  # of the circle of hues: from red to yellow, to green, to cyan, to blue, to magenta, to red
LEAST_CHROMA = 1e-6  # for division: what has less is grey


def jitter(clips: Tensor, factor: Tensor, order: Tensor) -> None:
    """Apply the four operations of `data.clips.views.JITTER` to clips, in each clip's order.

    Clips that are due the same operation are batched. Nothing waits for the device.

    Args:
        clips: (N, T, 3, H, W), changed in place.
        factor: (N, 4) of the operations.
        order: (N, 4) numbers of the operations, on the CPU; other numbers are no operation.
    """
    for operations in order.T.tolist():  # of all clips, first to fourth
        for operation, adjust in enumerate((brightness, contrast, saturation, hue)):
            due = [clip for clip, number in enumerate(operations) if number == operation]
            if len(due) == len(clips):
                adjust(clips, factor[:, operation].view(-1, 1, 1, 1, 1))
            elif due:
                index = torch.tensor(due).to(clips.device, non_blocking=True)
                adjusted = adjust(clips[index], factor[index, operation].view(-1, 1, 1, 1, 1))
                clips.index_copy_(0, index, adjusted)


def brightness(clips: Tensor, factor: Tensor) -> Tensor:
    """Blend towards black (below 1) or away from it."""
    return clips.mul_(factor).clamp_(0, 255)


def contrast(clips: Tensor, factor: Tensor) -> Tensor:
    """Blend towards each frame's mean grey (below 1) or away from it."""
    mean = grey(clips.mean((-2, -1), keepdim=True))
    return clips.mul_(factor).add_(mean * (1 - factor)).clamp_(0, 255)


def saturation(clips: Tensor, factor: Tensor) -> Tensor:
    """Blend towards grey (below 1) or away from it."""
    return torch.lerp(grey(clips), clips, factor, out=clips).clamp_(0, 255)


def grey(clips: Tensor) -> Tensor:
    """Return the luma (N, T, 1, H, W)."""
    red, green, blue = torch.split(clips, 1, 2)
    return (red * LUMA[0]).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2])


def hue(clips: Tensor, turns: Tensor) -> Tensor:
    """Shift the hue of HSV by `turns` (1 is a full circle, at most 1 either way); value and saturation stay.

    Let a pixel be low + chroma * (r, g, b), so that one of r, g, b is 0 and one is 1. Its hue is 1 - r + g + b sixths
    of the circle away from red, on green's side if g > b, else on blue's: within each sixth, only one of r, g, b
    changes, and in proportion to the hue. Back from hue to colour, a channel is 0 up to one sixth from the hue opposite
    to its own (cyan for red, magenta for green, yellow for blue), 1 from two sixths on, and rises between them.
    """
    red, green, blue = clips.unbind(2)  # (N, T, H, W), views
    low = torch.minimum(red, green).minimum(blue)
    chroma = torch.maximum(red, green).maximum(blue).sub_(low)
    six_chroma = chroma * 6
    from_red = (green + blue).sub_(red).sub_(low).div_(six_chroma.clamp(min=LEAST_CHROMA)).add_(SIXTH)
    shifted = from_red.copysign_(green - blue).add_(turns.squeeze(2))
    shifted.sub_(shifted.round())  # turns from red, -1/2 to 1/2, positive towards green
    torch.abs(shifted, out=red).sub_(0.5)
    torch.add(shifted, SIXTH, out=green)
    torch.sub(shifted, SIXTH, out=blue)
    clips.abs_().clamp_(SIXTH, 2 * SIXTH)  # turns from the opposite hue
    return torch.addcmul((low - chroma).unsqueeze(2), clips, six_chroma.unsqueeze(2), out=clips)
