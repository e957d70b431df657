"""Retrieval, on features whose neighbours are known."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image
from sklearn.neighbors import NearestNeighbors

from tests.engine.features.test_probe import write
from tests.toy import Toy, refuse, succeed, vtdl, without_checksums
from vtdl_cli.data.hdf5.features import Features
from vtdl_cli.engine.features.retrieve import choose_queries, describe_network, read_frame
from vtdl_cli.engine.features.video_names import short_names


def pair(folder: Path, num_gallery: int = 120, **attributes: str) -> list[str]:
    gallery = write(folder / "train.h5", num_gallery, 0, signal=1.5)
    query = write(folder / "test.h5", 60, 1, signal=1.5, **attributes)
    return ["retrieve", "--gallery", str(gallery), "--query", str(query)]


def write_by_hand(path: Path, features: list[list[float]], labels: list[int]) -> str:
    with h5py.File(path, "w") as file:
        file["features"], file["labels"] = np.array(features, np.float32), labels
        file["paths"] = [f"{path.stem}/{number}" for number in range(len(labels))]
        file["num_frames"] = [1] * len(labels)
    return str(path)


@pytest.fixture(scope="module")
def extracted(toy: Toy, pretrained: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Features of the toy's two lists, as options."""
    folder = tmp_path_factory.mktemp("features")
    for name, videos in (("train", toy.train_list), ("val", toy.val_list)):
        succeed(*toy.extract(pretrained, folder / f"{name}.h5", "--list", str(videos)))
    return ["retrieve", "--gallery", str(folder / "train.h5"), "--query", str(folder / "val.h5")]


def test_retrieve__equals_scikit_learn(tmp_path: Path) -> None:
    """Oracle: scikit-learn's neighbours by cosine distance, counted by a loop."""
    result = json.loads(succeed(*pair(tmp_path), "--json").stdout)
    with h5py.File(tmp_path / "train.h5") as gallery, h5py.File(tmp_path / "test.h5") as query:
        reference = NearestNeighbors(metric="cosine").fit(gallery["features"][:])
        found = reference.kneighbors(query["features"][:], 50, return_distance=False)
        known, asked = gallery["labels"][:], query["labels"][:]
    for k in (1, 5, 10, 20, 50):
        hits = sum(any(known[row] == label for row in rows[:k]) for rows, label in zip(found, asked, strict=True))
        assert result[f"R@{k}"] == pytest.approx(100 * hits / 60)
    assert 25 < result["R@1"] < result["R@5"] < 100
    assert (result["num_gallery"], result["num_query"], result["dim"], result["layer"]) == (120, 60, 8, "last")


def test_retrieve__by_hand(tmp_path: Path) -> None:
    """Oracle: angles by hand. The query at 10 degrees lies 0, 80 and 170 from the gallery: length does not matter."""
    turns = np.deg2rad([10, 90, 180])
    gallery = write_by_hand(tmp_path / "a.h5", [[9 * np.cos(turn), 9 * np.sin(turn)] for turn in turns], [0, 1, 2])
    query = write_by_hand(tmp_path / "b.h5", [[np.cos(turns[0]), np.sin(turns[0])]] * 2, [0, 1])
    more = ("--per-query", str(tmp_path / "q.csv"))
    result = succeed("retrieve", "--gallery", gallery, "--query", query, *more, "--json")
    metrics = json.loads(result.stdout)
    assert {name for name in metrics if name.startswith("R@")} == {"R@1"}
    assert metrics["R@1"] == 50
    assert "R@5, R@10, R@20, R@50 left out: gallery" in result.stderr
    table = list(csv.DictReader((tmp_path / "q.csv").read_text().splitlines()))
    assert [row["first_right"] for row in table] == ["1", "2"]
    assert [(row["nearest"], row["cosine"]) for row in table] == [("a/0", "1.0000")] * 2


