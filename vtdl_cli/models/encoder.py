"""What a backbone is, and the encoder: a backbone with a head on it.

Shapes: `N` clips, `C` channels, `T` frames, `H`, `W` pixels, `D` feature channels; lower case after the backbone.
"""

from torch import Tensor, nn


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
