"""Numbers on scores and features. Accuracies are percentages."""

import numpy as np


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
    """Share of videos whose class wins the vote of their k nearest others by cosine; nearer ones settle a tie.

    Args:
        features: (N, D), N at least 2.
        labels: (N,).
    """
    unit = features / np.linalg.norm(features, axis=1, keepdims=True).clip(1e-12)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -np.inf)  # nobody votes for himself
    k = min(k, len(labels) - 1)
    nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
    votes = np.zeros((len(labels), labels.max() + 1))
    for rank in range(k):
        votes[np.arange(len(labels)), labels[nearest[:, rank]]] += 1 + 1e-6 * (k - rank)
    return 100 * float((votes.argmax(1) == labels).mean())
