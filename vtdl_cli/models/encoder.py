"""What a backbone is, and the encoder: a backbone with a head on it.

Shapes: `N` clips, `C` channels, `T` frames, `H`, `W` pixels, `D` feature channels; lower case after the backbone.
"""

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
        names = [name for name, _ in self.named_children()]
        if stage not in names:
            raise UsageError(f"layer '{stage}' is no stage of this backbone. Its stages are {', '.join(names)}")
        return nn.Sequential(*list(self.children())[: names.index(stage) + 1])


class PooledFeatures(nn.Module):
    """Clips (N, C, T, H, W) -> features, as they are extracted: (N, D), or (N, t, D) where time is kept.

    Args:
        trunk: a backbone, or the beginning of one: (N, C, T, H, W) -> (N, D, t, h, w).
        keep_time: average over space alone.
    """

    def __init__(self, trunk: nn.Module, *, keep_time: bool = False) -> None:
        super().__init__()
        self.trunk, self.keep_time = trunk, keep_time

    def forward(self, clips: Tensor) -> Tensor:
        """Average the trunk's map."""
        feature_map = self.trunk(clips)
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
