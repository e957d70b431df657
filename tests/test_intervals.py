"""Intervals held to scipy, to values by hand, to redraws written out, and to how often they hold what is true."""

import numpy as np
import pytest
from scipy.stats import binomtest

from vtdl_cli.intervals import (
    class_mean_interval,
    effective_videos,
    effective_videos_by_group,
    share_interval,
    wilson,
)

Z_SQUARED = 1.959964**2  # of the normal distribution at 97.5%, from a table


def hits(right: int, number: int) -> np.ndarray:
    return np.arange(number) < right


def class_mean(right: np.ndarray, labels: np.ndarray) -> float:
    return 100 * float(np.mean([right[labels == label].mean() for label in np.unique(labels)]))


def test_share_interval__has_width_if_all_or_none_are_correct() -> None:
    """Oracle: by hand: at the ends Wilson's formula is n / (n + z²)."""
    assert share_interval(hits(40, 40)) == pytest.approx([100 * 40 / (40 + Z_SQUARED), 100])
    assert share_interval(hits(0, 10)) == pytest.approx([0, 100 * Z_SQUARED / (10 + Z_SQUARED)])


def test_wilson__equals_scipy_for_integers() -> None:
    """Oracle: scipy."""
    for number in (1, 2, 7, 40, 1000):
        for right in {0, 1, number // 3, number - 1, number}:
            ends = binomtest(right, number).proportion_ci(method="wilson")
            assert wilson(right / number, number) == pytest.approx([100 * ends.low, 100 * ends.high], abs=1e-9)


def test_class_mean_interval__of_classes_of_one_size_is_that_of_the_share() -> None:
    """Oracle: by hand: the two are one number then. With one incorrect class its width is not zero."""
    labels = np.repeat(np.arange(4), 10)
    for right in (labels > 0, labels >= 0, labels < 0, np.arange(40) % 3 > 0):
        assert class_mean_interval(right, labels) == pytest.approx(share_interval(right))


def test_class_mean_interval__at_the_ends_by_hand() -> None:
    """Oracle: by hand: classes of 1, 2 and 3 videos are worth 3² / (1 + 1/2 + 1/3) = 54 / 11 videos."""
    number = 54 / 11
    labels = np.repeat([0, 1, 2], [1, 2, 3])
    low, high = class_mean_interval(np.ones(6, bool), labels)
    assert [low, high] == pytest.approx([100 * number / (number + Z_SQUARED), 100])
    assert class_mean_interval(np.zeros(6, bool), labels) == pytest.approx([0, 100 - low])


def test_class_mean_interval__small_classes_count_for_what_they_are() -> None:
    """Oracle: by hand: weights 1/2 for the only video of class 0, 1/18 for nine of class 1; p = 1/2, and the variance
    is 1/4 (1/4) + 9 (1/18)² (1/4) = 5/72: 3.6 videos, not 10.
    """
    labels = np.repeat([0, 1], [1, 9])
    weights = np.array([1 / 2] + [1 / 18] * 9)
    assert effective_videos(labels == 1, weights) == pytest.approx(3.6)
    assert class_mean_interval(labels == 1, labels) == pytest.approx(wilson(0.5, 3.6))


def test_effective_videos_by_group__by_hand() -> None:
    """Oracle: by hand: alike within groups, n groups are n videos; of one group nothing is known but one video."""
    groups = [str(row // 5) for row in range(50)]
    right = np.array([int(group) < 7 for group in groups])
    weights = np.full(50, 1 / 50)
    assert effective_videos_by_group(right, weights, groups) == pytest.approx(10)
    assert effective_videos_by_group(right, weights, ["one"] * 50) == pytest.approx(1)
    assert share_interval(np.ones(50, bool), groups) == pytest.approx([100 * 10 / (10 + Z_SQUARED), 100])


def test_intervals__hold_the_metric_and_groups_never_narrow_them() -> None:
    """Few groups whose correct and incorrect videos happen to balance would make an interval of zero width."""
    generator = np.random.default_rng(0)
    balanced = np.tile([True, False], 6)
    assert share_interval(balanced, [str(row // 2) for row in range(12)]) == pytest.approx(share_interval(balanced))
    for _ in range(200):
        number = int(generator.integers(1, 40))
        right, labels = generator.random(number) < generator.random(), generator.integers(0, 5, number)
        groups = [str(key) for key in generator.integers(0, 8, number)]
        for metric, alone, grouped in (
            (100 * right.mean(), share_interval(right), share_interval(right, groups)),
            (class_mean(right, labels), class_mean_interval(right, labels), class_mean_interval(right, labels, groups)),
        ):
            assert 0 <= grouped[0] <= alone[0] + 1e-9 <= metric + 2e-9
            assert metric - 2e-9 <= alone[1] - 1e-9 <= grouped[1] <= 100
            assert alone[1] - alone[0] > 5


def test_effective_videos__against_resampling() -> None:
    """Oracle: 4,000 redraws with replacement of all videos, or all groups, whose shares vary by p (1 - p) / n.

    Their deviation is known to about 1%, and a closed form leaves out what is of second order.
    """
    generator = np.random.default_rng(0)
    groups, labels = np.sort(generator.integers(0, 60, 900)), generator.integers(0, 6, 900) ** 2 // 5
    right = generator.random(900) < 0.2 + 0.6 * generator.random(60)[groups]
    _, place, counts = np.unique(labels, return_inverse=True, return_counts=True)
    weights = 1 / (len(counts) * counts[place])

    def variance(units: np.ndarray) -> float:
        whole, part = np.bincount(units, weights), np.bincount(units, weights * right)
        drawn = generator.integers(0, len(whole), (4000, len(whole)))
        return float((part[drawn].sum(1) / whole[drawn].sum(1)).var())

    share = float(weights @ right)
    by_video = share * (1 - share) / variance(np.arange(900))
    assert min(by_video, 1 / (weights**2).sum()) == pytest.approx(effective_videos(right, weights), rel=0.1)
    by_group = share * (1 - share) / variance(groups)
    ours = effective_videos_by_group(right, weights, [str(group) for group in groups])
    assert ours == pytest.approx(by_group * (1.96 / 2.00) ** 2, rel=0.1)  # t of 59 degrees of freedom, from a table
    assert ours < 0.8 * by_video


SIZES = {"equal": [4] * 10, "long tail": [1, 1, 2, 2, 3, 5, 8, 20, 50], "few": [2, 3, 2]}


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("accuracy", ["0.9", "worse where few"])
def test_class_mean_interval__holds_the_truth(sizes: list[int], accuracy: str) -> None:
    """Oracle: 600 lists drawn with known accuracies. At 95% that many hold it 97 times in 100, 3 standard errors below
    are 92.3.
    """
    number = np.array(sizes)
    chances = np.full(len(sizes), 0.9) if accuracy == "0.9" else np.clip(0.4 + number / 20, 0, 0.98)
    labels, generator = np.repeat(np.arange(len(sizes)), number), np.random.default_rng(1)
    held = 0
    for _ in range(600):
        low, high = class_mean_interval(generator.random(len(labels)) < chances[labels], labels)
        held += low <= 100 * chances.mean() <= high
    assert held / 600 > 0.923


def test_share_interval__by_group_holds_the_truth_where_by_video_does_not() -> None:
    """Oracle: 400 lists of 25 recordings of 8 videos, whose chances spread as a beta distribution about 0.7 with an
    intraclass correlation of 0.3. Three standard errors below 95% are 91.7.
    """
    generator, groups = np.random.default_rng(2), [str(row // 8) for row in range(200)]
    strength = 1 / 0.3 - 1
    held = {"group": 0, "video": 0}
    for _ in range(400):
        chances = generator.beta(0.7 * strength, 0.3 * strength, 25).repeat(8)
        right = generator.random(200) < chances
        for by, ends in (("group", share_interval(right, groups)), ("video", share_interval(right))):
            held[by] += ends[0] <= 70 <= ends[1]
    assert held["group"] / 400 > 0.917
    assert held["video"] / 400 < 0.8
