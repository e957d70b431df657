"""Where the time of pretraining goes: each part of a step apart, the loop as a whole, and what the device could do."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from vtdl_cli.config import Config, Tracker
from vtdl_cli.data.clips.loading import MAX_PREFETCH
from vtdl_cli.data.lists.video_list import VideoList
from vtdl_cli.engine.bench.flop import count_flop, find_peak
from vtdl_cli.engine.bench.loop import WARM_STEPS, LoopReporter, LoopTimes, time_loop
from vtdl_cli.engine.bench.parts import StepParts, Videos
from vtdl_cli.engine.bench.timing import Timing, time_in_turn, total
from vtdl_cli.engine.lists.labels import report_list
from vtdl_cli.engine.networks.first_convolution import plain_forms
from vtdl_cli.engine.networks.machine import Machine
from vtdl_cli.engine.request import Execution, ListSource
from vtdl_cli.engine.train.plan import describe_plan
from vtdl_cli.engine.train.pretrain import check_size, prepare_pretraining
from vtdl_cli.engine.train.run_folder import RunFolder
from vtdl_cli.engine.train.trackers import DEFAULT
from vtdl_cli.engine.train.training import Training
from vtdl_cli.locks import releasing_locks
from vtdl_cli.method.pretext_task import PretextTask
from vtdl_cli.runtime import Reporter, default_workers
from vtdl_cli.system import available_cores
from vtdl_cli.text import counted

PLANNED = ("method", "network", "clip", "videos", "steps_per_epoch", "batch_size", "effective_batch_size", "machine")


@releasing_locks
def bench_pretrain(
    config: Config, train_list: ListSource, execution: Execution, reporter: Reporter, *, steps: int, repeats: int = 3
) -> dict[str, Any]:
    """Time pretraining in a temporary folder, which is removed: first its loop, then its parts in turn.

    Args:
        config: of the preset.
        train_list: the videos.
        execution: seed, device and workers.
        reporter: shows progress, and warns.
        steps: of the loop to measure, after WARM_STEPS; made whole epochs if there is room for one.
        repeats: of all parts, whose medians are reported.

    Returns:
        `times` of a step, see `_times`, and what follows from them. Of each video comes what the method draws: for
        VTDL a triplet, three clips.

    Raises:
        UsageError, ListError: configuration and list do not fit together, or no video can be read.
    """
    videos = train_list.read(needs_classes=False, flow=config.data.modality == "flow")
    check_size(config, videos)
    report_list(videos, reporter)
    with tempfile.TemporaryDirectory(prefix="vtdl-bench-") as folder:
        return _bench(config, videos, Path(folder) / "run", execution, reporter, steps, repeats)


def _bench(
    config: Config, videos: VideoList, out: Path, execution: Execution, reporter: Reporter, steps: int, repeats: int
) -> dict[str, Any]:
    steps, config = _plan_loop(config, len(videos), steps, execution.workers)
    clock = LoopReporter(reporter, WARM_STEPS, steps)
    run = RunFolder(out, resume=False, overwrite=False, trackers=local_trackers(config))
    training, method = prepare_pretraining(config, videos, run, execution, clock)
    training.start()
    loop = time_loop(training, method, videos, clock)
    on_gpu = training.machine.device.type == "cuda"
    memory = {"peak_memory_gib": torch.cuda.max_memory_allocated() / 2**30} if on_gpu else {}
    samples = Videos.of(training, batches=steps + training.machine.workers + 1)
    parts = StepParts(training, method, samples.first_batch())
    functions = {"worker": samples.read, **parts.functions(), "saving": training.checkpointing.save}
    measured = time_in_turn({**functions, "ready batch": parts.whole_step}, training.machine.device, repeats, reporter)
    with plain_forms(method):
        flop = count_flop(parts.run_network) * training.order.batches_in(0)
    times = _times({**measured, "loading": samples.time_loading(steps)}, loop.whole * (1 / steps), training)
    return {
        **_describe(training, method),
        "steps": steps,
        "repeats": repeats,
        "times": times,
        "clips_per_second": _rates(times, _clips_per_step(training, parts)),
        **_judge_loop(times, loop, training.machine),
        **_judge_device(flop, times, training.machine),
        **memory,
    }


def local_trackers(config: Config) -> list[Tracker] | None:
    """Return the trackers that write files; those of elsewhere would show others a run."""
    trackers = config.pretrain.trackers
    return None if trackers is None else [name for name in trackers if name in DEFAULT]


def _plan_loop(config: Config, num_videos: int, steps: int, workers: int | None) -> tuple[int, Config]:
    """Return the steps to measure, whole epochs where there is room for one, and the configuration of their run.

    It has epochs enough for the workers to be busy up to the last step.
    """
    options = config.pretrain
    per_epoch = -(-(num_videos // options.batch_size) // options.accumulate_steps)
    steps = -(-steps // per_epoch) * per_epoch if per_epoch <= steps else steps
    prefetched = MAX_PREFETCH * (default_workers() if workers is None else workers)
    epochs = -(-(WARM_STEPS + steps + prefetched) // per_epoch)
    longer = options.model_copy(update={"epochs": max(options.epochs, epochs)})
    return steps, config.model_copy(update={"pretrain": longer})


def _describe(training: Training, method: PretextTask) -> dict[str, Any]:
    model, device = training.config.model, training.machine.device
    plan = describe_plan(training) | {
        "method": training.config.method.name,
        "network": f"{model.name} depth {model.depth or '-'} width {model.width}",
    }
    on_cpu = f"CPU, {counted(torch.get_num_threads(), 'thread')}"
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else on_cpu
    return {key: plan[key] for key in PLANNED} | {"device": name, "sampler": method.sampler}


def _clips_per_step(training: Training, parts: StepParts) -> int:
    return training.order.batches_in(0) * parts.batch.windows.shape[1] * len(parts.batch)


PARTS = ("worker", "transfer", "augmentation", "network", "optimizer", "saving")


def _times(measured: Mapping[str, Timing], loop: Timing, training: Training) -> dict[str, dict[str, float]]:
    """Return milliseconds of each part and whole, of a step, and of the parts their share of the sum.

    `worker`: one process reads the videos of the step; `saving`: a checkpoint, divided among the steps of its epoch;
    `loading`: all workers read, and nothing else happens; `ready batch`: steps on a batch that stays on the device;
    `together`: the loop.
    """
    batches = training.order.batches_in(0)
    of_batch = ("worker", "transfer", "augmentation", "network", "loading")
    step = {name: each * (batches if name in of_batch else 1) for name, each in measured.items()}
    step["saving"] = measured["saving"] * (1 / training.state.steps_per_epoch)
    parts = {name: step[name] for name in PARTS}
    whole = total(parts.values())
    rows = {**parts, "sum of parts": whole, "loading": step["loading"], "ready batch": step["ready batch"]}
    times = {
        name: {"ms": 1000 * each.seconds, "cpu_ms": 1000 * each.cpu_seconds}
        for name, each in {**rows, "together": loop}.items()
    }
    for name in PARTS:
        times[name]["share"] = parts[name].seconds / whole.seconds
    return times


def _rates(times: Mapping[str, Mapping[str, float]], clips: int) -> dict[str, float]:
    """Return the clips a second of what processes whole steps."""
    names = ("worker", "loading", "network", "ready batch", "together")
    return {name.replace(" ", "_"): 1000 * clips / times[name]["ms"] for name in names}


def _judge_loop(times: Mapping[str, Mapping[str, float]], loop: LoopTimes, machine: Machine) -> dict[str, float]:
    """Return how near the loop comes to its step alone and to the least that it can take, and what it loses where.

    Loading and step overlap: no loop is faster than the slower of the two and, where they share the cores of a CPU,
    than their CPU time divided among all cores.
    """
    together, ready, loading = (times[name]["ms"] for name in ("together", "ready batch", "loading"))
    least = max(ready, loading)
    if machine.device.type == "cpu":
        work = times["worker"]["cpu_ms"] + times["ready batch"]["cpu_ms"]
        least = max(least, work / available_cores())
    judged = {
        "end_to_end_share": ready / together,
        "data_time_share": loop.data_seconds / loop.whole.seconds,
        "least_ms": least,
        "together_to_least": together / least,
        "together_to_sum_cpu": times["together"]["cpu_ms"] / times["sum of parts"]["cpu_ms"],
    }
    if not loop.epoch_ends:
        return judged
    ends = total(loop.epoch_ends)  # those among the measured steps, which are whole epochs
    return {
        **judged,
        "epoch_end_ms": 1000 * ends.seconds / len(loop.epoch_ends),
        "epoch_end_share": ends.seconds / loop.whole.seconds,
        "epoch_end_share_cpu": ends.cpu_seconds / loop.whole.cpu_seconds,
    }


def _judge_device(flop: int, times: Mapping[str, Mapping[str, float]], machine: Machine) -> dict[str, Any]:
    """Return the FLOP of a step, forward and backward, how many a second the ready batch makes, and of which peak."""
    peak, rate = find_peak(machine), flop / (times["ready batch"]["ms"] / 1000)
    return {
        "gflop_per_step": flop / 1e9,
        "tflops": rate / 1e12,
        "peak_tflops": peak.flop_per_second / 1e12,
        "peak_source": peak.source,
        "share_of_peak": rate / peak.flop_per_second,
    }
