"""Basic augmentation (README, Method), batched, on the compute device: rotation, crop, colour jitter, normalisation.

Parameters are drawn once per clip and shared by its frames. Differences from the authors' code, all in README, Method:
rotation samples bilinearly (theirs takes the nearest pixel), and all four jitter operations act (theirs loses three).

Optical flow is cropped and rotated, its vectors too; it has no colours to jitter.

Shapes: N clips, C channels (3 of RGB, 2 of flow), T frames, S the side of a window, R the crop size, both in pixels.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

MEAN = (0.485, 0.456, 0.406)  # of ImageNet's red, green and blue (README, Method)
STD = (0.229, 0.224, 0.225)
NO_MOTION = 128  # of 255: the value that stands for a displacement of 0 in extracted flow
FLOW_STD = 0.226  # the mean of STD, by which two-stream networks divide flow (TSN, arXiv 1608.00859)
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as in PIL and torchvision


def to_clips(windows: Tensor, crop_size: int, draws: dict[str, Tensor]) -> Tensor:
    """Augment and normalise windows from the loader: returns clips (N, C, T, R, R) in float32.

    Args:
        windows: (N, T, S, S, C) uint8.
        crop_size: R; without draws S must equal it.
        draws: see `data.clips.views.Draws`, with V = N, `order` on the CPU; empty for no augmentation.
    """
    frames = windows.permute(0, 1, 4, 2, 3).float()  # (N, T, C, S, S)
    augment = _augment_flow if frames.shape[2] == 2 else _augment_colours
    return augment(frames, crop_size, draws).transpose(1, 2)


def _augment_colours(clips: Tensor, crop_size: int, draws: dict[str, Tensor]) -> Tensor:
    clips = clips.div_(255)
    if draws:
        clips = rotate_and_crop(clips, crop_size, draws["rotation"], draws["shift"])
        clips = jitter(clips, draws["factor"], draws["order"])
    mean, std = (torch.tensor(values, device=clips.device).view(3, 1, 1) for values in (MEAN, STD))
    return clips.sub_(mean).div_(std)


def _augment_flow(clips: Tensor, crop_size: int, draws: dict[str, Tensor]) -> Tensor:
    clips = clips.sub_(NO_MOTION).div_(255 * FLOW_STD)  # first, so that the zero padding means no motion
    if draws:
        clips = rotate_and_crop(clips, crop_size, draws["rotation"], draws["shift"])
        clips = rotate_vectors(clips, draws["rotation"])
    return clips


def to_pixels(clip: Tensor) -> Tensor:
    """Convert a normalised clip (3, T, H, W) back to frames (T, H, W, 3) uint8."""
    mean, std = (torch.tensor(values, device=clip.device) for values in (MEAN, STD))
    frames = clip.permute(1, 2, 3, 0) * std + mean
    return (255 * frames).round().clamp(0, 255).to(torch.uint8)


def rotate_and_crop(clips: Tensor, crop_size: int, rotation: Tensor, shift: Tensor) -> Tensor:
    """Rotate each clip (N, T, C, S, S) counter-clockwise about its centre and crop (N, T, C, R, R) around `shift`.

    Each clip has one sampling grid, shared by its frames and channels.
    """
    num_clips, num_frames, channels, side, _ = clips.shape
    cos, sin = rotation.cos(), rotation.sin()
    scale = crop_size / side  # grid coordinates run from -1 to 1 over the whole window
    theta = torch.stack([scale * cos, -scale * sin, scale * sin, scale * cos], 1).view(-1, 2, 2)
    theta = torch.cat([theta, (shift * 2 / side).unsqueeze(2)], 2)  # (N, 2, 3)
    grid = F.affine_grid(theta, [num_clips, 1, crop_size, crop_size], align_corners=False)
    sampled = F.grid_sample(clips.flatten(1, 2), grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return sampled.view(num_clips, num_frames, channels, crop_size, crop_size)


def rotate_vectors(flow: Tensor, rotation: Tensor) -> Tensor:
    """Rotate the vectors of (N, T, 2, H, W), x to the right, y down, counter-clockwise by `rotation` (N,) radians."""
    x, y = flow.unbind(2)  # (N, T, H, W)
    cos, sin = (values.view(-1, 1, 1, 1) for values in (rotation.cos(), rotation.sin()))
    return torch.stack([cos * x + sin * y, cos * y - sin * x], 2)


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
    k = (sixths.unsqueeze(2) + torch.tensor([5.0, 3.0, 1.0], device=clips.device).view(3, 1, 1)).remainder_(6)
    return value.unsqueeze(2) - chroma.unsqueeze(2) * torch.minimum(k, 4 - k).clamp_(0, 1)
