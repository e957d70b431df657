"""What features are worth: nearest neighbours and a linear classifier, learnt on one file and tested on another."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vtdl_cli.data.hdf5.features import Features
from vtdl_cli.data.lists.splits import draw_per_class
from vtdl_cli.engine.features.pair import read_pair, recorded_in
from vtdl_cli.engine.lists.groups import choose_groups
from vtdl_cli.errors import UsageError
from vtdl_cli.intervals import share_interval
from vtdl_cli.metrics import accuracies, accuracy_intervals, nearest, vote
from vtdl_cli.runtime import Progress, Reporter

NEIGHBOURS = (1, 5, 20)
STRENGTHS = (0.01, 0.1, 1.0, 10.0, 100.0)
"""Of logistic regression: scikit-learn's C, the inverse of the weight decay."""
HELD_OUT = 5  # folds; each takes its turn as the part of the training videos that C is chosen on


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
    """Measure the features of `test` by those of `train`, once with all training videos and once for each low shot.

    Args:
        train: HDF5 of `vtdl extract`; clips of one video are averaged.
        test: the same, of other videos and by the same network.
        per_class: numbers of training videos of each class, for low-shot metrics.
        repeats: draws of each low shot.
        seed: of the draws.
        group_by: a regex, whose first group names the recording that a test video is cut from; none: that of its list.

    Returns:
        Accuracies in percent, `knn@1`, `knn@5`, `knn@20` and `linear`, with all training videos, and their `intervals`
        (95%); under `per_class` mean and deviation of each over the draws. Where there are fewer videos than voters,
        `knn` is left out.

    Raises:
        UsageError: a file holds no features, or the two do not belong together.
    """
    began = time.monotonic()
    known, unknown = read_pair(train, test, reporter)
    classes, counts = np.unique(known.labels, return_counts=True)
    if per_class and counts.min() < max(per_class):
        rarest = known.label_set.describe(classes[counts.argmin()])
        raise UsageError(
            f"--per-class '{max(per_class)}' is more than class {rarest} of '{train}' has: "
            f"{counts.min()} videos. Use at most that"
        )
    result: dict[str, Any] = {"train": str(train), "test": str(test)}
    result |= {"num_train": len(known.labels), "num_test": len(unknown.labels), "dim": known.values.shape[1]}
    groups = choose_groups(unknown.paths, group_by, recorded_in(unknown), reporter)
    metrics, intervals = measure(known, unknown, groups.keys(unknown.paths))
    result |= {**metrics, "intervals": intervals, **groups.describe(unknown.paths)}
    if absent := [f"knn@{k}" for k in NEIGHBOURS if k > len(known.labels)]:
        reporter.warn(f"{', '.join(absent)} is left out: '{train}' has {len(known.labels)} videos")
    if per_class:
        with reporter.progress(len(per_class) * repeats, "low shot") as bar:
            result["per_class"] = {
                str(number): dict(_spread([_draw(known, unknown, number, seed + draw, bar) for draw in range(repeats)]))
                for number in per_class
            }
    return {**result, "seconds": round(time.monotonic() - began, 2)}


def _draw(known: Features, unknown: Features, number: int, seed: int, bar: Progress) -> dict[str, float]:
    metrics, _ = measure(known.rows(draw_per_class(known.labels, number, seed)), unknown)
    bar.advance()
    return metrics


def measure(
    known: Features, unknown: Features, groups: Sequence[str] | None = None
) -> tuple[dict[str, float], dict[str, list[float]]]:
    """All accuracies of one pair, and the interval of each, where test videos of a group go together."""
    voted, (scores, labels) = knn(known, unknown), linear(known, unknown)
    metrics = {name: 100 * float(hit.mean()) for name, hit in voted.items()}
    metrics |= {f"linear_{name}": value for name, value in accuracies(scores, labels).items()}
    intervals = {name: share_interval(hit, groups) for name, hit in voted.items()}
    intervals |= {f"linear_{name}": ends for name, ends in accuracy_intervals(scores, labels, groups).items()}
    return metrics, intervals


def knn(known: Features, unknown: Features) -> dict[str, np.ndarray]:
    """Which test videos the nearest by cosine vote right, bool (N,), for every number of voters that there are."""
    numbers = [k for k in NEIGHBOURS if k <= len(known.labels)]
    voters = known.labels[nearest(unknown.values, known.values, k=max(numbers))]
    return {f"knn@{k}": vote(voters[:, :k]) == unknown.labels for k in numbers}


def linear(known: Features, unknown: Features) -> tuple[np.ndarray, np.ndarray]:
    """Logistic regression on standardised features; its strength is chosen within the training videos.

    Returns:
        Scores (N, C) and labels (N,) of the test videos among the C classes that occur, minus infinity where a class
        has no training video.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classes, counts = np.unique(known.labels, return_counts=True)
    if len(classes) < 2:
        raise UsageError(f"features '{known.path}' hold one class only: there is nothing to tell apart")
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    folds = min(HELD_OUT, int(counts.min()))
    if folds >= 2:  # with one video of a class none can be held out, and C stays 1
        grid = {"logisticregression__C": STRENGTHS}
        model = GridSearchCV(model, grid, cv=StratifiedKFold(folds, shuffle=True, random_state=0))
    model.fit(known.values, known.labels)
    occurring = np.union1d(classes, unknown.labels)
    scores = np.full((len(unknown.labels), len(occurring)), -np.inf)
    scores[:, np.isin(occurring, classes)] = model.predict_proba(unknown.values)
    return scores, np.searchsorted(occurring, unknown.labels)


def _spread(draws: Sequence[dict[str, float]]) -> Iterator[tuple[str, dict[str, float]]]:
    """Mean and sample deviation of every metric."""
    for name in draws[0]:
        values = [draw[name] for draw in draws]
        yield name, {"mean": float(np.mean(values)), "std": float(np.std(values, ddof=1)) if len(values) > 1 else 0.0}