def test_retrieve__without_classes_finds_the_others(tmp_path: Path) -> None:
    """Oracle: angles by hand. At 0, 10, 30 and 100 degrees, the nearest are those of the least difference."""
    turns = np.deg2rad([0, 10, 30, 100])
    file = write_by_hand(tmp_path / "a.h5", [[np.cos(turn), np.sin(turn)] for turn in turns], [-1] * 4)
    table = tmp_path / "nearest.csv"
    line = ["retrieve", "--gallery", file, "--query", file, "--per-query", str(table)]
    result = succeed(*line, "--json")
    assert f"warning: R@k left out: it needs classes, and features '{file}' have none" in result.stderr
    found = json.loads(result.stdout)
    assert not [name for name in found if name.startswith(("R@", "interval"))]
    expected = {"a/0": [1, 2, 3], "a/1": [0, 2, 3], "a/2": [1, 0, 3], "a/3": [2, 1, 0]}
    assert {each["query"]: [int(video["path"][-1]) for video in each["nearest"]] for each in found["neighbours"]} == (
        expected
    )
    assert found["neighbours"][3]["nearest"][0]["cosine"] == pytest.approx(np.cos(np.deg2rad(70)), abs=1e-6)
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [(row["path"], row["nearest"], row["nearest_3"], row["nearest_4"]) for row in rows] == [
        (query, f"a/{others[0]}", f"a/{others[2]}", "") for query, others in expected.items()
    ]
    assert [row["cosine"] for row in rows] == ["0.9848", "0.9848", "0.9397", "0.3420"]  # of 10, 10, 20, 70 degrees
    printed = succeed(*line, "--overwrite").stdout
    assert printed.count("a/3") == 1 + 3  # one query, and the third neighbour of all others
    assert "4 of 4 queries" in printed


def test_retrieve__one_file_with_classes_leaves_each_query_out(tmp_path: Path) -> None:
    """Oracle: angles by hand. Of 0, 10, 30, 100 degrees, the nearest are 10, 0, 10, 30; the only video of class 2 has
    none of its class. Another name of the file is the same file."""
    turns = np.deg2rad([0, 10, 30, 100])
    file = write_by_hand(tmp_path / "a.h5", [[np.cos(turn), np.sin(turn)] for turn in turns], [0, 0, 1, 1])
    (tmp_path / "link.h5").symlink_to(file)
    line = ["retrieve", "--gallery", file, "--query", str(tmp_path / "link.h5")]
    result = succeed(*line, "--json", "--per-query", str(tmp_path / "q.csv"))
    found = json.loads(result.stdout)
    assert (found["R@1"], found["protocol"]) == (75, "cosine, , each query left out of the gallery")
    assert f"warning: R@5, R@10, R@20, R@50 left out: gallery '{file}' has 3 videos beside the query" in result.stderr
    rows = list(csv.DictReader((tmp_path / "q.csv").read_text().splitlines()))
    assert [(row["nearest"], row["nearest_2"], row["first_right"]) for row in rows] == [
        ("a/1", "a/2", "1"), ("a/0", "a/2", "1"), ("a/1", "a/0", "3"), ("a/2", "a/1", "1"),
    ]  # fmt: skip
    assert [row["nearest_class_2"] for row in rows] == ["1", "1", "0", "0"]
    assert {row["nearest_4"] for row in rows} == {""}
    assert list(rows[0])[:9] == [
        "path", "class", "first_right", "nearest", "nearest_class", "cosine", "nearest_2", "nearest_class_2", "cosine_2"
    ]  # fmt: skip
    alone = write_by_hand(tmp_path / "b.h5", [[1, 0], [0, 1], [1, 1]], [0, 0, 1])
    stderr = succeed("retrieve", "--gallery", alone, "--query", alone).stderr
    assert "1 query is of a class of which the gallery has no other video, and counted as incorrect" in stderr


def test_retrieve__one_file_with_classes_equals_a_loop(tmp_path: Path) -> None:
    """Oracle: scikit-learn's neighbours, of which the first is the query itself; the unlabelled are left out."""
    file = write(tmp_path / "a.h5", 120, 0, signal=1.5)
    with h5py.File(file, "a") as opened:
        opened["labels"][:10] = -1
        values, labels = opened["features"][10:], opened["labels"][10:]
    found = json.loads(succeed("retrieve", "--gallery", str(file), "--query", str(file), "--json").stdout)
    others = NearestNeighbors(metric="cosine").fit(values).kneighbors(values, 51, return_distance=False)[:, 1:]
    for k in (1, 5, 10, 20, 50):
        hits = (labels[others[:, :k]] == labels[:, None]).any(1)
        assert found[f"R@{k}"] == pytest.approx(100 * hits.mean())
    assert 25 < found["R@1"] < found["R@5"]


