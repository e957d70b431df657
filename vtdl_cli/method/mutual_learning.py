"""Mutual learning: two networks predict how a clip was rotated, and each learns from the other's answer, too.

Deep mutual learning (Zhang et al., arXiv 1706.00384) on the rotations of a clip: the authors' `--pt_loss mutual_loss`.
Features are the first network's; it costs the memory and time of two.

Shapes: N clips, C channels, T frames, R x R pixels, K transforms.
"""

from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vtdl_cli.method.loss import chance_loss
from vtdl_cli.method.pretext_task import Context, PretextTask, Step
from vtdl_cli.method.transforms import count_transforms, transform


class MutualLearning(PretextTask):
    """The cross-entropy of two classifiers, and the divergence of their predictions in both directions.

    Args:
        encoder: clips (N, C, T, R, R) -> logits (N, K); its backbone is used afterwards.
        peer: another one.
        num_transforms: K.
        divergence_weight: 1 in the paper. The authors' is 10 and they sum over the batch: 10 N here
            (`loss/mutual_loss.py`).
    """

    def __init__(
        self, encoder: nn.Module, peer: nn.Module, num_transforms: int, divergence_weight: float = 1.0
    ) -> None:
        super().__init__()
        self.encoder, self.peer = encoder, peer
        self.num_transforms, self.divergence_weight = num_transforms, divergence_weight

    @classmethod
    def build(cls, context: Context) -> Self:
        """Build it around two classifiers with weight inits of their own."""
        options = context.read_options(transforms="rotations", divergence_weight=1.0)
        number = count_transforms(options.pop("transforms"))
        return cls(context.new_classifier(number), context.new_classifier(number), number, **options)

    def forward(self, *clips: Tensor) -> Step:
        """Transform each clip, show it to both, and average their losses."""
        clip, _video = clips
        number = torch.randint(self.num_transforms, (len(clip),), device=clip.device)  # (N,)
        transformed = transform(clip, number)
        logits, others = self.encoder(transformed).float(), self.peer(transformed).float()  # (N, K) each
        loss = (F.cross_entropy(logits, number) + F.cross_entropy(others, number)) / 2
        loss = loss + self.divergence_weight * symmetric_divergence(logits, others) / 2
        top1 = 100 * (logits.argmax(1) == number).float().mean()
        return Step(loss, {"transform_top1": top1, "chance_loss": chance_loss(logits)})


def symmetric_divergence(logits: Tensor, others: Tensor) -> Tensor:
    """KL(p || q) + KL(q || p), the sum over classes of (p - q)(ln p - ln q), mean over the rows of logits (N, K)."""
    log_p, log_q = logits.log_softmax(1), others.log_softmax(1)
    return ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(1).mean()
