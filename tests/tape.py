"""What a CUDA graph does, on a CPU: operations are recorded once, and repeated on the same memory with the same numbers.

Whatever Python decides while it is recorded is decided for good, and nothing is computed then, as with a GPU's graphs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Tape:
    """A graph as `engine.networks.cuda_graphs.Graph`; `replays` counts over all tapes."""

    replays = 0

    def __init__(self, _before: "Tape | None" = None) -> None:
        self._operations: list[tuple[Any, Any, Any, Any]] = []

    @contextmanager
    def recording(self) -> Iterator[None]:
        with (mode := _Recorder(self._operations)):
            yield
        for tensor, before in mode.met.values():
            tensor.data.copy_(before)  # not a change that autograd should see

    @torch.no_grad()
    def replay(self) -> None:
        Tape.replays += 1
        for function, arguments, options, outputs in self._operations:
            repeated = function(*arguments, **options)
            for output, value in zip(tree_leaves(outputs), tree_leaves(repeated), strict=True):
                if isinstance(output, Tensor) and not _same_memory(output, value):
                    output.copy_(value)


class _Recorder(TorchDispatchMode):
    def __init__(self, operations: list[tuple[Any, Any, Any, Any]]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations, self.made = operations, set[int]()
        self.met: dict[int, tuple[Tensor, Tensor]] = {}  # what was there before, and its values

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for each in tree_leaves((args, kwargs)):
            if isinstance(each, Tensor) and id(each) not in self.made and id(each) not in self.met:
                self.met[id(each)] = each, each.detach().clone()
        outputs = func(*args, **(kwargs or {}))
        self.operations.append((func, args, kwargs or {}, outputs))  # keeps them all: no id is used twice
        self.made |= {id(each) for each in tree_leaves(outputs)}
        return outputs


def _same_memory(one: Tensor, other: Tensor) -> bool:
    return one.data_ptr() == other.data_ptr() and one.shape == other.shape and one.stride() == other.stride()
