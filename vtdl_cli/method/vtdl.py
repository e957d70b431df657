"""VTDL: temporal-discriminative contrastive learning (arXiv 2008.02129; README, Method).

A triplet is three clips of one video: anchor and positive show the same frames under two draws of basic augmentation,
the negative shows another interval. The anchor is mixed with one of its still frames (TCA), and has to be told by its
motion: close to the positive, away from the negative and from other videos.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vtdl_cli.method.consistency import ConsistencyLoss
from vtdl_cli.method.encoders import EncoderPair
from vtdl_cli.method.loss import chance_loss, health, info_nce, triplet_logits
from vtdl_cli.method.memory import Memory
from vtdl_cli.method.task import Step, Task

MARGIN = 1.0  # of the authors' TripletMarginLoss, whose distance is Euclidean (`train_temporal_dis.py:483-492`)


class VTDL(Task):
    """The whole method around an encoder pair; all that is left out is the baseline MoCo.

    Args:
        encoders: clips (N, C, T, H, W) -> unit embeddings (N, D).
        memory: of keys of other videos.
        temperature: τ.
        anchor_augmentation: what happens to the anchor: TCA.
        positive_augmentation: to the positive; the authors do nothing.
        negative_augmentation: to the negative; likewise.
        intra_video_negative: whether the negative takes part.
        intra_video_negative_gradient: whether the encoder learns from it, too.
        strong_negative: whether the positive under the negative's augmentation is one more negative.
        mask_own_video: whether a video's own stale keys are left out of its negatives.
        criterion: from the logits to the loss.
        margin_weight: of the triplet margin loss on (q, k, n) beside it; the authors compute it and leave it out.
        consistency_weight: of the spatio-temporal consistency loss beside it.
        consistency_transforms: those it draws from, a key of `consistency.TRANSFORMS`.
    """

    backbone_name = "encoders.query.backbone"

    def __init__(
        self,
        encoders: EncoderPair,
        memory: Memory,
        *,
        temperature: float,
        anchor_augmentation: nn.Module,
        positive_augmentation: nn.Module | None = None,
        negative_augmentation: nn.Module | None = None,
        intra_video_negative: bool = True,
        intra_video_negative_gradient: bool = True,
        strong_negative: bool = False,
        mask_own_video: bool = True,
        criterion: Callable[[Tensor], Tensor] = info_nce,
        margin_weight: float = 0.0,
        consistency_weight: float = 0.0,
        consistency_transforms: str = "spatial",
    ) -> None:
        super().__init__()
        self.encoders, self.memory, self.criterion = encoders, memory, criterion
        self.anchor_augmentation = anchor_augmentation
        self.positive_augmentation = positive_augmentation or nn.Identity()
        self.negative_augmentation = negative_augmentation or nn.Identity()
        self.intra_video_negative, self.intra_video_negative_gradient = (
            intra_video_negative,
            intra_video_negative_gradient,
        )
        self.strong_negative, self.mask_own_video = strong_negative, mask_own_video
        self.temperature, self.margin_weight = temperature, margin_weight
        self.consistency, self.consistency_weight = ConsistencyLoss(consistency_transforms), consistency_weight

    def forward(self, *clips: Tensor) -> Step:
        """Loss of a batch of triplets; its keys enter the memory after the logits have read it.

        Args:
            clips: anchor, positive and, where it takes part, negative, (N, C, T, H, W) each, normalised; (N,) a number
                for each video.
        """
        anchor, positive, *negative, video = clips
        q = self.encoders.query(self.anchor_augmentation(anchor))  # (N, D)
        k = self.encoders.embed_key(self.positive_augmentation(positive))  # (N, D), no gradient
        own = self._embed_negatives(positive, negative)  # (N, D) each
        m, origin = self.memory.read()  # (K, D), (K,), as they were before this batch
        own_video = video[:, None] == origin  # (N, K)
        masked = own_video if self.mask_own_video else None

        logits = triplet_logits(q, k, m, own, masked, self.temperature)  # (N, K + 2), positive first
        self.memory.push(k, video)
        metrics = health(logits.detach(), q.detach(), own, own_video) | {"queue_age": self.memory.age()}
        if self.criterion is info_nce and not (self.margin_weight or self.consistency_weight):
            metrics["chance_loss"] = chance_loss(logits)
        return Step(self.criterion(logits) + self._beside(q, k, own, anchor), metrics)

    def _embed_negatives(self, positive: Tensor, negative: list[Tensor]) -> dict[str, Tensor]:
        """Embeddings of the video's intra-video negatives, each a batch of its own to batch norm."""
        clips = {"intra_video_negative": negative[0]} if self.intra_video_negative else {}
        clips |= {"strong_negative": positive} if self.strong_negative else {}
        with torch.set_grad_enabled(self.intra_video_negative_gradient and torch.is_grad_enabled()):
            return {name: self.encoders.query(self.negative_augmentation(each)) for name, each in clips.items()}

    def _beside(self, q: Tensor, k: Tensor, own: dict[str, Tensor], anchor: Tensor) -> Tensor | float:
        """What is added to the contrast."""
        beside: Tensor | float = 0.0
        if self.margin_weight:
            n = own["intra_video_negative"]
            beside += self.margin_weight * F.triplet_margin_loss(q.float(), k.float(), n.float(), MARGIN)
        if self.consistency_weight:
            beside += self.consistency_weight * self.consistency(self.trained_backbone, anchor)
        return beside

    def trained_parameters(self) -> Iterator[nn.Parameter]:
        """The query encoder's."""
        return self.encoders.query.parameters()

    def begin_from_backbone(self) -> None:
        """The key encoder is a copy again."""
        self.encoders.key.load_state_dict(self.encoders.query.state_dict())

    def after_step(self) -> None:
        """Let the key encoder follow."""
        self.encoders.update_key()
