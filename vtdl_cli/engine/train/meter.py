"""What an epoch of training reads: means over its videos, those of all processes, and its pace."""

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
"""Metrics of earlier versions, in logs and checkpoints, and what they are called now."""

Value = TypeVar("Value")


def rename_metrics(metrics: Mapping[str, Value]) -> dict[str, Value]:
    """Metrics under their present names."""
    return {RENAMED_METRICS.get(name, name): value for name, value in metrics.items()}


class Meter:
    """The metrics of one epoch so far. They stay on the device: to look at a number there means to wait for it."""

    def __init__(self) -> None:
        self._latest: dict[str, Tensor] = {}
        self.restart()

    def restart(self) -> None:
        """Begin an epoch."""
        self._sums: dict[str, Tensor] = {}
        self._num_videos = 0
        self.restart_clock()

    def restart_clock(self) -> None:
        """Begin to measure the pace, of an epoch that may be gone on with."""
        self._num_clips, self._waited, self._began = 0, 0.0, time.monotonic()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Time spent in here is spent waiting for data."""
        began = time.monotonic()
        yield
        self._waited += time.monotonic() - began

    def add_clips(self, num_clips: int) -> None:
        """Count clips of all processes."""
        self._num_clips += num_clips

    def record(self, metrics: Mapping[str, Tensor], own_videos: int, num_videos: int) -> None:
        """Add scalars that are means over this process's videos of a batch, of which there are `num_videos` in all."""
        self._latest = {name: value.detach() for name, value in metrics.items()}
        for name, value in self._latest.items():
            total = self._sums.get(name, torch.zeros((), dtype=torch.float64, device=value.device))
            self._sums[name] = total + own_videos * value
        self._num_videos += num_videos

    def latest(self) -> dict[str, float]:
        """What was recorded last; waits for the device."""
        return {name: float(value) for name, value in self._latest.items()}

    def means(self) -> dict[str, float]:
        """Over the epoch's videos, of all processes."""
        return {name: float(total) / self._num_videos for name, total in self._gathered_sums().items()}

    def pace(self) -> dict[str, float]:
        """Clips of all processes a second, the share of time spent waiting, seconds; memory where there is a GPU."""
        seconds = max(time.monotonic() - self._began, 1e-9)
        memory = {"peak_memory_gib": torch.cuda.max_memory_allocated() / 2**30} if torch.cuda.is_initialized() else {}
        pace = {"clips_per_second": self._num_clips / seconds, "data_time_share": self._waited / seconds}
        return {**memory, **pace, "seconds": seconds}

    def state(self) -> dict[str, Any]:
        """For a checkpoint: the means, not the pace."""
        return {"sums": self._gathered_sums(), "recorded": self._num_videos}

    def load(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Go on from a checkpoint: the first process takes over the sums of all."""
        sums = rename_metrics(state["sums"]) if ranks.is_rank_0() else {}
        self._sums = {name: value.to(device) for name, value in sums.items()}
        self._num_videos = state["recorded"]

    def _gathered_sums(self) -> dict[str, Tensor]:
        parts = ranks.gather_objects({name: value.cpu() for name, value in self._sums.items()})
        return {name: torch.stack([part[name] for part in parts if name in part]).sum(0) for name in parts[0]}
