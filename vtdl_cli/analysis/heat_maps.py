"""Where a network looks: heat maps of clips, from feature maps, and of the frames of a video.

Shapes: `N` clips of `T` frames, `V` clips of one video, `D` channels; `t` frames, `h` and `w` pixels of a feature map.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

PERCENTILES = (1, 99)
"""Percentiles of a video's heat at the ends of the scale, so that no single position takes it all."""


def energy(features: Tensor) -> Tensor:
    """Return the strength of the activations: their norm over the channels, (N, D, t, h, w) -> (N, t, h, w)."""
    norm: Tensor = torch.linalg.vector_norm(features, dim=1)
    return norm


def similarity(features: Tensor) -> Tensor:
    """Return the cosine of each position to the clip's average feature, (N, D, t, h, w) -> (N, t, h, w).

    The average is the feature that `vtdl extract` writes. The embedding head is not used: it was trained on averages,
    not on single positions, and is dropped after pretraining.
    """
    return F.cosine_similarity(features, features.mean((2, 3, 4), keepdim=True), dim=1)


def gradcam(features: Tensor, gradients: Tensor) -> Tensor:
    """Return the evidence for a class (Grad-CAM, Selvaraju et al., arXiv 1610.02391, equations 1 and 2).

    Args:
        features: (N, D, t, h, w).
        gradients: of the class's logit with respect to them, of the same shape; a channel's weight is their average.

    Returns:
        (N, t, h, w), 0 where there is no evidence.
    """
    weights = gradients.mean((2, 3, 4), keepdim=True)
    return (weights * features).sum(1).relu()


class Scale(NamedTuple):
    """The heat at the two ends of the colours."""

    low: float
    high: float

    def apply(self, heat: Tensor) -> Tensor:
        """Map heat of any shape to 0 .. 1; heat without contrast to 0."""
        return ((heat - self.low) / max(self.high - self.low, torch.finfo(heat.dtype).tiny)).clamp(0, 1)


def scale_of(heat: Tensor) -> Scale:
    """Return the scale of a whole video, from its PERCENTILES: a change of colour is then a change of heat.

    Args:
        heat: of all clips, any shape.
    """
    low, high = np.percentile(heat.numpy(), PERCENTILES).tolist()
    return Scale(low, high if high > low else float(heat.max()))


def maps_of_frames(heat: Tensor, indices: Tensor, num_frames: int) -> Iterator[Tensor]:
    """Yield the heat map (h, w) of each frame of a video, in order.

    Within a clip, heat is interpolated linearly from the feature map's frames to the clip's. A frame that several clips
    show has their average; a frame that the stride skips is interpolated between its neighbours.

    Args:
        heat: of the clips, (V, t, h, w).
        indices: frames of the video that the clips show, (V, T).
        num_frames: of the video.
    """
    size = (indices.shape[1], *heat.shape[2:])
    shown, positions, counts = torch.unique(indices, return_inverse=True, return_counts=True)
    maps = torch.zeros(len(shown), *size[1:], dtype=heat.dtype)
    for clip, where in zip(heat, positions, strict=True):
        maps.index_add_(0, where, F.interpolate(clip[None, None], size, mode="trilinear", align_corners=False)[0, 0])
    maps /= counts.view(-1, 1, 1)
    for frame in range(num_frames):
        after = min(int(torch.searchsorted(shown, frame)), len(shown) - 1)
        before = max(after - 1, 0)
        distance = max(int(shown[after] - shown[before]), 1)
        share = min(max((frame - int(shown[before])) / distance, 0.0), 1.0)
        yield torch.lerp(maps[before], maps[after], share)
