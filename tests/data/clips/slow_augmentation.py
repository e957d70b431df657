"""Augmentation as it was first written, each operation on whole batches of pixels from 0 to 1: slow, and plain to read.

The oracle of `vtdl_cli.data.clips.augmentation`, besides torchvision.

Shapes: N clips, T frames, S the side of a window, R the crop size, both in pixels.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LUMA = (0.299, 0.587, 0.114)


def slow_clips(windows: Tensor, crop_size: int, draws: dict[str, Tensor]) -> Tensor:
    """Augment and normalise windows (N, T, S, S, 3) uint8: (N, 3, T, R, R)."""
    clips = windows.permute(0, 1, 4, 2, 3) / 255
    clips = rotate_and_crop(clips, crop_size, draws["rotation"], draws["shift"])
    for number, order in enumerate(draws["order"].tolist()):
        for operation in order:
            adjust = (brightness, contrast, saturation, hue)[operation]
            clips[number] = adjust(clips[number], float(draws["factor"][number, operation]))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    return ((clips - mean) / std).transpose(1, 2)


def rotate_and_crop(clips: Tensor, crop_size: int, rotation: Tensor, shift: Tensor) -> Tensor:
    """Rotate each clip (N, T, C, S, S) counter-clockwise about its centre and crop (N, T, C, R, R) around `shift`."""
    side = clips.shape[-1]
    cos, sin = rotation.cos(), rotation.sin()
    scale = crop_size / side  # grid coordinates run from -1 to 1 over the whole window
    theta = torch.stack([scale * cos, -scale * sin, scale * sin, scale * cos], 1).view(-1, 2, 2)
    theta = torch.cat([theta, (shift * 2 / side).unsqueeze(2)], 2)  # (N, 2, 3)
    grid = F.affine_grid(theta, [len(clips), 1, crop_size, crop_size], align_corners=False)
    sampled = F.grid_sample(clips.flatten(1, 2), grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return torch.unflatten(sampled, 1, clips.shape[1:3])


def brightness(frames: Tensor, factor: float) -> Tensor:
    """Blend towards black (below 1) or away from it."""
    return (frames * factor).clamp(0, 1)


def contrast(frames: Tensor, factor: float) -> Tensor:
    """Blend towards each frame's mean grey (below 1) or away from it."""
    return torch.lerp(grey(frames).mean((-2, -1), keepdim=True), frames, factor).clamp(0, 1)


def saturation(frames: Tensor, factor: float) -> Tensor:
    """Blend towards grey (below 1) or away from it."""
    return torch.lerp(grey(frames), frames, factor).clamp(0, 1)


def grey(frames: Tensor) -> Tensor:
    """Return the luma (T, 1, H, W) of (T, 3, H, W)."""
    red, green, blue = torch.split(frames, 1, 1)
    return red * LUMA[0] + green * LUMA[1] + blue * LUMA[2]


def hue(frames: Tensor, turns: float) -> Tensor:
    """Shift the hue of HSV by `turns`: to hue, saturation and value, and back."""
    red, green, blue = frames.unbind(1)  # (T, H, W)
    value, low = frames.amax(1), frames.amin(1)
    chroma = value - low
    safe = chroma.clamp(min=1e-12)
    sixths = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    k = (sixths.unsqueeze(1) + 6 * turns + torch.tensor([5.0, 3.0, 1.0]).view(3, 1, 1)).remainder(6)
    return value.unsqueeze(1) - chroma.unsqueeze(1) * torch.minimum(k, 4 - k).clamp(0, 1)
