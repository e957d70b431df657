"""The queue of earlier keys that serve as negatives (README, Method)."""

import math

import torch
from torch import Tensor, nn


class KeyQueue(nn.Module):
    """First in, first out; wraps where its size is no multiple of the batch.

    All of it is in the state dict, the pointer included, so that a resumed run meets the negatives it would have met.

    Args:
        size: K, the number of keys.
        dim: D, the length of a key.

    Attributes:
        keys: (K, D) float32; at first uniform in ±1/sqrt(D/3), which gives a norm near 1 (authors' `NCEAverage.py`).
        videos: (K,) the video each key came from; -1 where none did yet.
        pointer: () where the next key goes.
    """

    keys: Tensor
    videos: Tensor
    pointer: Tensor

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(dim / 3)
        self.register_buffer("keys", torch.empty(size, dim).uniform_(-bound, bound))
        self.register_buffer("videos", torch.full((size,), -1))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def push(self, keys: Tensor, videos: Tensor) -> None:
        """Replace the oldest keys by `keys` (N, D), N <= K, which came from `videos` (N,)."""
        if len(keys) > len(self.keys):
            raise ValueError(f"{len(keys)} keys do not fit a queue of {len(self.keys)}")
        slots = (self.pointer + torch.arange(len(keys), device=keys.device)) % len(self.keys)  # (N,)
        self.keys[slots] = keys.to(self.keys.dtype)
        self.videos[slots] = videos
        self.pointer.add_(len(keys)).remainder_(len(self.keys))
