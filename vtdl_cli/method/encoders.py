"""The encoder pair: a query encoder that learns, and a key encoder that follows it (README, Method).

    θ_key <- m θ_key + (1 - m) θ_query        after every optimiser step; parameters only

The key encoder keeps batch-norm statistics of its own, in training mode, as in the authors' code
(`train_temporal_dis.py:413-419, 508`).
"""

import copy

import torch
from torch import Tensor, nn


class EncoderPair(nn.Module):
    """`query` and `key`, equal at first.

    Args:
        encoder: maps clips (N, C, T, H, W) to unit embeddings (N, D); becomes the query encoder.
        momentum: m, 0.999 in the authors' code.
    """

    def __init__(self, encoder: nn.Module, momentum: float) -> None:
        super().__init__()
        self.query = encoder
        self.key = copy.deepcopy(encoder).requires_grad_(False)
        self.momentum = momentum

    @torch.no_grad()
    def embed_key(self, clips: Tensor) -> Tensor:
        """Keys, (N, D): no gradient ever reaches the key encoder."""
        keys: Tensor = self.key(clips)
        return keys

    @torch.no_grad()
    def update_key(self) -> None:
        """Let the key encoder follow; call it after the optimiser's step."""
        keys: list[Tensor] = list(self.key.parameters())
        queries: list[Tensor] = list(self.query.parameters())
        torch._foreach_lerp_(keys, queries, 1 - self.momentum)
