"""Numbers on scores and features. Accuracies are percentages."""

import numpy as np

KNN_ROWS = 1024  # of the similarity matrix at a time: all of it would be 230 GB for Kinetics
BOOTSTRAP_ENTRIES = 2**22  # of drawn videos at a time


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities over the last axis; what has no entries, such as (B, V, 0), stays as it is."""
    if not logits.size:
        return logits
    powers: np.ndarray = np.exp(logits - logits.max(-1, keepdims=True))
    powers /= powers.sum(-1, keepdims=True)
    return powers


def ranks(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many classes come before the true one, (N,), 0 where it is right; ties count for the lower class.

    Args:
        scores: (N, C), the larger the likelier; finite.
        labels: (N,) integers from 0 to C - 1.
    """
    own = np.take_along_axis(scores, labels[:, None], 1)
    lower = np.arange(scores.shape[1]) < labels[:, None]
    before: np.ndarray = ((scores > own) | ((scores == own) & lower)).sum(1)
    return before


def accuracies(scores: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Overall top-1 and top-5, and top-1 averaged over the classes that occur; arguments as of `ranks`."""
    place = ranks(scores, labels)
    return {
        "top1": 100 * float((place < 1).mean()),
        "top5": 100 * float((place < 5).mean()),
        "mean_class": 100 * float(np.mean([(place[labels == label] < 1).mean() for label in np.unique(labels)])),
    }


def bootstrap_intervals(
    scores: np.ndarray, labels: np.ndarray, *, draws: int = 1000, seed: int = 0
) -> dict[str, list[float]]:
    """What each accuracy could have been with other videos of the same kind: 2.5 and 97.5 percentiles.

    The N videos are drawn anew with replacement (Efron's percentile bootstrap); a class that a draw leaves out does not
    count in its class mean. They say nothing of other trainings.

    Args:
        scores: as of `ranks`.
        labels: likewise.
        draws: of N videos each.
        seed: of the draws.

    Returns:
        Low and high end for each name of `accuracies`, in percent.
    """
    order = np.argsort(labels, kind="stable")
    first = np.unique(labels[order], return_index=True)[1]  # of each class
    place = ranks(scores, labels)[order]
    right, among_five = place < 1, place < 5
    generator = np.random.default_rng(seed)
    readings = []
    for size in _blocks(draws, max(1, BOOTSTRAP_ENTRIES // len(labels))):
        times = generator.multinomial(len(labels), np.full(len(labels), 1 / len(labels)), size)  # (size, N)
        of_class, right_of_class = (np.add.reduceat(part, first, axis=1) for part in (times, times * right))
        with np.errstate(invalid="ignore"):
            class_means = np.nanmean(right_of_class / of_class, axis=1)
        readings.append(np.stack([times @ right / len(labels), times @ among_five / len(labels), class_means]))
    ends = np.percentile(100 * np.concatenate(readings, axis=1), (2.5, 97.5), axis=1)
    return {name: ends[:, row].tolist() for row, name in enumerate(("top1", "top5", "mean_class"))}


def _blocks(total: int, size: int) -> list[int]:
    """`total` in parts of at most `size`."""
    return [min(size, total - begun) for begun in range(0, total, size)]


def confusion(predicted: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Counts (C, C): row the true class, column the predicted one."""
    counts = np.zeros((num_classes, num_classes), np.int64)
    np.add.at(counts, (labels, predicted), 1)
    return counts


def knn_accuracy(features: np.ndarray, labels: np.ndarray, k: int = 5) -> float:
    """Share of videos (N, D), N at least 2, whose class the k nearest others vote for: leave-one-out."""
    ranked = nearest(features, features, k=min(k, len(labels) - 1), leave_one_out=True)
    return 100 * float((vote(labels[ranked]) == labels).mean())


def nearest(queries: np.ndarray, gallery: np.ndarray, *, k: int, leave_one_out: bool = False) -> np.ndarray:
    """The k rows of the gallery that are nearest to each query by cosine, nearest first.

    Args:
        queries: (Q, D).
        gallery: (N, D).
        k: at most N, or N - 1 with `leave_one_out`.
        leave_one_out: queries and gallery are the same videos, and none is its own neighbour.

    Returns:
        int64 (Q, k).
    """
    queries, gallery = (rows / np.linalg.norm(rows, axis=1, keepdims=True).clip(1e-12) for rows in (queries, gallery))
    ranked = []
    for rows in np.array_split(np.arange(len(queries)), -(-len(queries) // KNN_ROWS)):
        similarity = queries[rows] @ gallery.T
        if leave_one_out:
            similarity[np.arange(len(rows)), rows] = -np.inf
        ranked.append(np.argsort(-similarity, axis=1, kind="stable")[:, :k])
    return np.concatenate(ranked)


def cluster(features: np.ndarray, num_clusters: int, seed: int) -> np.ndarray:
    """The cluster (N,) of each of (N, D) features of length 1, from 0: k-means, by cosine as kNN is."""
    from sklearn.cluster import KMeans

    lengths = np.linalg.norm(features, axis=1, keepdims=True).clip(1e-12)
    labels: np.ndarray = KMeans(num_clusters, n_init=1, random_state=seed).fit_predict(features / lengths)
    return labels


def vote(labels: np.ndarray) -> np.ndarray:
    """The class (Q,) that most of the neighbours' classes (Q, k), nearest first, are; the nearest settles a tie."""
    weight = 1 + 2.0 ** -np.arange(10, 10 + labels.shape[1])  # sums differ for any two sets of ranks
    votes = np.zeros((len(labels), labels.max() + 1))
    for rank, column in enumerate(labels.T):
        votes[np.arange(len(labels)), column] += weight[rank]
    winners: np.ndarray = votes.argmax(1)
    return winners
