"""VTDL: temporal-discriminative contrastive learning (arXiv 2008.02129; method/README).

A triplet is three clips of one video: anchor and positive show the same frames under two draws of basic augmentation,
the negative shows another interval. The anchor is mixed with one of its still frames (TCA), so that only its motion
identifies it: its embedding should be close to the positive's, and far from those of the negative and of other videos.

Shapes: N clips, C channels, T frames, R x R pixels, D-dimensional embeddings, K keys in memory.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vtdl_cli.method.consistency import ConsistencyLoss
from vtdl_cli.method.encoders import EncoderPair
from vtdl_cli.method.loss import chance_loss, health, info_nce, mask_column, masked_mean, triplet_logits
from vtdl_cli.method.memory import Memory
from vtdl_cli.method.pretext_task import PretextTask, Step

MARGIN = 1.0  # of the authors' TripletMarginLoss, whose distance is Euclidean (`train_temporal_dis.py:483-492`)


class VTDL(PretextTask):
    """The whole method around an encoder pair; without all its options it is MoCo, the baseline.

    Args:
        encoders: clips (N, C, T, R, R) -> unit embeddings (N, D).
        memory: keys of other videos.
        temperature: τ.
        anchor_augmentation: applied to the anchor: TCA.
        positive_augmentation: applied to the positive; none in the authors' code.
        negative_augmentation: applied to the negative; none in the authors' code.
        intra_video_negative: whether the negative takes part.
        intra_video_negative_gradient: whether its embedding has a gradient.
        strong_negative: whether the positive under the negative's augmentation is another intra-video negative.
        mask_own_video: whether stale keys of the query's video are masked.
        mask_same_frames: whether an intra-video negative that shows the anchor's frames is masked.
        criterion: logits -> loss.
        margin_weight: of an additional triplet margin loss on (q, k, n); the authors compute it, but do not add it.
        consistency_weight: of an additional spatio-temporal consistency loss.
        consistency_transforms: its transforms, a key of `transforms.TRANSFORMS`.
    """

    settings = (
        "temperature", "momentum", "loss", "queue", "sampling", "tca", "intra_video_negative",
        "intra_video_negative_gradient", "strong_negative", "positive_augmentation", "negative_augmentation",
        "margin_weight", "consistency_weight", "consistency_transforms", "key_statistics", "key_splits", "key_shuffle",
    )  # fmt: skip
    sampler = "triplet"
    backbone_name = "encoders.query.backbone"
    trains_embedding = True

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
        mask_same_frames: bool = True,
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
        self.intra_video_negative = intra_video_negative
        self.intra_video_negative_gradient = intra_video_negative_gradient
        self.strong_negative = strong_negative
        self.mask_own_video, self.mask_same_frames = mask_own_video, mask_same_frames
        self.temperature, self.margin_weight = temperature, margin_weight
        self.consistency, self.consistency_weight = ConsistencyLoss(consistency_transforms), consistency_weight

    def forward(self, *clips: Tensor) -> Step:
        """Compute the loss of a batch of triplets; its keys are enqueued after the logits are computed.

        Args:
            clips: anchor, positive and, if it takes part, negative, normalised, (N, C, T, R, R) each, followed by bool
                (N,), whether it shows other frames than the anchor; then (N,) the number of each video in the list.
        """
        anchor, positive, *negative, video = clips
        q = self.encoders.query(self.anchor_augmentation(anchor))  # (N, D)
        k = self.encoders.embed_key(self.positive_augmentation(positive))  # (N, D), no gradient
        intra_video = self._embed_negatives(positive, negative)  # (N, D) each
        m, origin = self.memory.read()  # (K, D), (K,), as before this batch
        same_video = video[:, None] == origin  # (N, K)
        masked = same_video if self.mask_own_video else None

        logits = triplet_logits(q, k, m, intra_video, masked, self.temperature)  # (N, K + 2), positive first
        is_negative = negative[1] if self.mask_same_frames and len(negative) > 1 else None  # (N,)
        if is_negative is not None:
            logits = mask_column(logits, 1 + len(m), ~is_negative)
        self.memory.enqueue(k, video)
        loss = self.criterion(logits) + self._additional_losses(q, k, intra_video, is_negative, anchor)
        metrics = health(logits.detach(), q.detach(), intra_video, same_video) | {"queue_age": self.memory.age()}
        if is_negative is not None:
            metrics["masked_negative_share"] = 1 - is_negative.float().mean()
        if self.criterion is info_nce and not (self.margin_weight or self.consistency_weight):
            metrics["chance_loss"] = chance_loss(logits)
        return Step(loss, metrics)

    def _embed_negatives(self, positive: Tensor, negative: list[Tensor]) -> dict[str, Tensor]:
        """Embed the intra-video negatives, each in a batch of its own for batch norm."""
        clips = {"intra_video_negative": negative[0]} if self.intra_video_negative else {}
        clips |= {"strong_negative": positive} if self.strong_negative else {}
        with torch.set_grad_enabled(self.intra_video_negative_gradient and torch.is_grad_enabled()):
            return {name: self.encoders.query(self.negative_augmentation(each)) for name, each in clips.items()}

    def _additional_losses(
        self, q: Tensor, k: Tensor, intra_video: dict[str, Tensor], is_negative: Tensor | None, anchor: Tensor
    ) -> Tensor | float:
        """Compute the weighted sum of the losses beside the contrastive one; 0 by default."""
        loss: Tensor | float = 0.0
        if self.margin_weight:
            n = intra_video["intra_video_negative"]
            margins = F.triplet_margin_loss(q.float(), k.float(), n.float(), MARGIN, reduction="none")  # (N,)
            margin = margins.mean() if is_negative is None else masked_mean(margins, is_negative)
            loss += self.margin_weight * margin
        if self.consistency_weight:
            loss += self.consistency_weight * self.consistency(self.trained_backbone, anchor, anchor)
        return loss

    def trained_parameters(self) -> Iterator[nn.Parameter]:
        """Those of the query encoder."""
        return self.encoders.query.parameters()

    def begin_from_backbone(self) -> None:
        """Copy the query encoder to the key encoder."""
        self.encoders.key.load_state_dict(self.encoders.query.state_dict())

    def after_step(self) -> None:
        """Update the key encoder."""
        self.encoders.update_key()
