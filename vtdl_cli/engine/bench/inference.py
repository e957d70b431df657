"""Where the time of a pass over a list goes: decoding alone, the network alone, and the command's pass with both."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vtdl_cli.config import Clip, Config
from vtdl_cli.data.clips.datasets import VideoClips
from vtdl_cli.engine.bench.timing import Timing, time_in_turn
from vtdl_cli.engine.networks.bad_videos import BadVideos
from vtdl_cli.engine.networks.build import CHANNELS
from vtdl_cli.engine.networks.inference import forward_clips, load_videos
from vtdl_cli.engine.networks.machine import MEMORY_FORMAT, Machine
from vtdl_cli.runtime import Reporter


@dataclass(frozen=True)
class Pass:
    """A pass over the videos of a list.

    Attributes:
        dataset: `views` clips of each video.
        views: V.
        batch_clips: clips in one forward pass.
        network: clips (N, C, T, R, R) -> (N, ...), on the device.
        machine: where to compute.
        config: of the network.
        clip: the section of it that the clips are of.
    """

    dataset: VideoClips
    views: int
    batch_clips: int
    network: Callable[[Tensor], Tensor]
    machine: Machine
    config: Config
    clip: Clip

    def decode(self, bad_videos: BadVideos, reporter: Reporter) -> list[int]:
        """Load every batch and drop it; return the number of clips in each.

        Raises:
            ListError: too many videos, or all, cannot be read.
        """
        sizes = []
        for batch in load_videos(self.dataset, self.machine, views=self.views, batch_clips=self.batch_clips):
            bad_videos.add(batch.unreadable, reporter)
            sizes.append(len(batch) * self.views)
        return [size for size in sizes if size]

    def random_clips(self, size: int) -> Tensor:
        """Return clips (size, C, T, R, R) of the network's input shape and memory format."""
        data = self.config.data
        shape = size, CHANNELS[data.modality], self.clip.clip_len_frames, data.crop_size, data.crop_size
        return torch.randn(shape, device=self.machine.device).contiguous(memory_format=MEMORY_FORMAT)

    def forward(self, sizes: Sequence[int], clips: Mapping[int, Tensor]) -> None:
        """Run the network on batches of these sizes."""
        for size in sizes:
            forward_clips(self.network, clips[size], self.machine, self.batch_clips)


def bench_pass(
    timed: Pass, run_whole: Callable[[], object], bad_videos: BadVideos, reporter: Reporter, repeats: int
) -> dict[str, Any]:
    """Time the decoding, the network and the whole of a pass in turn, repeatedly.

    Args:
        timed: the pass. Its decoding loads every batch and drops it; its network gets as many random clips, in batches
            of the same shapes.
        run_whole: does both, as the command does.
        bad_videos: of the list.
        reporter: warns, and shows progress.
        repeats: of all three.

    Returns:
        Of each the median `seconds`, `cpu_seconds` and `clips_per_second`; the whole as a multiple of the sum of the
        other two, by the clock and in CPU time, and of the longer of them, the least that overlapping both can reach.

    Raises:
        ListError: too many videos, or all, cannot be read.
    """
    sizes = timed.decode(bad_videos, reporter)  # warms up: the system caches the files
    clips = {size: timed.random_clips(size) for size in set(sizes)}
    functions: dict[str, Callable[[], object]] = {
        "decoding": lambda: timed.decode(bad_videos, reporter),
        "network": lambda: timed.forward(sizes, clips),
        "together": run_whole,
    }
    measured = time_in_turn(functions, timed.machine.device, repeats, reporter)
    return {
        "num_videos": len(timed.dataset) - len(bad_videos.found),
        "num_clips": sum(sizes),
        "machine": timed.machine.describe(),
        "repeats": repeats,
        "times": {name: _describe(each, sum(sizes)) for name, each in measured.items()},
        **compare_whole(measured),
    }


def _describe(timing: Timing, num_clips: int) -> dict[str, float]:
    return {
        "seconds": timing.seconds,
        "cpu_seconds": timing.cpu_seconds,
        "clips_per_second": num_clips / timing.seconds,
    }


def compare_whole(measured: Mapping[str, Timing]) -> dict[str, float]:
    """Return `together` as a multiple of what its parts take by themselves."""
    decoding, network, together = (measured[name] for name in ("decoding", "network", "together"))
    apart = decoding + network
    return {
        "together_to_sum": together.seconds / apart.seconds,
        "together_to_sum_cpu": together.cpu_seconds / apart.cpu_seconds,
        "together_to_longer": together.seconds / max(decoding.seconds, network.seconds),
    }
