import os
from pathlib import Path

import numpy as np
import pytest

from vtdl_cli.data.disk import walk_videos
from vtdl_cli.data.splits import draw_per_class, group_keys, scan_class_folders, split_fraction, split_groups
from vtdl_cli.errors import UsageError


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_scan__finds_videos_and_folders_of_frames(tmp_path: Path) -> None:
    touch(tmp_path, "walk/b.AVI", "walk/a.mp4", "walk/c/img_00001.jpg", "run/x y/frame000001.PNG", "run/z/1.jpeg")
    found = scan_class_folders(tmp_path)
    assert found.classes == ["run", "walk"]
    assert found.videos == [("run/x y", 0), ("run/z", 0), ("walk/a.mp4", 1), ("walk/b.AVI", 1), ("walk/c", 1)]
    assert found.ignored == []


def test_scan__reports_what_it_ignores(tmp_path: Path) -> None:
    touch(tmp_path, "readme.txt", "walk/a.mp4", "walk/a.txt", "walk/.b.mp4", "walk/thumbs/cover.jpg", "notes/n.txt")
    touch(tmp_path, ".cache/c.mp4", "walk/.frames/img_1.jpg")
    (tmp_path / "empty").mkdir()
    found = scan_class_folders(tmp_path)
    assert found.classes == ["walk"]
    assert found.videos == [("walk/a.mp4", 0)]
    expected = [".cache/", "empty/", "notes/n.txt", "readme.txt"]
    expected += ["walk/.b.mp4", "walk/.frames/", "walk/a.txt", "walk/thumbs/"]
    assert found.ignored == expected


def test_scan__keeps_broken_links_for_the_decoder_to_report(tmp_path: Path) -> None:
    touch(tmp_path, "walk/a.mp4")
    (tmp_path / "walk" / "b.mp4").symlink_to(tmp_path / "gone.mp4")
    assert [name for name, _ in scan_class_folders(tmp_path).videos] == ["walk/a.mp4", "walk/b.mp4"]


@pytest.mark.parametrize("flow", [False, True])
def test_scan__links_in_a_circle_stop_nothing(tmp_path: Path, flow: bool) -> None:
    touch(tmp_path, "walk/a.mp4", "run/b/flow_x_00001.jpg", "run/b/flow_y_00001.jpg")
    for name in ("circle", "walk/circle", "walk/circle.mp4", "run/circle"):
        (tmp_path / name).symlink_to(tmp_path / name)
    found = scan_class_folders(tmp_path, flow=flow)
    videos = ["run/b"] if flow else ["run/b", "walk/a.mp4", "walk/circle.mp4"]  # opening the last will tell
    assert [name for name, _ in found.videos] == videos
    assert {"circle", "run/circle", "walk/circle"} <= set(found.ignored)
    assert sorted(walk_videos(tmp_path, flow=flow)) == sorted(videos)


@pytest.mark.parametrize(
    ("names", "root", "rule"),
    [
        ((), "absent", "is not a folder"),
        (("file",), "file", "is not a folder"),
        ((), ".", "no class folder with a video"),
        (("a.avi", "b.avi"), ".", "no class folder with a video"),
        (("val/walk/a.avi",), ".", "no class folder with a video.*one sub-folder for each class"),
        (("walk /a.avi",), ".", "class folder 'walk ' cannot be named in a list: .* space. Rename it"),
    ],
)
def test_scan__refuses_roots_without_classes(tmp_path: Path, names: tuple[str, ...], root: str, rule: str) -> None:
    touch(tmp_path, *names)
    with pytest.raises(UsageError, match=rule):
        scan_class_folders(tmp_path / root)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every folder")
def test_scan__names_a_folder_it_may_not_list(tmp_path: Path) -> None:
    touch(tmp_path, "walk/a.mp4")
    (tmp_path / "walk").chmod(0)
    try:
        with pytest.raises(UsageError, match="walk' cannot be listed"):
            scan_class_folders(tmp_path)
    finally:
        (tmp_path / "walk").chmod(0o700)


@pytest.mark.parametrize(
    ("name", "num_classes", "num_videos"),
    [("weizmann", 10, 90), ("tennis7", 7, 371), ("UCF-101", 4, 13), ("hmdb51", 3, 5)],
)
def test_scan__counts_real_folders(data_dir: Path, name: str, num_classes: int, num_videos: int) -> None:
    found = scan_class_folders(data_dir / name)  # counts from the data's README
    assert (len(found.classes), len(found.videos)) == (num_classes, num_videos)


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
def test_split_fraction__gives_every_class_its_share(counts: list[int], fraction: float, expected: list[int]) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    for seed in range(5):
        validation = split_fraction(labels, None, fraction, seed)
        assert validation.dtype == np.bool_
        assert np.bincount(labels[validation], minlength=len(counts)).tolist() == expected


def test_split_fraction__depends_on_the_seed_alone() -> None:
    labels = np.repeat(np.arange(5), 20)
    first = split_fraction(labels, None, 0.25, 3)
    assert np.array_equal(first, split_fraction(labels, None, 0.25, 3))
    assert not np.array_equal(first, split_fraction(labels, None, 0.25, 4))


def test_split_fraction__keeps_groups_whole() -> None:
    # Nine actors, each in all ten classes: 2.25 videos of each class are wanted, two actors are nearest.
    labels = np.tile(np.arange(10), 9)
    groups = [f"actor{i // 10}" for i in range(90)]
    validation = split_fraction(labels, groups, 0.25, 0)
    chosen = {group for group, val in zip(groups, validation, strict=True) if val}
    assert len(chosen) == 2
    assert validation.sum() == 20


@pytest.mark.parametrize("fraction", [-0.1, 1.0, 25, float("nan")])
def test_split_fraction__refuses_what_is_no_share(fraction: float) -> None:
    with pytest.raises(UsageError, match=f"--val-fraction '{fraction}'"):
        split_fraction(np.zeros(4, dtype=np.int64), None, fraction, 0)


def test_split_groups__selects_by_key() -> None:
    assert split_groups(["a", "b", "a", "c"], ["a", "c"]).tolist() == [True, False, True, True]


def test_split_groups__lists_the_groups_there_are() -> None:
    with pytest.raises(UsageError, match=r"--val-groups 'x' is not a group of these videos\. The groups are a, b$"):
        split_groups(["b", "a", "b"], ["a", "x"])
    with pytest.raises(UsageError, match=r"19, \.\.\.$"):
        split_groups([f"{i:02d}" for i in range(40)], ["x"])


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


def test_draw_per_class__takes_so_many_of_each() -> None:
    """Oracle: counts by hand; a class that has fewer gives all it has."""
    labels = np.array([0] * 10 + [2] * 3 + [5] * 6)
    drawn = draw_per_class(labels, 4, seed=0)
    assert [int(drawn[labels == label].sum()) for label in (0, 2, 5)] == [4, 3, 4]


def test_draw_per_class__is_a_draw_of_its_class_alone() -> None:
    labels = np.repeat([0, 1], 50)
    first = draw_per_class(labels, 5, seed=3)
    assert np.array_equal(first, draw_per_class(labels, 5, seed=3))
    assert not np.array_equal(first, draw_per_class(labels, 5, seed=4))
    assert np.array_equal(first[:50], draw_per_class(labels[:50], 5, seed=3))
    assert not np.array_equal(first[:50], first[50:])
