"""What a backbone is, and the encoder: a backbone with a head on it.

Shapes: `N` clips, `C` channels, `T` frames, `H`, `W` pixels, `D` feature channels; lower case after the backbone.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from vtdl_cli.errors import UsageError


class Backbone(nn.Module):
    """A network (N, C, T, H, W) -> feature map (N, D, t, h, w); it says what its D is.

    Args:
        feature_dim: D, the channels of the feature map.
    """

    def __init__(self, feature_dim: int) -> None:
        super().__init__()
        self.feature_dim = feature_dim


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
    """A direct child of the backbone by its name, such as `layer3`; none: the last, whose output is the backbone's.

    Raises:
        UsageError: it has no such child.
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
