"""Metrics of scores and features. Accuracies are percentages."""

from collections.abc import Sequence

import numpy as np

from vtdl_cli.intervals import class_mean_interval, share_interval

ACCURACIES = ("top1", "top5", "mean_class")
"""All keys that `accuracies` may return."""

KNN_ROWS = 1024  # of the similarity matrix at a time; the whole matrix would take 230 GB for Kinetics


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


def hits(scores: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Return which videos are correct, bool (N,), as `top1` and, with more than five classes, `top5`.

    Arguments as for `true_class_ranks`.
    """
    place = true_class_ranks(scores, labels)
    return {f"top{k}": place < k for k in (1, 5) if k == 1 or scores.shape[1] > k}


def accuracies(scores: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return the accuracies of `hits`, and top-1 averaged over the classes that occur; see `true_class_ranks`."""
    found = hits(scores, labels)
    mean_class = np.mean([found["top1"][labels == label].mean() for label in np.unique(labels)])
    return {name: 100 * float(hit.mean()) for name, hit in found.items()} | {"mean_class": 100 * float(mean_class)}


def accuracy_intervals(
    scores: np.ndarray, labels: np.ndarray, groups: Sequence[str] | None = None
) -> dict[str, list[float]]:
    """Return the 95% interval of each of `accuracies`, in percent; `groups` as for `class_mean_interval`."""
    found = hits(scores, labels)
    by_class = class_mean_interval(found["top1"], labels, groups)
    return {name: share_interval(hit, groups) for name, hit in found.items()} | {"mean_class": by_class}


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

    Args:
        queries: (Q, D).
        gallery: (N, D).
        k: at most N, or N - 1 with `leave_one_out`.
        leave_one_out: queries and gallery are the same videos; exclude each video from its own neighbours.

    Returns:
        int64 (Q, k).
    """
    queries, gallery = unit(queries), unit(gallery)
    ranked = []
    for rows in np.array_split(np.arange(len(queries)), -(-len(queries) // KNN_ROWS)):
        similarity = queries[rows] @ gallery.T
        if leave_one_out:
            similarity[np.arange(len(rows)), rows] = -np.inf
        ranked.append(np.argsort(-similarity, axis=1, kind="stable")[:, :k])
    return np.concatenate(ranked)


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
