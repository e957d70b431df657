"""Transform prediction: how was a clip flipped and rotated?

These are the authors' `--pt_loss flip_cls` and, with a consistency weight, `temporal_consistency`, the classification
variant of STCR (arXiv 2008.02086). The label is the number of the transform, see `transforms.py`: one of 4 rotations
(3DRotNet, arXiv 1811.11387), of 8 in space, or of 16 with flips in time. Two draws of basic augmentation of the same
frames have a transform each; with the weight, their features should agree all the same.

The classifier is linear on globally averaged features. The authors' heads keep positions: a 1x1x1 convolution, batch
norm and a linear layer for `temporal_consistency`, filter banks for `flip_cls` (`model/model.py`).

Shapes: N videos, C channels, T frames, R x R pixels, D feature channels, K transforms.
"""

from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vtdl_cli.method.consistency import intra_video_mixup
from vtdl_cli.method.loss import chance_loss
from vtdl_cli.method.pretext_task import Context, PretextTask, Step
from vtdl_cli.method.transforms import count_transforms, transform


class TransformPrediction(PretextTask):
    """Cross-entropy over the transforms, and the distance of both clips' features.

    Args:
        encoder: clips (N, C, T, R, R) -> logits (N, K); a `backbone` and a `head`.
        num_transforms: K.
        mixup_alpha: the transformed clips are mixed with one of their still frames, whose weight is drawn from 0 to it;
            0.3 in the authors' `temporal_consistency`, none in `flip_cls`.
        consistency_weight: of the MSE of the features beside the mean cross-entropy; 10 beside the sum of both clips'
            in the authors' `loss/temporal_consistency_loss.py`, that is 5 here.
    """

    sampler = "pair"

    def __init__(
        self, encoder: nn.Module, num_transforms: int, mixup_alpha: float = 0.0, consistency_weight: float = 0.0
    ) -> None:
        super().__init__()
        self.encoder, self.num_transforms, self.consistency_weight = encoder, num_transforms, consistency_weight
        self.mixup = intra_video_mixup(mixup_alpha)

    @classmethod
    def build(cls, context: Context) -> Self:
        """Build it around a classifier over the transforms."""
        options = context.read_options(transforms="all", mixup_alpha=0.0, consistency_weight=0.0)
        number = count_transforms(options.pop("transforms"))
        return cls(context.new_classifier(number), number, **options)

    def forward(self, *clips: Tensor) -> Step:
        """Transform both clips of each video, and predict how."""
        anchor, positive, _video = clips
        number = torch.randint(self.num_transforms, (2 * len(anchor),), device=anchor.device)  # (2N,)
        transformed = self.mixup(transform(torch.cat([anchor, positive]), number))
        feature_map = self.encoder.get_submodule("backbone")(transformed)  # (2N, D, t, r, r)
        logits = self.encoder.get_submodule("head")(feature_map).float()  # (2N, K)
        loss = F.cross_entropy(logits, number)
        if self.consistency_weight:
            features = feature_map.float().amax((2, 3, 4))  # (2N, D), the maximum as in the authors' code
            loss = loss + self.consistency_weight * F.mse_loss(*features.chunk(2))
        top1 = 100 * (logits.argmax(1) == number).float().mean()
        return Step(loss, {"transform_top1": top1, "chance_loss": chance_loss(logits)})
