"""Means, paired differences and corrected p values over seeds, against hand values and scipy's own tests."""

import numpy as np
import pytest
from scipy import stats

from vtdl_cli.engine.ablation.statistics import compare, compare_with, describe, estimate, holm, paired_p

ROWS = {"moco": [20.0, 30.0, 25.0, 35.0, 40.0], "tca": [31.0, 39.0, 36.0, 44.0, 51.0], "scratch": [21.0, 29.0, 26.0, 34.0, 40.0]}  # fmt: skip


def test_estimate__by_hand() -> None:
    """Oracle: mean 2, s = 1, three seeds: t(2; .975) = 4.30265 of any table, half 4.30265 / sqrt(3) = 2.48414."""
    mean, interval = estimate([1.0, 2.0, 3.0])
    assert mean == 2
    assert interval == pytest.approx([2 - 2.48414, 2 + 2.48414], abs=1e-5)
    assert estimate([7.0]) == estimate([7.0, 7.0, 7.0]) == (7.0, None)  # no interval of no width


def test_paired_p__by_hand() -> None:
    """Oracle: two differences 1 and 3: t = 2 / (sqrt(2) / sqrt(2)) = 2, one degree of freedom, which is Cauchy's."""
    assert paired_p(np.array([1.0, 3.0])) == pytest.approx(1 - 2 * np.arctan(2) / np.pi)


def test_compare__against_scipy() -> None:
    found = compare_with({"knn@1": ROWS}, "moco")["knn@1"]
    assert list(found) == ["tca", "scratch"]
    for row, each in found.items():
        oracle = stats.ttest_rel(ROWS[row], ROWS["moco"])
        assert each.p == pytest.approx(oracle.pvalue)
        assert each.interval == pytest.approx([*oracle.confidence_interval(0.95)])
    assert [each.is_beyond_chance for each in found.values()] == [True, False]


def test_compare__pairs_of_rows_that_a_metric_has() -> None:
    """Oracle: Holm by hand over the two comparisons that there are; the third has no values."""
    found = compare({"kNN": ROWS, "finetuned": {"tca": ROWS["tca"]}}, [("tca", "moco"), ("tca", "scratch")])
    assert found["finetuned"] == {}
    alone = [paired_p(np.subtract(ROWS["tca"], ROWS[other])) for other in ("moco", "scratch")]
    assert [each.p for each in found["kNN"].values()] == alone
    first, second = sorted(p for p in alone if p is not None)
    expected = [2 * first, max(2 * first, second)]
    assert sorted(each.p_holm for each in found["kNN"].values() if each.p_holm) == pytest.approx(expected)


def test_paired_p__none_where_differences_do_not_vary() -> None:
    """Three seeds that gain one test video each: the variance is unknown, not zero."""
    assert paired_p(np.array([2.5, 2.5, 2.5])) is None
    assert paired_p(np.array([2.5])) is None


def test_holm__by_hand() -> None:
    """Oracle: .01 * 4, max(.02 * 3, that), max(.04 * 2, that); the one without p is the fourth comparison."""
    assert holm([0.04, None, 0.01, 0.02]) == [pytest.approx(0.08), None, pytest.approx(0.04), pytest.approx(0.06)]
    assert holm([0.6, 0.9]) == [1.0, 1.0]


def test_describe__names_what_is_beyond_chance_and_counts_the_comparisons() -> None:
    text = describe(compare_with({"kNN": ROWS}, "moco"), "moco", 5)
    assert text.startswith("Beyond chance against 'moco' (paired t over 5 seeds, 5% after Holm's correction for 2 comp")
    assert "tca in kNN by +10.2 ± 1.4" in text
    assert "scratch in" not in text
    nothing = describe(compare_with({"kNN": {name: ROWS[name] for name in ("moco", "scratch")}}, "moco"), "moco", 5)
    assert nothing.startswith("No difference to 'moco' is beyond chance")
    assert "One seed cannot" in describe(compare_with({"kNN": {"moco": [1.0], "tca": [2.0]}}, "moco"), "moco", 1)
