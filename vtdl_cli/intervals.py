"""95% confidence intervals of accuracies, in percent: the sampling error of the test videos.

All are Wilson intervals (1927), whose width is not zero even if all videos are correct, or none: of a share, with the
number of videos; of a mean over classes, or of videos cut from common recordings, with the effective number of
independent videos. They do not cover the variance between training runs.

Shapes: `N` videos.
"""

from collections.abc import Sequence

import numpy as np

LEVEL = 0.95


def share_interval(hits: np.ndarray, groups: Sequence[str] | None = None) -> list[float]:
    """Return the interval of the share of `hits`, bool (N,); `groups` as for `class_mean_interval`."""
    if groups is not None:
        return _weighted_interval(hits, np.full(len(hits), 1 / len(hits)), groups)
    from scipy.stats import binomtest  # slow to import

    ends = binomtest(int(hits.sum()), len(hits)).proportion_ci(LEVEL, "wilson")
    return [100 * float(ends.low), 100 * float(ends.high)]


def class_mean_interval(hits: np.ndarray, labels: np.ndarray, groups: Sequence[str] | None = None) -> list[float]:
    """Return the interval of the share of hits averaged over classes; with balanced classes, that of the share.

    Args:
        hits: bool (N,).
        labels: (N,).
        groups: N keys of the recordings that videos are cut from; videos of one recording tend to be correct or
            incorrect together. None: each video is a recording of its own.
    """
    _, place, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return _weighted_interval(hits, 1 / (len(counts) * counts[place]), groups)


def _weighted_interval(hits: np.ndarray, weights: np.ndarray, groups: Sequence[str] | None) -> list[float]:
    """Return the interval of the mean of `hits` with `weights` (N,), which sum to 1."""
    number = effective_videos(hits, weights)
    if groups is not None:
        number = min(number, effective_videos_by_group(hits, weights, groups))
    return wilson(_share(hits, weights), number)


def effective_videos(hits: np.ndarray, weights: np.ndarray) -> float:
    """Return the number of videos of equal weight whose share of hits has the variance of this weighted share.

    The variance is that of a ratio, sum w² (x - p)². It may be small by chance, as it is 0 if all are correct; so the
    number is limited by Kish's effective sample size of the weights, 1 / sum w² (Survey Sampling, 1965).
    """
    kish = 1 / (weights**2).sum()
    return float(min(kish, _ratio(hits, weights, weights * (hits - _share(hits, weights)), kish)))


def effective_videos_by_group(hits: np.ndarray, weights: np.ndarray, groups: Sequence[str]) -> float:
    """Return the same number for cluster sampling of G groups, with the variance between groups.

    This is the variance of the share over samples of groups, in closed form. With few groups its estimate is poor, for
    which Korn and Graubard (1998) multiply by (z / t of G - 1 degrees of freedom)². The lower limit is the number if
    all videos of a group were alike, so that each group counted as one video.
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
    """Return Wilson's interval of a share, 0 to 1, of `number` videos; scipy's takes integers only."""
    square = _quantile() ** 2 / number
    centre, half = share + square / 2, np.sqrt(square * share * (1 - share) + square**2 / 4)
    ends = np.array([centre - half, centre + half]) / (1 + square)
    return [float(end) for end in 100 * ends.clip(0, 1)]


def _share(hits: np.ndarray, weights: np.ndarray) -> float:
    return float(weights[hits].sum()) if not hits.all() else 1.0  # not 0.9999 by rounding


def _ratio(hits: np.ndarray, weights: np.ndarray, apart: np.ndarray, at_the_ends: float) -> float:
    """Return p (1 - p) / variance, the sum of squares of `apart`; `at_the_ends` for p = 0 and 1, with no variance."""
    share, variance = _share(hits, weights), float((apart**2).sum())
    if share in (0, 1):
        return at_the_ends
    return share * (1 - share) / variance if variance else np.inf


def _quantile() -> float:
    """Return the quantile z of the normal distribution."""
    from scipy.special import ndtri

    return float(ndtri(0.5 + LEVEL / 2))
