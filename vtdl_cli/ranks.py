"""Distributed runs: several processes, one device each, as torchrun starts them.

    torchrun --nproc-per-node 4 -m vtdl_cli pretrain ...

All ranks run the same code in lockstep, each on its share of every batch; only rank 0 writes files and prints.
In a single process no function here communicates, and what it would gather is returned as it is.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from vtdl_cli.errors import UsageError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

Thing = TypeVar("Thing")
Parameters = ParamSpec("Parameters")


def rank() -> int:
    """Return the rank of this process."""
    return int(os.environ["RANK"]) if world_size() > 1 else 0


def world_size() -> int:
    """Return the number of processes."""
    return int(os.environ["WORLD_SIZE"]) if {"RANK", "WORLD_SIZE", "LOCAL_RANK"} <= os.environ.keys() else 1


def is_rank_0() -> bool:
    """Whether this process is the one that writes files and prints."""
    return rank() == 0


def local_rank() -> int:
    """Return the rank of this process on its machine."""
    return int(os.environ["LOCAL_RANK"]) if world_size() > 1 else 0


def local_world_size() -> int:
    """Return the number of processes on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if world_size() > 1 else 1


def on_rank_0(function: Callable[Parameters, None]) -> Callable[Parameters, None]:
    """Run `function` on rank 0 only."""

    @functools.wraps(function)
    def run(*arguments: Parameters.args, **options: Parameters.kwargs) -> None:
        if is_rank_0():
            function(*arguments, **options)

    return run


def init_process_group(device: torch.device) -> torch.device:
    """Initialise the process group, and return the device of this rank: with GPUs, the one of its local rank.

    Raises:
        UsageError: there are more processes on this machine than GPUs, or `device` is a single GPU.
    """
    if world_size() == 1:
        return device
    if device.type == "mps":
        raise UsageError(f"device 'mps' takes one process, and there are {world_size()}. Start it without torchrun")
    import torch
    from torch import distributed

    if device.type == "cuda":
        if device.index is not None:
            raise UsageError(
                f"device '{device}' is a single GPU, and there are {world_size()} processes. Use --device cuda"
            )
        if local_rank() >= torch.cuda.device_count():
            number = torch.cuda.device_count()
            raise UsageError(
                f"{local_world_size()} processes exceed the {number} GPUs of this machine. "
                f"Use torchrun --nproc-per-node {number}"
            )
        device = torch.device("cuda", local_rank())
        torch.cuda.set_device(device)
    if not distributed.is_initialized():
        distributed.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    return device


def destroy_process_group() -> None:
    """Destroy the process group, if there is one."""
    if world_size() == 1:
        return
    from torch import distributed

    if distributed.is_initialized():
        wait_for_all()  # gloo may abort a process whose peer has left already
        distributed.destroy_process_group()


def is_lost_rank(error: BaseException) -> bool:
    """Whether `error` comes from a collective operation that failed because another process has ended."""
    return world_size() > 1 and isinstance(error, RuntimeError) and any(word in str(error) for word in ("gloo", "NCCL"))


def gather_objects(thing: Thing) -> list[Thing]:
    """Gather a picklable object from every rank, in rank order; runs on the CPU and does not synchronise the GPU."""
    if world_size() == 1:
        return [thing]
    from torch import distributed

    things = [thing] * world_size()
    distributed.all_gather_object(things, thing)
    return things


def from_rank_0(thing: Thing) -> Thing:
    """Return rank 0's object on every rank."""
    return gather_objects(thing)[0]


def wait_for_all() -> None:
    """Wait until all ranks have reached this call."""
    gather_objects(None)


def _gather_numbers(number: int) -> list[int]:
    """Gather an integer from every rank; used several times a step, it takes a third of `gather_objects`' time."""
    import torch
    from torch import distributed

    numbers = [torch.zeros(1, dtype=torch.long) for _ in range(world_size())]
    distributed.all_gather(numbers, torch.tensor([number]))
    return [int(each) for each in numbers]


def gather_rows(values: Tensor) -> Tensor:
    """Concatenate the rows (N, ...) of all ranks, in rank order; N may differ between ranks. No gradient."""
    if world_size() == 1:
        return values
    import torch
    from torch import distributed

    lengths = _gather_numbers(len(values))
    padded = values.new_zeros(max(lengths), *values.shape[1:])
    padded[: len(values)] = values
    parts = [torch.empty_like(padded) for _ in lengths]
    distributed.all_gather(parts, padded)
    return torch.cat([part[:length] for part, length in zip(parts, lengths, strict=True)])


def local_rows(gathered: Tensor, length: int) -> Tensor:
    """Return the `length` rows of `gathered` that came from this rank; the inverse of `gather_rows`."""
    first = sum(_gather_numbers(length)[: rank()]) if world_size() > 1 else 0
    return gathered[first : first + length]


