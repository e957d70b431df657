"""The encoder pair: a query encoder that learns, and a key encoder that follows it (README, Method).

    θ_key <- m θ_key + (1 - m) θ_query        after every optimiser step; parameters only

By default the key encoder keeps batch-norm statistics of its own, in training mode, as in the authors' code
(`train_temporal_dis.py:413-419, 508`). A batch of keys is normalised with other company than its queries where there
are several processes (ShuffleBN, MoCo, arXiv 1911.05722, section 3.3) or several splits.
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
        key_statistics: `batch`: batch norm goes by each batch of keys. `running`: by the averages that the query
            encoder has gathered, which are copied: they are averages already.
        key_splits: parts that a batch of keys is dealt into at random, each a batch of its own to batch norm: a query
            cannot tell its key by the statistics they share.
        key_shuffle: whether the keys of all processes are dealt among them likewise: ShuffleBN.
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
        """Training mode for both, or for the query encoder alone where keys go by running statistics."""
        super().train(mode)
        self.key.train(mode and self.key_statistics == "batch")
        return self

    @torch.no_grad()
    def embed_key(self, clips: Tensor) -> Tensor:
        """Keys, (N, D): no gradient ever reaches the key encoder."""
        if self.key_shuffle:
            return self._embed_shuffled(clips)
        if self.key_splits == 1:
            keys: Tensor = self.key(clips)
            return keys
        order = torch.randperm(len(clips), device=clips.device)
        dealt = torch.cat([self.key(part) for part in clips[order].tensor_split(self.key_splits)])
        return dealt[order.argsort()]

    def _embed_shuffled(self, clips: Tensor) -> Tensor:
        """Keys (N, D) of this process's clips, each made by the process that it was dealt to."""
        gathered = ranks.gather_rows(clips)  # (M, C, T, H, W), M clips in all processes
        order = ranks.shared_permutation(len(gathered)).to(clips.device)
        mine = order.tensor_split(ranks.world_size())[ranks.rank()]
        dealt = ranks.gather_rows(self.key(gathered[mine]))  # (M, D)
        return ranks.local_rows(dealt[order.argsort()], len(clips))

    @torch.no_grad()
    def update_key(self) -> None:
        """Let the key encoder follow; call it after the optimiser's step."""
        keys: list[Tensor] = list(self.key.parameters())
        queries: list[Tensor] = list(self.query.parameters())
        torch._foreach_lerp_(keys, queries, 1 - self.momentum)
        if self.key_statistics == "running":
            torch._foreach_copy_(list(self.key.buffers()), list(self.query.buffers()))
