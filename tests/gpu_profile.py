"""What a few steps of a training spend their time in, for `tests.gpu_speed`."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from typing import Any

WARM, PROFILED, WATCHED = 6, 3, 3  # steps of the profile: before it, of it, and under watch for waits


def profile_steps() -> None:
    """Have a training print the kernels of some steps, which layers lost the layout of memory in one, and where the
    host waited for the device in some more; then it ends."""
    import torch
    from torch.profiler import ProfilerActivity

    from vtdl_cli.engine.train.training import Training

    on_gpu, finish, steps_done = torch.cuda.is_available(), Training.finish_step, count(1)
    profiler = torch.profiler.profile(
        activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])], acc_events=True
    )
    watch = ExitStack()
    waits: list[warnings.WarningMessage] = []
    lost: set[str] = set()

    def finish_step(training: Training) -> None:
        if on_gpu:
            torch.cuda.set_sync_debug_mode("default")  # the bookkeeping fetches metrics once a second, which waits
        finish(training)
        step = next(steps_done) - WARM
        if step == 0:
            profiler.start()
        if step == PROFILED:
            profiler.stop()
            order = f"self_{'device' if on_gpu else 'cpu'}_time_total"
            print(profiler.key_averages().table(sort_by=order, row_limit=15))
            watch.enter_context(layouts(training.state.model, lost))
            watch.enter_context(recorded(waits))
        if step >= PROFILED and on_gpu:
            torch.cuda.set_sync_debug_mode("warn")
        if step == PROFILED + WATCHED:
            watch.close()
            waited = {f"{each.filename}:{each.lineno} {each.message}" for each in waits}
            print("not channels last:", *sorted(lost) or ["none"], "waits:", *sorted(waited) or ["none"], sep="\n")
            sys.exit(0)

    Training.finish_step = finish_step  # type: ignore[method-assign, assignment]


@contextmanager
def layouts(model: Any, lost: set[str]) -> Iterator[None]:
    """Collect the layers whose output is not in channels last though it could be."""
    import torch

    def look(name: str, output: Any) -> None:
        has_space = isinstance(output, torch.Tensor) and output.ndim == 5 and output[0, 0].numel() > 1
        if has_space and not output.is_contiguous(memory_format=torch.channels_last_3d):
            lost.add(name)

    handles = [
        layer.register_forward_hook(lambda _layer, _clips, output, name=name: look(name, output))
        for name, layer in model.named_modules()
        if not any(layer.children())
    ]
    yield
    for handle in handles:
        handle.remove()


@contextmanager
def recorded(into: list[warnings.WarningMessage]) -> Iterator[None]:
    """Collect all warnings of the block."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        yield
    into.extend(found)
