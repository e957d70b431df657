"""Record the kernels of a backbone as CUDA graphs, and replay them: the host launches one graph in place of hundreds of
kernels, which a GPU waits for if they are short (PyTorch, CUDA semantics, CUDA Graphs).

A graph repeats the same kernels on the same memory, with the same numbers. So only the backbone is recorded, which
computes the same in every step; the loss, the queue and the optimizer run as they are.
"""

import weakref
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

from vtdl_cli.models.encoder import Backbone
from vtdl_cli.runtime import Warn

WARM_CALLS = 4
"""Calls of a kind that run unrecorded at first: in two steps of two passes cuDNN has chosen its algorithms, and torch
has compiled what is to be compiled; neither can be recorded."""

MOST_RECORDINGS = 6
"""Recordings of a backbone, each with the memory of a pass: as many passes as one step makes of whole batches, and of
an epoch's last. Any number of shapes may come of unreadable videos."""


class Graph(Protocol):
    """What is recorded once and then repeated on the same memory. Recording does not compute anything."""

    def recording(self) -> AbstractContextManager[Any]:
        """Record what is launched within the context."""

    def replay(self) -> None:
        """Compute it."""


class CUDAGraph:
    """A graph of CUDA kernels.

    Args:
        before: the graph that is always replayed before this one, whose memory it may use again.
    """

    def __init__(self, before: "CUDAGraph | None" = None) -> None:
        self._graph = torch.cuda.CUDAGraph()
        self._stream: torch.cuda.Stream = before._stream if before else torch.cuda.Stream()
        self._pool = before._graph.pool() if before else None

    def recording(self) -> AbstractContextManager[Any]:
        """Record; other threads may go on meanwhile, as the one that pins batches does."""
        return torch.cuda.graph(self._graph, self._pool, self._stream, capture_error_mode="thread_local")

    def replay(self) -> None:
        """Launch it on the current stream."""
        self._graph.replay()


NewGraph = Callable[[Any], Graph]
"""Makes a graph; its argument is the graph of the forward pass for that of the backward pass, else None."""

GRAPHS: dict[str, NewGraph] = {"cuda": CUDAGraph}
"""By the type of the devices that have them."""


def replay_backbones(model: nn.Module, device: torch.device, warn: Warn) -> None:
    """Let the backbones of a model be recorded in their first steps, and replayed thereafter; names of tensors stay.

    Args:
        model: changed in place.
        device: that it is on; where that has no such graphs, the model stays as it is.
        warn: told why something is not recorded.
    """
    new_graph = GRAPHS.get(device.type)
    if new_graph is None:
        warn(f"cuda_graphs has no effect on device '{device.type}': only CUDA GPUs have them")
        return
    for backbone in [each for each in model.modules() if isinstance(each, Backbone)]:
        backbone.forward = Replayed(backbone, warn, new_graph)  # type: ignore[method-assign]  # no parameters: no names


class Kind(NamedTuple):
    """What calls have in common that one recording serves."""

    shape: torch.Size
    dtype: torch.dtype
    autocast: torch.dtype | None
    training: bool
    with_gradients: bool


