"""STCR: consistency of feature maps between a clean and a noise path (arXiv 2008.02086).

Two draws of basic augmentation of the same frames go through one backbone. The clean path has the clip as it is, the
noise path flips and rotates it and mixes one of its still frames into it. The two maps should be equal once that of the
clean path is flipped and rotated likewise.

Nothing in this distance keeps the maps of different videos apart, or from shrinking: alone it drives them to zero. The
paper combines it with other tasks. Here that is the prediction of the transform from the noise path's map; the authors'
`--pt_loss flip` has none (`classification_weight` 0). `method.consistency_weight` adds the distance to VTDL's loss.

Shapes: N clips, C channels, T frames, R x R pixels, K transforms; maps (N, D, t, r, r).
"""

from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vtdl_cli.method.consistency import MIXUP_ALPHA, ConsistencyLoss, map_distance
from vtdl_cli.method.loss import chance_loss
from vtdl_cli.method.pretext_task import Context, PretextTask, Step
from vtdl_cli.method.transform_prediction import build_position_classifier
from vtdl_cli.method.transforms import count_transforms


class STCR(PretextTask):
    """Siamese consistency of feature maps.

    Its metrics show whether the maps collapse: `map_size` is the root mean square of the clean path's, and
    `unmatched_distance` the `consistency_loss` with the maps of another clip of the batch in their place.

    Args:
        backbone: clips (N, C, T, R, R) -> maps (N, D, t, r, r).
        classifier: maps -> logits (N, K); none: the transform is not predicted.
        transforms: a key of `transforms.TRANSFORMS`.
        mixup_alpha: the still frame's weight is drawn from 0 to it.
        classification_weight: of the cross-entropy.
        network_mixup_weight: of the loss of `network_mixup`, the authors' `--pt_loss net_mixup`.
    """

    sampler = "pair"
    backbone_name = "backbone"

    def __init__(
        self,
        backbone: nn.Module,
        classifier: nn.Module | None = None,
        transforms: str = "spatial",
        mixup_alpha: float = MIXUP_ALPHA,
        classification_weight: float = 1.0,
        network_mixup_weight: float = 0.0,
    ) -> None:
        super().__init__()
        self.backbone, self.classifier = backbone, classifier
        self.classification_weight, self.network_mixup_weight = classification_weight, network_mixup_weight
        self.consistency = ConsistencyLoss(transforms, mixup_alpha)

    @classmethod
    def build(cls, context: Context) -> Self:
        """Build it, with a classifier if that has a weight."""
        options = context.read_options(
            transforms="spatial", mixup_alpha=MIXUP_ALPHA, classification_weight=1.0, network_mixup_weight=0.0
        )
        backbone, classifier = build_position_classifier(context, count_transforms(options["transforms"]))
        return cls(backbone, classifier if options["classification_weight"] else None, **options)

    def forward(self, *clips: Tensor) -> Step:
        """Compare the maps of both paths, and predict the transform of the noise path."""
        clean, noisy, _video = clips
        number, found, expected = self.consistency.maps(self.backbone, clean, noisy)
        loss = consistency = map_distance(found, expected)
        metrics = {
            "consistency_loss": consistency.detach(),
            "unmatched_distance": map_distance(found.detach(), expected.detach().roll(1, 0)),
            "map_size": expected.detach().square().mean().sqrt(),
        }
        if self.classifier is not None:
            logits = self.classifier(found).float()  # (N, K)
            loss = loss + self.classification_weight * F.cross_entropy(logits, number)
            metrics["transform_top1"] = 100 * (logits.argmax(1) == number).float().mean()
            metrics["chance_loss"] = self.classification_weight * chance_loss(logits)
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
