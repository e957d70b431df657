"""Copy tensors to the device; to a GPU on a stream of its own, while it computes."""

from functools import cache

import torch
from torch import Tensor


def to_device(tensors: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Return the tensors on the device, without waiting for the copies.

    A GPU works through a stream in order: on the stream that computes, the copy of a batch would begin only once the
    step before it has ended. On its own it begins at once, as the host is ahead of the GPU by then, and the stream that
    computes waits for it. Their memory comes from pinned tensors, see `data.clips.datasets.Batch`.

    Args:
        tensors: by name, on the CPU.
        device: of the copies; on a CPU they are the tensors themselves.
    """
    if device.type != "cuda":
        return {name: values.to(device) for name, values in tensors.items()}
    return copy_beside(tensors, device, copy_stream(device))


@cache
def copy_stream(device: torch.device) -> torch.cuda.Stream:
    """Return the stream of the copies to a GPU, always the same."""
    return torch.cuda.Stream(device)


def copy_beside(tensors: dict[str, Tensor], device: torch.device, stream: torch.cuda.Stream) -> dict[str, Tensor]:
    """Copy tensors to a GPU on `stream`, which its current stream waits for."""
    computing = torch.cuda.current_stream(device)
    with torch.cuda.stream(stream):
        copies = {name: values.to(device, non_blocking=True) for name, values in tensors.items()}
    computing.wait_stream(stream)
    for values in copies.values():
        values.record_stream(computing)  # else their memory could be taken for the next copy while it is still read
    return copies
