"""The registry of backbones and classifiers.

Shapes: `N` clips, `C` channels, `T` frames, `H`, `W` pixels; every backbone maps (N, C, T, H, W) -> (N, D, t, h, w).
"""

from collections.abc import Callable

from torch import nn

from vtdl_cli.errors import UsageError
from vtdl_cli.models.c3d import c3d
from vtdl_cli.models.encoder import Backbone
from vtdl_cli.models.heads import LinearClassifier, TemporalConvClassifier
from vtdl_cli.models.i3d import i3d
from vtdl_cli.models.resnet3d import r2p1d, r3d

BACKBONES: dict[str, Callable[..., Backbone]] = {"c3d": c3d, "r3d": r3d, "r2p1d": r2p1d, "i3d": i3d}
WITH_DEPTH = frozenset({"r3d", "r2p1d"})


def create_backbone(name: str, *, depth: int | None, width: int, in_channels: int = 3) -> Backbone:
    """Build a randomly initialised backbone.

    Args:
        name: a key of BACKBONES.
        depth: layers of r3d and r2p1d (10, 18 or 50; None: 18); ignored by c3d and i3d, which have one depth.
        width: channels of the first stage; 64 as published.
        in_channels: 3 for RGB, 2 for optical flow.

    Raises:
        UsageError: an unknown name or depth.
    """
    if name not in BACKBONES:
        raise UsageError(f"backbone '{name}' is unknown. Choose one of {', '.join(BACKBONES)}")
    if name in WITH_DEPTH and depth is not None:
        return BACKBONES[name](depth=depth, width=width, in_channels=in_channels)
    return BACKBONES[name](width=width, in_channels=in_channels)


def create_classifier(name: str, feature_dim: int, num_classes: int, dropout: float) -> nn.Module:
    """Build the classifier of a backbone: (N, D, t, h, w) -> logits (N, num_classes).

    Args:
        name: of the backbone; i3d has its authors' convolution over time, all others a linear layer (README, Method).
        feature_dim: D of the backbone.
        num_classes: number of classes.
        dropout: dropout probability, 0 to 1.
    """
    if name == "i3d":
        return TemporalConvClassifier(feature_dim, num_classes, dropout)
    return LinearClassifier(feature_dim, num_classes, dropout)
