"""VTDL: temporal-discriminative contrastive learning (arXiv 2008.02129; README, Method).

A triplet is three clips of one video: anchor and positive show the same frames under two draws of basic augmentation,
the negative shows another interval. The anchor is mixed with one of its still frames (TCA), and has to be told by its
motion: close to the positive, away from the negative and from other videos.
"""

from typing import NamedTuple

from torch import Tensor, nn

from vtdl_cli.method.encoders import EncoderPair
from vtdl_cli.method.loss import health, info_nce, triplet_logits
from vtdl_cli.method.queue import KeyQueue
from vtdl_cli.method.tca import TemporalConsistentAugmentation


class Step(NamedTuple):
    """One step's result: the loss, a scalar with gradient, and readings, scalars without."""

    loss: Tensor
    readings: dict[str, Tensor]


class VTDL(nn.Module):
    """The whole method around any encoder.

    Args:
        encoder: clips (N, C, T, H, W) -> unit embeddings (N, D).
        embedding_dim: D, 128 in the authors' code.
        queue_size: K.
        temperature: τ.
        momentum: of the key encoder.
        tca: what happens to the anchor.
        own_negative: whether the negative takes part.
        mask_own_video: whether a video's own stale keys are left out of its negatives.
    """

    def __init__(
        self,
        encoder: nn.Module,
        *,
        embedding_dim: int,
        queue_size: int,
        temperature: float,
        momentum: float,
        tca: TemporalConsistentAugmentation,
        own_negative: bool = True,
        mask_own_video: bool = True,
    ) -> None:
        super().__init__()
        self.encoders = EncoderPair(encoder, momentum)
        self.queue = KeyQueue(queue_size, embedding_dim)
        self.tca = tca
        self.temperature, self.own_negative, self.mask_own_video = temperature, own_negative, mask_own_video

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor, video: Tensor) -> Step:
        """Loss of a batch of triplets; its keys enter the queue after the logits have read it.

        Args:
            anchor, positive, negative: (N, C, T, H, W) each, normalised.
            video: (N,) a number for each video.
        """
        q = self.encoders.query(self.tca(anchor))  # (N, D)
        k = self.encoders.embed_key(positive)  # (N, D), no gradient
        n = self.encoders.query(negative) if self.own_negative else None  # (N, D), a batch-norm batch of its own
        m = self.queue.keys.clone()  # (K, D), as it was before this batch
        own = video[:, None] == self.queue.videos if self.mask_own_video else None  # (N, K)

        logits = triplet_logits(q, k, m, n, own, self.temperature)  # (N, K + 2), positive first
        self.queue.push(k, video)
        return Step(info_nce(logits), health(logits.detach(), q.detach(), self.own_negative))
