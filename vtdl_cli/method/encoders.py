"""The encoder pair: a query encoder that is trained, and a key encoder, its moving average (method/README).

    θ_key <- m θ_key + (1 - m) θ_query        after each step of the optimizer; parameters only

By default the key encoder is in training mode, with batch-norm statistics of its own, as in the authors' code
(`train_temporal_dis.py:413-419, 508`). Shuffling keys among ranks (ShuffleBN, MoCo, arXiv 1911.05722, section 3.3), or
among splits of a batch, normalises a key together with other clips than its query: statistics that the two share would
give the positive away.
"""

import copy

import torch
from torch import Tensor, nn

from vtdl_cli import ranks


class EncoderPair(nn.Module):
    """`query` and `key`, equal at first.

    Args:
        encoder: maps clips (N, C, T, H, W) to unit embeddings (N, D); becomes the query encoder.
        momentum: m, 0.999 in the authors' code.
        key_statistics: what normalises keys. `batch`: the statistics of their batch. `running`: the running averages of
            the query encoder, which are copied, since they are averages already.
        key_splits: random parts of a batch of keys that are normalised separately.
        key_shuffle: whether keys are shuffled among ranks.
    """

    def __init__(
        self,
        encoder: nn.Module,
        momentum: float,
        key_statistics: str = "batch",
        key_splits: int = 1,
        key_shuffle: bool = False,
    ) -> None:
        super().__init__()
        self.query = encoder
        self.key = copy.deepcopy(encoder).requires_grad_(False)
        self.momentum, self.key_statistics = momentum, key_statistics
        self.key_splits, self.key_shuffle = key_splits, key_shuffle

    def train(self, mode: bool = True) -> "EncoderPair":
        """Set the mode of both, but leave a key encoder with running statistics in evaluation mode."""
        super().train(mode)
        self.key.train(mode and self.key_statistics == "batch")
        return self

    @torch.no_grad()
    def embed_key(self, clips: Tensor) -> Tensor:
        """Embed clips (N, C, T, H, W) as keys (N, D), without gradient."""
        if self.key_shuffle:
            return self._embed_shuffled(clips)
        if self.key_splits == 1:
            keys: Tensor = self.key(clips)
            return keys
        order = torch.randperm(len(clips), device=clips.device)
        shuffled = torch.cat([self.key(part) for part in clips[order].tensor_split(self.key_splits)])
        return shuffled[order.argsort()]

    def _embed_shuffled(self, clips: Tensor) -> Tensor:
        """Embed this rank's clips as keys (N, D), each on the rank that it is assigned to by a shared random order.

        Under autocast they travel in half the bytes, rounded as the encoder's first convolution would round them.
        """
        kind = clips.device.type
        if torch.is_autocast_enabled(kind):
            clips = clips.to(torch.get_autocast_dtype(kind))
        assigned, order = ranks.shuffle_rows(clips.movedim(1, -1))  # (N, T, H, W, C): as channels last are in memory
        shuffled = ranks.gather_rows(self.key(assigned.movedim(-1, 1)))  # (M, D), M clips on all ranks
        return ranks.local_rows(shuffled[order.argsort().to(clips.device, non_blocking=True)], len(clips))

    @torch.no_grad()
    def update_key(self) -> None:
        """Update the key encoder; call it after the optimizer's step."""
        keys: list[Tensor] = list(self.key.parameters())
        queries: list[Tensor] = list(self.query.parameters())
        torch._foreach_lerp_(keys, queries, 1 - self.momentum)
        if self.key_statistics == "running":
            torch._foreach_copy_(list(self.key.buffers()), list(self.query.buffers()))
