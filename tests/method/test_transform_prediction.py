import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vtdl_cli.method.mutual_learning import MutualLearning, symmetric_divergence
from vtdl_cli.method.transform_prediction import PositionClassifier, TransformPrediction
from vtdl_cli.method.transforms import transform

CLIP = torch.arange(3.0 * 4 * 4).reshape(1, 1, 3, 4, 4)
BATCH, VIDEOS = CLIP.expand(40, -1, -1, -1, -1), torch.arange(40)


class Compass(nn.Module):
    """Recognises the transform of one clip, or guesses."""

    def __init__(self, num_transforms: int, known: bool) -> None:
        super().__init__()
        self.results = transform(CLIP.expand(num_transforms, -1, -1, -1, -1), torch.arange(num_transforms))
        self.known = known

    def forward(self, clips: Tensor) -> Tensor:
        if not self.known:
            return torch.zeros(len(clips), len(self.results))
        number = [next(i for i, each in enumerate(self.results) if torch.equal(each, clip)) for clip in clips]
        return 100.0 * nn.functional.one_hot(torch.tensor(number), len(self.results))


@pytest.mark.parametrize("num_transforms", [4, 8, 16])
def test_transform_prediction__loss_of_who_knows_and_of_who_guesses(num_transforms: int) -> None:
    """Oracle: by hand: 0, and the logarithm of the number of transforms: labels are those of what was shown."""
    torch.manual_seed(0)
    knows, guesses = (
        TransformPrediction(nn.Identity(), Compass(num_transforms, known), num_transforms)(BATCH, BATCH, VIDEOS)
        for known in (True, False)
    )
    assert knows.loss.item() == pytest.approx(0, abs=1e-6)
    assert knows.metrics["transform_top1"].item() == 100
    for found in (guesses.loss, guesses.metrics["chance_loss"]):
        assert found.item() == pytest.approx(math.log(num_transforms))
    assert guesses.metrics["transform_top1"].item() < 60


def test_transform_prediction__consistency_is_that_of_the_maxima() -> None:
    """Oracle: by hand: no transform changes a maximum, so with views of 1 and 3 their MSE is 4."""
    torch.manual_seed(0)
    views = torch.full((5, 1, 2, 3, 3), 1.0), torch.full((5, 1, 2, 3, 3), 3.0)
    task = TransformPrediction(nn.Identity(), Compass(16, known=False), 16, consistency_weight=5.0)
    assert task(*views, torch.arange(5)).loss.item() == pytest.approx(math.log(16) + 5 * 4, rel=1e-6)


@pytest.mark.parametrize("side", [1, 2, 3, 4])
def test_position_classifier__is_pytorchs_adaptive_average(side: int) -> None:
    """Oracle: torch's adaptive average to two places an axis, and its linear layer."""
    torch.manual_seed(0)
    classifier, maps = PositionClassifier(3, 5), torch.rand(2, 3, 2, side, side)
    expected = classifier.linear(nn.functional.adaptive_avg_pool3d(maps, 2).flatten(1))
    torch.testing.assert_close(classifier(maps), expected)


def test_symmetric_divergence__equals_the_slow_sum() -> None:
    """Oracle: NumPy, KL(p || q) + KL(q || p) by their definition."""
    logits, others = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0)).unbind()
    p, q = (np.exp(each) / np.exp(each).sum(1, keepdims=True) for each in (logits.numpy(), others.numpy()))
    expected = ((p * np.log(p / q)).sum(1) + (q * np.log(q / p)).sum(1)).mean()
    assert symmetric_divergence(logits, others).item() == pytest.approx(expected, rel=1e-5)
    assert symmetric_divergence(logits, logits).item() == pytest.approx(0, abs=1e-7)


def test_mutual_learning__agreeing_and_disagreeing_networks() -> None:
    """Oracle: by hand: both know: 0; one guesses: half of ln 4, and half of the weighted divergence."""
    torch.manual_seed(0)
    knows, guesses = (Compass(4, known) for known in (True, False))
    agreeing = MutualLearning(knows, knows, 4)(BATCH, VIDEOS)
    assert agreeing.loss.item() == pytest.approx(0, abs=1e-6)
    assert agreeing.metrics["chance_loss"].item() == pytest.approx(math.log(4))
    divergence = symmetric_divergence(torch.tensor([[100.0, 0, 0, 0]]), torch.zeros(1, 4)).item()
    for weight in (0.0, 10.0):
        step = MutualLearning(knows, guesses, 4, weight)(BATCH, VIDEOS)
        assert step.loss.item() == pytest.approx((math.log(4) + weight * divergence) / 2, rel=1e-5)
