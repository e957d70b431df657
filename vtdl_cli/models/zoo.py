"""The registry of backbones, each with its depths and its classifier.

Shapes: `N` clips, `C` channels, `T` frames, `H`, `W` pixels; every backbone maps (N, C, T, H, W) -> (N, D, t, h, w).
"""

from collections.abc import Callable, Collection
from typing import NamedTuple

import torch
from torch import nn

from vtdl_cli.errors import UsageError
from vtdl_cli.models.author_resnet3d import AUTHOR_DEPTHS, r2p1d_author, r3d_author
from vtdl_cli.models.c3d import c3d
from vtdl_cli.models.encoder import Backbone
from vtdl_cli.models.heads import LinearClassifier, PointwiseClassifier, TemporalConvClassifier
from vtdl_cli.models.i3d import i3d
from vtdl_cli.models.resnet3d import DEPTHS, r2p1d, r3d


class RegisteredBackbone(NamedTuple):
    """A backbone that can be chosen.

    Attributes:
        build: builds it, from `width` and `in_channels`, and `depth` if it has several.
        depths: numbers of layers to choose from; empty: it has a single depth.
        classifier: builds what classifies its feature map, from D, the number of classes, and dropout.
        min_frames, min_pixels: of a clip; of less, a pooling or convolution leaves nothing.
    """

    build: Callable[..., Backbone]
    depths: tuple[int, ...] = ()
    classifier: Callable[[int, int, float], nn.Module] = LinearClassifier
    min_frames: int = 1
    min_pixels: int = 1


BACKBONES = {
    "c3d": RegisteredBackbone(c3d, min_frames=8, min_pixels=16),
    "r3d": RegisteredBackbone(r3d, tuple(DEPTHS)),
    "r2p1d": RegisteredBackbone(r2p1d, tuple(DEPTHS)),
    # the classifier of its authors (method/README)
    "i3d": RegisteredBackbone(i3d, classifier=TemporalConvClassifier, min_frames=2, min_pixels=2),
    "r3d-author": RegisteredBackbone(r3d_author, AUTHOR_DEPTHS, PointwiseClassifier),
    "r2p1d-author": RegisteredBackbone(r2p1d_author, AUTHOR_DEPTHS),
}
"""`model.name` -> the backbone; `-author`: that of VTDL's authors, where it is not torchvision's network."""


def check_backbone(name: str, depth: int | None) -> None:
    """Check that there is such a backbone, and that it has such a depth.

    Raises:
        UsageError: there is not.
    """
    if name not in BACKBONES:
        raise UsageError(f"model.name '{name}' is not a backbone. Choose one of {', '.join(BACKBONES)}")
    depths = BACKBONES[name].depths
    choices = ", ".join(map(str, depths))
    if depths and depth is None:
        raise UsageError(
            f"model.depth is missing: {name} needs one of {choices}. For example: --set model.depth={depths[0]}"
        )
    if depths and depth not in depths:
        raise UsageError(f"model.depth '{depth}' is not one of {name}. Choose from {choices}")
    if not depths and depth is not None:
        rule = f"does not go with {name}, which has one depth only"
        raise UsageError(f"model.depth '{depth}' {rule}. Leave it out, or --set model.depth=null")


def create_backbone(name: str, *, depth: int | None, width: int, in_channels: int = 3) -> Backbone:
    """Build a randomly initialised backbone.

    Args:
        name: a key of BACKBONES.
        depth: number of layers, one of its depths; None if it has a single depth.
        width: channels of the first stage; 64 as published.
        in_channels: 3 for RGB, 2 for optical flow.

    Raises:
        UsageError: there is no such backbone, or no such depth.
    """
    check_backbone(name, depth)
    chosen = {} if depth is None else {"depth": depth}
    return BACKBONES[name].build(**chosen, width=width, in_channels=in_channels)


def is_backbone(names: Collection[str]) -> bool:
    """Whether these are the names of the tensors of one of the backbones, and no others."""
    for name, registered in BACKBONES.items():
        for depth in registered.depths or (None,):
            with torch.device("meta"):  # names alone, which are the same for every width
                if create_backbone(name, depth=depth, width=8).state_dict().keys() == set(names):
                    return True
    return False


def create_classifier(name: str, feature_dim: int, num_classes: int, dropout: float) -> nn.Module:
    """Build the classifier of a backbone: (N, D, t, h, w) -> logits (N, num_classes).

    Args:
        name: of the backbone.
        feature_dim: D of the backbone.
        num_classes: number of classes.
        dropout: dropout probability, 0 to 1.
    """
    return BACKBONES[name].classifier(feature_dim, num_classes, dropout)
