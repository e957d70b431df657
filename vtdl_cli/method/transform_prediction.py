"""Transform prediction: how was a clip flipped and rotated?

These are the authors' `--pt_loss flip_cls` and, with a consistency weight, `temporal_consistency`, the classification
variant of STCR (arXiv 2008.02086). The label is the number of the transform, see `transforms.py`: one of 4 rotations
(3DRotNet, arXiv 1811.11387), of 8 in space, or of 16 with flips in time. Two draws of basic augmentation of the same
frames have a transform each; with the weight, their features should agree all the same.

Features that agree cannot tell the transform, but the position of what they show can: the classifier keeps positions,
as the authors' do, which are of two and more layers (`model/model.py`).

Shapes: N videos, C channels, T frames, R x R pixels, K transforms; maps (N, D, t, r, r).
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
        backbone: clips (N, C, T, R, R) -> maps (N, D, t, r, r).
        classifier: maps -> logits (N, K).
        num_transforms: K.
        mixup_alpha: the transformed clips are mixed with one of their still frames, whose weight is drawn from 0 to it;
            0.3 in the authors' `temporal_consistency`, none in `flip_cls`.
        consistency_weight: of the MSE of the features beside the mean cross-entropy. The authors' is 10 beside the sum
            of both clips', that is 5 here, and of a linear layer on the features (`loss/temporal_consistency_loss.py`).
    """

    sampler = "pair"
    backbone_name = "backbone"

    def __init__(
        self,
        backbone: nn.Module,
        classifier: nn.Module,
        num_transforms: int,
        mixup_alpha: float = 0.0,
        consistency_weight: float = 0.0,
    ) -> None:
        super().__init__()
        self.backbone, self.classifier = backbone, classifier
        self.num_transforms, self.consistency_weight = num_transforms, consistency_weight
        self.mixup = intra_video_mixup(mixup_alpha)

    @classmethod
    def build(cls, context: Context) -> Self:
        """Build it with a classifier over the transforms that keeps positions."""
        options = context.read_options(transforms="all", mixup_alpha=0.0, consistency_weight=0.0)
        number = count_transforms(options.pop("transforms"))
        return cls(*build_position_classifier(context, number), number, **options)

    def forward(self, *clips: Tensor) -> Step:
        """Transform both clips of each video, and predict how."""
        anchor, positive, _video = clips
        number = torch.randint(self.num_transforms, (2 * len(anchor),), device=anchor.device)  # (2N,)
        maps = self.backbone(self.mixup(transform(torch.cat([anchor, positive]), number)))  # (2N, D, t, r, r)
        logits = self.classifier(maps).float()  # (2N, K)
        loss = F.cross_entropy(logits, number)
        if self.consistency_weight:
            features = maps.float().amax((2, 3, 4))  # (2N, D), the maximum as in the authors' code
            loss = loss + self.consistency_weight * F.mse_loss(*features.chunk(2))
        top1 = 100 * (logits.argmax(1) == number).float().mean()
        return Step(loss, {"transform_top1": top1, "chance_loss": chance_loss(logits)})


class PositionClassifier(nn.Module):
    """Averages over the halves of a map in time, height and width, then a linear layer.

    Args:
        feature_dim: D.
        num_classes: K.
    """

    def __init__(self, feature_dim: int, num_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(8 * feature_dim, num_classes)

    def forward(self, maps: Tensor) -> Tensor:
        """Classify maps (N, D, t, r, r) -> logits (N, K)."""
        for axis in (2, 3, 4):
            half = (maps.shape[axis] + 1) // 2  # of an odd number the middle is in both
            maps = torch.stack([maps.narrow(axis, 0, half).mean(axis), maps.narrow(axis, -half, half).mean(axis)], axis)
        logits: Tensor = self.linear(maps.flatten(1))
        return logits


def build_position_classifier(context: Context, num_classes: int) -> tuple[nn.Module, PositionClassifier]:
    """Build a backbone, and a classifier of its maps."""
    encoder = context.new_classifier(num_classes)
    linear = encoder.get_submodule("head.linear")
    assert isinstance(linear, nn.Linear)
    return encoder.get_submodule("backbone"), PositionClassifier(linear.in_features, num_classes)
