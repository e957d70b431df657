"""Rotation and crop of clips: the bilinear samples of a turned square, on the compute device.

Shapes: N clips, T frames, C channels, S the side of a window, R the crop size, both in pixels.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

BLOCK_PIXELS = 2**18
"""Pixels that a core works on at a time, at most: 3 MiB in float32, with temporaries about what its caches hold.

With 16 frames of 224 pixels, blocks of 4 and of 8 frames took 0.7 times the CPU time of whole clips on one core.
"""

Block = tuple[slice, slice]
"""Which clips, and which frames of them."""


def rotated_crops(windows: Tensor, crop_size: int, rotation: Tensor, shift: Tensor) -> Iterator[tuple[Block, Tensor]]:
    """Rotate clips counter-clockwise about their centres and crop them around `shift`, a block at a time.

    All clips are one block, but on a CPU: there a block is some frames of one clip, which stay in its caches while they
    are worked on.

    Args:
        windows: (N, T, S, S, C), uint8 or float.
        crop_size: R. Windows must hold the turned crop: see `data.clips.views.window_side`.
        rotation: (N,) radians.
        shift: (N, 2) pixels (x, y).

    Yields:
        The block, and its crops (n, t, C, R, R) in float32, on the scale of `windows`.
    """
    positions = sampling_positions(windows.shape[2], crop_size, rotation, shift)
    if windows.device.type != "cpu":
        yield (slice(None), slice(None)), sample_grid(windows, positions)
        return
    neighbours = find_neighbours(windows.shape[2], positions)
    num_frames = windows.shape[1]
    num_blocks = -(-num_frames * crop_size**2 // (BLOCK_PIXELS * torch.get_num_threads()))  # of a clip, about equal
    length = -(-num_frames // num_blocks)
    for clip, window in enumerate(windows):
        own = Neighbours(neighbours.places[clip], neighbours.weights[clip])
        for first in range(0, num_frames, length):
            frames = slice(first, first + length)
            yield (slice(clip, clip + 1), frames), sample_rows(window[frames], own).unsqueeze(0)


def sampling_positions(side: int, crop_size: int, rotation: Tensor, shift: Tensor) -> Tensor:
    """Return where in its window each pixel of a crop lies: (2, N, R, R) pixels, x and y, 0 the first pixel's centre.

    Positions are inside the window: only rounding could take them out.
    """
    steps = torch.arange(crop_size, device=rotation.device) - (crop_size - 1) / 2
    cos, sin = (values.view(-1, 1, 1) for values in (rotation.cos(), rotation.sin()))
    x, y = (shift + (side - 1) / 2).T[..., None, None]  # of the crop's centre, (N, 1, 1) each
    across, down = steps, steps.unsqueeze(1)
    return torch.stack([x + cos * across - sin * down, y + sin * across + cos * down]).clamp_(0, side - 1)


class Neighbours(NamedTuple):
    """The four pixels round each position, the one at the top left first, then in the order in which they are read.

    Attributes:
        places: int32 (N, R * R, 4), row * S + column of each.
        weights: (N, R * R, 4), their shares in the sample.
    """

    places: Tensor
    weights: Tensor


def find_neighbours(side: int, positions: Tensor) -> Neighbours:
    """Find what bilinear samples of windows are made of.

    Args:
        side: S.
        positions: (2, N, R, R), see `sampling_positions`.
    """
    corner = positions.floor().clamp_(max=max(side - 2, 0))  # so that the right and lower neighbours exist
    right, below = positions - corner  # (N, R, R) each, from 0 to 1
    left, above = 1 - right, 1 - below
    weights = torch.stack([above * left, above * right, below * left, below * right], -1)
    offsets = torch.tensor([0, 1, side, side + 1], dtype=torch.int32)
    places = torch.add(corner[0], corner[1], alpha=side).int().unsqueeze(-1) + offsets
    return Neighbours(places.flatten(1, 2), weights.flatten(1, 2))


def sample_rows(window: Tensor, neighbours: Neighbours) -> Tensor:
    """Sample a clip (T, S, S, C) at each position: (T, C, R, R), bilinearly.

    A pixel's values in all channels and frames become one row of a table. So a sample reads four rows and adds them up,
    12 times as fast on a CPU with AVX-512 as `grid_sample`, which collects each value by itself.

    Args:
        window: the clip.
        neighbours: of one clip, (R * R, 4) each.
    """
    num_frames, side, _, channels = window.shape
    rows = torch.empty(side, side, channels, num_frames)
    rows.copy_(window.permute(1, 2, 3, 0))
    sampled = F.embedding_bag(
        neighbours.places, rows.view(side * side, -1), mode="sum", per_sample_weights=neighbours.weights
    )
    crop_size = round(len(sampled) ** 0.5)
    return sampled.view(crop_size, crop_size, channels, num_frames).permute(3, 2, 0, 1).contiguous()


def sample_grid(windows: Tensor, positions: Tensor) -> Tensor:
    """Sample clips (N, T, S, S, C) at positions (2, N, R, R): (N, T, C, R, R), bilinearly, in one kernel."""
    _, num_frames, side, _, channels = windows.shape
    grid = (2 * positions + 1) / side - 1  # from -1 to 1 over the window, edge to edge
    images = windows.permute(0, 1, 4, 2, 3).float().flatten(1, 2)
    sampled = F.grid_sample(images, grid.movedim(0, -1), mode="bilinear", align_corners=False)
    return torch.unflatten(sampled, 1, (num_frames, channels))
