"""Compile the backbones and the augmentation of a training; whatever cannot be compiled runs as it is."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from vtdl_cli.data.clips.augmentation import to_clips
from vtdl_cli.data.clips.fused import to_clips_fused
from vtdl_cli.engine.networks.machine import ON_CPU, Machine
from vtdl_cli.models.encoder import Backbone
from vtdl_cli.runtime import Warn

BACKEND = "inductor"  # of torch.compile: fuses operations into kernels that it generates

MOST_SHAPES = 3
"""Shapes of batches for which a function is compiled: that of whole batches, of an epoch's last, and one more. Each
takes up to minutes, and any number of them may come of unreadable videos."""


class Compiled:
    """A function of clips, compiled for each of the first shapes that it meets; other shapes run uncompiled.

    So do those of inference, whose shapes are many, and all calls from then on that compiling fails. That happens
    before anything is computed, so that the call is repeated safely.

    Args:
        function: the shape of its first argument decides.
        name: for warnings.
        warn: called once with the reason if compiling fails, and once if there are too many shapes.
        uncompiled: what runs uncompiled, with the same arguments; none: the function.
    """

    def __init__(
        self,
        function: Callable[..., Tensor],
        name: str,
        warn: Warn,
        uncompiled: Callable[..., Tensor] | None = None,
    ) -> None:
        from torch._dynamo.exc import TorchDynamoException  # takes seconds to import

        self.uncompiled, self.name, self.warn = uncompiled or function, name, warn
        self._compiled = torch.compile(function, dynamic=False, fullgraph=True, backend=BACKEND)
        self._failure = TorchDynamoException
        self._shapes = set[torch.Size]()
        self._has_failed = self._has_warned = False

    def __call__(self, clips: Tensor, *others: Any) -> Tensor:
        """Call the function."""
        if not self._compiles(clips.shape):
            return self.uncompiled(clips, *others)
        try:
            return self._compiled(clips, *others)
        except self._failure as error:
            self._has_failed = True
            self.warn(f"{self.name} cannot be compiled, and runs uncompiled: {_reason(error)}")
            return self.uncompiled(clips, *others)

    def _compiles(self, shape: torch.Size) -> bool:
        if self._has_failed or torch.is_inference_mode_enabled():
            return False
        if shape in self._shapes or len(self._shapes) < MOST_SHAPES:
            self._shapes.add(shape)
            return True
        if not self._has_warned:
            self._has_warned = True
            self.warn(f"{self.name} is compiled for {MOST_SHAPES} shapes of batches; others run uncompiled")
        return False


def _reason(error: BaseException) -> str:
    """Return the innermost cause of a failure, or what torch says of it, in one line."""
    lines = [line.strip() for line in str(getattr(error, "inner_exception", error)).splitlines()]
    return next(filter(None, lines), type(error).__name__)


def compile_backbones(model: nn.Module, warn: Warn) -> None:
    """Compile the backbones of a model in place; the names of its tensors stay.

    What was compiled before in this process is forgotten: torch counts the shapes of all networks of a kind together,
    and of an ablation's third network it would compile none.
    """
    torch.compiler.reset()
    for backbone in [each for each in model.modules() if isinstance(each, Backbone)]:
        compiled = Compiled(backbone.forward, type(backbone).__name__, warn)
        backbone.forward = compiled  # type: ignore[method-assign]  # no parameters: no names


def compile_augmentation(machine: Machine, warn: Warn) -> Machine:
    """Return the machine with a compiled augmentation of RGB; clips that are not augmented, and flow, are as before."""
    compiled = Compiled(to_clips_fused, "the augmentation", warn, uncompiled=_read_back)

    def augment(windows: Tensor, crop_size: int, draws: dict[str, Tensor]) -> Tensor:
        if ON_CPU not in draws:
            return to_clips(windows, crop_size, draws)
        return compiled(
            windows, crop_size, {name: each.to(windows.device, non_blocking=True) for name, each in draws.items()}
        )

    return replace(machine, augment=augment)


def _read_back(windows: Tensor, crop_size: int, draws: dict[str, Tensor]) -> Tensor:
    return to_clips(windows, crop_size, draws | {ON_CPU: draws[ON_CPU].cpu()})
