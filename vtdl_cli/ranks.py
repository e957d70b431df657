"""Several processes at one piece of work, a device each, as torchrun starts them:

    torchrun --nproc-per-node 4 -m vtdl_cli pretrain ...

All of them go through the same code in step, each with its part of every batch; the first alone writes and speaks.
For a process alone every function here is the identity.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from vtdl_cli.errors import UsageError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

Thing = TypeVar("Thing")
Parameters = ParamSpec("Parameters")


def rank() -> int:
    """The number of this process, from 0."""
    return int(os.environ["RANK"]) if count() > 1 else 0


def count() -> int:
    """How many processes there are."""
    return int(os.environ["WORLD_SIZE"]) if {"RANK", "WORLD_SIZE", "LOCAL_RANK"} <= os.environ.keys() else 1


def is_first() -> bool:
    """Whether this process is the one that writes and speaks."""
    return rank() == 0


def local_rank() -> int:
    """The number of this process on its machine, from 0."""
    return int(os.environ["LOCAL_RANK"]) if count() > 1 else 0


def local_count() -> int:
    """How many of the processes share this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if count() > 1 else 1


def by_first(function: Callable[Parameters, None]) -> Callable[Parameters, None]:
    """Let the first process alone run `function`."""

    @functools.wraps(function)
    def run(*arguments: Parameters.args, **options: Parameters.kwargs) -> None:
        if is_first():
            function(*arguments, **options)

    return run


def join(device: torch.device) -> torch.device:
    """Meet the other processes, and return the device that is this one's: of several GPUs each takes its own.

    Raises:
        UsageError: there are more processes on this machine than GPUs, or one GPU was named for all.
    """
    if count() == 1:
        return device
    import torch
    from torch import distributed

    if device.type == "cuda":
        if device.index is not None:
            raise UsageError(f"device '{device}' is one, and there are {count()} processes. Use --device cuda")
        if local_rank() >= torch.cuda.device_count():
            number = torch.cuda.device_count()
            raise UsageError(
                f"{local_count()} processes are more than the {number} GPUs here: --nproc-per-node {number}"
            )
        device = torch.device("cuda", local_rank())
        torch.cuda.set_device(device)
    if not distributed.is_initialized():
        distributed.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    return device


def leave() -> None:
    """Part from the other processes, once all is done."""
    if count() == 1:
        return
    from torch import distributed

    if distributed.is_initialized():
        distributed.destroy_process_group()


def tells_of_loss(error: BaseException) -> bool:
    """Whether an error, of whatever is waited for, says that another process is gone."""
    return count() > 1 and isinstance(error, RuntimeError) and any(word in str(error) for word in ("gloo", "NCCL"))


def exchange(thing: Thing) -> list[Thing]:
    """What every process has put in, in the order of their ranks; goes through the host, and waits for no device."""
    if count() == 1:
        return [thing]
    from torch import distributed

    things = [thing] * count()
    distributed.all_gather_object(things, thing)
    return things


def from_first(thing: Thing) -> Thing:
    """What the first process has put in."""
    return exchange(thing)[0]


def wait_for_all() -> None:
    """Go on once all processes have come as far as this."""
    exchange(None)


def _exchange_number(number: int) -> list[int]:
    """`exchange` of a whole number: a third of its time, for what is asked several times a step."""
    import torch
    from torch import distributed

    numbers = [torch.zeros(1, dtype=torch.long) for _ in range(count())]
    distributed.all_gather(numbers, torch.tensor([number]))
    return [int(each) for each in numbers]


def gather(values: Tensor) -> Tensor:
    """The rows (N, ...) of all processes, whose N may differ, in the order of their ranks; no gradient."""
    if count() == 1:
        return values
    import torch
    from torch import distributed

    lengths = _exchange_number(len(values))
    padded = values.new_zeros(max(lengths), *values.shape[1:])
    padded[: len(values)] = values
    parts = [torch.empty_like(padded) for _ in lengths]
    distributed.all_gather(parts, padded)
    return torch.cat([part[:length] for part, length in zip(parts, lengths, strict=True)])


def own_rows(gathered: Tensor, length: int) -> Tensor:
    """The rows, `length` in number, that this process has in what was gathered from all."""
    first = sum(_exchange_number(length)[: rank()]) if count() > 1 else 0
    return gathered[first : first + length]


def shared_order(length: int) -> Tensor:
    """A random order of 0 to `length` - 1 that all processes know; the first draws it, from torch's generator."""
    import torch

    order = torch.randperm(length)
    if count() > 1:
        torch.distributed.broadcast(order, 0)
    return order


def total(value: Tensor) -> Tensor:
    """The sum over all processes; no gradient."""
    if count() == 1:
        return value
    from torch import distributed

    value = value.clone()
    distributed.all_reduce(value)
    return value


def parallel(network: nn.Module) -> nn.Module:
    """`network`, but for its gradients, which are the mean over all processes for as long as the result is kept."""
    if count() == 1:
        return network
    from torch.nn.parallel import DistributedDataParallel

    known = inspect.signature(DistributedDataParallel).parameters
    buffers = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"  # in older torch
    options = {buffers: False}  # ours are equal already, but for statistics, which are averaged
    return DistributedDataParallel(network, gradient_as_bucket_view=True, **options)  # type: ignore[arg-type]


def copy_first(network: nn.Module) -> None:
    """Give all processes the parameters and buffers of the first."""
    if count() == 1:
        return
    from torch import distributed

    for values in network.state_dict().values():
        distributed.broadcast(values, 0)


def average_statistics(network: nn.Module) -> None:
    """Give all processes the mean of their batch-norm statistics, each of which knows its part of the batches only."""
    if count() == 1:
        return
    from torch.nn.modules.batchnorm import _BatchNorm

    for module in network.modules():
        if isinstance(module, _BatchNorm) and module.running_mean is not None and module.running_var is not None:
            module.running_mean.copy_(total(module.running_mean) / count())
            module.running_var.copy_(total(module.running_var) / count())
