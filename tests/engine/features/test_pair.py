"""Two feature files of the same videos or of others, below one root or two, through the command line."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.engine.features.test_files import merge, read
from tests.engine.features.test_files import write as write_numbers
from tests.toy import Toy, refuse, succeed
from vtdl_cli.data.hdf5.features import write_features

COMPARE = {"retrieve": ("--gallery", "--query"), "probe": ("--train", "--test")}


def write(path: Path, degrees: list[float], labels: list[int], *, root: str = "", protocol: str = "video@2") -> Path:
    """Vectors in the plane at these angles, of 0.mp4, 1.mp4, ..."""
    turns = np.deg2rad(degrees)
    values = np.stack([np.cos(turns), np.sin(turns)], 1).astype(np.float32)
    paths = [f"{number}.mp4" for number in range(len(labels))]
    block = {"features": values, "labels": labels, "num_frames": [9] * len(labels), "paths": paths}
    write_features(path, values.shape, [block], {"protocol": protocol, **({"root": root} if root else {})})
    return path


def extract(toy: Toy, weights: Path, out: Path, root: Path, *names: str) -> Path:
    video_list = out.with_suffix(".txt")
    video_list.write_text("".join(f"{name} {number} 24\n" for number, name in enumerate(names)))
    succeed(*toy.extract(weights, out, "--list", str(video_list), "--root", str(root)))
    return out


@pytest.fixture(scope="module")
def above(toy: Toy, pretrained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features of two videos by their paths below the root of all."""
    out = tmp_path_factory.mktemp("above") / "above.h5"
    return extract(toy, pretrained, out, toy.root, "blue/blue_0.mp4", "red/red_0.mp4")


@pytest.mark.parametrize("linked", [False, True])
def test_same_videos__below_another_root_are_found(
    toy: Toy, pretrained: Path, above: Path, tmp_path: Path, linked: bool
) -> None:
    """One of two, in the same folder or by a link to it; a merged file knows its own, too."""
    root = toy.root / "red"
    if linked:
        (tmp_path / "linked").symlink_to(root)
        root = tmp_path / "linked"
    below = extract(toy, pretrained, tmp_path / "below.h5", root, "red_0.mp4", "red_1.mp4")
    other = extract(toy, pretrained, tmp_path / "other.h5", toy.root / "green", "green_0.mp4", "green_1.mp4")
    succeed(*merge(tmp_path / "merged.h5", below, other))
    for file, first in ((below, "red_0.mp4"), (tmp_path / "merged.h5", f"{root}/red_0.mp4")):
        for command, (reference, query) in COMPARE.items():
            says = (f"features '{file}' share 1 video with '{above}', the first is '{first}'",)
            refuse(command, reference, str(above), query, str(file), code=2, says=says)
        says = (f"features of video '{first}' are in '{above}' and again in '{file}'",)
        refuse(*merge(tmp_path / "twice.h5", above, file), code=2, says=says)


def test_extract__records_the_whole_root(
    toy: Toy, pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(toy.root)
    file = extract(toy, pretrained, tmp_path / "a.h5", Path("red"), "red_0.mp4")
    assert read(file)["attributes"]["root"] == str(toy.root / "red")


@pytest.mark.parametrize("protocol", ["video@2", "video@5"])
def test_retrieve__equal_paths_below_two_roots_are_two_videos(tmp_path: Path, protocol: str) -> None:
    """Oracle: angles by hand. The nearest of each query has its path, and lies below the other root."""
    gallery = write(tmp_path / "run.h5", [0, 50, 100], [0, 1, 2], root="/data/run")
    query = write(tmp_path / "walk.h5", [4, 54, 104], [0, 1, 2], root="/data/walk", protocol=protocol)
    line = ["retrieve", "--gallery", str(gallery), "--query", str(query), "--json"]
    assert json.loads(succeed(*line).stdout)["R@1"] == 100
    bare = write(tmp_path / "bare.h5", [4, 54, 104], [-1] * 3, root="/data/walk", protocol=protocol)
    found = json.loads(succeed(*line, "--query", str(bare)).stdout)["neighbours"]
    assert [each["nearest"][0]["path"] for each in found] == ["0.mp4", "1.mp4", "2.mp4"]


def test_retrieve__one_place_is_one_video_whatever_the_features(tmp_path: Path) -> None:
    """Another decoder may move them; only below one root equal paths say so."""
    gallery = write(tmp_path / "a.h5", [0, 50], [0, 1], root="/data")
    query = write(tmp_path / "b.h5", [10, 60], [0, 1], root="/data")
    refuse("retrieve", "--gallery", str(gallery), "--query", str(query), code=2, says=("share 2 videos with",))


def test_retrieve__a_copy_below_another_root_is_the_same_video(tmp_path: Path) -> None:
    gallery = write(tmp_path / "a.h5", [0, 50], [0, 1], root="/data")
    query = write(tmp_path / "b.h5", [0, 60], [0, 1], root="/copies")
    refuse("retrieve", "--gallery", str(gallery), "--query", str(query), code=2, says=("share 1 video with",))


@pytest.mark.parametrize("protocol", ["video@2", "video@5"])
def test_retrieve__without_roots_equal_paths_are_one_video_unless_features_differ(
    tmp_path: Path, protocol: str
) -> None:
    """Of another protocol they differ anyway, and say nothing."""
    gallery = write(tmp_path / "a.h5", [0, 50], [0, 1])
    query = write(tmp_path / "b.h5", [10, 60], [0, 1], root="/data", protocol=protocol)
    line = ["retrieve", "--gallery", str(gallery), "--query", str(query)]
    if protocol == "video@2":
        succeed(*line)
    else:
        refuse(*line, code=2, says=("share 2 videos with",))


def test_merge__equal_paths_below_two_roots_become_whole(tmp_path: Path) -> None:
    """The merged file knows its videos by place: one of another root that says so is found."""
    run = write_numbers(tmp_path / "run.h5", 0, 1, root="/data/run")
    walk = write_numbers(tmp_path / "walk.h5", 0, 1, root="/data/walk")
    result = succeed(*merge(tmp_path / "all.h5", run, walk))
    assert "videos lie below several roots: the merged file has their whole paths" in result.stderr
    paths = [path.decode() for path in read(tmp_path / "all.h5")["paths"]]
    assert paths == [f"/data/{root}/{number},é.mp4" for root in ("run", "walk") for number in range(2)]
    one = write_numbers(tmp_path / "one.h5", 1, root="/data/walk")
    says = (f"features of video '1,é.mp4' are in '{tmp_path / 'all.h5'}' and again in '{one}'",)
    refuse(*merge(tmp_path / "twice.h5", tmp_path / "all.h5", one), code=2, says=says)
    succeed(*merge(tmp_path / "same.h5", run, write_numbers(tmp_path / "c.h5", 2, root="/data/run")))
    assert [path.decode() for path in read(tmp_path / "same.h5")["paths"]] == ["0,é.mp4", "1,é.mp4", "2,é.mp4"]
