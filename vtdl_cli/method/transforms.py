"""Flips and rotations of clips: the spatio-temporal transformations of STCR (arXiv 2008.02086).

A transform is a number, 4 times the flip plus the quarter turns: flip 0 is none, 1 left and right, 2 time, 3 both (the
authors' `TC/basic_augmentation/rotation.py`). It permutes pixels and frames, and changes no value.

Shapes: N clips, C channels, T frames, R x R pixels.
"""

import torch
from torch import Tensor

TRANSFORMS = {"rotations": 4, "spatial": 8, "all": 16}
"""Set of transforms -> how many of the numbers from 0 on are in it; only `all` has flips in time."""


def count_transforms(name: str) -> int:
    """Return the number of transforms in a set.

    Raises:
        ValueError: there is no such set.
    """
    if name not in TRANSFORMS:
        raise ValueError(f"transforms '{name}' is not one of {', '.join(TRANSFORMS)}")
    return TRANSFORMS[name]


def transform(clips: Tensor, number: Tensor) -> Tensor:
    """Apply to each of clips or feature maps (N, C, T, R, R) its transform, `number` (N,): the flip, then the turns.

    All 16 differ. Of the authors' 4 do: their second loop reads its source again, which undoes the flips (`all_flips`,
    and `temporal_augment.py:29-37`).
    """
    flip, quarter_turns = number // 4, number % 4
    for axes, chosen in (((4,), flip % 2 == 1), ((2,), flip >= 2), ((3, 4), quarter_turns >= 2)):
        clips = torch.where(_per_clip(chosen), clips.flip(axes), clips)
    return torch.where(_per_clip(quarter_turns % 2 == 0), clips, clips.rot90(1, (3, 4)))  # in the layout of the first


def _per_clip(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1, 1)
