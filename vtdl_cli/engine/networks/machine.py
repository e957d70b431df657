"""The device, precision and workers of a run, and moving networks and clips to the device."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor, nn

from vtdl_cli import ranks
from vtdl_cli.data.clips.augmentation import to_clips
from vtdl_cli.data.clips.datasets import Batch, VideoClips
from vtdl_cli.data.clips.epoch_batches import EpochBatches
from vtdl_cli.data.clips.loading import Loader, build_loader
from vtdl_cli.engine.networks.copying import to_device
from vtdl_cli.runtime import (
    Reporter,
    SilentReporter,
    Warn,
    default_workers,
    ignore_warning,
    select_autocast,
    select_device,
)
from vtdl_cli.text import counted

MEMORY_FORMAT = torch.channels_last_3d
"""Memory format of networks and clips.

Compared with torch's default a step was 1.2 to 1.5 times as fast on an H100 in bf16 (all four backbones at preset
size), and 0.94 (R3D-18) to 1.64 times as fast on a two-core AVX2 CPU in float32.
"""


Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class Machine:
    """Where and how a run computes."""

    device: torch.device
    autocast: torch.dtype | None
    workers: int
    warn: Warn = ignore_warning  # called for what slows a run down
    augment: Callable[[Tensor, int, dict[str, Tensor]], Tensor] = to_clips  # or what computes the same

    def place(self, network: Network) -> Network:
        """Move a network to the device, in MEMORY_FORMAT."""
        placed: Network = network.to(self.device).to(memory_format=MEMORY_FORMAT)
        return placed

    def load(self, dataset: VideoClips, order: EpochBatches) -> Loader:
        """Build a loader with this machine's workers."""
        on_gpu = self.device.type == "cuda"
        return build_loader(dataset, order, workers=self.workers, on_gpu=on_gpu, warn=self.warn)

    @property
    def threads(self) -> int:
        """CPU threads that a step computes with: sums depend on them in their last digits. On a GPU 0: on none."""
        return torch.get_num_threads() if self.device.type == "cpu" else 0

    @property
    def precision(self) -> str:
        """The effective precision: `float32`, `bfloat16` or `float16`."""
        return str(self.autocast or torch.float32).removeprefix("torch.")

    def build_scaler(self) -> torch.amp.GradScaler:
        """Build what scales the loss in fp16, where small gradients would vanish; elsewhere it does nothing."""
        return torch.amp.GradScaler(self.device.type, enabled=self.autocast == torch.float16)

    @property
    def provenance(self) -> dict[str, str]:
        """What results depend on, if only in their last digits."""
        return {"precision": self.precision, "torch_version": str(torch.__version__)}

    def describe(self) -> str:
        """Return a description for logs, such as `cpu, float32, 2 workers`."""
        processes = f" in each of {ranks.world_size()} processes" if ranks.world_size() > 1 else ""
        return f"{self.device}, {self.precision}, {counted(self.workers, 'worker')}{processes}"


def build_machine(device: str, precision: str, workers: int | None, reporter: Reporter = SilentReporter()) -> Machine:
    """Resolve `auto` settings; in a distributed run each rank gets its own device."""
    chosen = ranks.init_process_group(select_device(device))
    workers = default_workers() if workers is None else workers
    if precision == "fp16" and chosen.type != "cuda":
        reporter.warn("precision 'fp16' is for CUDA GPUs: computing in float32")
    return Machine(chosen, select_autocast(precision, chosen), workers, reporter.warn)


ON_CPU = "order"  # of the jitter; reading it from the device would synchronise


def move_batch(batch: Batch, machine: Machine) -> Batch:
    """Return the batch with its windows and draws on the device, but for those of ON_CPU; what is there stays."""
    there = {name: values for name, values in batch.draws.items() if name != ON_CPU}
    copied = to_device({"windows": batch.windows, **there}, machine.device)
    return replace(batch, windows=copied.pop("windows"), draws=batch.draws | copied)


def device_clips(batch: Batch, machine: Machine, crop_size: int) -> Tensor:
    """Augment and normalise the clips of a batch on the device: (V, B, C, T, R, R), views first."""

    def views_first(values: Tensor) -> Tensor:
        return torch.flatten(values.transpose(0, 1), 0, 1)

    batch = move_batch(batch, machine)
    draws = {name: views_first(values) for name, values in batch.draws.items()}
    clips = machine.augment(views_first(batch.windows), crop_size, draws).contiguous(memory_format=MEMORY_FORMAT)
    return torch.unflatten(clips, 0, (batch.windows.shape[1], batch.windows.shape[0]))


def wait_for(device: torch.device) -> None:
    """Wait until the device has done what it has been given."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def autocast(machine: Machine) -> torch.autocast:
    """Return the context of mixed precision, disabled for float32."""
    return torch.autocast(machine.device.type, machine.autocast, enabled=machine.autocast is not None)
