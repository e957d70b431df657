"""Heads against values worked out by hand."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vtdl_cli.models.heads import EmbeddingHead, LinearClassifier, TemporalConvClassifier, pool_features


def test_pool_features__by_hand() -> None:
    """Oracle: by hand: 0 to 7 average 3.5, 8 to 15 average 11.5; bf16 comes back as float32, unrounded."""
    feature_map = torch.arange(16.0).reshape(1, 2, 2, 2, 2)
    assert pool_features(feature_map).tolist() == [[3.5, 11.5]]
    halves = torch.tensor([256.0, 258.0], dtype=torch.bfloat16).reshape(1, 1, 2, 1, 1)  # 257 is no bf16 number
    assert pool_features(halves).tolist() == [[257.0]]
    assert pool_features(halves).dtype == torch.float32


def test_embedding_head__by_hand() -> None:
    """Oracle: by hand: features (1, 2) through the weights below are (3, 4), of length 5."""
    head = EmbeddingHead(2, 2)
    head.load_state_dict({"linear.weight": torch.tensor([[1.0, 1.0], [0.0, 2.0]]), "linear.bias": torch.zeros(2)})
    feature_map = torch.tensor([1.0, 2.0]).reshape(1, 2, 1, 1, 1).expand(1, 2, 3, 4, 4)
    torch.testing.assert_close(head(feature_map), torch.tensor([[0.6, 0.8]]))


def test_embedding_head__zero_stays_finite() -> None:
    """Oracle: by hand: a zero vector has no direction, and stays zero; its gradient is finite too."""
    head = EmbeddingHead(2, 3)
    head.load_state_dict({"linear.weight": torch.ones(3, 2), "linear.bias": torch.zeros(3)})
    feature_map = torch.zeros(1, 2, 1, 1, 1, requires_grad=True)
    embedding = head(feature_map)
    assert embedding.tolist() == [[0.0, 0.0, 0.0]]
    (gradient,) = torch.autograd.grad(embedding.sum(), feature_map)
    assert gradient.isfinite().all()


def test_embedding_head__unit_length_under_autocast() -> None:
    """Oracle: the definition: length 1 to float32's accuracy, which a bf16 norm would miss by up to 2^-9."""
    torch.manual_seed(0)
    with torch.autocast("cpu", torch.bfloat16):
        embedding = EmbeddingHead(64, 128)(torch.randn(8, 64, 2, 3, 3).bfloat16())
    assert embedding.dtype == torch.float32
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(8), rtol=0, atol=1e-6)


def test_linear_classifier__by_hand() -> None:
    """Oracle: by hand: average 3.5, times (1, 2), plus (0.5, -1)."""
    classifier = LinearClassifier(1, 2, dropout=0.5).eval()
    classifier.load_state_dict({"linear.weight": torch.tensor([[1.0], [2.0]]), "linear.bias": torch.tensor([0.5, -1])})
    assert classifier(torch.arange(8.0).reshape(1, 1, 2, 2, 2)).tolist() == [[4.0, 6.0]]


def test_linear_classifier__drops_in_training() -> None:
    """Oracle: the definition: dropout 1 leaves the bias alone, in training only."""
    classifier = LinearClassifier(4, 2, dropout=1.0)
    feature_map = torch.ones(3, 4, 1, 1, 1)
    assert (classifier(feature_map) == classifier.linear.bias).all()
    assert (classifier.eval()(feature_map) != classifier.linear.bias).any()


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ([5.0], 4 * 5.0),  # one frame: only the centre tap, weight 4
        ([1.0, 3.0], 4 * 2.0),  # pooled to one frame of 2
        # pooled to 2, 4: first output 4 * 2 + 5 * 4 = 28, second 3 * 2 + 4 * 4 = 22, mean 25
        ([1.0, 3.0, 5.0], 25.0),
    ],
)
def test_temporal_classifier__by_hand(frames: list[float], expected: float) -> None:
    """Oracle: by hand: taps 1 to 7, zeros beyond both ends, averages of neighbouring frames, mean over time."""
    classifier = TemporalConvClassifier(1, 1, dropout=0.5).eval()
    classifier.load_state_dict({"conv3d.weight": torch.arange(1.0, 8.0).reshape(1, 1, 7, 1, 1)})
    feature_map = torch.tensor(frames).reshape(1, 1, -1, 1, 1).expand(1, 1, -1, 4, 4)
    assert classifier(feature_map).tolist() == [[pytest.approx(expected)]]


def authors_classifier(feature_map: Tensor, weight: Tensor) -> Tensor:
    """The authors' classifier at 224 pixels, layer by layer (method/README)."""
    pooled = F.avg_pool3d(feature_map, (2, 7, 7), stride=(1, 1, 1))
    return F.conv3d(F.pad(pooled, (0, 0, 0, 0, 3, 3)), weight).squeeze(3).squeeze(3).mean(2)


@pytest.mark.parametrize("frames", [2, 8, 9])
def test_temporal_classifier__equals_authors_at_224(frames: int) -> None:
    """Oracle: method/README written out with torch's poolings, on the 7x7 pixels of a 224-pixel clip."""
    torch.manual_seed(0)
    classifier = TemporalConvClassifier(6, 5, dropout=0.5).eval()
    feature_map = torch.randn(2, 6, frames, 7, 7)
    expected = authors_classifier(feature_map, classifier.conv3d.weight)
    torch.testing.assert_close(classifier(feature_map), expected)


@pytest.mark.parametrize("frames", [1, 2, 4, 8])
def test_temporal_classifier__bf16_gradient(frames: int) -> None:
    """Oracle: the fp32 gradient, on the 4x4 pixels of a 112-pixel clip; bf16 rounds by 2^-9, 2% leaves room."""
    torch.manual_seed(0)
    classifier = TemporalConvClassifier(16, 5, dropout=0.0)
    feature_map = torch.randn(4, 16, frames, 4, 4)
    target = torch.randn(4, 5)
    (expected,) = torch.autograd.grad((classifier(feature_map) * target).sum(), classifier.conv3d.weight)
    with torch.autocast("cpu", torch.bfloat16):
        logits = classifier(feature_map)
    (actual,) = torch.autograd.grad((logits * target).sum(), classifier.conv3d.weight)
    assert (actual - expected).norm() < 0.02 * expected.norm()
