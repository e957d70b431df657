"""95% intervals of accuracies, in percent: what they could have been with other videos of the same kind.

All are Wilson's (1927), which has no zero width where all videos are right, or none: of a share, with the number of
videos; of a mean over classes, or where videos are cut from common recordings, with the number of videos picked one by
one that would tell as much. They say nothing of other trainings.

Shapes: `N` videos.
"""

from collections.abc import Sequence

import numpy as np

LEVEL = 0.95


def share_interval(hits: np.ndarray, groups: Sequence[str] | None = None) -> list[float]:
    """Of the share of `hits`, bool (N,); `groups` are as of `class_mean_interval`."""
    if groups is not None:
        return _weighted_interval(hits, np.full(len(hits), 1 / len(hits)), groups)
    from scipy.stats import binomtest  # slow to import

    ends = binomtest(int(hits.sum()), len(hits)).proportion_ci(LEVEL, "wilson")
    return [100 * float(ends.low), 100 * float(ends.high)]


def class_mean_interval(hits: np.ndarray, labels: np.ndarray, groups: Sequence[str] | None = None) -> list[float]:
    """Of the mean over classes of the share of hits; where all classes have as many videos, that of the share.

    Args:
        hits: bool (N,).
        labels: (N,).
        groups: N keys, one for each recording that videos are cut from: these are right or wrong together. None: each
            video is a recording of its own.
    """
    _, place, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return _weighted_interval(hits, 1 / (len(counts) * counts[place]), groups)


def _weighted_interval(hits: np.ndarray, weights: np.ndarray, groups: Sequence[str] | None) -> list[float]:
    """Of the mean of `hits` under `weights` (N,), which add up to 1."""
    number = effective_videos(hits, weights)
    if groups is not None:
        number = min(number, effective_videos_by_group(hits, weights, groups))
    return wilson(_share(hits, weights), number)


def effective_videos(hits: np.ndarray, weights: np.ndarray) -> float:
    """How many videos of equal weight would give a share of hits with the variance that this weighted one has.

    The variance is that of a ratio, sum w² (x - p)². Where chance makes it small, as it is 0 where all are right,
    Kish's number for the weights alone is the limit, 1 / sum w² (Survey Sampling, 1965).
    """
    kish = 1 / (weights**2).sum()
    return float(min(kish, _ratio(hits, weights, weights * (hits - _share(hits, weights)), kish)))


def effective_videos_by_group(hits: np.ndarray, weights: np.ndarray, groups: Sequence[str]) -> float:
    """The same where whole groups were drawn, G of them: the variance between groups takes the place of that of videos.

    It is what the share varies by if groups are drawn anew, in closed form; of few groups it is known badly, for which
    Korn and Graubard (1998) multiply by (z / t of G - 1 degrees of freedom)². Were all videos of a group alike, the
    groups would count as one video each: no number is lower.
    """
    from scipy.stats import t

    _, place = np.unique(np.asarray(groups), return_inverse=True)
    alike = 1 / (np.bincount(place, weights) ** 2).sum()
    num_groups = int(place.max()) + 1
    if num_groups == 1:
        return float(alike)
    apart = np.bincount(place, weights * (hits - _share(hits, weights))) * np.sqrt(num_groups / (num_groups - 1))
    doubt = (_quantile() / t.ppf(0.5 + LEVEL / 2, num_groups - 1)) ** 2
    return float(max(alike, doubt * _ratio(hits, weights, apart, alike)))


def wilson(share: float, number: float) -> list[float]:
    """Wilson's interval of a share, 0 to 1, of `number` videos, which need not be whole; scipy's takes counts alone."""
    square = _quantile() ** 2 / number
    centre, half = share + square / 2, np.sqrt(square * share * (1 - share) + square**2 / 4)
    ends = np.array([centre - half, centre + half]) / (1 + square)
    return [float(end) for end in 100 * ends.clip(0, 1)]


def _share(hits: np.ndarray, weights: np.ndarray) -> float:
    return float(weights[hits].sum()) if not hits.all() else 1.0  # not 0.9999 by rounding


def _ratio(hits: np.ndarray, weights: np.ndarray, apart: np.ndarray, at_the_ends: float) -> float:
    """p (1 - p) / variance, where the squares of `apart` add up to the variance; at p = 0 and 1 nothing varies."""
    share, variance = _share(hits, weights), float((apart**2).sum())
    if share in (0, 1):
        return at_the_ends
    return share * (1 - share) / variance if variance else np.inf


def _quantile() -> float:
    """z, of the normal distribution."""
    from scipy.special import ndtri

    return float(ndtri(0.5 + LEVEL / 2))
