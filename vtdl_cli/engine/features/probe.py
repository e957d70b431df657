"""Quality of features: kNN and a linear classifier, trained on one file and tested on another."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vtdl_cli.data.hdf5.features import Features
from vtdl_cli.data.lists.splits import draw_per_class
from vtdl_cli.engine.features.pair import read_grouping, read_pair
from vtdl_cli.engine.lists.groups import choose_groups
from vtdl_cli.errors import UsageError
from vtdl_cli.intervals import share_interval
from vtdl_cli.metrics import (
    LEADING_DIRECTIONS,
    accuracies,
    accuracy_intervals,
    leading_variance,
    nearest,
    rank_me,
    vote,
)
from vtdl_cli.runtime import Progress, Reporter
from vtdl_cli.text import counted

NEIGHBOURS = (1, 5, 20)
"""Values of k."""

INVERSE_PENALTIES = (0.01, 0.1, 1.0, 10.0, 100.0)
"""Values of scikit-learn's C, the inverse of the L2 penalty, to choose from."""

FOLDS = 5
"""Of the cross-validation within the training videos that chooses C."""


def probe(
    train: Path,
    test: Path,
    reporter: Reporter,
    *,
    per_class: Sequence[int] = (),
    repeats: int = 5,
    seed: int = 0,
    group_by: str | None = None,
) -> dict[str, Any]:
    """Measure features with all training videos, and few-shot with a few of each class.

    Args:
        train: HDF5 of `vtdl extract`; clips of one video are averaged.
        test: the same, of other videos and by the same network.
        reporter: warns, and shows progress.
        per_class: numbers of training videos of each class, for few-shot accuracies.
        repeats: random draws for each number; one where it is that of all videos in every class.
        seed: of the draws.
        group_by: regex whose first group names the recording that a test video is cut from; none: that of its list.

    Returns:
        Accuracies in percent, `knn@1`, `knn@5`, `knn@20` and `linear_...`, with all training videos, and their
        `intervals` (95%); under `per_class` mean and standard deviation of each over the draws, and the accuracies of
        all `draws`. `knn@k` is left out where there are fewer than k training videos. `rankme` (effective rank) and
        `variance_in_10` (percentage of the variance in ten directions) describe the training features.

    Raises:
        UsageError: a file is no feature file or damaged, or the two do not belong together.
    """
    began = time.monotonic()
    train_features, test_features = read_pair(train, test, reporter)
    classes, counts = np.unique(train_features.labels, return_counts=True)
    if per_class and counts.min() < max(per_class):
        rarest = train_features.label_set.describe(classes[counts.argmin()])
        raise UsageError(
            f"--per-class '{max(per_class)}' exceeds the {counted(counts.min(), 'video')} of class {rarest} "
            f"in '{train}'. "
            "Use at most that"
        )
    result: dict[str, Any] = {"train": str(train), "test": str(test)}
    result |= {"num_train": len(train_features.labels), "num_test": len(test_features.labels)}
    result |= {"dim": train_features.values.shape[1], **measure_spread(train_features)}
    groups = choose_groups(test_features.paths, group_by, read_grouping(test_features), reporter)
    metrics, intervals = measure_features(train_features, test_features, groups.keys(test_features.paths))
    result |= {**metrics, "intervals": intervals, **groups.describe(test_features.paths)}
    if absent := [f"knn@{k}" for k in NEIGHBOURS if k > len(train_features.labels)]:
        size = counted(len(train_features.labels), "video")
        reporter.warn(f"{', '.join(absent)} left out: the training features have {size}")
    if per_class:
        draws = {number: 1 if number == counts.max() else repeats for number in per_class}  # all videos: one draw
        if draws[max(per_class)] < repeats:
            reporter.line(f"--per-class {max(per_class)} is of all training videos: measured once, as draws are equal")
        with reporter.progress(sum(draws.values()), "few-shot") as bar:
            result["per_class"] = {
                str(number): _measure_draws(train_features, test_features, number, range(seed, seed + times), bar)
                for number, times in draws.items()
            }
    return {**result, "seconds": round(time.monotonic() - began, 2)}


def measure_spread(features: Features) -> dict[str, float]:
    """Return how many directions features use: collapsed ones are low in `rankme` and high in `variance_in_10`.

    The rank is at most the number of videos: compare networks on the same list.
    """
    return {
        "rankme": rank_me(features.values),
        f"variance_in_{LEADING_DIRECTIONS}": leading_variance(features.values),
    }


def _measure_draws(
    train: Features, test: Features, number: int, seeds: Sequence[int], bar: Progress
) -> dict[str, dict[str, Any]]:
    """Return each accuracy over draws of `number` training videos a class: mean, sample deviation, and all values."""
    draws = []
    for seed in seeds:
        draws.append(measure_features(train.rows(draw_per_class(train.labels, number, seed)), test)[0])
        bar.advance()
    values = {name: [draw[name] for draw in draws] for name in draws[0]}
    deviations = {name: float(np.std(each, ddof=1)) if len(draws) > 1 else 0.0 for name, each in values.items()}
    return {
        name: {"mean": float(np.mean(each)), "std": deviations[name], "draws": each} for name, each in values.items()
    }


def measure_features(
    train: Features, test: Features, groups: Sequence[str] | None = None
) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Return all accuracies and their intervals, over groups of test videos or, without groups, over videos."""
    voted, (scores, labels) = knn(train, test), linear(train, test)
    metrics = {name: 100 * float(hit.mean()) for name, hit in voted.items()}
    metrics |= {f"linear_{name}": value for name, value in accuracies(scores, labels).items()}
    intervals = {name: share_interval(hit, groups) for name, hit in voted.items()}
    intervals |= {f"linear_{name}": ends for name, ends in accuracy_intervals(scores, labels, groups).items()}
    return metrics, intervals


def knn(train: Features, test: Features) -> dict[str, np.ndarray]:
    """Classify by the vote of the k nearest by cosine: which test videos are correct, bool (N,), for every `knn@k`."""
    numbers = [k for k in NEIGHBOURS if k <= len(train.labels)]
    voters = train.labels[nearest(test.values, train.values, k=max(numbers))]
    return {f"knn@{k}": vote(voters[:, :k]) == test.labels for k in numbers}


def linear(train: Features, test: Features) -> tuple[np.ndarray, np.ndarray]:
    """Classify by logistic regression on standardised features; C is chosen by cross-validation in `train`.

    Returns:
        Scores (N, C) and labels (N,) of the test videos among the C classes that occur; minus infinity for a class
        without training videos.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classes, counts = np.unique(train.labels, return_counts=True)
    if len(classes) < 2:
        raise UsageError(f"features '{train.path}' have one class only: nothing to classify. Extract a longer list")
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    folds = min(FOLDS, int(counts.min()))
    if folds >= 2:  # a class of one video cannot be cross-validated: C stays 1
        grid = {"logisticregression__C": INVERSE_PENALTIES}
        model = GridSearchCV(model, grid, cv=StratifiedKFold(folds, shuffle=True, random_state=0))
    model.fit(train.values, train.labels)
    occurring = np.union1d(classes, test.labels)
    scores = np.full((len(test.labels), len(occurring)), -np.inf)
    scores[:, np.isin(occurring, classes)] = model.predict_proba(test.values)
    return scores, np.searchsorted(occurring, test.labels)
