"""Spatio-temporal consistency (STCR, arXiv 2008.02086): the loss of `stcr.py`, and an additional one of `vtdl.py`.

The feature map of a clip that was rotated, flipped and mixed with one of its still frames should be that of the clip
itself, rotated and flipped. Shapes: N clips, C channels, T frames, R x R pixels; maps (N, D, t, r, r).
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vtdl_cli.method.tca import TemporalConsistentAugmentation
from vtdl_cli.method.transforms import count_transforms, transform

CHANNEL_MEAN_WEIGHT = 10  # authors' `loss/inverse_loss.py`
MIXUP_ALPHA = 0.3  # authors' `TC/config.py`


def intra_video_mixup(alpha: float) -> TemporalConsistentAugmentation:
    """Build STCR's mixup, which is TCA: λ ~ U[0, alpha) for each clip; the authors draw one for the batch.

    Raises:
        ValueError: alpha is above 1.
    """
    if alpha > 1:
        raise ValueError(f"mixup_alpha '{alpha}' is above 1")
    return TemporalConsistentAugmentation(alpha, per_sample=True)


def map_distance(found: Tensor, expected: Tensor) -> Tensor:
    """MSE of the maps, plus that of the channels' maxima, plus ten times that of the mean over channels."""
    maxima = F.mse_loss(found.amax((2, 3, 4)), expected.amax((2, 3, 4)))
    means = F.mse_loss(found.mean(1), expected.mean(1))
    return F.mse_loss(found, expected) + maxima + CHANNEL_MEAN_WEIGHT * means


class ConsistencyLoss(nn.Module):
    """The distance of the maps of a clean and a noise path, whose transform is drawn for each clip.

    Args:
        transforms: a key of `transforms.TRANSFORMS`; `spatial` in the authors' code (`TC/config.py`).
        mixup_alpha: of the mixup in the noise path.
    """

    def __init__(self, transforms: str = "spatial", mixup_alpha: float = MIXUP_ALPHA) -> None:
        super().__init__()
        self.num_transforms = count_transforms(transforms)
        self.mixup = intra_video_mixup(mixup_alpha)

    def forward(self, feature_map: Callable[[Tensor], Tensor], clean: Tensor, noisy: Tensor) -> Tensor:
        """Compute the distance; arguments as of `maps`."""
        _number, found, expected = self.maps(feature_map, clean, noisy)
        return map_distance(found, expected)

    def maps(
        self, feature_map: Callable[[Tensor], Tensor], clean: Tensor, noisy: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the transforms (N,), the maps found by the noise path, and those expected, (N, D, t, r, r) each.

        Both paths are one batch for batch norm, as in the authors' code (`model/model.py`).

        Args:
            feature_map: the backbone.
            clean: normalised clips (N, C, T, R, R).
            noisy: the same frames, which the noise path transforms and mixes.
        """
        number = torch.randint(self.num_transforms, (len(clean),), device=clean.device)  # (N,)
        noisy = self.mixup(transform(noisy, number))
        of_clean, found = feature_map(torch.cat([clean, noisy])).float().chunk(2)
        return number, found, transform(of_clean, number)
