import pytest

from vtdl_cli.engine.inference import check_each_once
from vtdl_cli.errors import VtdlError


@pytest.mark.parametrize(
    ("dealt_with", "says"),
    [([2, 3, 4], "of 4 videos 1 were lost and 0 came twice"), ([2, 3, 3, 5], "1 were lost and 1 came twice")],
)
def test_check_each_once__names_what_is_lost_and_what_came_twice(dealt_with: list[int], says: str) -> None:
    """Oracle: by hand, for videos 2 to 5 of a list whose first two were dealt with before."""
    check_each_once([5, 2, 4, 3], range(2, 6))
    with pytest.raises(VtdlError, match=says):
        check_each_once(dealt_with, range(2, 6))
