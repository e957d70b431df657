"""Every backbone by name, with every head, at every size that presets use."""

import re

import pytest
import torch

from vtdl_cli.errors import UsageError
from vtdl_cli.models.encoder import Encoder
from vtdl_cli.models.heads import (
    EmbeddingHead,
    LinearClassifier,
    PointwiseClassifier,
    TemporalConvClassifier,
    pool_features,
)
from vtdl_cli.models.zoo import BACKBONES, create_backbone, create_classifier

VARIANTS = [
    ("c3d", None),
    ("i3d", None),
    ("r3d", 10),
    ("r3d", 18),
    ("r3d", 50),
    ("r2p1d", 10),
    ("r2p1d", 18),
    ("r2p1d", 50),
    ("r3d-author", 18),
    ("r2p1d-author", 10),
]


@pytest.mark.parametrize(
    ("name", "depth", "expected"),
    [
        ("c3d", None, 512),
        ("i3d", None, 1024),
        ("r3d", 18, 512),
        ("r2p1d", 18, 512),
        ("r3d", 50, 2048),
    ],
)
def test_build_backbone__feature_dim(name: str, depth: int | None, expected: int) -> None:
    """Oracle: method/README."""
    with torch.device("meta"):
        assert create_backbone(name, depth=depth, width=64).feature_dim == expected


@pytest.mark.parametrize(("name", "depth"), VARIANTS)
def test_build_backbone__every_preset_size(name: str, depth: int | None) -> None:
    """Oracle: the contract: (N, 3, T, H, W) -> (N, feature_dim, t, h, w), embedding (N, 128), logits (N, 51)."""
    with torch.device("meta"), torch.no_grad():
        backbone = create_backbone(name, depth=depth, width=64)
        heads = EmbeddingHead(backbone.feature_dim, 128), create_classifier(name, backbone.feature_dim, 51, 0.5)
        for frames, pixels in ((8, 112), (16, 224), (32, 112), (64, 224)):
            feature_map = backbone(torch.empty(2, 3, frames, pixels, pixels))
            assert pool_features(feature_map).shape == (2, backbone.feature_dim)
            assert [head(feature_map).shape for head in heads] == [(2, 128), (2, 51)]


@pytest.mark.parametrize("name", list(BACKBONES))
def test_encoder__learns_every_parameter(name: str) -> None:
    """Oracle: the contract: thin and real, flow input; every parameter gets a finite gradient, none is unused."""
    torch.manual_seed(0)
    backbone = create_backbone(name, depth=next(iter(BACKBONES[name].depths), None), width=4, in_channels=2)
    for head in (EmbeddingHead(backbone.feature_dim, 4), create_classifier(name, backbone.feature_dim, 3, 0.5)):
        encoder = Encoder(backbone, head)
        encoded = encoder(torch.randn(2, 2, 8, 32, 32))
        gradients = torch.autograd.grad((encoded * torch.randn_like(encoded)).sum(), list(encoder.parameters()))
        assert all(gradient.isfinite().all() for gradient in gradients)


def test_encoder__state_dict_has_two_parts() -> None:
    """Oracle: the contract of checkpoints: parameters are under `backbone.` and `head.`."""
    with torch.device("meta"):
        backbone = create_backbone("r3d", depth=10, width=8)
        keys = Encoder(backbone, EmbeddingHead(backbone.feature_dim, 4)).state_dict()
    assert {key.split(".")[0] for key in keys} == {"backbone", "head"}
    assert {"backbone.layer1.0.conv1.0.weight", "head.linear.weight"} <= set(keys)


def test_build_classifier__by_backbone() -> None:
    """Oracle: method/README: I3D and the authors' R3D have classifiers of their own."""
    assert isinstance(create_classifier("r3d-author", 8, 3, 0.5), PointwiseClassifier)
    assert isinstance(create_classifier("i3d", 8, 3, 0.5), TemporalConvClassifier)
    assert isinstance(create_classifier("c3d", 8, 3, 0.5), LinearClassifier)


@pytest.mark.parametrize(
    ("name", "depth", "says"),
    [
        ("resnet", None, "model.name 'resnet' is not a backbone. Choose one of c3d, r3d, r2p1d, i3d"),
        ("r3d", None, "model.depth is missing: r3d needs one of 10, 18, 50. For example: --set model.depth=10"),
        ("r2p1d", 34, "model.depth '34' is not one of r2p1d. Choose from 10, 18, 50"),
        (
            "c3d",
            50,
            "model.depth '50' does not go with c3d, which has one depth only. Leave it out, or --set model.dep",
        ),
    ],
)
def test_create_backbone__that_does_not_exist(name: str, depth: int | None, says: str) -> None:
    with pytest.raises(UsageError, match=re.escape(says)):
        create_backbone(name, depth=depth, width=64)


@pytest.mark.parametrize("name", BACKBONES)
def test_backbones__take_clips_from_the_least_size_on(name: str) -> None:
    """Oracle: the networks themselves, without numbers."""
    registered = BACKBONES[name]
    least = (registered.min_frames, registered.min_pixels)
    with torch.device("meta"):
        backbone = create_backbone(name, depth=next(iter(registered.depths), None), width=8).eval()

        def takes(frames: int, pixels: int) -> bool:
            try:
                return bool(backbone(torch.empty(1, 3, frames, pixels, pixels)).numel())
            except RuntimeError:
                return False

        assert takes(*least)
        assert not takes(least[0] - 1, least[1])
        assert not takes(least[0], least[1] - 1)
