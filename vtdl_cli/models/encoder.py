"""What a backbone is, and the encoder: a backbone with a head on it.

Shapes: `N` clips, `C` channels, `T` frames, `H`, `W` pixels, `D` feature channels; lower case after the backbone.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from vtdl_cli.errors import UsageError
from vtdl_cli.models.heads import pool_features, pool_space


class Backbone(nn.Module):
    """A network (N, C, T, H, W) -> feature map (N, D, t, h, w): its child modules, the stages, one after another.

    Args:
        feature_dim: D, the channels of the last stage's feature map.
    """

    def __init__(self, feature_dim: int) -> None:
        super().__init__()
        self.feature_dim = feature_dim

    def forward(self, clips: Tensor) -> Tensor:
        """Map (N, C, T, H, W) -> (N, D, t, h, w)."""
        x = clips
        for stage in self.children():  # in the order in which the constructor added them
            x = stage(x)
        return x

    def up_to(self, stage: str) -> nn.Sequential:
        """The network that ends with a stage, and has a D of its own: its weights are this one's.

        Raises:
            UsageError: there is no such stage.
        """
        last = choose_layer(self, stage)
        names = [name for name, _ in self.named_children()]
        return nn.Sequential(*list(self.children())[: names.index(last) + 1])


class PooledFeatures(nn.Module):
    """Clips (N, C, T, H, W) -> features, as they are extracted: (N, D), or (N, t, D) where time is kept.

    Args:
        backbone: a backbone, or the beginning of one: (N, C, T, H, W) -> (N, D, t, h, w).
        keep_time: average over space alone.
    """

    def __init__(self, backbone: nn.Module, *, keep_time: bool = False) -> None:
        super().__init__()
        self.backbone, self.keep_time = backbone, keep_time

    def forward(self, clips: Tensor) -> Tensor:
        """Average the backbone's map."""
        feature_map = self.backbone(clips)
        return pool_space(feature_map) if self.keep_time else pool_features(feature_map)


class Encoder(nn.Module):
    """A backbone and a head: embeddings in pretraining, logits in classification.

    Features are `pool_features(encoder.backbone(clips))`, whatever the head.

    Args:
        backbone: (N, C, T, H, W) -> (N, D, t, h, w).
        head: (N, D, t, h, w) -> one vector a clip.
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
    """A stage of the backbone by its name, such as `layer3`; none: the last, whose output is the backbone's.

    Raises:
        UsageError: there is no such stage.
    """
    names = [each for each, _ in backbone.named_children()]
    if name is not None and name not in names:
        raise UsageError(f"layer '{name}' is not one of this backbone. Choose from {', '.join(names)}")
    return name or names[-1]


@contextmanager
def feature_map_of(backbone: Backbone, layer: str) -> Iterator[list[Tensor]]:
    """While it lasts, keep what `layer` makes of all clips that pass: a map (N, channels, t, h, w) for each batch.

    Each is a leaf that asks for its gradient: where gradients are on, what comes after the layer can be differentiated
    by it, and nothing before is kept in memory for that.
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
