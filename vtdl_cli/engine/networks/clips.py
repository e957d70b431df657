"""From a loader's batch to clips on the device, and the precision they are computed in."""

import torch
from torch import Tensor

from vtdl_cli.data.augmentation import to_clips
from vtdl_cli.data.datasets import Batch
from vtdl_cli.engine.networks.build import MEMORY_FORMAT, Machine

ON_CPU = "order"  # of the jitter: asking the device for it would mean to wait for it


def device_clips(batch: Batch, machine: Machine, crop_size: int) -> Tensor:
    """The clips of a batch, augmented as drawn and normalised: (V, B, C, T, R, R), views first."""

    def views_first(values: Tensor) -> Tensor:
        return torch.flatten(values.transpose(0, 1), 0, 1)

    windows = batch.windows.to(machine.device, non_blocking=True)
    draws = {
        name: views_first(values if name == ON_CPU else values.to(machine.device, non_blocking=True))
        for name, values in batch.draws.items()
    }
    clips = to_clips(views_first(windows), crop_size, draws).contiguous(memory_format=MEMORY_FORMAT)
    return torch.unflatten(clips, 0, (windows.shape[1], windows.shape[0]))


def autocast(machine: Machine) -> torch.autocast:
    """Mixed precision where the machine has it."""
    return torch.autocast(machine.device.type, machine.autocast, enabled=machine.autocast is not None)
