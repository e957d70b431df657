"""The training step, the same for pretraining and finetuning."""

from collections.abc import Callable, Mapping

from torch import Tensor
from torch.optim import Optimizer

from vtdl_cli import ranks
from vtdl_cli.data.clips.datasets import Batch
from vtdl_cli.engine.networks.machine import autocast, device_clips
from vtdl_cli.engine.train.training import Training

Forward = Callable[[Tensor, Batch], tuple[Tensor, Mapping[str, Tensor]]]
"""From clips (V, B, C, T, R, R), V of each video, and the batch they are of, to the loss and its metrics: scalars,
means over the B videos."""


def train_epoch(training: Training, forward: Forward, after_step: Callable[[], None] = lambda: None) -> None:
    """Train on what is left of an epoch, one step a batch.

    A step does not wait for the device. Its loss is checked nevertheless: the meter adds it up on the device, where one
    loss that is not finite makes the sum so, and the sum is checked before anything is saved. `finish_step` also checks
    the latest loss when it fetches the metrics beside the progress bar, once a second.

    Args:
        training: the state that is trained, and the bookkeeping around its steps.
        forward: computes the loss of a batch, under autocast.
        after_step: updates what follows the weights, such as VTDL's key encoder.

    Raises:
        VtdlError: a loss is not finite.
        Interrupted: by a signal, after saving.
    """
    machine, state = training.machine, training.state
    for batch, num_videos in training.batches():  # this rank's B videos, out of num_videos on all ranks
        set_lr(state.optimizer, state.lr_at(state.step))
        state.optimizer.zero_grad()
        clips = device_clips(batch, machine, training.config.data.crop_size)  # (V, B, C, T, R, R)
        with autocast(machine):
            loss, metrics = forward(clips, batch)
        scale = ranks.world_size() * len(batch) / num_videos  # DDP averages over ranks: weigh each by its videos
        (loss * scale).backward()
        state.optimizer.step()
        after_step()
        state.meter.record({"loss": loss, **metrics}, len(batch), num_videos)
        training.finish_step()


def set_lr(optimizer: Optimizer, lr: float) -> None:
    """Set the learning rate of all parameters."""
    for group in optimizer.param_groups:
        group["lr"] = lr
