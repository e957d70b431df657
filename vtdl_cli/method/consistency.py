"""Spatio-temporal consistency (STCR, arXiv 2008.02086; README, Method): an optional additional loss.

The feature map of a clip that was rotated, flipped and mixed with one of its still frames should be that of the clip
itself, rotated and flipped. Shapes: N clips, C channels, T frames, R x R pixels; maps (N, D, t, r, r).
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vtdl_cli.method.tca import TemporalConsistentAugmentation

FLIPS: tuple[tuple[int, ...], ...] = ((), (4,), (2,), (4, 2))  # none, left and right, time, both
TRANSFORMS = {"spatial": 2, "all": 4}
"""Set of transforms -> how many of FLIPS it has; with 4 rotations each, 8 in space alone or 16 with flips in time."""

CHANNEL_MEAN_WEIGHT = 10  # authors' `loss/inverse_loss.py`
MIXUP_ALPHA = 0.3  # authors' `TC/config.py`


def transform(clips: Tensor, flip: int, quarter_turns: int) -> Tensor:
    """Apply one of 4 flips x 4 rotations to clips or feature maps (N, C, T, R, R).

    The authors' loop reads its source again, which undoes the flips and leaves 4 (`temporal_augment.py:29-37`).
    """
    return torch.rot90(clips.flip(FLIPS[flip]), quarter_turns, (3, 4))


class ConsistencyLoss(nn.Module):
    """MSE of the maps, plus that of the channels' maxima, plus ten times that of the mean over channels.

    Args:
        transforms: a key of TRANSFORMS; `spatial` in the authors' code (`loss/inverse_loss.py`).
    """

    def __init__(self, transforms: str = "spatial") -> None:
        super().__init__()
        self.num_flips = TRANSFORMS[transforms]
        self.mixup = TemporalConsistentAugmentation(MIXUP_ALPHA, per_sample=True)

    def forward(self, feature_map: Callable[[Tensor], Tensor], clips: Tensor) -> Tensor:
        """Compare the maps of clips (N, C, T, R, R) and of transformed clips, under one transform for the whole batch.

        Args:
            feature_map: the backbone.
            clips: normalised.
        """
        flip = int(torch.randint(self.num_flips, ()))  # drawn on the CPU, to avoid a synchronisation
        quarter_turns = int(torch.randint(4, ()))
        expected = transform(feature_map(clips), flip, quarter_turns).float()
        found = feature_map(self.mixup(transform(clips, flip, quarter_turns))).float()
        maxima = F.mse_loss(found.amax((2, 3, 4)), expected.amax((2, 3, 4)))
        means = F.mse_loss(found.mean(1), expected.mean(1))
        return F.mse_loss(found, expected) + maxima + CHANNEL_MEAN_WEIGHT * means
