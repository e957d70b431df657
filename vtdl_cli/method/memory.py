"""Keys of other videos that serve as negatives: a queue of the latest, or a bank with one for each video.

Several processes keep the same one: each takes in the keys of all.

All of it is in the state dict, pointer and all, so that a resumed run meets the negatives it would have met.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vtdl_cli import ranks


def random_keys(size: int, dim: int) -> Tensor:
    """(K, D) uniform in ±1/sqrt(D/3), which gives a norm near 1 (authors' `NCEAverage.py`)."""
    bound = 1 / math.sqrt(dim / 3)
    return torch.empty(size, dim).uniform_(-bound, bound)


class Memory(nn.Module):
    """What negatives are read from before a batch's own keys enter: `read` and `take_in` are the two kinds' own.

    Args:
        keys: what it begins with, (M, D).
        size: K, the keys that each query meets.

    Attributes:
        keys: (M, D) float32.
        ages: (M,) batches since each key came, or was last renewed.
    """

    keys: Tensor
    ages: Tensor

    def __init__(self, keys: Tensor, size: int) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("keys", keys)
        self.register_buffer("ages", torch.zeros(len(keys), dtype=torch.long))

    def read(self) -> tuple[Tensor, Tensor]:
        """Keys (K, D) and the videos (K,) they came from; -1 for none."""
        raise NotImplementedError

    @torch.no_grad()
    def push(self, keys: Tensor, videos: Tensor) -> None:
        """Take in keys (N, D) of videos (N,), and those of the other processes."""
        self.take_in(ranks.gather_rows(keys), ranks.gather_rows(videos))

    def take_in(self, keys: Tensor, videos: Tensor) -> None:
        """Take in keys (N, D) of videos (N,)."""
        raise NotImplementedError

    def age(self) -> Tensor:
        """Mean number of batches that a key has been kept for, a scalar."""
        return self.ages.float().mean()

    def _renew(self, slots: Tensor, keys: Tensor) -> None:
        """Put `keys` (N, D) of a new batch into `slots` (N,)."""
        self.keys[slots] = keys
        self.ages.add_(1)
        self.ages[slots] = 0


class KeyQueue(Memory):
    """First in, first out; wraps where its size is no multiple of the batch.

    Args:
        size: K, the number of keys.
        dim: D, the length of a key.

    Attributes:
        videos: (K,) the video each key came from; -1 where none did yet.
        pointer: () where the next key goes.
    """

    videos: Tensor
    pointer: Tensor

    def __init__(self, size: int, dim: int) -> None:
        super().__init__(random_keys(size, dim), size)
        self.register_buffer("videos", torch.full((size,), -1))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.long))

    def read(self) -> tuple[Tensor, Tensor]:
        """All keys, as they are now: copies, which a later push leaves alone."""
        return self.keys.clone(), self.videos.clone()

    def take_in(self, keys: Tensor, videos: Tensor) -> None:
        """Replace the oldest keys by `keys` (N, D), N <= K, which came from `videos` (N,)."""
        if len(keys) > len(self.keys):
            raise ValueError(f"{len(keys)} keys do not fit a queue of {len(self.keys)}")
        slots = (self.pointer + torch.arange(len(keys), device=keys.device)) % len(self.keys)  # (N,)
        self._renew(slots, keys.to(self.keys.dtype))
        self.videos[slots] = videos
        self.pointer.add_(len(keys)).remainder_(len(self.keys))


class VideoBank(Memory):
    """One key for each video, which follows the video's new ones; K of them are drawn anew for every batch.

    The memory of instance discrimination (arXiv 1805.01978), from where the momentum is.

    Args:
        num_videos: of the training list.
        size: K.
        dim: D.
        momentum: share of the old key that stays.
    """

    def __init__(self, num_videos: int, size: int, dim: int, momentum: float = 0.5) -> None:
        super().__init__(F.normalize(random_keys(num_videos, dim)), size)
        self.momentum = momentum

    def read(self) -> tuple[Tensor, Tensor]:
        """K keys, drawn with repeats."""
        videos = torch.randint(len(self.keys), (self.size,), device=self.keys.device)
        return self.keys[videos], videos

    def take_in(self, keys: Tensor, videos: Tensor) -> None:
        """Let the keys of `videos` (N,) follow `keys` (N, D)."""
        followed = self.keys[videos].lerp(keys.to(self.keys.dtype), 1 - self.momentum)
        self._renew(videos, F.normalize(followed))
