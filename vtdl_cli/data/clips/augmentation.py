"""Basic augmentation (README, Method), batched, on the compute device: rotation, crop, colour jitter, normalisation.

Parameters are drawn once per clip and shared by its frames. Differences from the authors' code, all in README, Method:
rotation samples bilinearly (theirs takes the nearest pixel), and all four jitter operations act (theirs loses three).

Optical flow is cropped and rotated, its vectors too; it has no colours to jitter.

Shapes: N clips, C channels (3 of RGB, 2 of flow), T frames, S the side of a window, R the crop size, both in pixels.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from vtdl_cli.data.clips.colour_jitter import jitter

MEAN = (0.485, 0.456, 0.406)  # of ImageNet's red, green and blue (README, Method)
STD = (0.229, 0.224, 0.225)
NO_MOTION = 128  # of 255: the value that stands for a displacement of 0 in extracted flow
FLOW_STD = 0.226  # the mean of STD, by which two-stream networks divide flow (TSN, arXiv 1608.00859)

Jitter = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Clips (N, T, 3, H, W) in [0, 1], factors (N, 4) and order (N, 4) -> clips: one of those in `colour_jitter.py`."""


def to_clips(windows: Tensor, crop_size: int, draws: dict[str, Tensor], jitter: Jitter = jitter) -> Tensor:
    """Augment and normalise windows from the loader: returns clips (N, C, T, R, R) in float32.

    Args:
        windows: (N, T, S, S, C) uint8.
        crop_size: R; without draws S must equal it.
        draws: see `data.clips.views.Draws`, with V = N, `order` on the CPU; empty for no augmentation.
        jitter: of the colours.
    """
    frames = windows.permute(0, 1, 4, 2, 3).float()  # (N, T, C, S, S)
    if frames.shape[2] == 2:
        return _augment_flow(frames, crop_size, draws).transpose(1, 2)
    return _augment_colours(frames, crop_size, draws, jitter).transpose(1, 2)


def _augment_colours(clips: Tensor, crop_size: int, draws: dict[str, Tensor], jitter: Jitter) -> Tensor:
    clips = clips.div_(255)
    if draws:
        clips = rotate_and_crop(clips, crop_size, draws["rotation"], draws["shift"])
        clips = jitter(clips, draws["factor"], draws["order"])
    mean, std = (_per_channel(values, clips.device) for values in (MEAN, STD))
    return clips.sub_(mean).div_(std)


def _per_channel(values: Sequence[float], device: torch.device) -> Tensor:
    """Return (C, 1, 1) on the device. `torch.tensor` would copy it there, and wait for all that the GPU has to do."""
    return torch.stack([torch.full((1, 1), value, device=device) for value in values])


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
