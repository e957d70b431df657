"""Keys of other videos that serve as negatives: a queue of the latest keys, or a bank with one key for each video.

All ranks hold the same keys: each enqueues those of all.

Everything is in the state dict, the pointer included: a resumed run sees the same negatives as one that never stopped.

Shapes: N clips, D-dimensional keys, K of them as negatives of each query.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vtdl_cli import ranks


def random_keys(size: int, dim: int) -> Tensor:
    """Draw keys (size, dim), uniform in ±1/sqrt(dim/3), which gives a norm near 1 (authors' `NCEAverage.py`)."""
    bound = 1 / math.sqrt(dim / 3)
    return torch.empty(size, dim).uniform_(-bound, bound)


class Memory(nn.Module):
    """What the two kinds share: negatives are read first, then the keys of the batch are enqueued.

    Args:
        keys: initial keys, (M, D).
        size: K.

    Attributes:
        keys: (M, D) float32.
        ages: (M,) batches since each key was stored or updated.
    """

    keys: Tensor
    ages: Tensor

    def __init__(self, keys: Tensor, size: int) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("keys", keys)
        self.register_buffer("ages", torch.zeros(len(keys), dtype=torch.long))

    def read(self) -> tuple[Tensor, Tensor]:
        """Return keys (K, D) and the videos (K,) they come from; -1 for none."""
        raise NotImplementedError

    @torch.no_grad()
    def enqueue(self, keys: Tensor, videos: Tensor) -> None:
        """Store keys (N, D) of videos (N,), and those of the other ranks."""
        self.store(ranks.gather_rows(keys), ranks.gather_rows(videos))

    def store(self, keys: Tensor, videos: Tensor) -> None:
        """Store keys (N, D) of videos (N,)."""
        raise NotImplementedError

    def age(self) -> Tensor:
        """Mean number of batches since the keys were stored, a scalar."""
        return self.ages.float().mean()

    def _write(self, slots: Tensor, keys: Tensor) -> None:
        """Write keys (N, D) of a new batch into `slots` (N,)."""
        self.keys[slots] = keys
        self.ages.add_(1)
        self.ages[slots] = 0


class KeyQueue(Memory):
    """First in, first out; the last keys of a batch wrap round if its size does not divide the queue's.

    Args:
        size: K, all keys of the queue.
        dim: D.

    Attributes:
        videos: (K,) the video of each key; -1 for the initial ones.
        pointer: () the slot of the next key.
    """

    videos: Tensor
    pointer: Tensor

    def __init__(self, size: int, dim: int) -> None:
        super().__init__(random_keys(size, dim), size)
        self.register_buffer("videos", torch.full((size,), -1))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.long))

    def read(self) -> tuple[Tensor, Tensor]:
        """Return copies of all keys, which a later `enqueue` does not change."""
        return self.keys.clone(), self.videos.clone()

    def store(self, keys: Tensor, videos: Tensor) -> None:
        """Replace the oldest keys by `keys` (N, D), N <= K, of `videos` (N,)."""
        if len(keys) > len(self.keys):
            raise ValueError(f"{len(keys)} keys do not fit a queue of {len(self.keys)}")
        slots = (self.pointer + torch.arange(len(keys), device=keys.device)) % len(self.keys)  # (N,)
        self._write(slots, keys.to(self.keys.dtype))
        self.videos[slots] = videos
        self.pointer.add_(len(keys)).remainder_(len(self.keys))


class VideoBank(Memory):
    """One key for each video, a moving average of the video's embeddings; K of them are drawn for each batch.

    This is the memory bank of instance discrimination (arXiv 1805.01978), which the momentum is from.

    Args:
        num_videos: number of videos in the training list.
        size: K.
        dim: D.
        momentum: weight of the old key in the average.
    """

    def __init__(self, num_videos: int, size: int, dim: int, momentum: float = 0.5) -> None:
        super().__init__(F.normalize(random_keys(num_videos, dim)), size)
        self.momentum = momentum

    def read(self) -> tuple[Tensor, Tensor]:
        """Return K keys, drawn with replacement."""
        videos = torch.randint(len(self.keys), (self.size,), device=self.keys.device)
        return self.keys[videos], videos

    def store(self, keys: Tensor, videos: Tensor) -> None:
        """Average the keys of `videos` (N,) with `keys` (N, D)."""
        averaged = self.keys[videos].lerp(keys.to(self.keys.dtype), 1 - self.momentum)
        self._write(videos, F.normalize(averaged))
