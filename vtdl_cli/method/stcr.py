"""STCR: consistency of feature maps between a clean and a noise path (arXiv 2008.02086; the authors' `--pt_loss flip`).

Two draws of basic augmentation of the same frames go through one backbone. The clean path has the clip as it is, the
noise path flips and rotates it and mixes one of its still frames into it. The two maps should be equal once that of the
clean path is flipped and rotated likewise.

Nothing in this loss keeps the maps of different videos apart, or from shrinking: the paper combines it with other
tasks, as `method.consistency_weight` does with VTDL. `chance_loss` is the distance to the map of another clip of the
batch, so that a loss that stays there distinguishes no clips; `map_size` shows maps that shrink.

Shapes: N clips, C channels, T frames, R x R pixels; maps (N, D, t, r, r).
"""

from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vtdl_cli.method.consistency import MIXUP_ALPHA, ConsistencyLoss, map_distance
from vtdl_cli.method.pretext_task import Context, PretextTask, Step


class STCR(PretextTask):
    """Siamese consistency of feature maps.

    Args:
        backbone: clips (N, C, T, R, R) -> maps (N, D, t, r, r).
        transforms: a key of `transforms.TRANSFORMS`.
        mixup_alpha: the still frame's weight is drawn from 0 to it.
        network_mixup_weight: of the loss of `network_mixup`, the authors' `--pt_loss net_mixup`, beside it.
    """

    sampler = "pair"
    backbone_name = "backbone"

    def __init__(
        self,
        backbone: nn.Module,
        transforms: str = "spatial",
        mixup_alpha: float = MIXUP_ALPHA,
        network_mixup_weight: float = 0.0,
    ) -> None:
        super().__init__()
        self.backbone, self.network_mixup_weight = backbone, network_mixup_weight
        self.consistency = ConsistencyLoss(transforms, mixup_alpha)

    @classmethod
    def build(cls, context: Context) -> Self:
        """Build it around the backbone of an embedder, without the head."""
        options = context.read_options(transforms="spatial", mixup_alpha=MIXUP_ALPHA, network_mixup_weight=0.0)
        return cls(context.new_embedder().get_submodule("backbone"), **options)

    def forward(self, *clips: Tensor) -> Step:
        """Compare the maps of both paths."""
        clean, noisy, _video = clips
        found, expected = self.consistency.maps(self.backbone, clean, noisy)
        loss = map_distance(found, expected)
        metrics = {"map_size": expected.detach().square().mean().sqrt()}
        if len(clean) > 1 and not self.network_mixup_weight:
            metrics["chance_loss"] = map_distance(found.detach(), expected.detach().roll(1, 0))
        if self.network_mixup_weight:
            loss = loss + self.network_mixup_weight * network_mixup(self.backbone, clean)
        return Step(loss, metrics)


def network_mixup(feature_map: Callable[[Tensor], Tensor], clips: Tensor) -> Tensor:
    """MSE between the map of two clips' mixture, p a + (1 - p) b, and the mixture of their maps.

    b is the next clip of the batch, and p ~ U[0, 1) for each clip: Beta(1, 1) in the authors' `TC/config.py`.

    Args:
        feature_map: the backbone.
        clips: (N, C, T, R, R).
    """
    share = torch.rand(len(clips), 1, 1, 1, 1, device=clips.device)

    def mix(each: Tensor) -> Tensor:
        return torch.lerp(each.roll(1, 0), each, share.to(each.dtype))

    maps, of_mixture = feature_map(torch.cat([clips, mix(clips)])).float().chunk(2)
    return F.mse_loss(of_mixture, mix(maps))
