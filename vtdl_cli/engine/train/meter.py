"""The metrics of an epoch: means over the videos of all ranks, and the pace."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor

from vtdl_cli import ranks

RENAMED_METRICS = {
    "learning_rate": "lr",
    "waiting_share": "data_time_share",
    "own_negative_logit": "intra_video_negative_logit",
    "own_negative_probability": "intra_video_negative_probability",
}
"""Metrics of earlier versions, in logs and checkpoints -> their present names."""

Value = TypeVar("Value")


def rename_metrics(metrics: Mapping[str, Value]) -> dict[str, Value]:
    """Return metrics under their present names."""
    return {RENAMED_METRICS.get(name, name): value for name, value in metrics.items()}


class Meter:
    """The metrics of an epoch so far. They stay on the device, as fetching a number waits for it.

    Attributes:
        whole_data_seconds: data time of all epochs since the program started.
    """

    def __init__(self) -> None:
        self._latest: dict[str, Tensor] = {}
        self.whole_data_seconds = 0.0
        self.restart()

    def restart(self) -> None:
        """Begin an epoch."""
        self._sums: dict[str, Tensor] = {}
        self._num_videos = 0
        self.restart_clock()

    def restart_clock(self) -> None:
        """Begin to measure the pace, also of an epoch that is resumed."""
        self._num_clips, self._data_seconds, self._began = 0, 0.0, time.monotonic()

    @contextmanager
    def data_time(self) -> Iterator[None]:
        """Count the time spent inside as data time."""
        began = time.monotonic()
        yield
        waited = time.monotonic() - began
        self._data_seconds += waited
        self.whole_data_seconds += waited

    def add_clips(self, num_clips: int) -> None:
        """Count clips of all ranks."""
        self._num_clips += num_clips

    def record(self, metrics: Mapping[str, Tensor], batch_size: int, num_videos: int) -> None:
        """Add the metrics of one step, without waiting for the device.

        A value that is not finite leaves a sum that is not, so `means` shows it for every step of the epoch.

        Args:
            metrics: scalars, means over this rank's part of the batch.
            batch_size: videos in this part.
            num_videos: videos in the parts of all ranks.
        """
        self._latest = {name: value.detach() for name, value in metrics.items()}
        for name, value in self._latest.items():
            total = self._sums.get(name, torch.zeros((), dtype=_sum_dtype(value.device), device=value.device))
            self._sums[name] = total + batch_size * value
        self._num_videos += num_videos

    def latest(self) -> dict[str, float]:
        """Fetch this rank's metrics of the latest step."""
        return {name: float(value) for name, value in self._latest.items()}

    def means(self) -> dict[str, float]:
        """Fetch the means over the epoch's videos, those of all ranks; all of them have to ask."""
        return {name: float(total) / self._num_videos for name, total in self._total_sums().items()}

    def pace(self) -> dict[str, float]:
        """Clips of all ranks a second, the share of data time, seconds; on a GPU its peak memory."""
        seconds = max(time.monotonic() - self._began, 1e-9)
        memory = {"peak_memory_gib": torch.cuda.max_memory_allocated() / 2**30} if torch.cuda.is_initialized() else {}
        pace = {"clips_per_second": self._num_clips / seconds, "data_time_share": self._data_seconds / seconds}
        return {**memory, **pace, "seconds": seconds}

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint holds: the sums, not the pace."""
        return {"sums": self._total_sums(), "recorded": self._num_videos}

    def load(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Take over the sums of a checkpoint; rank 0 takes those of all ranks."""
        sums = rename_metrics(state["sums"]) if ranks.is_rank_0() else {}
        self._sums = {name: value.to(device) for name, value in sums.items()}
        self._num_videos = state["recorded"]

    def _total_sums(self) -> dict[str, Tensor]:
        parts = ranks.gather_objects({name: value.cpu() for name, value in self._sums.items()})
        return {name: torch.stack([part[name] for part in parts if name in part]).sum(0) for name in parts[0]}


def _sum_dtype(device: torch.device) -> torch.dtype:
    """Return the dtype of sums over an epoch: float64, which Apple's GPUs lack."""
    return torch.float32 if device.type == "mps" else torch.float64
