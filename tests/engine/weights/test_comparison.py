"""Counts and names of tensors, in words."""

import pytest

from vtdl_cli.engine.weights.comparison import count_names


@pytest.mark.parametrize(
    ("names", "kind", "says"),
    [
        ([], "missing", "0 missing"),
        (["a"], "", "1 (a)"),
        (["a", "b", "c"], "missing", "3 missing (a, b, c)"),
        (["a", "b", "c", "d"], "missing", "4 missing (a, b, c and 1 more)"),
    ],
)
def test_count_names(names: list[str], kind: str, says: str) -> None:
    assert count_names(names, kind) == says
