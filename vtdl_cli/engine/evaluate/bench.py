"""Where the time of an evaluation goes: decoding alone, the network alone, and both as evaluation has them."""

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
from vtdl_cli.engine.evaluate.evaluate import Measurement, average, load_tested, prepare
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
    """Time three passes over a list, in turn and again; nothing is written.

    Decoding is the loader's pass with its batches thrown away; the network gets ready tensors, as many and of the same
    shapes; evaluation is its own pass, up to the scores.

    Args:
        weights: a run folder or checkpoint with a classifier.
        source: the list.
        execution: where, and with how many workers.
        reporter: who is told.
        protocol: clips and crops of each video.
        assignments: `section.key=value` on top of the configuration inside the weights.
        repeats: of all three.

    Returns:
        Medians of the seconds of each pass and its clips/s; evaluation's share of the other two's sum, and of the
        longer of them, which it can come down to where cores are free.

    Raises:
        UsageError, ListError, CheckpointError: something does not fit, or no video can be read.
    """
    test = prepare(load_tested(weights, protocol, assignments), source, execution, protocol, reporter)
    test.machine.place(test.network)
    bad_videos = BadVideos(len(test.videos), test.source.config.data.max_bad_fraction)
    sizes = decode(test, bad_videos, reporter)  # warms up: the system keeps the files that it has read
    ready = {size: ready_clips(test, size) for size in sizes}
    compute(test, list(ready), ready)
    passes: dict[str, Callable[[], object]] = {
        "decoding": lambda: decode(test, bad_videos, reporter),
        "network": lambda: compute(test, sizes, ready),
        "evaluation": lambda: score(test, bad_videos, reporter),
    }
    metrics: dict[str, list[float]] = {name: [] for name in passes}
    with reporter.progress(repeats * len(passes), "bench") as bar:
        for _ in range(repeats):
            for name, run in passes.items():
                began = time.monotonic()
                run()
                metrics[name].append(time.monotonic() - began)
                bar.advance()
    seconds = {name: median(values) for name, values in metrics.items()}
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


def decode(test: Measurement, bad_videos: BadVideos, reporter: Reporter) -> list[int]:
    """Load every batch of the evaluation and drop it; returns the number of clips in each.

    Raises:
        ListError: too many videos, or all, cannot be read.
    """
    sizes = []
    for batch in load_videos(test.dataset, test.machine, views=test.views, batch_clips=test.batch_clips):
        bad_videos.add(batch.unreadable, reporter)
        sizes.append(len(batch) * test.views)
    return [size for size in sizes if size]


def compute(test: Measurement, sizes: Sequence[int], ready: Mapping[int, Tensor]) -> None:
    """The network on ready clips, in batches of these sizes."""
    for size in sizes:
        forward_clips(test.network, ready[size], test.machine, test.batch_clips)


def score(test: Measurement, bad_videos: BadVideos, reporter: Reporter) -> Collected:
    """The pass that evaluation makes: everything up to the scores of all videos."""
    shape = test.views, test.source.num_classes
    with closing(ClipSpool(Path(tempfile.gettempdir()), shape)) as spool:  # a file without a name: nothing stays
        return collect(average(test, spool), bad_videos, reporter, test.plan["protocol"])


def ready_clips(test: Measurement, size: int) -> Tensor:
    """Clips (size, C, T, R, R) as the network gets them."""
    data, length = test.source.config.data, test.source.config.finetune.clip_len_frames
    shape = size, CHANNELS[data.modality], length, data.crop_size, data.crop_size
    return torch.randn(shape, device=test.machine.device).contiguous(memory_format=MEMORY_FORMAT)
