"""Compile the backbones of a training; whatever cannot be compiled runs as it is."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from vtdl_cli.models.encoder import Backbone
from vtdl_cli.runtime import Warn

BACKEND = "inductor"  # of torch.compile: fuses operations into kernels that it generates

MOST_SHAPES = 3
"""Shapes of batches for which a function is compiled: that of whole batches, of an epoch's last, and one more. Each
takes up to minutes, and any number of them may come of unreadable videos."""


class Compiled:
    """A function of clips, compiled for each of the first shapes that it meets; calls of other shapes run uncompiled.

    So do those of inference, whose shapes are many, and all calls from then on that compiling fails. That happens
    before anything is computed, so that the call is repeated safely.

    Args:
        function: the shape of its argument decides.
        name: for warnings.
        warn: called once with the reason if compiling fails, and once if there are too many shapes.
    """

    def __init__(self, function: Callable[[Tensor], Tensor], name: str, warn: Warn) -> None:
        from torch._dynamo.exc import TorchDynamoException  # takes seconds to import

        self.function, self.name, self.warn = function, name, warn
        self._compiled = torch.compile(function, dynamic=False, backend=BACKEND)
        self._failure = TorchDynamoException
        self._shapes = set[torch.Size]()
        self._has_failed = self._has_warned = False

    def __call__(self, clips: Tensor) -> Tensor:
        """Call the function."""
        if not self._compiles(clips.shape):
            return self.function(clips)
        try:
            return self._compiled(clips)
        except self._failure as error:
            self._has_failed = True
            self.warn(f"{self.name} cannot be compiled, and runs uncompiled: {_reason(error)}")
            return self.function(clips)

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
    """Compile the backbones of a model in place; the names of its tensors stay."""
    for backbone in [each for each in model.modules() if isinstance(each, Backbone)]:
        compiled = Compiled(backbone.forward, type(backbone).__name__, warn)
        backbone.forward = compiled  # type: ignore[method-assign]  # no parameters: no names
