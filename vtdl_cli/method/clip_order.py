"""Clip order prediction: which of the orders of its blocks does a clip come in? (after VCOP, Xu et al., CVPR 2019).

Labels come from the clip itself, as in VCOP, which embeds each block apart; here the shuffled clip is seen whole.
"""

from itertools import permutations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vtdl_cli.method.frames import take_frames
from vtdl_cli.method.loss import chance_loss
from vtdl_cli.method.task import Step, Task

BLOCKS = 3
ORDERS = tuple(permutations(range(BLOCKS)))  # 6 classes


class ClipOrder(Task):
    """Cross-entropy over the orders of a clip's three blocks.

    Args:
        encoder: clips (N, C, T, H, W) -> logits (N, 6).
    """

    orders: Tensor

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.register_buffer("orders", torch.tensor(ORDERS), persistent=False)

    def forward(self, *clips: Tensor) -> Step:
        """Draw an order for each clip, and ask for it."""
        clip, _video = clips
        order = torch.randint(len(ORDERS), (len(clip),), device=clip.device)  # (N,)
        logits = self.encoder(in_order(clip, self.orders[order])).float()  # (N, 6)
        loss = F.cross_entropy(logits, order)
        top1 = 100 * (logits.argmax(1) == order).float().mean()
        return Step(loss, {"order_top1": top1, "chance_loss": chance_loss(logits)})


def in_order(clips: Tensor, blocks: Tensor) -> Tensor:
    """Clips (N, C, T, H, W) with their blocks in the order (N, BLOCKS); frames that are left over stay last."""
    length = clips.shape[2] // BLOCKS
    frames = torch.arange(length, device=clips.device)
    places = (blocks[:, :, None] * length + frames).flatten(1)  # (N, BLOCKS * length)
    rest = torch.arange(BLOCKS * length, clips.shape[2], device=clips.device).expand(len(clips), -1)
    return take_frames(clips, torch.cat([places, rest], 1))
