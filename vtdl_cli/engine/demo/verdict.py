"""What the numbers of a demo say: means, intervals, and whether the better of two rows is the one that should be.

Over draws of labels, intervals and tests cover the choice of labels alone; over seeds also the videos and the weight
init. Both are those of `engine.ablation.statistics`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from vtdl_cli.engine.ablation.ablate import by_metric, mean_over_draws
from vtdl_cli.engine.ablation.grid import Values
from vtdl_cli.engine.ablation.statistics import Difference, Pair, as_dict, compare, estimate
from vtdl_cli.engine.demo.comparisons import Comparison
from vtdl_cli.text import counted


def conclude(comparison: Comparison, values: Values) -> dict[str, Any]:
    """Return `estimates` by metric and row, `differences` of the pairs by metric, and the `verdict` in lines."""
    repeated, titles = repeats(comparison, values), comparison.columns
    estimates = {metric: {row: estimate(each) for row, each in rows.items()} for metric, rows in repeated.items()}
    found = compare({metric: repeated[metric] for metric in comparison.tested}, comparison.pairs)
    say = say_steps if comparison.unit == "seed" else say_draws
    named = {metric: {f"{row} - {other}": each for (row, other), each in of.items()} for metric, of in found.items()}
    return {
        "titles": dict(titles),
        "estimates": as_dict(estimates),
        "differences": as_dict(named),
        "verdict": say({titles[metric]: pairs for metric, pairs in found.items()}, comparison.number),
    }


def repeats(comparison: Comparison, values: Values) -> dict[str, dict[str, list[float]]]:
    """Return what means are over: metric -> row -> a value for each draw, or the mean over draws for each seed."""
    if comparison.unit == "seed":
        return by_metric(comparison.names, comparison.columns, mean_over_draws(values))
    [rows] = values.values()
    return {
        metric: {row: found[metric] for row, found in rows.items() if metric in found} for metric in comparison.columns
    }


def say_draws(found: Mapping[str, Mapping[Pair, Difference]], draws: int) -> list[str]:
    """Return a sentence for each difference (title of the metric -> pair -> difference), and what draws share."""
    lines = []
    for title, pairs in found.items():
        for (row, other), each in pairs.items():
            side = "above" if each.mean >= 0 else "below"
            tell = "tell" if each.is_beyond_chance else "do not tell"
            lines.append(
                f"{title}: {row} is {abs(each.mean):.1f}{each.half} points {side} {other}, paired by draw. "
                f"{draws} draws of labels {tell} this from chance."
            )
    return [*lines, "All draws share the pretraining and the test videos: intervals cover the choice of labels only."]


def say_steps(found: Mapping[str, Mapping[Pair, Difference]], seeds: int) -> list[str]:
    """Return a line for each pair: whether the row that should be better is; and how that is tested."""
    pairs = dict.fromkeys(pair for of_metric in found.values() for pair in of_metric)
    number = sum(map(len, found.values()))
    lines = [f"{other} < {row}: {'; '.join(_say_step(found, (row, other)))}" for row, other in pairs]
    return [*lines, f"(paired t over {seeds} seeds, 5% after Holm's correction for {counted(number, 'comparison')})"]


def _say_step(found: Mapping[str, Mapping[Pair, Difference]], pair: Pair) -> Iterator[str]:
    """Yield `holds in TITLE by +DIFFERENCE`, or what the difference is like otherwise, metrics alike together."""
    said: dict[str, list[str]] = {"holds in": [], "reversed in": [], "not beyond chance in": []}
    for title, pairs in found.items():
        if (each := pairs.get(pair)) is not None:
            beyond = "holds in" if each.mean > 0 else "reversed in"
            said[beyond if each.is_beyond_chance else "not beyond chance in"].append(f"{title} ({each})")
    for what, where in said.items():
        if where:
            yield f"{what} {', '.join(where)}"
