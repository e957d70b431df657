"""Where the time of an evaluation goes: decoding alone, the network alone, and both together."""

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from vtdl_cli.data.hdf5.scores import ClipSpool
from vtdl_cli.engine.evaluate.evaluate import Measurement, average_views, load_tested_network, prepare_measurement
from vtdl_cli.engine.networks.bad_videos import BadVideos
from vtdl_cli.engine.networks.build import CHANNELS
from vtdl_cli.engine.networks.inference import Collected, collect, forward_clips, load_videos
from vtdl_cli.engine.networks.machine import MEMORY_FORMAT
from vtdl_cli.engine.request import Execution, ListSource, Protocol
from vtdl_cli.runtime import Reporter


def bench_evaluate(
    weights: str,
    source: ListSource,
    execution: Execution,
    reporter: Reporter,
    protocol: Protocol,
    assignments: Sequence[str] = (),
    *,
    repeats: int = 3,
) -> dict[str, Any]:
    """Time three passes over a list in turn, repeatedly; nothing is written.

    Decoding loads every batch and drops it; the network gets as many random clips, in batches of the same shapes;
    evaluation does both, up to the scores.

    Args:
        weights: run folder or checkpoint with a classifier.
        source: the list.
        execution: device and workers.
        reporter: warns, and shows progress.
        protocol: clips and crops of each video.
        assignments: `section.key=value` on top of the configuration in the weights.
        repeats: of all three passes.

    Returns:
        Median seconds and clips/s of each pass; evaluation as a fraction of the sum of the other two, and of the longer
        of them, the least that overlapping both can reach.

    Raises:
        UsageError, ListError, CheckpointError: list and weights do not fit together, or no video can be read.
    """
    tested = load_tested_network(weights, protocol, assignments, reporter.warn)
    test = prepare_measurement(tested, source, execution, protocol, reporter)
    test.machine.place(test.network)
    bad_videos = BadVideos(len(test.videos), test.source.config.data.max_bad_fraction)
    sizes = decode_clips(test, bad_videos, reporter)  # warms up: the system caches the files
    clips = {size: make_random_clips(test, size) for size in sizes}
    forward_random_clips(test, list(clips), clips)
    passes: dict[str, Callable[[], object]] = {
        "decoding": lambda: decode_clips(test, bad_videos, reporter),
        "network": lambda: forward_random_clips(test, sizes, clips),
        "evaluation": lambda: score_videos(test, bad_videos, reporter),
    }
    durations: dict[str, list[float]] = {name: [] for name in passes}
    with reporter.progress(repeats * len(passes), "bench") as bar:
        for _ in range(repeats):
            for name, run_pass in passes.items():
                began = time.monotonic()
                run_pass()
                durations[name].append(time.monotonic() - began)
                bar.advance()
    seconds = {name: median(values) for name, values in durations.items()}
    return {
        "protocol": test.plan["protocol"],
        "num_videos": len(test.videos) - len(bad_videos.found),
        "num_clips": sum(sizes),
        "device": str(test.machine.device),
        "workers": test.machine.workers,
        "repeats": repeats,
        "seconds": seconds,
        "clips_per_second": {name: sum(sizes) / value for name, value in seconds.items()},
        "evaluation_to_sum": seconds["evaluation"] / (seconds["decoding"] + seconds["network"]),
        "evaluation_to_longer": seconds["evaluation"] / max(seconds["decoding"], seconds["network"]),
    }


def decode_clips(test: Measurement, bad_videos: BadVideos, reporter: Reporter) -> list[int]:
    """Load every batch of the evaluation and drop it; return the number of clips in each.

    Raises:
        ListError: too many videos, or all, cannot be read.
    """
    sizes = []
    for batch in load_videos(test.dataset, test.machine, views=test.views, batch_clips=test.batch_clips):
        bad_videos.add(batch.unreadable, reporter)
        sizes.append(len(batch) * test.views)
    return [size for size in sizes if size]


def make_random_clips(test: Measurement, size: int) -> Tensor:
    """Return clips (size, C, T, R, R) of the network's input shape and memory format."""
    data, length = test.source.config.data, test.source.config.finetune.clip_len_frames
    shape = size, CHANNELS[data.modality], length, data.crop_size, data.crop_size
    return torch.randn(shape, device=test.machine.device).contiguous(memory_format=MEMORY_FORMAT)


def forward_random_clips(test: Measurement, sizes: Sequence[int], clips: Mapping[int, Tensor]) -> None:
    """Run the network on batches of these sizes."""
    for size in sizes:
        forward_clips(test.network, clips[size], test.machine, test.batch_clips)


def score_videos(test: Measurement, bad_videos: BadVideos, reporter: Reporter) -> Collected:
    """Evaluate, up to the scores of all videos."""
    shape = test.views, test.source.num_classes
    with closing(ClipSpool(Path(tempfile.gettempdir()), shape)) as spool:  # an unlinked file: nothing is left
        return collect(average_views(test, spool), bad_videos, reporter, test.plan["protocol"])