def shared_permutation(length: int) -> Tensor:
    """Return rank 0's random permutation of 0 to `length` - 1, drawn from torch's global generator, on every rank."""
    import torch

    order = torch.randperm(length)
    if world_size() > 1:
        torch.distributed.broadcast(order, 0)
    return order


def shuffle_rows(values: Tensor) -> tuple[Tensor, Tensor]:
    """Shuffle the rows (N, ...) of all ranks and split them among the ranks again; N may differ. No gradient.

    Each row is sent to the one rank that takes it: to gather all of them everywhere would take as many times the memory
    and the transfer as there are ranks.

    Returns:
        This rank's share of the shuffled rows, and the order (M,) of the M rows of all ranks, on the CPU: the shares,
        concatenated in rank order, are the rows in this order.
    """
    import torch
    from torch import distributed

    if world_size() == 1:
        order = shared_permutation(len(values))
        return values[order.to(values.device, non_blocking=True)], order
    lengths = _gather_numbers(len(values))
    order = shared_permutation(sum(lengths))
    sources = torch.arange(world_size()).repeat_interleave(torch.tensor(lengths))[order]  # (M,), each row's rank
    shares = zip(order.tensor_split(world_size()), sources.tensor_split(world_size()), strict=True)
    sent = [rows[source == rank()] - sum(lengths[: rank()]) for rows, source in shares]
    source = sources.tensor_split(world_size())[rank()]
    received = values.new_empty(len(source), *values.shape[1:])  # by source, within it in the order wanted
    sizes = source.bincount(minlength=world_size()).tolist(), list(map(len, sent))
    distributed.all_to_all_single(
        received, values[torch.cat(sent).to(values.device, non_blocking=True)].contiguous(), *sizes
    )
    return received[source.argsort(stable=True).argsort().to(values.device, non_blocking=True)], order


def all_reduce(value: Tensor) -> Tensor:
    """Sum `value` over all ranks. No gradient."""
    if world_size() == 1:
        return value
    from torch import distributed

    value = value.clone()
    distributed.all_reduce(value)
    return value


def wrap_ddp(network: nn.Module) -> nn.Module:
    """Wrap `network` in DistributedDataParallel; gradients are averaged over all ranks while the wrapper is alive."""
    if world_size() == 1:
        return network
    from torch.nn.parallel import DistributedDataParallel

    known = inspect.signature(DistributedDataParallel).parameters
    buffers = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"  # in older torch
    options = {buffers: False}  # ours are equal on all ranks, except batch-norm statistics, see `average_statistics`
    return DistributedDataParallel(network, gradient_as_bucket_view=True, **options)  # type: ignore[arg-type]


def gradient_sync(ddp_model: nn.Module, *, when: bool) -> AbstractContextManager[None]:
    """Return a context for a forward and backward pass: gradients add up on each rank, and `when` so, are averaged.

    Args:
        ddp_model: as returned by `wrap_ddp`.
        when: false for all but the last batch of a step.
    """
    if world_size() == 1 or when:
        return nullcontext()
    no_sync: AbstractContextManager[None] = ddp_model.no_sync()  # type: ignore[operator]  # of DistributedDataParallel
    return no_sync


def sync_batch_norm(network: nn.Module, device: torch.device) -> None:
    """Make the batch norm inside a network normalise over the batches of all ranks; the names of its tensors stay.

    Raises:
        UsageError: there is a single process, or torch cannot do it on this device.
    """
    from torch.nn import SyncBatchNorm

    if world_size() == 1 or device.type != "cuda":
        found = "there is one" if world_size() == 1 else f"these are on '{device.type}'"
        raise UsageError(
            f"finetune.sync_batch_norm 'True' needs several processes on GPUs, and {found}. "
            "Start several with torchrun, or --set finetune.sync_batch_norm=false"
        )
    SyncBatchNorm.convert_sync_batchnorm(network)


def broadcast(network: nn.Module) -> None:
    """Copy the parameters and buffers of rank 0 to all ranks."""
    if world_size() == 1:
        return
    from torch import distributed

    for values in network.state_dict().values():
        distributed.broadcast(values, 0)


def average_statistics(network: nn.Module) -> None:
    """Average the running statistics of batch norm over all ranks; each rank has seen only its share of the batches.

    In float64 the mean of equal numbers is that number, so that frozen statistics stay as they are.
    """
    if world_size() == 1:
        return
    from torch.nn.modules.batchnorm import _BatchNorm

    for module in network.modules():
        if isinstance(module, _BatchNorm) and module.running_mean is not None and module.running_var is not None:
            for statistic in (module.running_mean, module.running_var):
                statistic.copy_(all_reduce(statistic.double()) / world_size())
