import numpy as np
import pytest

from vtdl_cli.data.lists.splits import (
    Share,
    check_shares,
    draw_per_class,
    group_keys,
    grouping,
    split_videos,
)
from vtdl_cli.errors import UsageError


def validation(labels: np.ndarray, groups: list[str] | None, fraction: float, seed: int) -> np.ndarray:
    """Bool [N]: who is in validation, where there is no test side."""
    found: np.ndarray = split_videos(labels, groups, {"val": fraction}, seed) == "val"
    return found


@pytest.mark.parametrize(
    ("counts", "fraction", "expected"),
    [
        ([8, 4], 0.25, [2, 1]),
        ([8, 4], 0.0, [0, 0]),
        ([100, 10], 0.1, [10, 1]),
        ([2, 3], 0.01, [1, 1]),  # both sides get one where there are two
        ([2, 3], 0.99, [1, 2]),
        ([1, 8], 0.75, [0, 6]),  # a class's only video is for training
        ([7], 0.5, [3]),  # 3.5: a half more is no nearer, so it is not taken
    ],
)
def test_split_videos__gives_every_class_its_share(counts: list[int], fraction: float, expected: list[int]) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    for seed in range(5):
        drawn = validation(labels, None, fraction, seed)
        assert np.bincount(labels[drawn], minlength=len(counts)).tolist() == expected


def test_split_videos__two_sides_are_drawn_as_before() -> None:
    """Oracle: golden, by the version that knew no third side: the same seed, the same lists."""
    drawn = np.flatnonzero(validation(np.repeat(np.arange(5), 8), None, 0.25, 3))
    assert drawn.tolist() == [2, 3, 11, 12, 17, 23, 29, 30, 32, 33]
    generator = np.random.default_rng(0)
    labels, groups = generator.integers(0, 6, 200), [f"g{group}" for group in generator.integers(0, 40, 200)]
    drawn = validation(labels, groups, 0.3, 7)
    assert sorted({int(groups[index][1:]) for index in np.flatnonzero(drawn)}) == [
        3, 6, 8, 9, 12, 13, 17, 21, 23, 28, 31, 32, 37,
    ]  # fmt: skip
    assert drawn.sum() == 67


def test_split_videos__depends_on_the_seed_alone() -> None:
    labels = np.repeat(np.arange(5), 20)
    first = validation(labels, None, 0.25, 3)
    assert np.array_equal(first, validation(labels, None, 0.25, 3))
    assert not np.array_equal(first, validation(labels, None, 0.25, 4))


def test_split_videos__keeps_groups_whole() -> None:
    # Nine actors, each in all ten classes: 2.25 videos of each class are wanted, two actors are nearest.
    labels = np.tile(np.arange(10), 9)
    groups = [f"actor{i // 10}" for i in range(90)]
    drawn = validation(labels, groups, 0.25, 0)
    chosen = {group for group, val in zip(groups, drawn, strict=True) if val}
    assert len(chosen) == 2
    assert drawn.sum() == 20


@pytest.mark.parametrize(
    ("counts", "fractions", "expected"),
    [
        ([20, 8], (0.25, 0.25), [(10, 5, 5), (4, 2, 2)]),
        ([20], (0.0, 0.25), [(15, 0, 5)]),
        ([3], (0.5, 0.5), [(1, 1, 1)]),
        ([2], (0.25, 0.25), [(1, 1, 0)]),  # training first, then validation, then test
        ([1], (0.25, 0.25), [(1, 0, 0)]),
        ([5], (0.9, 0.05), [(1, 3, 1)]),  # each keeps one from those before it
    ],
)
def test_split_videos__three_sides(
    counts: list[int], fractions: tuple[float, float], expected: list[tuple[int, ...]]
) -> None:
    """Oracle: by hand."""
    labels = np.repeat(np.arange(len(counts)), counts)
    for seed in range(5):
        sides = split_videos(labels, None, dict(zip(("val", "test"), fractions, strict=True)), seed)
        found = [
            tuple(int((sides[labels == label] == side).sum()) for side in ("train", "val", "test"))
            for label in range(len(counts))
        ]
        assert found == expected


def test_split_videos__a_test_side_leaves_the_validation_side_as_it_is() -> None:
    """And takes whole groups of what was training's."""
    labels, groups = np.tile(np.arange(10), 9), [f"actor{i // 10}" for i in range(90)]
    two, three = (split_videos(labels, groups, {"val": 0.25, "test": share}, 4) for share in (0.0, 0.25))
    assert np.array_equal(two == "val", three == "val")
    owners = {
        group: {side for name, side in zip(groups, three.tolist(), strict=True) if name == group} for group in groups
    }
    assert sorted(side for (side,) in owners.values()) == ["test"] * 2 + ["train"] * 5 + ["val"] * 2