def test_retrieve__only_a_query_in_the_gallery_is_left_out_of_its_neighbours(tmp_path: Path) -> None:
    """By hand: two of three queries have the path of a gallery video, one of them with other features."""
    gallery = write_by_hand(tmp_path / "a.h5", [[1, 0], [0, 1]], [-1, -1])
    (tmp_path / "other").mkdir()
    query = write_by_hand(tmp_path / "other" / "a.h5", [[1, 0], [1, 0.1], [1, 0.2]], [-1, -1, -1])
    found = json.loads(succeed("retrieve", "--gallery", gallery, "--query", query, "--json").stdout)["neighbours"]
    assert [[video["path"] for video in each["nearest"]] for each in found] == [["a/1"], ["a/0", "a/1"], ["a/0", "a/1"]]


def test_retrieve__without_classes_more_videos_than_are_ranked(tmp_path: Path) -> None:
    """Oracle: scikit-learn's neighbours, of which the first is the query itself."""
    values = np.random.default_rng(0).normal(size=(90, 6)).tolist()
    gallery = write_by_hand(tmp_path / "a.h5", values, list(range(90)))
    (tmp_path / "other").mkdir()
    query = write_by_hand(tmp_path / "other" / "a.h5", values[:40], [-1] * 40)
    found = json.loads(succeed("retrieve", "--gallery", gallery, "--query", query, "--json").stdout)["neighbours"]
    reference = NearestNeighbors(metric="cosine").fit(values).kneighbors(values[:40], 6, return_distance=False)
    assert [[video["path"] for video in each["nearest"]] for each in found] == [
        [f"a/{number}" for number in row[1:]] for row in reference
    ]


def test_retrieve__names_the_weights(tmp_path: Path) -> None:
    line = pair(tmp_path, weights="b.pt")
    found = json.loads(succeed(*line, "--json").stdout)
    assert [found[f"{side}_weights{what}"] for side in ("gallery", "query") for what in ("", "_sha256")] == [
        "", "abc", "b.pt", "abc",
    ]  # fmt: skip
    features = Features(Path("a.h5"), np.zeros((1, 2)), np.zeros(1), ["a"], {})
    assert describe_network(features) == "features of a.h5, which names no network"
    origin = {"backbone": "r3d", "weights": "b.pt", "weights_sha256": "0123456789"}
    assert describe_network(replace(features, attributes=origin)) == "features of r3d, weights b.pt, sha256 01234567"
    random = {"backbone": "r3d", "weights": "none, seed 0", "weights_sha256": ""}
    assert describe_network(replace(features, attributes=random)) == "features of r3d, weights none, seed 0"


def test_retrieve__figure_without_classes(toy: Toy, pretrained: Path, tmp_path: Path) -> None:
    """The rows that were asked for, of videos in the same file."""
    file, sizes = tmp_path / "features.h5", []
    succeed(*toy.extract(pretrained, file, "--list", str(toy.train_list)))
    with without_checksums(file) as opened:
        opened["labels"][:] = -1
    for rows in ("1", "3"):
        out = tmp_path / f"{rows}.png"
        more = ("--root", str(toy.root), "--figure", str(out), "--rows", rows)
        succeed("retrieve", "--gallery", str(file), "--query", str(file), *more)
        with Image.open(out) as image:
            sizes.append(image.size)
    assert sizes[0][0] == sizes[1][0]
    assert sizes[0][1] < sizes[1][1]


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["x/a.mp4", "x/b.avi"], ["a", "b"]),
        (["x/1/a.mp4", "x/2/a.mp4"], ["1/a", "2/a"]),
        (["clip.1", "clip.2"], ["clip.1", "clip.2"]),  # folders of frames
        (["a.mp4", "a.mp4"], ["a", "a"]),
        (["x/1/a.mp4", "x/1/a.avi", "y/1/a.avi"], ["x/1/a.mp4", "x/1/a.avi", "y/1/a.avi"]),
    ],
)
def test_short_names__tell_videos_apart(paths: list[str], expected: list[str]) -> None:
    features = Features(Path("a.h5"), np.zeros((len(paths), 2)), np.zeros(len(paths)), paths, {})
    assert short_names(features) == expected
    times = np.array([[0.5, 1.0]] * len(paths))
    assert short_names(replace(features, intervals=times)) == [f"{name}#t=0.5,1" for name in expected]


