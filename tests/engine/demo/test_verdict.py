"""What a demo says of its numbers, and that its comparisons hold together."""

import pytest

from vtdl_cli.engine.ablation.statistics import Difference
from vtdl_cli.engine.demo.comparisons import DRAWS, STEPS, Comparison
from vtdl_cli.engine.demo.verdict import repeats, say_draws, say_steps
from vtdl_cli.settings import load_config

BEYOND, WITHIN = Difference(10.0, [6.0, 14.0], 0.01, 0.02), Difference(3.0, [-1.0, 7.0], 0.2, 0.2)
REVERSED, ALIKE = Difference(-10.0, [-14.0, -6.0], 0.01, 0.02), Difference(0.0, [0.0, 0.0], None, None)


@pytest.mark.parametrize(
    ("difference", "says"),
    [
        (BEYOND, "a is 10.0 ± 4.0 points above b, paired by draw. 3 draws of labels tell this from chance."),
        (REVERSED, "a is 10.0 ± 4.0 points below b, paired by draw. 3 draws of labels tell this from chance."),
        (WITHIN, "a is 3.0 ± 4.0 points above b, paired by draw. 3 draws of labels do not tell this from chance."),
        (ALIKE, "a is 0.0 ± 0.0 points above b, paired by draw. 3 draws of labels do not tell this from chance."),
    ],
)
def test_say_draws__which_side_and_whether_it_is_beyond_chance(difference: Difference, says: str) -> None:
    first, last = say_draws({"finetuned": {("a", "b"): difference}}, 3)
    assert first.startswith(f"finetuned: {says}")
    assert "share the pretraining and the test videos" in last


def test_say_steps__a_line_for_each_pair() -> None:
    found = {
        "probe": {("moco", "scratch"): BEYOND, ("tca", "moco"): WITHIN},
        "finetuned": {("moco", "scratch"): WITHIN, ("tca", "moco"): REVERSED, ("tca", "longer"): ALIKE},
    }
    assert say_steps(found, 5) == [
        "scratch < moco: holds in probe (+10.0 ± 4.0); not beyond chance in finetuned (+3.0 ± 4.0)",
        "moco < tca: reversed in finetuned (-10.0 ± 4.0); not beyond chance in probe (+3.0 ± 4.0)",
        "longer < tca: not beyond chance in finetuned (+0.0 ± 0.0)",
        "(paired t over 5 seeds, 5% after Holm's correction for 5 comparisons)",
    ]


def test_repeats__draws_of_one_seed_or_means_of_several() -> None:
    metric = "few_shot_linear_top1"
    values = {seed: {row.name: {metric: [10.0 * seed, 20.0]} for row in STEPS.rows} for seed in (0, 1)}
    assert repeats(STEPS, values)[metric]["tca"] == [10.0, 15.0]
    assert repeats(DRAWS, {1: {"pretrained": {metric: [10.0, 20.0]}}})[metric] == {"pretrained": [10.0, 20.0]}


@pytest.mark.parametrize("comparison", [DRAWS, STEPS], ids=["draws", "steps"])
def test_comparisons__name_rows_and_metrics_that_they_have(comparison: Comparison) -> None:
    assert set(comparison.tested) <= set(comparison.columns) <= comparison.measures.titles.keys()
    assert {row for pair in comparison.pairs for row in pair} <= set(comparison.names)
    for row in comparison.rows:
        row.build_config(load_config("demo"))
        assert row.as_long_as is None or row.as_long_as in comparison.names


def test_steps__go_from_scratch_to_the_whole_method() -> None:
    """Oracle: the order that the paper's ablation claims, and both rows of equal time below the whole."""
    order = ["scratch", "moco", "intra-video-negative", "tca"]
    assert [*STEPS.pairs[:3]] == list(zip(order[1:], order[:-1], strict=True))
    assert STEPS.pairs[3:] == (("tca", "moco-equal-time"), ("tca", "scratch-equal-time"))