def test_split_videos__named_groups_are_not_drawn_from() -> None:
    """Oracle: by hand: of the six videos of two groups that are left, a half is the other group."""
    groups = ["a", "a", "b", "b", "b", "c", "c", "c"]
    held_out: dict[str, Share] = {"val": 0.5, "test": ["a"]}
    for seed in range(5):
        sides = split_videos(np.zeros(8, np.int64), groups, held_out, seed).tolist()
        assert sides[:2] == ["test"] * 2
        assert {sides[2], sides[5]} == {"train", "val"}
        assert sides == ["test"] * 2 + [sides[2]] * 3 + [sides[5]] * 3


def test_split_videos__named_groups_alone() -> None:
    sides = split_videos(np.zeros(4, np.int64), ["a", "b", "a", "c"], {"val": ["a", "c"]}, 0)
    assert sides.tolist() == ["val", "train", "val", "val"]


@pytest.mark.parametrize("fraction", [-0.1, 1.0, 25.0, float("nan")])
@pytest.mark.parametrize("side", ["val", "test"])
def test_check_shares__refuses_what_is_no_share(side: str, fraction: float) -> None:
    with pytest.raises(UsageError, match=f"--{side}-fraction '{fraction}'"):
        check_shares(None, {side: fraction})


def test_check_shares__lists_the_groups_there_are() -> None:
    with pytest.raises(UsageError, match=r"--val-groups 'x' is not a group of these videos\. The groups are a, b$"):
        check_shares(["b", "a", "b"], {"val": ["a", "x"]})
    with pytest.raises(UsageError, match=r"19, \.\.\.$"):
        check_shares([f"{i:02d}" for i in range(40)], {"test": ["x"]})


def test_check_shares__what_no_video_can_be() -> None:
    with pytest.raises(UsageError, match="--val-fraction 0.6 and --test-fraction 0.4 leave nothing to train on"):
        check_shares(None, {"val": 0.6, "test": 0.4})
    with pytest.raises(UsageError, match="--test-groups 'a' is also one of --val-groups"):
        check_shares(["a", "b"], {"val": ["a"], "test": ["a"]})


def test_group_keys__searches_the_file_name_only() -> None:
    assert group_keys(["wave1/ido_wave1.avi", "eli_x/ira_run.avi"], "^([a-z0-9]+)_") == ["ido", "ira"]
    assert group_keys(["b/serve12.mp4"], r"(\d+)") == ["12"]


@pytest.mark.parametrize(
    ("regex", "rule"),
    [
        ("[a-z]+_", "no group in parentheses"),
        ("([a-z", "is not a regular expression"),
        ("^(x)_", "finds no key in 'walk/ido_walk.avi'"),
        ("(x)?ido", "finds no key in 'walk/ido_walk.avi'"),  # a group that takes no part is no key
        ("^(walk)", "finds no key in 'walk/ido_walk.avi'"),
    ],
)
def test_group_keys__refuses(regex: str, rule: str) -> None:
    with pytest.raises(UsageError) as caught:
        group_keys(["walk/ido_walk.avi"], regex)
    assert rule in str(caught.value)
    assert f"--group-by '{regex}'" in str(caught.value)


def test_draw_per_class__draws_that_many_of_each_class() -> None:
    """Oracle: counts by hand; a class that has fewer gives all it has."""
    labels = np.array([0] * 10 + [2] * 3 + [5] * 6)
    drawn = draw_per_class(labels, 4, seed=0)
    assert [int(drawn[labels == label].sum()) for label in (0, 2, 5)] == [4, 3, 4]


def test_draw_per_class__of_a_class_does_not_depend_on_others() -> None:
    labels = np.repeat([0, 1], 50)
    first = draw_per_class(labels, 5, seed=3)
    assert np.array_equal(first, draw_per_class(labels, 5, seed=3))
    assert not np.array_equal(first, draw_per_class(labels, 5, seed=4))
    assert np.array_equal(first[:50], draw_per_class(labels[:50], 5, seed=3))
    assert not np.array_equal(first[:50], first[50:])


@pytest.mark.parametrize(
    ("regex", "source", "keys"),
    [
        ("^([a-z]+)", "name", ["ido", "ira"]),
        ("^([a-z]+)", "path", ["walk", "run"]),
        ("([0-9]+)", "parent", ["1", "2"]),
        (None, "parent", ["day 1", "day 2"]),
    ],
)
def test_grouping__searches_name_path_or_parent(regex: str | None, source: str, keys: list[str]) -> None:
    by = grouping(regex, source)
    assert by is not None
    assert group_keys(["walk/day 1/ido.avi", "run/day 2/ira.avi"], by) == keys


def test_group_keys__agree_in_both_unicode_forms() -> None:
    assert group_keys(["Ju\u0308rgen_1.mp4", "J\u00fcrgen_2.mp4"], "^(Ju\u0308rgen)_") == ["J\u00fcrgen"] * 2


def test_grouping__refuses() -> None:
    with pytest.raises(UsageError, match="--group-from 'file' is not one of name, path, parent"):
        grouping(None, "file")
    with pytest.raises(UsageError, match="Add --group-by '/"):
        grouping(None, "path")
    with pytest.raises(UsageError, match="finds no key in 'a.mp4'. Every video's folder must match"):
        group_keys(["a.mp4"], "parent:(.+)")
