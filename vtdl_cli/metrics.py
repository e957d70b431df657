"""Metrics of scores and features. Accuracies are percentages."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from vtdl_cli.intervals import class_mean_interval, share_interval

KNN_ROWS = 1024  # of the similarity matrix at a time; the whole matrix would take 230 GB for Kinetics
KNN_VALUES = 2**24  # of the similarity matrix at a time, in fewer rows where they are longer: 200 MB with their order


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return probabilities over the last axis; an empty array, such as (B, V, 0), is returned as it is."""
    if not logits.size:
        return logits
    powers: np.ndarray = np.exp(logits - logits.max(-1, keepdims=True))
    powers /= powers.sum(-1, keepdims=True)
    return powers


def true_class_ranks(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the rank (N,) of the true class by score, 0 for a correct prediction; ties favour the lower class.

    Args:
        scores: (N, C), the larger the likelier; finite.
        labels: (N,) integers from 0 to C - 1.
    """
    own = np.take_along_axis(scores, labels[:, None], 1)
    lower = np.arange(scores.shape[1]) < labels[:, None]
    before: np.ndarray = ((scores > own) | ((scores == own) & lower)).sum(1)
    return before


def hits(scores: np.ndarray, labels: np.ndarray, k: int = 1) -> np.ndarray:
    """Return whether each video's class is among the k highest scores, bool (N,); arguments as `true_class_ranks`."""
    found: np.ndarray = true_class_ranks(scores, labels) < k
    return found


def top_k(scores: np.ndarray, labels: np.ndarray, k: int = 1) -> float:
    """Return the top-k accuracy."""
    return 100 * float(hits(scores, labels, k).mean())


def top_k_interval(scores: np.ndarray, labels: np.ndarray, groups: Sequence[str] | None, k: int = 1) -> list[float]:
    """Return the interval of `top_k`."""
    return share_interval(hits(scores, labels, k), groups)


def mean_class(scores: np.ndarray, labels: np.ndarray) -> float:
    """Return the top-1 accuracy averaged over the classes that have videos."""
    found = hits(scores, labels)
    return 100 * float(np.mean([found[labels == label].mean() for label in np.unique(labels)]))


def mean_class_interval(scores: np.ndarray, labels: np.ndarray, groups: Sequence[str] | None) -> list[float]:
    """Return the interval of `mean_class`."""
    return class_mean_interval(hits(scores, labels), labels, groups)


class ClassMetrics(NamedTuple):
    """The metrics of each of C classes, (C,) each.

    Attributes:
        videos: of the class.
        predicted: videos predicted as the class.
        correct: videos of the class predicted as it.
        recall: share of its videos that are correct, in percent; NaN without videos.
        precision: share of the predicted videos that are correct, in percent; NaN if the class was never predicted.
        f1: harmonic mean of both in percent, 2 correct / (videos + predicted): 0 for a class that was never predicted;
            NaN without videos.
    """

    videos: np.ndarray
    predicted: np.ndarray
    correct: np.ndarray
    recall: np.ndarray
    precision: np.ndarray
    f1: np.ndarray


def class_metrics(counts: np.ndarray) -> ClassMetrics:
    """Compute the metrics of each class from a confusion matrix (C, C)."""
    videos, predicted, correct = counts.sum(1), counts.sum(0), counts.diagonal()
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN
        recall, precision = 100 * correct / videos, 100 * correct / predicted
        f1 = np.where(videos > 0, 200 * correct / (videos + predicted), np.nan)
    return ClassMetrics(videos, predicted, correct, recall, precision, f1)


def macro_f1(scores: np.ndarray, labels: np.ndarray) -> float:
    """Return F1 averaged over the classes that have videos; arguments as for `true_class_ranks`.

    It is 0 for a class that is never predicted. A class without videos that is predicted lowers the recall of others,
    and is not averaged over, as in `mean_class`; scikit-learn's default counts it as a 0.
    """
    return float(np.nanmean(class_metrics(confusion(scores.argmax(1), labels, scores.shape[1])).f1))


class Accuracy(NamedTuple):
    """An accuracy, or another percentage of correct predictions, that evaluation measures.

    Attributes:
        title: its name in tables and figures.
        measure: scores (N, C), labels (N,) -> percentage.
        interval: the same with `groups`, as for `class_mean_interval`, -> the ends of its 95% interval; None: it has
            none, since it is not a mean over videos.
        min_classes: with fewer classes it is trivial, and left out.
    """

    title: str
    measure: Callable[[np.ndarray, np.ndarray], float]
    interval: Callable[[np.ndarray, np.ndarray, Sequence[str] | None], list[float]] | None
    min_classes: int = 1


ACCURACIES = {
    "top1": Accuracy("top-1", top_k, top_k_interval),
    "top5": Accuracy("top-5", partial(top_k, k=5), partial(top_k_interval, k=5), min_classes=6),
    "mean_class": Accuracy("class mean", mean_class, mean_class_interval),
    "macro_f1": Accuracy("macro F1", macro_f1, interval=None),
}
"""The registry of accuracies: key in metrics.json -> accuracy."""


def measured(scores: np.ndarray) -> dict[str, Accuracy]:
    """Return the ACCURACIES that are not trivial for scores (N, C)."""
    return {name: each for name, each in ACCURACIES.items() if scores.shape[1] >= each.min_classes}


def accuracies(scores: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Compute all accuracies; arguments as for `true_class_ranks`."""
    return {name: each.measure(scores, labels) for name, each in measured(scores).items()}


def accuracy_intervals(
    scores: np.ndarray, labels: np.ndarray, groups: Sequence[str] | None = None
) -> dict[str, list[float]]:
    """Compute the 95% interval of each accuracy that has one, in percent; `groups` as for `class_mean_interval`."""
    intervals = {name: each.interval for name, each in measured(scores).items()}
    return {name: interval(scores, labels, groups) for name, interval in intervals.items() if interval}


def confusion(predicted: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Return the confusion matrix (C, C), as counts: rows are true classes, columns predicted ones."""
    counts = np.zeros((num_classes, num_classes), np.int64)
    np.add.at(counts, (labels, predicted), 1)
    return counts


def knn_accuracy(features: np.ndarray, labels: np.ndarray, k: int = 5) -> float:
    """Return the leave-one-out accuracy of k-nearest-neighbour classification of features (N, D), N at least 2."""
    ranked = nearest(features, features, k=min(k, len(labels) - 1), leave_one_out=True)
    return 100 * float((vote(labels[ranked]) == labels).mean())


def most_confused(counts: np.ndarray) -> list[int | None]:
    """Return the class that each class of a confusion matrix (C, C) is most often misclassified as; None if never."""
    wrong = counts * (1 - np.eye(len(counts), dtype=counts.dtype))
    return [int(row.argmax()) if row.any() else None for row in wrong]


def nearest(queries: np.ndarray, gallery: np.ndarray, *, k: int, leave_one_out: bool = False) -> np.ndarray:
    """Return the k nearest rows of the gallery for each query by cosine similarity, nearest first.

    Of rows that are equally near, the earlier one in the gallery is nearer.

    Args:
        queries: (Q, D); finite.
        gallery: (N, D); finite.
        k: at most N, or N - 1 with `leave_one_out`.
        leave_one_out: queries and gallery are the same videos; exclude each video from its own neighbours.

    Returns:
        int64 (Q, k).
    """
    queries, gallery = unit(queries), unit(gallery)
    num_rows = min(KNN_ROWS, max(1, KNN_VALUES // len(gallery)))
    ranked = []
    for rows in np.array_split(np.arange(len(queries)), -(-len(queries) // num_rows)):
        similarity = queries[rows] @ gallery.T
        if leave_one_out:
            similarity[np.arange(len(rows)), rows] = -np.inf
        ranked.append(largest(similarity, k))
    return np.concatenate(ranked)


def largest(values: np.ndarray, k: int) -> np.ndarray:
    """Return the columns (Q, k) of the k largest values of each row of (Q, N), in the order of a stable full sort.

    NumPy's partition takes twice torch.topk's time, both small beside the matrix product; probe and retrieve would have
    to import torch for it.
    """
    if k == values.shape[1]:
        return np.argsort(-values, axis=1, kind="stable")
    beyond, chosen = np.split(np.argpartition(values, -k - 1, axis=1)[:, -k - 1 :], [1], axis=1)  # (Q, 1), (Q, k)
    limit = np.take_along_axis(values, beyond, 1)  # (Q, 1), the largest value that is left out
    tied = np.take_along_axis(values, chosen, 1).min(1) == limit[:, 0]
    for row in np.flatnonzero(tied):  # the partition leaves open which of the equal values are taken
        above = np.flatnonzero(values[row] > limit[row])
        chosen[row] = np.append(above, np.flatnonzero(values[row] == limit[row])[: k - len(above)])
    chosen.sort(1)
    order = np.argsort(-np.take_along_axis(values, chosen, 1), axis=1, kind="stable")
    return np.take_along_axis(chosen, order, 1)


LEADING_DIRECTIONS = 10  # of `leading_variance`
RANK_EPSILON = 1e-7  # of RankMe's equation 1


def rank_me(features: np.ndarray) -> float:
    """Return RankMe (arXiv 2210.02885) of features (N, D): their effective rank, from 1 to the lesser of N and D.

    It is the exponential of the entropy of the singular values, which are divided by their sum; nothing is centred.
    """
    singular = np.linalg.svd(features.astype(np.float64), compute_uv=False)
    shares = singular / max(singular.sum(), RANK_EPSILON) + RANK_EPSILON
    return float(np.exp(-(shares * np.log(shares)).sum()))


def leading_variance(features: np.ndarray, directions: int = LEADING_DIRECTIONS) -> float:
    """Return the percentage of the variance of features (N, D) in their first principal directions.

    It is 100 where all features are the same: no direction has any variance.
    """
    centred = features.astype(np.float64) - features.mean(0, dtype=np.float64)
    variances = np.linalg.svd(centred, compute_uv=False) ** 2
    total = float(variances.sum())
    return 100 * float(variances[:directions].sum()) / total if total else 100.0


def unit(features: np.ndarray) -> np.ndarray:
    """Normalise features (..., D) to length 1, so that dot products are cosines; zero vectors stay zero."""
    scaled: np.ndarray = features / np.linalg.norm(features, axis=-1, keepdims=True).clip(1e-12)
    return scaled


def cluster(features: np.ndarray, num_clusters: int, seed: int) -> np.ndarray:
    """Cluster features (N, D) by k-means, normalised to length 1 as for kNN; returns labels (N,) from 0."""
    from sklearn.cluster import KMeans

    labels: np.ndarray = KMeans(num_clusters, n_init=1, random_state=seed).fit_predict(unit(features))
    return labels


def vote(labels: np.ndarray) -> np.ndarray:
    """Return the majority class (Q,) of the neighbours' classes (Q, k), nearest first; the nearest breaks a tie."""
    weight = 1 + 2.0 ** -np.arange(10, 10 + labels.shape[1])  # the sums of any two sets of ranks differ
    votes = np.zeros((len(labels), labels.max() + 1))
    for rank, column in enumerate(labels.T):
        votes[np.arange(len(labels)), column] += weight[rank]
    winners: np.ndarray = votes.argmax(1)
    return winners