def test_retrieve__interval_holds_the_metric(tmp_path: Path) -> None:
    """Oracle: the normal approximation of a share of 60, 1.96 deviations to each side."""
    result = json.loads(succeed(*pair(tmp_path), "--json").stdout)
    share = result["R@1"] / 100
    half = 196 * np.sqrt(share * (1 - share) / 60)
    assert result["intervals"]["R@1"] == pytest.approx([100 * share - half, 100 * share + half], abs=2)


def test_retrieve__queries_of_a_class_that_the_gallery_lacks(tmp_path: Path) -> None:
    gallery = write_by_hand(tmp_path / "a.h5", [[1, 0], [1, 1]], [0, 0])
    query = write_by_hand(tmp_path / "b.h5", [[1, 0.5], [0, 1]], [0, 7])
    result = succeed("retrieve", "--gallery", gallery, "--query", query, "--json")
    assert json.loads(result.stdout)["R@1"] == 50
    assert "1 query is of a class that the gallery lacks, and counted as incorrect" in result.stderr


def test_retrieve__protocols_that_differ_are_both_named(tmp_path: Path) -> None:
    line = pair(tmp_path, protocol="clip@1")
    assert json.loads(succeed(*line, "--json").stdout)["protocol"] == "cosine, clip@1 queries against "


def test_retrieve__figure(toy: Toy, extracted: list[str], tmp_path: Path) -> None:
    """As many rows as were asked for, decoded and drawn; the toy's classes are colours, which the frames show."""
    sizes = []
    for rows in ("1", "3"):
        out = tmp_path / f"{rows}.png"
        more = ("--root", str(toy.root), "--figure", str(out), "--rows", rows)
        assert json.loads(succeed(*extracted, *more, "--json").stdout)["picture"] == str(out)
        with Image.open(out) as image:
            sizes.append(image.size)
            pixels = np.asarray(image.convert("RGB")).astype(int)
    assert sizes[0][0] == sizes[1][0]
    assert sizes[0][1] < sizes[1][1]
    for channel in range(3):
        tinted = (pixels.argmax(2) == channel) & (pixels.max(2) - pixels.min(2) > 80)
        assert tinted.mean() > 0.05


def test_retrieve__picture_is_the_former_name_of_figure(toy: Toy, extracted: list[str], tmp_path: Path) -> None:
    root = ("--root", str(toy.root), "--rows", "1")
    succeed(*extracted, "--figure", str(tmp_path / "new.png"), *root)
    succeed(*extracted, "--picture", str(tmp_path / "old.png"), *root)
    assert (tmp_path / "new.png").read_bytes() == (tmp_path / "old.png").read_bytes()
    both = ("--figure", str(tmp_path / "a.png"), "--picture", str(tmp_path / "b.png"))
    refuse(*extracted, *both, *root, code=2, says=("--picture is the former name of --figure",))
    assert "--picture" not in succeed("retrieve", "--help").stdout


def test_retrieve__video_that_is_not_there(toy: Toy, extracted: list[str], tmp_path: Path) -> None:
    shutil.copytree(toy.root, tmp_path / "videos")
    (tmp_path / "videos/red/red_4.mp4").unlink()
    out = tmp_path / "a.png"
    more = ("--root", str(tmp_path / "videos"), "--figure", str(out), "--rows", "6", "--quiet")
    refuse(*extracted, *more, code=1, says=("red_4.mp4' cannot be read: no such file or directory. Check --root",))
    assert not out.exists()


