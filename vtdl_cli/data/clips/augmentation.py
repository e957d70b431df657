"""Basic augmentation (method/README), batched, on the compute device: rotation, crop, colour jitter, normalisation.

Parameters are drawn once per clip and shared by its frames. Differences from the authors' code, all in method/README:
rotation samples bilinearly (theirs takes the nearest pixel), and all four jitter operations act (theirs loses three).

Optical flow is cropped and rotated, its vectors too; it has no colours to jitter.

Shapes: N clips, C channels (3 of RGB, 2 of flow), T frames, S the side of a window, R the crop size, both in pixels.
"""

import torch
from torch import Tensor

from vtdl_cli.data.clips.colours import jitter
from vtdl_cli.data.clips.rotation import rotated_crops

MEAN = (0.485, 0.456, 0.406)  # of ImageNet's red, green and blue (method/README)
STD = (0.229, 0.224, 0.225)
NO_MOTION = 128  # of 255: the value that stands for a displacement of 0 in extracted flow
FLOW_STD = 0.226  # the mean of STD, by which two-stream networks divide flow (TSN, arXiv 1608.00859)


def to_clips(windows: Tensor, crop_size: int, draws: dict[str, Tensor]) -> Tensor:
    """Augment and normalise windows from the loader: returns clips (N, C, T, R, R) in float32, stored channels last.

    Args:
        windows: (N, T, S, S, C) uint8.
        crop_size: R; without draws S must equal it.
        draws: see `data.clips.views.Draws`, with V = N, `order` on the CPU; empty for no augmentation.
    """
    channels = windows.shape[-1]
    scale, offset = _scale_and_offset(channels, crop_size, windows.device)
    if not draws:
        return _normalise(windows.float(), scale, offset).permute(0, 4, 1, 2, 3)
    clips = torch.empty(*windows.shape[:2], crop_size, crop_size, channels, device=windows.device)
    for block, crops in rotated_crops(windows, crop_size, draws["rotation"], draws["shift"]):
        own = {name: values[block[0]] for name, values in draws.items()}
        if channels == 2:
            rotate_vectors(crops, own["rotation"])
        else:
            jitter(crops, own["factor"], own["order"])
        _normalise(clips[block].copy_(crops.movedim(2, -1)), scale, offset)
    return clips.permute(0, 4, 1, 2, 3)


def _scale_and_offset(channels: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return what a row of pixels (width * C,) is multiplied by to be normalised, and what is added then.

    Made on the CPU: `torch.tensor` on a GPU, and any copy there that is not `non_blocking`, waits for all that it does.
    """
    flow = channels == 2
    mean = torch.tensor([NO_MOTION] * 2 if flow else MEAN) * (1 if flow else 255)
    scale = 1 / (255 * torch.tensor([FLOW_STD] * 2 if flow else STD))
    rows = (each.repeat(width).to(device, non_blocking=True) for each in (scale, -mean * scale))
    return next(rows), next(rows)


def _normalise(frames: Tensor, scale: Tensor, offset: Tensor) -> Tensor:
    """Normalise frames (N, T, H, W, C) in place, whole rows at a time: vectors of 3 channels would be short."""
    rows = frames.flatten(-2)
    return torch.addcmul(offset, rows, scale, out=rows).view_as(frames)


def to_pixels(clip: Tensor) -> Tensor:
    """Convert a normalised clip (3, T, H, W) back to frames (T, H, W, 3) uint8."""
    mean, std = (torch.tensor(values, device=clip.device) for values in (MEAN, STD))
    frames = clip.permute(1, 2, 3, 0) * std + mean
    return (255 * frames).round().clamp(0, 255).to(torch.uint8)


def rotate_vectors(flow: Tensor, rotation: Tensor) -> Tensor:
    """Rotate vectors (N, T, 2, H, W) in place, counter-clockwise by `rotation` (N,) radians.

    They are x to the right and y down, as pixels: NO_MOTION is 0.
    """
    x, y = flow.sub_(NO_MOTION).unbind(2)  # (N, T, H, W), views
    cos, sin = (values.view(-1, 1, 1, 1) for values in (rotation.cos(), rotation.sin()))
    turned_x, turned_y = cos * x + sin * y, cos * y - sin * x
    torch.add(turned_x, NO_MOTION, out=x)
    torch.add(turned_y, NO_MOTION, out=y)
    return flow
