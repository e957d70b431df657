"""The interface of backbones, and the encoder: a backbone with a head.

Shapes: `N` clips, `C` channels, `T` frames, `H`, `W` pixels, `D` feature channels; lower case after the backbone.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from torch import Tensor, nn

from vtdl_cli.errors import UsageError
from vtdl_cli.models.heads import pool_features, pool_space


class Backbone(nn.Module):
    """A network (N, C, T, H, W) -> feature map (N, D, t, h, w): the sequence of its child modules, the layers.

    Args:
        feature_dim: D, the channels of the last layer's feature map.

    Class attributes:
        stages: the first layer of each stage; the layers before them are the stem.
    """

    stages: ClassVar[tuple[str, ...]]

    def __init__(self, feature_dim: int) -> None:
        super().__init__()
        self.feature_dim = feature_dim

    def forward(self, clips: Tensor) -> Tensor:
        """Map (N, C, T, H, W) -> (N, D, t, h, w)."""
        x = clips
        for layer in self.children():  # in the order in which the constructor added them
            x = layer(x)
        return x

    def first_stages(self, number: int) -> dict[str, nn.Module]:
        """Return the layers of the stem and of the first `number` stages, by name; for 0 stages no stem either."""
        layers = dict(self.named_children())
        end = [*layers].index(self.stages[number]) if number < len(self.stages) else len(layers)
        return dict(list(layers.items())[: end if number else 0])

    def up_to(self, layer: str) -> nn.Sequential:
        """Return the network up to and including a layer, with shared weights; its D is that of the layer.

        Raises:
            UsageError: there is no such layer.
        """
        last = choose_layer(self, layer)
        names = [name for name, _ in self.named_children()]
        return nn.Sequential(*list(self.children())[: names.index(last) + 1])


class PooledFeatures(nn.Module):
    """Clips (N, C, T, H, W) -> pooled features, as extracted: (N, D), or (N, t, D) with `keep_time`.

    Args:
        backbone: a backbone, or the first layers of one: (N, C, T, H, W) -> (N, D, t, h, w).
        keep_time: average over space only.
    """

    def __init__(self, backbone: nn.Module, *, keep_time: bool = False) -> None:
        super().__init__()
        self.backbone, self.keep_time = backbone, keep_time

    def forward(self, clips: Tensor) -> Tensor:
        """Pool the backbone's feature map."""
        feature_map = self.backbone(clips)
        return pool_space(feature_map) if self.keep_time else pool_features(feature_map)


class Encoder(nn.Module):
    """A backbone and a head: embeddings in pretraining, logits in classification.

    Features are `pool_features(encoder.backbone(clips))`, whatever the head.

    Args:
        backbone: (N, C, T, H, W) -> (N, D, t, h, w).
        head: (N, D, t, h, w) -> one vector per clip.
    """

    def __init__(self, backbone: Backbone, head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, clips: Tensor) -> Tensor:
        """Encode (N, C, T, H, W) -> (N, embedding channels or classes)."""
        encoded: Tensor = self.head(self.backbone(clips))
        return encoded


def choose_layer(backbone: Backbone, name: str | None) -> str:
    """Return the name of a layer, such as `layer3`, if the backbone has it; None: the last, which is its output.

    Raises:
        UsageError: there is no such layer.
    """
    names = [each for each, _ in backbone.named_children()]
    if name is not None and name not in names:
        raise UsageError(f"layer '{name}' is not one of this backbone. Choose from {', '.join(names)}")
    return name or names[-1]


@contextmanager
def feature_map_of(backbone: Backbone, layer: str) -> Iterator[list[Tensor]]:
    """Record the output of `layer` within the context: one feature map (N, channels, t, h, w) per batch.

    Each is a leaf that requires a gradient: with gradients enabled, the network's output can be differentiated with
    respect to it, and the graph before the layer is not kept in memory.
    """
    maps: list[Tensor] = []

    def keep(_layer: nn.Module, _clips: tuple[Tensor, ...], output: Tensor) -> Tensor:
        maps.append(output.detach().requires_grad_())
        return maps[-1]

    handle = backbone.get_submodule(layer).register_forward_hook(keep)
    try:
        yield maps
    finally:
        handle.remove()