class Replayed:
    """The forward function of a backbone, recorded for each kind of call, and for each pass of a step with gradients.

    A recording keeps what its backward pass needs in memory of its own. It is taken until that has run, or the result
    is dropped: the query encoder's passes over anchors and negatives are two recordings.

    Runs unrecorded: inference, whose shapes are many; calls beyond MOST_RECORDINGS; clips that need a gradient; under a
    mode that looks at each operation, such as one that counts them; and all calls from then on that recording fails.

    Args:
        backbone: whose `forward` it becomes.
        warn: called once if recording fails.
        new_graph: records and replays.
    """

    def __init__(self, backbone: Backbone, warn: Warn, new_graph: NewGraph) -> None:
        self.unrecorded: Callable[[Tensor], Tensor] = backbone.forward
        self.backbone, self.warn, self.new_graph = backbone, warn, new_graph
        self._met = Counter[Kind]()
        self._recordings = defaultdict[Kind, list[_Recording]](list)
        self._is_recording = self._has_failed = False

    def __call__(self, clips: Tensor) -> Tensor:
        """Map (N, C, T, H, W) -> (N, D, t, h, w)."""
        watched = torch.is_inference_mode_enabled() or is_in_torch_dispatch_mode()
        as_it_is = self._is_recording or watched or clips.requires_grad
        recording = None if as_it_is else self._find(clips)
        return self.unrecorded(clips) if recording is None else recording(clips)

    def _find(self, clips: Tensor) -> "_Recording | None":
        trains = torch.is_grad_enabled() and any(each.requires_grad for each in self.backbone.parameters())
        autocast = torch.get_autocast_dtype(clips.device.type) if torch.is_autocast_enabled(clips.device.type) else None
        kind = Kind(clips.shape, clips.dtype, autocast, self.backbone.training, trains)
        self._met[kind] += 1
        if self._met[kind] <= WARM_CALLS:
            return None
        free = next((each for each in self._recordings[kind] if each.is_free), None)
        if free is None and not self._has_failed and sum(map(len, self._recordings.values())) < MOST_RECORDINGS:
            free = self._record(kind, clips)
        return free

    def _record(self, kind: Kind, clips: Tensor) -> "_Recording | None":
        trained = kind.with_gradients
        weights = {name: each for name, each in self.backbone.named_parameters() if each.requires_grad and trained}
        # cached casts would be of memory that others write to
        cast = torch.autocast(clips.device.type, kind.autocast, kind.autocast is not None, cache_enabled=False)
        self._is_recording = True
        try:
            with cast:
                recording = _Recording(self.backbone, clips, weights, self.new_graph)
        except RuntimeError as error:  # also for want of memory
            self._has_failed = True
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            self.warn(f"{type(self.backbone).__name__} cannot be recorded as a CUDA graph, and runs without: {reason}")
            return None
        finally:
            self._is_recording = False
        self._recordings[kind].append(recording)
        return recording


class _Recording:
    """One pass, forward and, with weights, backward to them.

    It is recorded with leaves of its own in the memory of the weights. Autograd ties a leaf to the stream on which it
    is first used while a graph lives: the weights', by DistributedDataParallel or the step's other passes, to that of
    the training, which may not wait for a stream that is recorded.

    Args:
        backbone: what is recorded.
        clips: (N, C, T, H, W), of the shape, type and layout of all that come.
        weights: of its parameters those that need gradients, by name.
        new_graph: records and replays.
    """

    def __init__(
        self, backbone: nn.Module, clips: Tensor, weights: dict[str, nn.Parameter], new_graph: NewGraph
    ) -> None:
        self.clips, self.weights = clips.clone(), [*weights.values()]
        leaves: dict[str, Tensor] = {name: nn.Parameter(each.detach()) for name, each in weights.items()}
        self.graph = new_graph(None)
        with self.graph.recording():
            output: Tensor = functional_call(backbone, leaves, (self.clips,))
        if weights:
            self.gradient = torch.empty_like(output)  # of the output
            self.backward_graph = new_graph(self.graph)
            with self.backward_graph.recording():
                self.gradients = torch.autograd.grad(output, [*leaves.values()], self.gradient, allow_unused=True)
        self.output = output.detach()
        self._use: Callable[[], _Use | None] = lambda: None

    @property
    def is_free(self) -> bool:
        """Whether nobody needs what it keeps for a backward pass."""
        return self._use() is None

    def __call__(self, clips: Tensor) -> Tensor:
        output: Tensor = _Pass.apply(self, clips, *self.weights) if self.weights else self.forward(clips)
        return output

    def use(self) -> "_Use":
        """Take it until the returned object is dropped."""
        use = _Use()
        self._use = weakref.ref(use)
        return use

    def forward(self, clips: Tensor) -> Tensor:
        """Replay the forward pass; the output is a copy, as the next replay overwrites its own."""
        self.clips.copy_(clips)
        self.graph.replay()
        return self.output.clone()

    def backward(self, gradient: Tensor) -> Iterator[Tensor | None]:
        """Replay the backward pass; yield copies of the gradients: a parameter would keep the memory as its own."""
        self.gradient.copy_(gradient)
        self.backward_graph.replay()
        copies = iter(torch._foreach_mul([each for each in self.gradients if each is not None], 1.0))
        return (None if each is None else next(copies) for each in self.gradients)


class _Use:
    """Exists as long as a backward pass is to come."""


class _Pass(torch.autograd.Function):
    """A recording as autograd sees it: a function of the clips and the weights."""

    @staticmethod
    def forward(ctx: Any, recording: _Recording, clips: Tensor, *_weights: Tensor) -> Tensor:
        ctx.recording, ctx.use = recording, recording.use()
        return recording.forward(clips)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.use is None:
            raise RuntimeError("a recorded backward pass overwrites what it needs: it runs only once")
        ctx.use = None
        return None, None, *ctx.recording.backward(gradient)
