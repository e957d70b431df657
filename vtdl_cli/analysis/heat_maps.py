"""Where a network looks: one number for each place of a feature map, and from there for each frame of a video.

Shapes: `N` clips of `T` frames, `V` clips of one video, `D` channels; `t` frames, `h` and `w` pixels of a feature map.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

PERCENTILES = (1, 99)
"""Of a video's heat: what lies outside is drawn as the ends of the scale, so that no single place takes it all."""


def energy(features: Tensor) -> Tensor:
    """How strongly the network answers: the norm over the channels, (N, D, t, h, w) -> (N, t, h, w)."""
    norm: Tensor = torch.linalg.vector_norm(features, dim=1)
    return norm


def similarity(features: Tensor) -> Tensor:
    """How much each place is like the clip: cosine to the clip's average feature, (N, D, t, h, w) -> (N, t, h, w).

    The average is the feature that `vtdl extract` writes. The embedding head, where the weights have one, has no part
    in it: it is made for averages, not for places, and is left behind after pretraining.
    """
    return F.cosine_similarity(features, features.mean((2, 3, 4), keepdim=True), dim=1)


def gradcam(features: Tensor, gradients: Tensor) -> Tensor:
    """What speaks for a class (Grad-CAM, Selvaraju et al., arXiv 1610.02391, equations 1 and 2).

    Args:
        features: (N, D, t, h, w).
        gradients: of the class's logit by them, of the same shape; their average over places is a channel's weight.

    Returns:
        (N, t, h, w), 0 where nothing speaks for the class.
    """
    weights = gradients.mean((2, 3, 4), keepdim=True)
    return (weights * features).sum(1).relu()


class Scale(NamedTuple):
    """The heat that is drawn as nothing, and the heat that is drawn as most."""

    low: float
    high: float

    def apply(self, heat: Tensor) -> Tensor:
        """From heat of any shape to 0 .. 1; where a video has one heat everywhere, to 0."""
        return ((heat - self.low) / max(self.high - self.low, torch.finfo(heat.dtype).tiny)).clamp(0, 1)


def scale_of(heat: Tensor) -> Scale:
    """One scale for a whole video, so that a change of colour is a change of heat: its PERCENTILES.

    Args:
        heat: of all clips, any shape.
    """
    low, high = np.percentile(heat.numpy(), PERCENTILES).tolist()
    return Scale(low, high if high > low else float(heat.max()))


def maps_of_frames(heat: Tensor, indices: Tensor, num_frames: int) -> Iterator[Tensor]:
    """The map (h, w) of each frame of a video, in order.

    Within a clip heat is interpolated linearly from the feature map's frames to the clip's. A frame that is shown more
    than once has the average; one between two shown ones, as the stride leaves out, is interpolated between theirs.

    Args:
        heat: of the clips, (V, t, h, w).
        indices: which frames of the video they show, (V, T).
        num_frames: of the video.
    """
    size = (indices.shape[1], *heat.shape[2:])
    shown, places, counts = torch.unique(indices, return_inverse=True, return_counts=True)
    maps = torch.zeros(len(shown), *size[1:], dtype=heat.dtype)
    for clip, where in zip(heat, places, strict=True):
        maps.index_add_(0, where, F.interpolate(clip[None, None], size, mode="trilinear", align_corners=False)[0, 0])
    maps /= counts.view(-1, 1, 1)
    for frame in range(num_frames):
        after = min(int(torch.searchsorted(shown, frame)), len(shown) - 1)
        before = max(after - 1, 0)
        distance = max(int(shown[after] - shown[before]), 1)
        share = min(max((frame - int(shown[before])) / distance, 0.0), 1.0)
        yield torch.lerp(maps[before], maps[after], share)
