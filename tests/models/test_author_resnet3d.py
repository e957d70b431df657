"""The authors' R3D and R(2+1)D against their code, written out in tests/author_networks.py."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.author_networks import r2p1d_map, r2p1d_state, r3d_logits, r3d_map, r3d_state
from vtdl_cli.engine.weights.author_names import rename_author
from vtdl_cli.models.author_resnet3d import r2p1d_author, r3d_author
from vtdl_cli.models.heads import PointwiseClassifier
from vtdl_cli.models.resnet3d import ResNet3D

NETWORKS = {"r3d-author": (r3d_author, r3d_state, r3d_map), "r2p1d-author": (r2p1d_author, r2p1d_state, r2p1d_map)}
BLOCKS = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2)}


@pytest.mark.parametrize("depth", BLOCKS)
@pytest.mark.parametrize("name", NETWORKS)
def test_author_networks__against_reference(name: str, depth: int) -> None:
    """Oracle: their forward pass with torch's functions, on random weights of their names; the last map has T = 1."""
    build, make_state, compute_map = NETWORKS[name]
    torch.manual_seed(0)
    state = make_state(4, BLOCKS[depth])
    backbone = build(depth, width=4).eval()
    backbone.load_state_dict({rename_author(key, name): tensor for key, tensor in state.items()})  # strict
    clips = torch.randn(2, 3, 9, 50, 64)
    with torch.inference_mode():
        torch.testing.assert_close(backbone(clips), compute_map(state, clips), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("build", "depth", "expected"),
    [(r3d_author, 18, 33_203_904), (r2p1d_author, 18, 33_178_423), (r2p1d_author, 10, 14_365_303)],
)
def test_author_networks__count_the_authors_parameters(
    build: Callable[[int], ResNet3D], depth: int, expected: int
) -> None:
    """Oracle: parameters of their networks without heads, counted in their code."""
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in build(depth).parameters()) == expected


@pytest.mark.parametrize(
    ("build", "sizes"),
    [
        (r3d_author, [(8, 28, 28), (8, 28, 28), (4, 14, 14), (2, 7, 7), (1, 4, 4)]),
        (r2p1d_author, [(16, 56, 56), (16, 56, 56), (8, 28, 28), (4, 14, 14), (2, 7, 7)]),
    ],
)
def test_author_networks__stage_shapes(build: Callable[[], ResNet3D], sizes: list[tuple[int, int, int]]) -> None:
    """Oracle: by hand, of a clip of 16x112x112; their R3D ends in 1x4x4 (method/README)."""
    with torch.device("meta"):
        backbone, x = build(), torch.empty(1, 3, 16, 112, 112)
    for stage, size in zip(backbone.children(), sizes, strict=True):
        x = stage(x)
        assert x.shape[2:] == size
    assert x.shape[1] == backbone.feature_dim == 512


def test_r2p1d_author__mid_channels() -> None:
    """Oracle: by hand, the formula of arXiv 1711.11248, 3.5: 83 in the stem; in layer2, 230 from 64 and 288 from 128
    channels; 42 in its 1x1x1 shortcut; with flow, 147 * 2 * 64 / (49 * 2 + 3 * 64) = 64 in the stem."""
    with torch.device("meta"):
        weights = r2p1d_author(10).state_dict()
        assert r2p1d_author(10, in_channels=2).state_dict()["stem.0.weight"].shape == (64, 2, 1, 7, 7)
    firsts = ("stem", "layer2.0.conv1.0", "layer2.0.conv2.0", "layer2.0.downsample.0")
    assert [len(weights[f"{first}.0.weight"]) for first in firsts] == [83, 230, 288, 42]


def test_pointwise_classifier__equals_authors_at_224() -> None:
    """Oracle: their poolings and convolution, on the 4x7x7 map of 64 frames of 224 pixels."""
    torch.manual_seed(0)
    classifier = PointwiseClassifier(6, 5, dropout=0.5).eval()
    feature_map = torch.randn(2, 6, 4, 7, 7)
    expected: Tensor = r3d_logits(feature_map, classifier.conv3d.weight)
    torch.testing.assert_close(classifier(feature_map), expected)
