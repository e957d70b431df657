"""The one comparison of label sets; all expectations by hand."""

import pytest

from vtdl_cli.data.lists.label_sets import compare_classes, counting_warning, label_set
from vtdl_cli.errors import UsageError

COLOURS = ["blue", "green", "red"]


def compare(ours: list[str] | None, theirs: list[str] | None, known: list[int], asked: list[int]) -> str:
    return compare_classes(label_set("list 'a'", ours, known), label_set("list 'b'", theirs, asked), "Do this")


@pytest.mark.parametrize(
    ("ours", "theirs", "known", "asked"),
    [
        (COLOURS, COLOURS, [0, 1, 2], [2]),  # videos of a part of the classes
        (None, None, [0, 1, 2], [0, 5]),
        (COLOURS, None, [0, 1, 2], [-1, -1]),  # without a class there is nothing to compare
        (None, None, [0, 1], [1, 2, 3]),  # no shift of the whole
        (["0", "1"], None, [0, 1], [1]),  # numbers for names
    ],
)
def test_compare__fits(ours: list[str] | None, theirs: list[str] | None, known: list[int], asked: list[int]) -> None:
    assert compare(ours, theirs, known, asked) == ""


@pytest.mark.parametrize(
    ("theirs", "says"),
    [
        (
            ["blue", "red", "green"],
            "are those of list 'a' in another order: class 1 is 'red' here and 'green' there. Do this",
        ),
        (["blue", "green"], "are not those of list 'a': they lack 'red'. Do this"),
        ([*COLOURS, "white", "black"], "are not those of list 'a': they add 'white' and 1 more. Do this"),
        (["x", "y", "red"], "are not those of list 'a': they lack 'blue' and 1 more, and they add 'x' and 1 more. Do"),
    ],
)
def test_compare__other_names_are_refused(theirs: list[str], says: str) -> None:
    with pytest.raises(UsageError) as error:
        compare(COLOURS, theirs, [0, 1, 2], [0, 1])
    assert str(error.value).startswith(f"classes of list 'b' {says}")


@pytest.mark.parametrize(("ours", "theirs", "unnamed", "named"), [(COLOURS, None, "b", "a"), (None, COLOURS, "a", "b")])
def test_compare__names_on_one_side_are_compared_by_number(
    ours: list[str] | None, theirs: list[str] | None, unnamed: str, named: str
) -> None:
    warning = compare(ours, theirs, [0, 1, 2], [0, 1, 2])
    assert warning.startswith(f"classes of list '{unnamed}' have no names: ")
    assert f"with those of list '{named}' by number only" in warning


def test_compare__number_that_has_no_name() -> None:
    with pytest.raises(UsageError, match="classes of list 'b' go up to 7, but list 'a' names 3, 0 to 2. Do this"):
        compare(COLOURS, None, [0, 1, 2], [0, 7])


@pytest.mark.parametrize(("known", "asked"), [([0, 1, 2], [1, 2, 3]), ([1, 2, 3], [0, 1, 2])])
def test_compare__one_that_counts_from_one(known: list[int], asked: list[int]) -> None:
    with pytest.raises(UsageError, match="go from 1 to 3, those of list '.' from 0 to 2: one counts from 1"):
        compare(None, None, known, asked)


@pytest.mark.parametrize(
    ("names", "labels", "is_warned"),
    [
        (None, [2, 1, 3, 1], True),
        (None, [0, 1, 2], False),
        (None, [1, 3], False),  # class 2 is missing as well: a list of some classes
        (None, [1], False),
        (["none", "a", "b"], [1, 2], False),  # names say what class 0 is
    ],
)
def test_counting_warning(names: list[str] | None, labels: list[int], is_warned: bool) -> None:
    warning = counting_warning(label_set("list 'a'", names, labels))
    assert bool(warning) == is_warned
    assert not is_warned or f"no video of class 0, but some of each class from 1 to {max(labels)}" in warning
