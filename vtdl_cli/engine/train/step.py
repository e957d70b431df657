"""The training step, the same for pretraining and finetuning."""

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from vtdl_cli import ranks
from vtdl_cli.data.clips.datasets import Batch
from vtdl_cli.engine.networks.machine import autocast, device_clips
from vtdl_cli.engine.train.optimization import set_lr, trained_parameters
from vtdl_cli.engine.train.state import TrainingState
from vtdl_cli.engine.train.training import StepBatches, Training
from vtdl_cli.errors import VtdlError
from vtdl_cli.text import counted

Forward = Callable[[Tensor, Batch], tuple[Tensor, Mapping[str, Tensor]]]
"""From clips (V, B, C, T, R, R), V of each video, and the batch they are of, to the loss and its metrics: scalars,
means over the B videos."""

LEAST_LOSS_SCALE = 1.0  # below it, gradients overflow fp16 even if they are not scaled up


def train_epoch(
    training: Training, ddp_model: nn.Module, forward: Forward, after_step: Callable[[], None] = lambda: None
) -> None:
    """Train on what is left of an epoch, one step of the optimizer for every `accumulate_steps` batches.

    A step does not wait for the device, except in fp16, where the host has to know whether gradients overflowed. Its
    loss is checked nevertheless: the meter adds it up on the device, where one loss that is not finite makes the sum
    so, and the sum is checked before anything is saved. `finish_step` also checks the latest loss when it fetches the
    metrics beside the progress bar, once a second.

    Args:
        training: the state that is trained, and the bookkeeping around its steps.
        ddp_model: the network that `forward` calls, as wrapped by `ranks.wrap_ddp`.
        forward: computes the loss of a batch, under autocast.
        after_step: updates what follows the weights, such as VTDL's key encoder.

    Raises:
        VtdlError: a loss is not finite, or fp16 is too narrow for the gradients.
        Interrupted: by a signal, after saving.
    """
    for batches in training.steps():
        train_step(training, ddp_model, forward, batches)
        after_step()
        training.finish_step()


def train_step(training: Training, ddp_model: nn.Module, forward: Forward, batches: StepBatches) -> None:
    """Compute the gradients of the batches, and make the optimizer's step; arguments and errors as of `train_epoch`."""
    machine, state = training.machine, training.state
    state.optimizer.zero_grad()
    total = sum(num_videos for _, num_videos in batches)
    for batch, num_videos in batches:  # this rank's B videos, out of num_videos on all ranks
        clips = device_clips(batch, machine, training.config.data.crop_size)  # (V, B, C, T, R, R)
        with ranks.gradient_sync(ddp_model, when=batch is batches[-1][0]):
            with autocast(machine):
                loss, metrics = forward(clips, batch)
            weight = ranks.world_size() * len(batch) / total  # DDP averages over ranks: weigh each by its videos
            state.scaler.scale(loss * weight).backward()
        state.meter.record({"loss": loss, **metrics}, len(batch), num_videos)
    update_weights(state)


def update_weights(state: TrainingState) -> None:
    """Clip the gradients and make the optimizer's step at its lr; in fp16, skip and count it if they have overflowed.

    Raises:
        VtdlError: they overflow however small the loss is scaled.
    """
    optimizer, scaler, before = state.optimizer, state.scaler, state.scaler.get_scale()
    set_lr(optimizer, state.lr_at(state.step))
    scaler.unscale_(optimizer)
    if state.options.max_grad_norm is not None:
        nn.utils.clip_grad_norm_(trained_parameters(optimizer), state.options.max_grad_norm)
    scaler.step(optimizer)
    scaler.update()
    state.skipped_steps += scaler.get_scale() < before
    if scaler.get_scale() < LEAST_LOSS_SCALE:
        stage = state.identity["stage"]
        raise VtdlError(
            f"gradients of step {state.step} overflow fp16 even with a loss scale of {before:g}: "
            f"{counted(state.skipped_steps, 'step was', 'steps were')} skipped. --set "
            f"{stage}.precision=fp32, or lower {stage}.optimizer.lr"
        )
