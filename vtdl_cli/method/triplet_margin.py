"""Triplet margin: the positive should be nearer than the negatives by a margin (the authors' `--pt_loss triplet`).

There is no queue and no second encoder. The positive shows the anchor's frames under another draw of basic
augmentation, mixed with one of its still frames. Negatives are the positive of another video and, with
`method.intra_video_negative`, another interval of the video, which the authors' code does not have.

Shapes: N clips, C channels, T frames, R x R pixels, D-dimensional embeddings.
"""

from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vtdl_cli.method.consistency import intra_video_mixup
from vtdl_cli.method.loss import masked_mean
from vtdl_cli.method.pretext_task import Context, PretextTask, Step

MARGIN = 0.05  # of Euclidean distances, authors' `loss/triplet_loss.py`; theirs are of embeddings of any length
MIXUP_ALPHA = 0.8  # authors' `TC/basic_augmentation/triplet.py`


class TripletMargin(PretextTask):
    """max(0, |q - k| - |q - n| + margin), the mean over all negatives n.

    Args:
        encoder: clips (N, C, T, R, R) -> unit embeddings (N, D).
        margin: the loss where all embeddings are the same.
        mixup_alpha: the still frame's weight is drawn from 0 to it.
    """

    settings = ("intra_video_negative", "sampling", "options")
    sampler = "triplet"
    trains_embedding = True

    def __init__(self, encoder: nn.Module, margin: float = MARGIN, mixup_alpha: float = MIXUP_ALPHA) -> None:
        super().__init__()
        self.encoder, self.margin = encoder, margin
        self.mixup = intra_video_mixup(mixup_alpha)

    @classmethod
    def build(cls, context: Context) -> Self:
        """Build it around an embedder."""
        return cls(context.new_embedder(), **context.read_options(margin=MARGIN, mixup_alpha=MIXUP_ALPHA))

    def forward(self, *clips: Tensor) -> Step:
        """Embed all clips as one batch, and compare distances; a negative that shows the anchor's frames is masked."""
        anchor, positive, *negative, video = clips
        embedded = self.encoder(torch.cat([anchor, self.mixup(positive), *negative[:1]])).float()
        q, k, *n = embedded.split(len(anchor))  # (N, D) each
        negatives = torch.stack([k.roll(1, 0), *n])  # (1 or 2, N, D)
        counted = torch.stack([video != video.roll(1, 0), *negative[1:]])  # (1 or 2, N)
        nearer, farther = (F.pairwise_distance(q, each) for each in (k, negatives))  # (N,), (1 or 2, N)
        losses = F.relu(nearer - farther + self.margin)
        top1 = 100 * masked_mean((nearer < farther).float(), counted)
        chance = torch.full_like(top1, self.margin)
        return Step(masked_mean(losses, counted), {"triplet_top1": top1, "chance_loss": chance})
