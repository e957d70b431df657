"""Statistics over the seeds of an ablation: means, paired differences, and which of them are beyond chance.

Each seed gives one value of a metric for every row. The rows of one seed share videos, draws of labels and the random
numbers of weight init, so that differences are paired by seed. All tests are two-sided. `vtdl demo`, which has one
seed, compares draws of labels in the same way.

Shapes: `S` seeds, or draws.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from vtdl_cli.intervals import LEVEL
from vtdl_cli.text import counted

Values = Mapping[str, Mapping[str, Sequence[float]]]
"""Metric -> row -> a value for each seed, (S,). A metric may lack rows in which it is not measured."""

NO_SPREAD = 1e-9  # values that differ by less are the same, but for rounding

Pair = tuple[str, str]
"""A row and the one that it is compared with."""


class Estimate(NamedTuple):
    """A mean over seeds.

    Attributes:
        mean: the mean.
        interval: its 95% interval by Student's t; none for one seed, or where all have the same value.
    """

    mean: float
    interval: list[float] | None


class Difference(NamedTuple):
    """The mean paired difference of a row to the reference.

    Attributes:
        mean: the mean of the differences by seed.
        interval: its 95% interval by Student's t, not corrected for the number of comparisons; none for one seed, or
            where the differences do not vary.
        p: of the paired t test; none where the differences do not vary, whose distribution is then unknown.
        p_holm: corrected for all comparisons (Holm 1979).
    """

    mean: float
    interval: list[float] | None
    p: float | None
    p_holm: float | None

    def __str__(self) -> str:
        return f"{self.mean:+.1f}{self.half}"

    @property
    def half(self) -> str:
        """Half of the interval, as text; empty without one."""
        return f" ± {self.interval[1] - self.mean:.1f}" if self.interval else ""

    @property
    def is_beyond_chance(self) -> bool:
        """Whether the corrected p is below 5%."""
        return self.p_holm is not None and self.p_holm < 1 - LEVEL


def estimate(values: Sequence[float]) -> Estimate:
    """Return the mean of values (S,) and its 95% interval: mean +- t(S - 1) * s / sqrt(S).

    None where all are the same: accuracies on a few test videos agree by coincidence, which is no certainty.
    """
    from scipy.stats import t  # slow to import

    mean, number = float(np.mean(values)), len(values)
    if number < 2 or np.ptp(values) < NO_SPREAD:
        return Estimate(mean, None)
    half = float(t.ppf(0.5 + LEVEL / 2, number - 1) * np.std(values, ddof=1) / np.sqrt(number))
    return Estimate(mean, [mean - half, mean + half])


def compare(values: Values, pairs: Sequence[Pair]) -> dict[str, dict[Pair, Difference]]:
    """Compare pairs of rows in every metric that both have: metric -> pair -> difference of the first to the second."""
    both = [(metric, pair) for metric, rows in values.items() for pair in pairs if all(row in rows for row in pair)]
    apart = [np.subtract(values[metric][row], values[metric][against]) for metric, (row, against) in both]
    chances = [paired_p(each) for each in apart]
    found: dict[str, dict[Pair, Difference]] = {metric: {} for metric in values}
    for (metric, pair), each, p, corrected in zip(both, apart, chances, holm(chances), strict=True):
        found[metric][pair] = Difference(*estimate(each.tolist()), p, corrected)
    return found


def compare_with(values: Values, against: str) -> dict[str, dict[str, Difference]]:
    """Compare every row with one of them in every metric: metric -> row -> difference."""
    rows = dict.fromkeys(row for of_metric in values.values() for row in of_metric if row != against)
    found = compare(values, [(row, against) for row in rows])
    return {metric: {row: each for (row, _), each in pairs.items()} for metric, pairs in found.items()}


def paired_p(differences: np.ndarray) -> float | None:
    """Return the p of the paired t test of differences (S,); none if they are fewer than two, or all the same.

    Accuracies on a few test videos take few values, and seeds may agree by coincidence: no proof of anything.
    """
    from scipy.stats import t

    number = len(differences)
    if number < 2 or np.ptp(differences) < NO_SPREAD:
        return None
    statistic = differences.mean() / (differences.std(ddof=1) / np.sqrt(number))
    return float(2 * t.sf(abs(statistic), number - 1))


def holm(chances: Sequence[float | None]) -> list[float | None]:
    """Return p values corrected by Holm's step-down method, which holds whatever the dependence between them.

    The comparisons without p count among the comparisons, and stay without.
    """
    corrected: list[float | None] = [None] * len(chances)
    largest = 0.0
    known = sorted((p, place) for place, p in enumerate(chances) if p is not None)
    for rank, (p, place) in enumerate(known):
        largest = max(largest, min(1.0, p * (len(chances) - rank)))
        corrected[place] = largest
    return corrected


def describe(differences: Mapping[str, Mapping[str, Difference]], against: str, num_seeds: int) -> str:
    """Return a sentence: which differences are beyond chance."""
    named = {(row, metric): each for metric, rows in differences.items() for row, each in rows.items()}
    if not named:
        return "One row: nothing to compare."
    if num_seeds < 2:
        return "One seed cannot tell a difference from chance. Use --seeds 5."
    how = f"paired t over {num_seeds} seeds, 5% after Holm's correction for {counted(len(named), 'comparison')}"
    found = [f"{row} in {metric} by {each}" for (row, metric), each in named.items() if each.is_beyond_chance]
    if found:
        return f"Beyond chance against '{against}' ({how}): {'; '.join(found)}. No other difference is."
    smallest = min((each.p_holm for each in named.values() if each.p_holm is not None), default=None)
    nearest = "" if smallest is None else f"; the smallest corrected p is {smallest:.2g}"
    return f"No difference to '{against}' is beyond chance ({how}{nearest})."


def as_dict(found: Mapping[str, Mapping[str, Estimate | Difference]]) -> dict[str, dict[str, Any]]:
    """Return estimates or differences as plain types, for JSON."""
    return {metric: {row: each._asdict() for row, each in rows.items()} for metric, rows in found.items()}
