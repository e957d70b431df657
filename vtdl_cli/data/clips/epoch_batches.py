"""The order of the videos: which of them each batch of a training has, epoch after epoch."""

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

from vtdl_cli.data.clips.balance import balanced_order, count_repeats
from vtdl_cli.data.clips.datasets import Key


class EpochBatches(Sampler[list[Key]]):
    """Samples the keys of every batch from `start_step` to the end of the last epoch, as one stream.

    One stream over all epochs keeps the workers busy between them; a run resumes in the middle of an epoch by starting
    the stream there.

    Args:
        num_videos: in the list.
        batch_size: videos in a batch, of all ranks together.
        epochs: of `num_videos` samples each.
        seed: of the order; an epoch's order depends on (seed, epoch) alone.
        shuffle: whether to shuffle each epoch; off: the order of the list.
        balanced_labels: the class of each video, (num_videos,), to shuffle so that each class comes equally often, see
            `balanced_order`; none: each video comes once.
        drop_last: drop an epoch's incomplete last batch.
        accumulate_steps: batches in a step; an epoch's last step may have fewer.
        indices: without shuffling, the videos of the list that come, in order; none: all.
        rank, world_size: the rank that the batches are for, and the number of ranks that share each batch.

    Attributes:
        local_batch_size: videos in this rank's share of a batch, at most.
        steps_per_epoch: steps in an epoch.
        start_step: the first step of the stream, counted over all epochs.
    """

    def __init__(
        self,
        num_videos: int,
        batch_size: int,
        *,
        epochs: int = 1,
        seed: int = 0,
        shuffle: bool = False,
        balanced_labels: np.ndarray | None = None,
        drop_last: bool = False,
        accumulate_steps: int = 1,
        indices: np.ndarray | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.num_videos, self.batch_size, self.epochs = num_videos, batch_size, epochs
        self.seed, self.shuffle, self.rank, self.world_size = seed, shuffle, rank, world_size
        self.indices = np.arange(num_videos) if indices is None else indices
        self.balanced_labels = balanced_labels
        self.local_batch_size = -(-batch_size // world_size)
        number = len(self.indices)
        self.batches_per_epoch = number // batch_size if drop_last else -(-number // batch_size)
        self.accumulate_steps = accumulate_steps
        self.steps_per_epoch = -(-self.batches_per_epoch // accumulate_steps)
        self.start_step = 0

    def batches_in(self, step: int) -> int:
        """Return the number of batches in a step of an epoch."""
        return min(self.accumulate_steps, self.batches_per_epoch - step * self.accumulate_steps)

    def __len__(self) -> int:
        epoch, step = divmod(self.start_step, self.steps_per_epoch) if self.steps_per_epoch else (0, 0)
        return (self.epochs - epoch) * self.batches_per_epoch - step * self.accumulate_steps

    def __iter__(self) -> Iterator[list[Key]]:
        if not len(self):  # resumed after the last step
            return
        first_epoch, first_step = divmod(self.start_step, self.steps_per_epoch)
        for epoch in range(first_epoch, self.epochs):
            order = self._order(epoch)
            drawn = np.stack([order, count_repeats(order)], axis=1)
            skipped = first_step * self.accumulate_steps if epoch == first_epoch else 0
            for batch in range(skipped, self.batches_per_epoch):
                chosen = drawn[batch * self.batch_size : (batch + 1) * self.batch_size]
                part = np.array_split(chosen, self.world_size)[self.rank].tolist()
                yield [(epoch, index, repeats) if repeats else (epoch, index) for index, repeats in part]

    def _order(self, epoch: int) -> np.ndarray:
        if not self.shuffle:
            return self.indices
        generator = np.random.default_rng((self.seed, epoch, 0))
        if self.balanced_labels is not None:
            return balanced_order(self.balanced_labels, generator)
        return generator.permutation(self.num_videos)