def test_retrieve__bad_input(toy: Toy, tmp_path: Path) -> None:
    line = pair(tmp_path)
    used = tmp_path / "used.png"
    used.touch()
    copy = shutil.copy(line[2], tmp_path / "copy.h5")
    root = ("--root", str(toy.root))
    unknown = write_by_hand(tmp_path / "unknown.h5", [[1, 2], [2, 1]], [-1, -1])
    both = ("--gallery", unknown, "--query", unknown)
    alone = write_by_hand(tmp_path / "alone.h5", [[1, 2]], [-1])
    infinite = write_by_hand(tmp_path / "infinite.h5", [[1, np.nan]], [0])
    (tmp_path / "classes.txt").write_text("one\ntwo\n")
    for more, says, code in (
        (("--gallery", str(tmp_path / "absent.h5")), "absent.h5' do not exist. First: vtdl extract", 2),
        (("--query", str(copy)), "share 120 videos", 2),
        (("--query", unknown), "differ from", 2),
        (("--gallery", alone, "--query", alone), "hold one video, the query itself: there is no other. Extract", 2),
        ((*both, "--classes", "a.txt"), "--classes 'a.txt' is for R@k, which needs classes: features", 2),
        ((*both, "--group-by", "(.)"), "unknown.h5' have none. Leave it out", 2),
        (("--gallery", infinite), "that are not finite, the first for", 2),
        (("--figure", str(tmp_path / "a.png")), "Add --root videos", 2),
        (("--rows", "2"), "--root and --rows are options of the figure", 2),
        (("--figure", str(tmp_path / "a.jpg"), *root), "a.jpg' does not end in .png, the kind of file", 2),
        (("--figure", str(used), *root), "used.png' exists. Use --overwrite, or another --figure", 2),
        (("--figure", str(tmp_path), *root), "is a folder. Name a file in it: --figure", 2),
        (("--figure", str(tmp_path / "a.png"), "--root", str(tmp_path / "no")), "no' is not a folder", 2),
        (("--per-query", str(used)), "another --per-query", 2),
        (("--classes", str(tmp_path / "classes.txt")), "names 2 classes, but", 1),
        (("--classes", str(tmp_path / "no.txt")), "no.txt", 1),
    ):
        refuse(*line, *more, code=code, says=(says,))
    assert not (tmp_path / "a.png").exists()
    assert vtdl(*line, "--per-query", str(used), "--overwrite").exit_code == 0


def test_random_weights__of_another_seed_are_another_network(tmp_path: Path) -> None:
    files = [
        write(tmp_path / f"{seed}.h5", 20, seed, weights_sha256="", weights=f"none, seed {seed}") for seed in (0, 1)
    ]
    refuse("retrieve", "--gallery", str(files[0]), "--query", str(files[1]), code=2, says=("in weights_sha256: ",))


def test_choose_queries__correct_and_incorrect_of_many_classes() -> None:
    labels = np.repeat(np.arange(10), 20)
    correct = np.arange(200) % 20 < 3  # 15%
    chosen = choose_queries(correct, labels, 6, seed=0)
    assert correct[chosen].tolist() == [True] * 3 + [False] * 3
    assert len({int(labels[row]) for row in chosen}) == 6
    assert chosen != choose_queries(correct, labels, 6, seed=1)
    assert len(set(choose_queries(correct, labels, 500, seed=0))) == 200
    assert correct[choose_queries(np.ones(200, bool), labels, 6, seed=0)].size == 6  # none is wrong: all of the right


def test_read_frame__of_flow_is_x_and_y(tmp_path: Path) -> None:
    """Oracle: the images themselves, read by Pillow; of three pairs the second."""
    for number in (1, 2, 3):
        for axis, grey in (("x", 40 * number), ("y", 30 * number)):
            (tmp_path / "video").mkdir(exist_ok=True)
            Image.new("L", (16, 12), grey).save(tmp_path / "video" / f"flow_{axis}_{number:05d}.png")
    features = Features(Path("a.h5"), np.zeros((1, 2)), np.array([0]), ["video"], {"decoder": "flow"})
    assert read_frame(features, 0, tmp_path).reshape(-1, 3).tolist() == [[80, 60, 128]] * 16 * 12
