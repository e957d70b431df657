"""Heads of a backbone: the embedding for pretraining, classifiers for finetuning.

Shapes: `N` clips, `D` feature channels, `t` frames and `h`, `w` pixels of the feature map, `K` classes.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vtdl_cli.models.convolution import Conv3d

NORM_FLOOR = 1e-6
"""Smallest norm that is divided by: keeps an all-zero embedding finite, unlike the authors' x / norm.

MoCo has torch's 1e-12. Trained norms are far above either, so that nothing differs but an embedding that has collapsed.
"""


def at_least_float32(x: Tensor) -> Tensor:
    """Cast half precision, too coarse for means and norms, to float32; leave float32 and float64 as they are."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def pool_features(feature_map: Tensor) -> Tensor:
    """Average over time and space: (N, D, t, h, w) -> (N, D), in float32 at least. These are the extracted features."""
    return feature_map.mean(dim=(2, 3, 4), dtype=torch.promote_types(feature_map.dtype, torch.float32))


def pool_space(feature_map: Tensor) -> Tensor:
    """Average over space only: (N, D, t, h, w) -> (N, t, D), whose mean over t is `pool_features`."""
    return feature_map.mean(dim=(3, 4), dtype=torch.promote_types(feature_map.dtype, torch.float32)).transpose(1, 2)


class EmbeddingHead(nn.Module):
    """Global average, linear, L2 norm (method/README): (N, D, t, h, w) -> (N, embedding_dim) of length 1.

    Args:
        feature_dim: D of the backbone.
        embedding_dim: dimension of the embedding; 128 in the paper.
    """

    def __init__(self, feature_dim: int, embedding_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(feature_dim, embedding_dim)

    def forward(self, feature_map: Tensor) -> Tensor:
        """Embed; the norm is computed in float32, also under mixed precision."""
        embedding = self.linear(pool_features(feature_map))  # (N, embedding_dim)
        return F.normalize(at_least_float32(embedding), dim=1, eps=NORM_FLOOR)


class LinearClassifier(nn.Module):
    """Global average, dropout, linear: (N, D, t, h, w) -> logits (N, K).

    Args:
        feature_dim: D of the backbone.
        num_classes: K.
        dropout: dropout probability, 0 to 1; the authors have none here (C3D and R(2+1)D).
    """

    def __init__(self, feature_dim: int, num_classes: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(feature_dim, num_classes)

    def forward(self, feature_map: Tensor) -> Tensor:
        """Classify: (N, D, t, h, w) -> logits (N, K)."""
        logits: Tensor = self.linear(self.dropout(pool_features(feature_map)))
        return logits


class PointwiseClassifier(nn.Module):
    """The authors' classifier of R3D, a 1x1x1 convolution without bias: (N, D, t, h, w) -> logits (N, K).

    Theirs averages 7x7 pixels, the whole map of a 224-pixel clip, convolves, and averages over time: that is a linear
    map of the global average, as here, which works for any size. The weight has the shape of their `cp.weight`:
    (K, D, 1, 1, 1).

    Args:
        feature_dim: D of the backbone.
        num_classes: K.
        dropout: dropout probability, 0 to 1; the authors have none here.
    """

    def __init__(self, feature_dim: int, num_classes: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.conv3d = Conv3d(feature_dim, num_classes, (1, 1, 1))

    def forward(self, feature_map: Tensor) -> Tensor:
        """Classify: (N, D, t, h, w) -> logits (N, K)."""
        pooled = self.dropout(pool_features(feature_map))  # (N, D)
        logits: Tensor = self.conv3d(pooled[:, :, None, None, None]).flatten(1)
        return logits


class TemporalConvClassifier(nn.Module):
    """The I3D authors' classifier, a convolution over time, averaged: (N, D, t, h, w) -> logits (N, K).

    Theirs averages 7x7 pixels: the whole map of a 224-pixel clip, and more than that of a 112-pixel one. A global
    average is the same at 224 pixels and works for any size. The weight has torch's default init, and the shape of
    their `conv3d_0c_1x1_custom.conv3d.weight`: (K, D, 7, 1, 1).

    Args:
        feature_dim: D of the backbone.
        num_classes: K.
        dropout: dropout probability, 0 to 1; the authors use 0.5.
    """

    def __init__(self, feature_dim: int, num_classes: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.conv3d = Conv3d(feature_dim, num_classes, (7, 1, 1), padding=(3, 0, 0))

    def forward(self, feature_map: Tensor) -> Tensor:
        """Classify: (N, D, t, h, w) -> logits (N, K)."""
        x = at_least_float32(feature_map).mean(dim=(3, 4), keepdim=True)  # (N, D, t, 1, 1)
        if x.shape[2] > 1:  # a single position cannot be averaged with the next
            x = (x[:, :, 1:] + x[:, :, :-1]) / 2  # average pooling, kernel 2, stride 1: (N, D, t - 1, 1, 1)
        logits: Tensor = self.conv3d(self.dropout(x))  # (N, K, t - 1, 1, 1)
        return logits.mean(dim=(2, 3, 4))
