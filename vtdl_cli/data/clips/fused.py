"""The augmentation of RGB clips in a form that `torch.compile` makes a few GPU kernels of; it computes the same.

`augmentation.to_clips` writes each intermediate result to memory, about a hundred times the bytes of the clips. Here
nothing is changed in place, the channels are tensors of their own, and every clip goes through all four operations at
each of the four places of its order, of which one is kept: on a GPU arithmetic is nearly free, and memory is not. What
is left is one pass for each place, as the contrast needs the mean of the pixels before it.

Shapes: N clips, T frames, S the side of a window, R the crop size, both in pixels.
"""

import torch
from torch import Tensor

from vtdl_cli.data.clips.augmentation import MEAN, STD
from vtdl_cli.data.clips.colours import LEAST_CHROMA, LUMA, SIXTH
from vtdl_cli.data.clips.rotation import sampling_positions

Channels = tuple[Tensor, Tensor, Tensor]
"""Red, green and blue, (N, T, R, R) each, from 0 to 255."""


def to_clips_fused(windows: Tensor, crop_size: int, draws: dict[str, Tensor]) -> Tensor:
    """Augment and normalise windows of RGB: returns clips (N, 3, T, R, R) in float32, stored channels last.

    Args:
        windows: (N, T, S, S, 3) uint8.
        crop_size: R.
        draws: see `data.clips.views.Draws`, with V = N, all on the device of the windows.
    """
    channels = _rotated_crops(windows, crop_size, draws["rotation"], draws["shift"])
    for place in draws["order"].unbind(1):
        channels = _adjust(channels, draws["factor"], place.view(-1, 1, 1, 1))
    normalised = [(channel / 255 - mean) / std for channel, mean, std in zip(channels, MEAN, STD, strict=True)]
    return torch.stack(normalised, -1).permute(0, 4, 1, 2, 3)


def _rotated_crops(windows: Tensor, crop_size: int, rotation: Tensor, shift: Tensor) -> Channels:
    """Sample the windows bilinearly, see `rotation.rotated_crops`."""
    side = windows.shape[2]
    positions = sampling_positions(side, crop_size, rotation, shift)  # (2, N, R, R)
    corner = positions.floor().clamp(max=side - 2)
    right, below = (positions - corner).unsqueeze(2)  # (N, 1, R, R), for all frames
    column, row = corner.long().unsqueeze(2)
    clip, frame = (torch.arange(size, device=windows.device) for size in windows.shape[:2])
    clip, frame = clip.view(-1, 1, 1, 1), frame.view(-1, 1, 1)

    def sample(channel: int) -> Tensor:
        def pixel(down: int, across: int) -> Tensor:
            return windows[clip, frame, row + down, column + across, channel].float()

        above = torch.lerp(pixel(0, 0), pixel(0, 1), right)
        return torch.lerp(above, torch.lerp(pixel(1, 0), pixel(1, 1), right), below)

    return sample(0), sample(1), sample(2)


def _adjust(channels: Channels, factor: Tensor, number: Tensor) -> Channels:
    """Apply to each clip the operation of `data.clips.views.JITTER` with its `number` (N, 1, 1, 1); others: none."""
    adjusted = channels
    for operation, adjust in enumerate((brightness, contrast, saturation, hue)):
        due = number == operation
        results = adjust(channels, factor[:, operation].view(-1, 1, 1, 1))
        red, green, blue = (torch.where(due, new, old) for new, old in zip(results, adjusted, strict=True))
        adjusted = red, green, blue
    return adjusted


def brightness(channels: Channels, factor: Tensor) -> Channels:
    """See `colours.brightness`."""
    return _clamped(*(channel * factor for channel in channels))


def contrast(channels: Channels, factor: Tensor) -> Channels:
    """See `colours.contrast`."""
    mean = grey(channels).mean((-2, -1), keepdim=True)
    return _clamped(*(torch.lerp(mean, channel, factor) for channel in channels))


def saturation(channels: Channels, factor: Tensor) -> Channels:
    """See `colours.saturation`."""
    luma = grey(channels)
    return _clamped(*(torch.lerp(luma, channel, factor) for channel in channels))


def hue(channels: Channels, turns: Tensor) -> Channels:
    """See `colours.hue`."""
    red, green, blue = channels
    low, high = torch.minimum(torch.minimum(red, green), blue), torch.maximum(torch.maximum(red, green), blue)
    chroma = high - low
    from_red = (green + blue - red - low) / (6 * chroma).clamp(min=LEAST_CHROMA) + SIXTH
    shifted = torch.copysign(from_red, green - blue) + turns
    shifted = shifted - shifted.round()  # turns from red, -1/2 to 1/2, positive towards green
    from_opposite = ((shifted.abs() - 0.5).abs(), (shifted + SIXTH).abs(), (shifted - SIXTH).abs())
    new_red, new_green, new_blue = (low + chroma * (6 * turn.clamp(SIXTH, 2 * SIXTH) - 1) for turn in from_opposite)
    return new_red, new_green, new_blue


def grey(channels: Channels) -> Tensor:
    """Return the luma (N, T, R, R)."""
    red, green, blue = (weight * channel for weight, channel in zip(LUMA, channels, strict=True))
    return red + green + blue


def _clamped(red: Tensor, green: Tensor, blue: Tensor) -> Channels:
    return red.clamp(0, 255), green.clamp(0, 255), blue.clamp(0, 255)
