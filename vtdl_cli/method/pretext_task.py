"""What a pretraining method is. `clip_order.py` is the shortest one, and a good start for a new one."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, Self

from torch import Tensor, nn

Sampler = Literal["clip", "pair", "speed", "triplet"]


class Step(NamedTuple):
    """The result of one step: the loss, a scalar with gradient, and metrics, scalars without.

    The end of a metric's name says what it measures: `_top1` and `_top5` are percentages, which the line of each epoch
    shows; `_probability` is from 0 to 1, `_logit` is a score before softmax. `vtdl plot` draws the metrics of a kind
    together.
    `chance_loss` is the loss of a method that has learned nothing: a run whose loss stays there gets a warning.
    """

    loss: Tensor
    metrics: dict[str, Tensor]


@dataclass(frozen=True)
class Context:
    """What a method is built from.

    Attributes:
        num_videos: number of videos in the training list.
        options: the preset's section `method.options`, which the method itself validates.
        new_classifier: number of classes -> randomly initialised encoder, clips (N, C, T, H, W) -> logits (N, classes).
        new_embedder: randomly initialised encoder, clips (N, C, T, H, W) -> unit embeddings (N, D).
        embedding_dim: D.
    """

    num_videos: int
    options: Mapping[str, Any]
    new_classifier: Callable[[int], nn.Module]
    new_embedder: Callable[[], nn.Module]
    embedding_dim: int

    def read_options(self, **defaults: str | float) -> dict[str, Any]:
        """Return the options of a method that has these, with their defaults: words, and numbers of at least 0.

        Raises:
            ValueError: an option is unknown, or of another kind than its default.
        """
        for name, value in self.options.items():
            if name not in defaults:
                raise ValueError(f"'{name}' is not one of its options. Choose from {', '.join(defaults)}")
            if isinstance(defaults[name], str) and not isinstance(value, str):
                raise ValueError(f"{name} '{value}' is not a word")
            if isinstance(defaults[name], float) and not (type(value) in (int, float) and 0 <= value < math.inf):
                raise ValueError(f"{name} '{value}' is not a number of at least 0")
        return {**defaults, **self.options}


class PretextTask(nn.Module):
    """A method. Whatever it keeps between steps is in its state dict, so that a run can be resumed.

    Class attributes, which declare what has to be known before it is built:
        settings: keys of the preset's section `method` that it reads; a section stands for all keys in it. `--set`
            refuses the others.
        sampler: the clips drawn from each video: `clip`, one; `pair`, the same frames twice, each augmented on its own;
            `speed`, one at a random stride; `triplet`, anchor, positive and negative.
        min_clip_len_frames: the shortest clips it works with.
        backbone_name: the submodule that features are taken from.
        trains_embedding: whether the backbone is that of a `Context.new_embedder`, whose head is trained as well.

    Attributes:
        relabel_every: epochs between two clusterings of the videos by their features, see `relabel`; 0: never.
        num_clusters: number of clusters.
    """

    settings: ClassVar[tuple[str, ...]] = ("options",)
    sampler: ClassVar[Sampler] = "clip"
    min_clip_len_frames: ClassVar[int] = 1
    backbone_name: ClassVar[str] = "encoder.backbone"
    trains_embedding: ClassVar[bool] = False

    relabel_every: int = 0
    num_clusters: int = 0

    @classmethod
    def build(cls, context: Context) -> Self:
        """Build the method.

        Raises:
            ValueError: `context.options` are invalid; the message becomes an error line.
        """
        raise NotImplementedError

    @classmethod
    def reads(cls, key: str) -> bool:
        """Whether the method reads a key of the preset's section `method`, such as `queue.size`, or part of `queue`."""
        return any(f"{key}.".startswith(f"{each}.") or f"{each}.".startswith(f"{key}.") for each in cls.settings)

    def forward(self, *clips: Tensor) -> Step:
        """Compute the loss of a batch.

        Args:
            clips: the clips that `sampler` draws, a normalised tensor (N, C, T, H, W) each; after the negative of a
                triplet, bool (N,), whether it shows other frames than the anchor, and after a clip at a random stride,
                (N,) its stride in frames; then (N,) the number of each video in the list.
        """
        raise NotImplementedError

    @property
    def trained_backbone(self) -> nn.Module:
        """The backbone that features are taken from."""
        return self.get_submodule(self.backbone_name)

    def trained_parameters(self) -> Iterator[nn.Parameter]:
        """What the optimizer updates: by default all parameters."""
        return self.parameters()

    def begin_from_backbone(self) -> None:
        """Called before the first step if the backbone was given pretrained weights."""

    def relabel(self, videos: Tensor, labels: Tensor) -> None:
        """Called before an epoch with the cluster `labels` (M,) of `videos` (M,), where `relabel_every` says so."""

    def after_step(self) -> None:
        """Called after each step of the optimizer."""
