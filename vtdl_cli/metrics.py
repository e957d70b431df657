"""Numbers on scores and features. Accuracies are percentages."""

import numpy as np

BOOTSTRAP_DRAWS = 10_000
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
    queries, gallery = unit(queries), unit(gallery)
    ranked = []
    for rows in np.array_split(np.arange(len(queries)), -(-len(queries) // KNN_ROWS)):
        similarity = queries[rows] @ gallery.T
        if leave_one_out:
            similarity[np.arange(len(rows)), rows] = -np.inf
        ranked.append(np.argsort(-similarity, axis=1, kind="stable")[:, :k])
    return np.concatenate(ranked)


def unit(features: np.ndarray) -> np.ndarray:
    """Features (..., D) at length 1, so that their products are cosines; those of length 0 stay."""
    scaled: np.ndarray = features / np.linalg.norm(features, axis=-1, keepdims=True).clip(1e-12)
    return scaled


def share_interval(hits: np.ndarray, seed: int = 0) -> list[float]:
    """Bootstrap interval (2.5 and 97.5 percentiles, in percent) of the share of `hits`, bool (N,).

    Drawing N of N hits and misses with replacement, and counting hits, is drawing from a binomial distribution.
    """
    counts = np.random.default_rng(seed).binomial(len(hits), hits.mean(), BOOTSTRAP_DRAWS)
    low, high = np.percentile(100 * counts / len(hits), [2.5, 97.5])
    return [float(low), float(high)]


def cluster(features: np.ndarray, num_clusters: int, seed: int) -> np.ndarray:
    """The cluster (N,) of each of (N, D) features of length 1, from 0: k-means, by cosine as kNN is."""
    from sklearn.cluster import KMeans

    labels: np.ndarray = KMeans(num_clusters, n_init=1, random_state=seed).fit_predict(unit(features))
    return labels


def vote(labels: np.ndarray) -> np.ndarray:
    """The class (Q,) that most of the neighbours' classes (Q, k), nearest first, are; the nearest settles a tie."""
    weight = 1 + 2.0 ** -np.arange(10, 10 + labels.shape[1])  # sums differ for any two sets of ranks
    votes = np.zeros((len(labels), labels.max() + 1))
    for rank, column in enumerate(labels.T):
        votes[np.arange(len(labels)), column] += weight[rank]
    winners: np.ndarray = votes.argmax(1)
    return winners
