"""Numbers on scores and features. Accuracies are percentages."""

import numpy as np

KNN_ROWS = 1024  # of the similarity matrix at a time: all of it would be 230 GB for Kinetics


def accuracies(scores: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Overall top-1 and top-5, and top-1 averaged over the classes that occur.

    Args:
        scores: (N, C), the larger the likelier; ties count for the lower class.
        labels: (N,) integers from 0 to C - 1.
    """
    ranked = np.argsort(-scores, axis=1, kind="stable")
    hits = ranked == labels[:, None]  # (N, C)
    return {
        "top1": 100 * float(hits[:, 0].mean()),
        "top5": 100 * float(hits[:, :5].any(1).mean()),
        "mean_class": 100 * float(np.mean([hits[labels == label, 0].mean() for label in np.unique(labels)])),
    }


def confusion(predicted: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Counts (C, C): row the true class, column the predicted one."""
    counts = np.zeros((num_classes, num_classes), np.int64)
    np.add.at(counts, (labels, predicted), 1)
    return counts


def knn_accuracy(features: np.ndarray, labels: np.ndarray, k: int = 5) -> float:
    """Share of videos whose class wins the vote of their k nearest others by cosine; the nearest settles a tie.

    Args:
        features: (N, D), N at least 2.
        labels: (N,).
        k: voters; all others where there are fewer.
    """
    unit = features / np.linalg.norm(features, axis=1, keepdims=True).clip(1e-12)
    k = min(k, len(labels) - 1)
    weight = 1 + 2.0 ** -np.arange(10, 10 + k)  # sums differ for any two sets of ranks
    hits = 0
    for rows in np.array_split(np.arange(len(labels)), -(-len(labels) // KNN_ROWS)):
        similarity = unit[rows] @ unit.T
        similarity[np.arange(len(rows)), rows] = -np.inf  # nobody votes for himself
        nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
        votes = np.zeros((len(rows), labels.max() + 1))
        for rank in range(k):
            votes[np.arange(len(rows)), labels[nearest[:, rank]]] += weight[rank]
        hits += int((votes.argmax(1) == labels[rows]).sum())
    return 100 * hits / len(labels)
