"""The parts of a step of pretraining, each by the engine's own functions, as functions that can be timed apart."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from vtdl_cli.data.clips.datasets import Batch, Key, VideoClips, collate
from vtdl_cli.data.clips.epoch_batches import EpochBatches
from vtdl_cli.engine.bench.timing import Clock, Timing
from vtdl_cli.engine.networks.machine import Machine, autocast, device_clips, move_batch
from vtdl_cli.engine.train.pretrain import forward_by
from vtdl_cli.engine.train.step import train_step, update_weights
from vtdl_cli.engine.train.training import Training
from vtdl_cli.errors import ListError
from vtdl_cli.method.pretext_task import PretextTask

TRIED_BATCHES = 5  # in search of one whose videos can all be read


@dataclass(frozen=True)
class Videos:
    """The samples of a pretraining, to be loaded again.

    Attributes:
        dataset: all samples.
        order: in which they come, over more epochs than are needed.
        machine: that loads them.
    """

    dataset: VideoClips
    order: EpochBatches
    machine: Machine

    @classmethod
    def of(cls, training: Training, batches: int) -> "Videos":
        """Return those of a training, in at least so many batches."""
        size, dataset = training.config.pretrain.batch_size, training.dataset
        epochs = -(-batches // (len(dataset) // size))
        order = EpochBatches(len(dataset), size, epochs=epochs, seed=dataset.seed, shuffle=True, drop_last=True)
        return cls(dataset, order, training.machine)

    def first_keys(self) -> list[Key]:
        """Return the keys of the first batch."""
        return next(iter(self.order))

    def read(self) -> Batch:
        """Do the work of a worker on the first batch, in this process and with one thread, as workers do."""
        with one_thread():
            return collate([self.dataset[key] for key in self.first_keys()])

    def first_batch(self) -> Batch:
        """Load a batch as the loop gets it: the first whole one, or the largest of a few.

        Raises:
            ListError: none of its videos can be read.
        """
        batches = list[Batch]()
        for batch in islice(replace(self.machine, workers=0).load(self.dataset, self.order), TRIED_BATCHES):
            batches.append(batch)
            if len(batch) == self.order.batch_size:
                break
        largest = max(batches, key=len)
        if not len(largest):
            raise ListError(f"list '{self.dataset.videos.source}': its videos cannot be read. See: vtdl lists check")
        return largest

    def time_loading(self, batches: int) -> Timing:
        """Return the time of a batch with all workers and nothing else, once each worker has delivered one."""
        clock, waited = Clock(torch.device("cpu")), max(1, self.machine.workers)
        for number, _ in enumerate(self.machine.load(self.dataset, self.order), start=1):
            if number == waited:
                clock.restart()
            if number == waited + batches:
                break
        return clock.read() * (1 / (number - waited))


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute with one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class StepParts:
    """What a step does with a batch, part by part.

    Args:
        training: whose step it is.
        method: that is trained.
        batch: as it comes from the loader.
    """

    def __init__(self, training: Training, method: PretextTask, batch: Batch) -> None:
        self.training, self.method, self.batch = training, method, batch
        self.machine, self.crop_size = training.machine, training.config.data.crop_size
        self.forward = forward_by(method, method.sampler, self.machine)
        self.on_device = self.transfer()
        self.clips: Tensor = self.augment()

    def functions(self) -> dict[str, Callable[[], Any]]:
        """Return the parts by name, in their order."""
        return {
            "transfer": self.transfer,
            "augmentation": self.augment,
            "network": self.run_network,
            "optimizer": self.optimize,
        }

    def transfer(self) -> Batch:
        """Move the batch to the device."""
        return move_batch(self.batch, self.machine)

    def augment(self) -> Tensor:
        """Augment and normalise the batch, which is on the device."""
        return device_clips(self.on_device, self.machine, self.crop_size)

    def run_network(self) -> None:
        """Compute the loss, forward through all encoders, and its gradients."""
        state = self.training.state
        state.optimizer.zero_grad()
        with autocast(self.machine):
            loss, _ = self.forward(self.clips, self.batch)
        state.scaler.scale(loss).backward()

    def optimize(self) -> None:
        """Update the weights, and what follows them, such as the key encoder."""
        update_weights(self.training.state)
        self.method.after_step()

    def whole_step(self) -> None:
        """Do a step on batches that are on the device already; its augmentation is part of it."""
        batches = [(self.on_device, len(self.batch))] * self.training.order.batches_in(0)
        train_step(self.training, self.method, self.forward, batches)
        self.method.after_step()
