"""An epoch in which every class comes equally often, however uneven the list.

Shapes: `N` videos of a list, and as many of an epoch.
"""

import numpy as np
from numpy.random import Generator


def balanced_order(labels: np.ndarray, generator: Generator) -> np.ndarray:
    """Draw an epoch of a list in which each class comes equally often, or once more than others.

    Within a class no video comes twice before each has come once. The classes with one video more are drawn anew for
    each epoch, as are the videos of a class that has more than the epoch has room for.

    Args:
        labels: int (N,), the class of each video; classes without videos are not drawn.
        generator: of the epoch.

    Returns:
        int64 (N,): indices of videos, shuffled; some come several times, others not at all.
    """
    _, sizes = np.unique(labels, return_counts=True)
    classes = np.split(np.argsort(labels, kind="stable"), np.cumsum(sizes)[:-1])
    share, rest = divmod(len(labels), len(classes))
    numbers = share + (generator.permutation(len(classes)) < rest)
    drawn = [_draw(videos, number, generator) for videos, number in zip(classes, numbers.tolist(), strict=True)]
    return generator.permutation(np.concatenate(drawn))


def _draw(videos: np.ndarray, number: int, generator: Generator) -> np.ndarray:
    """Draw so many of a class's videos: all of them as often as possible, then a random part."""
    rounds, rest = divmod(number, len(videos))
    return np.concatenate([np.tile(videos, rounds), generator.permutation(videos)[:rest]])


def count_repeats(order: np.ndarray) -> np.ndarray:
    """Return how often each video of an epoch (N,) has come before in it, int64 (N,)."""
    rows = np.argsort(order, kind="stable")
    by_video = order[rows]
    repeats = np.empty(len(order), np.int64)
    repeats[rows] = np.arange(len(order)) - np.searchsorted(by_video, by_video)
    return repeats
