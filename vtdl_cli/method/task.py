"""What pretraining asks of a method. `clip_order.py` is the shortest there is, to begin a new one from."""

from collections.abc import Iterator
from typing import NamedTuple

from torch import Tensor, nn


class Step(NamedTuple):
    """One step's result: the loss, a scalar with gradient, and metrics, scalars without.

    A metric `chance_loss` says what the loss is where nothing is told apart, if that is known: who stays there learns
    nothing, and is warned of.
    """

    loss: Tensor
    metrics: dict[str, Tensor]


class Task(nn.Module):
    """A method: all that it keeps between steps is in its state dict, so that a run can be resumed.

    Attributes:
        backbone_name: where in it the backbone is that features are taken from.
        relabel_every: epochs between two clusterings of the videos by their features, whose labels `relabel` is given
            before the epoch; 0: the method has no use for them.
    """

    backbone_name = "encoder.backbone"
    relabel_every: int = 0

    def forward(self, *clips: Tensor) -> Step:
        """The loss of one batch.

        Args:
            clips: one tensor (N, C, T, H, W) for each clip that the method's sampler draws of a video, normalised; then
                (N,) a number for each video.
        """
        raise NotImplementedError

    @property
    def trained_backbone(self) -> nn.Module:
        """The backbone that features are taken from."""
        return self.get_submodule(self.backbone_name)

    def trained_parameters(self) -> Iterator[nn.Parameter]:
        """What the optimiser moves: by default everything."""
        return self.parameters()

    def begin_from_backbone(self) -> None:
        """Take notice that the backbone has been given other weights before the first step."""

    def relabel(self, videos: Tensor, labels: Tensor) -> None:
        """Take the clusters `labels` (M,) of `videos` (M,)."""

    def after_step(self) -> None:
        """What else changes once the optimiser has made its step: by default nothing."""
