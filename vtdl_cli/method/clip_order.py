"""Clip order prediction: in which order are the blocks of a clip? (after VCOP, Xu et al., CVPR 2019).

The label comes from the clip itself, as in VCOP. VCOP embeds each block separately; here the encoder sees the whole
shuffled clip.
"""

from itertools import permutations
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vtdl_cli.method.frames import take_frames
from vtdl_cli.method.loss import chance_loss
from vtdl_cli.method.pretext_task import Context, PretextTask, Step

BLOCKS = 3
ORDERS = tuple(permutations(range(BLOCKS)))  # 6 classes


class ClipOrder(PretextTask):
    """Cross-entropy over the orders of a clip's three blocks.

    Args:
        encoder: clips (N, C, T, H, W) -> logits (N, 6).
    """

    settings = ()
    min_clip_len_frames = BLOCKS
    orders: Tensor

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.register_buffer("orders", torch.tensor(ORDERS), persistent=False)

    @classmethod
    def build(cls, context: Context) -> Self:
        """Build it around a classifier over the orders."""
        return cls(context.new_classifier(len(ORDERS)))

    def forward(self, *clips: Tensor) -> Step:
        """Shuffle the blocks of each clip, and predict their order."""
        clip, _video = clips
        order = torch.randint(len(ORDERS), (len(clip),), device=clip.device)  # (N,)
        logits = self.encoder(reorder_blocks(clip, self.orders[order])).float()  # (N, 6)
        loss = F.cross_entropy(logits, order)
        top1 = 100 * (logits.argmax(1) == order).float().mean()
        return Step(loss, {"order_top1": top1, "chance_loss": chance_loss(logits)})


def reorder_blocks(clips: Tensor, blocks: Tensor) -> Tensor:
    """Put the blocks of clips (N, C, T, H, W) into the order (N, BLOCKS); frames left over stay at the end."""
    length = clips.shape[2] // BLOCKS
    frames = torch.arange(length, device=clips.device)
    positions = (blocks[:, :, None] * length + frames).flatten(1)  # (N, BLOCKS * length)
    rest = torch.arange(BLOCKS * length, clips.shape[2], device=clips.device).expand(len(clips), -1)
    return take_frames(clips, torch.cat([positions, rest], 1))
