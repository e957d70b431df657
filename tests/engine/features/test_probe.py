"""Probes, on features of known quality."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from tests.toy import Toy, refuse, succeed
from vtdl_cli.data.hdf5.features import read_features
from vtdl_cli.engine.features.probe import knn, linear

CLASSES, DIM = 4, 8


def write(path: Path, num_videos: int, seed: int, *, signal: float = 1.0, **attributes: str) -> Path:
    """Features of random classes, separated by `signal`."""
    generator = np.random.default_rng(seed)
    labels = np.arange(num_videos) % CLASSES
    features = generator.normal(size=(num_videos, DIM)) + signal * np.eye(DIM)[labels]
    with h5py.File(path, "w") as file:
        file["features"], file["labels"] = features.astype(np.float32), labels
        file["num_frames"] = np.full(num_videos, 30)
        file["paths"] = [f"{seed}/{number}.mp4" for number in range(num_videos)]
        file.attrs.update({"backbone": "r3d", "layer": "last", "weights_sha256": "abc", **attributes})
    return path


def pair(folder: Path, **attributes: str) -> list[str]:
    train = write(folder / "train.h5", 120, 0, signal=1.5)
    return ["probe", "--train", str(train), "--test", str(write(folder / "test.h5", 60, 1, signal=1.5, **attributes))]


def test_knn__equals_scikit_learn(tmp_path: Path) -> None:
    """Oracle: scikit-learn's nearest neighbour by cosine distance."""
    pair(tmp_path)
    known, unknown = read_features(tmp_path / "train.h5"), read_features(tmp_path / "test.h5")
    reference = KNeighborsClassifier(1, metric="cosine").fit(known.values, known.labels)
    assert knn(known, unknown)["knn@1"].mean() == pytest.approx(reference.score(unknown.values, unknown.labels))


def test_linear__equals_scikit_learn_at_one_of_its_strengths(tmp_path: Path) -> None:
    """Oracle: logistic regression fitted here, at each strength that could have been chosen."""
    pair(tmp_path)
    known, unknown = read_features(tmp_path / "train.h5"), read_features(tmp_path / "test.h5")
    scaler = StandardScaler().fit(known.values)
    possible = [
        LogisticRegression(C=strength, max_iter=5000)
        .fit(scaler.transform(known.values), known.labels)
        .score(scaler.transform(unknown.values), unknown.labels)
        for strength in (0.01, 0.1, 1.0, 10.0, 100.0)
    ]
    scores, labels = linear(known, unknown)
    share = (scores.argmax(1) == labels).mean()
    assert any(share == pytest.approx(value) for value in possible)
    assert share > 0.6


def test_probe__result(tmp_path: Path) -> None:
    result = json.loads(succeed(*pair(tmp_path), "--per-class", "1,5", "--repeats", "3", "--json").stdout)
    assert (result["num_train"], result["num_test"], result["dim"]) == (120, 60, DIM)
    assert result["per_class"].keys() == {"1", "5"}
    one, five = (result["per_class"][number]["linear_top1"] for number in ("1", "5"))
    assert 25 < one["mean"] < five["mean"] < result["linear_top1"]
    assert one["std"] > 0
    assert "linear_top5" not in result  # of four classes


def test_probe__all_videos_of_each_class_are_drawn_once(tmp_path: Path) -> None:
    """Oracle: the accuracies of all training videos."""
    result = succeed(*pair(tmp_path), "--per-class", "5,30", "--repeats", "3", "--json")
    assert "--per-class 30 is of all training videos: measured once, as draws are equal" in result.stderr
    found = json.loads(result.stdout)
    for name, each in found["per_class"]["30"].items():
        assert each == {"mean": found[name], "std": 0, "draws": [found[name]]}
    assert len(found["per_class"]["5"]["linear_top1"]["draws"]) == 3


def test_probe__spread_of_the_training_features(tmp_path: Path) -> None:
    """Oracle: NumPy's singular values of the training file, of all eight directions and, one left out, of none."""
    arguments = pair(tmp_path)
    result = json.loads(succeed(*arguments, "--json").stdout)
    singular = np.linalg.svd(read_features(tmp_path / "train.h5").values, compute_uv=False)
    shares = singular / singular.sum()
    assert result["rankme"] == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-4)
    assert result["variance_in_10"] == pytest.approx(100)  # of eight channels
    assert "rankme" in succeed(*arguments).stdout


def test_probe__interval_of_every_accuracy(tmp_path: Path) -> None:
    """Oracle: scipy's, by the number of test videos that are right; classes have 15 of them each."""
    result = json.loads(succeed(*pair(tmp_path), "--json").stdout)
    metrics = {"knn@1", "knn@5", "knn@20", "linear_top1", "linear_mean_class"}
    assert metrics == result["intervals"].keys()
    for name in metrics:
        ends = binomtest(round(0.6 * result[name]), 60).proportion_ci(method="wilson")
        assert result["intervals"][name] == pytest.approx([100 * ends.low, 100 * ends.high])


def test_probe__macro_f1_equals_scikit_learn(tmp_path: Path) -> None:
    result = json.loads(succeed(*pair(tmp_path), "--json").stdout)
    scores, labels = linear(read_features(tmp_path / "train.h5"), read_features(tmp_path / "test.h5"))
    assert result["linear_macro_f1"] == pytest.approx(100 * f1_score(labels, scores.argmax(1), average="macro"))


def test_linear__classes_that_only_the_test_has_are_wrong(tmp_path: Path) -> None:
    """Oracle: by hand: class 1 of 4 is left out of training, and a quarter of the test videos cannot be right."""
    pair(tmp_path)
    known, unknown = read_features(tmp_path / "train.h5"), read_features(tmp_path / "test.h5")
    scores, labels = linear(known.rows(known.labels != 1), unknown)
    assert np.isneginf(scores[:, 1]).all()
    assert np.array_equal(labels, unknown.labels)
    assert not (scores.argmax(1) == 1).any()


def test_probe__features_without_signal_are_at_chance(tmp_path: Path) -> None:
    """Oracle: chance is 25%; with 400 test videos three deviations are 6.5 points."""
    train, test = write(tmp_path / "a.h5", 400, 0, signal=0), write(tmp_path / "b.h5", 400, 1, signal=0)
    result = json.loads(succeed("probe", "--train", str(train), "--test", str(test), "--json").stdout)
    assert all(abs(result[name] - 25) < 6.5 for name in ("knn@1", "knn@5", "knn@20", "linear_top1"))


def test_probe__more_voters_than_videos_are_left_out(tmp_path: Path) -> None:
    train, test = write(tmp_path / "a.h5", 12, 0), write(tmp_path / "b.h5", 12, 1)
    result = succeed("probe", "--train", str(train), "--test", str(test), "--per-class", "1", "--json")
    metrics = json.loads(result.stdout)
    assert {name for name in metrics if name.startswith("knn")} == {"knn@1", "knn@5"}
    assert {name for name in metrics["per_class"]["1"] if name.startswith("knn")} == {"knn@1"}
    assert "knn@20 left out" in result.stderr


def test_probe__of_extracted_features(toy: Toy, pretrained: Path, tmp_path: Path) -> None:
    """The toy's classes differ by colour: even these features tell most of them apart."""
    files = []
    for name, videos in (("train", toy.train_list), ("val", toy.val_list)):
        files.append(tmp_path / f"{name}.h5")
        succeed(*toy.extract(pretrained, files[-1], "--list", str(videos), "--per-clip"))
    result = json.loads(succeed("probe", "--train", str(files[0]), "--test", str(files[1]), "--json").stdout)
    assert (result["num_train"], result["num_test"]) == (12, 6)
    assert result["linear_top1"] > 60


def test_probe__bad_input(toy: Toy, tmp_path: Path) -> None:
    line = pair(tmp_path)
    train = line[2]
    fresh = write(tmp_path / "fresh.h5", 20, 3, weights_sha256="", weights="none, seed 3")
    fresh_too = write(tmp_path / "fresh_too.h5", 20, 4, weights_sha256="", weights="none, seed 4")
    cut = tmp_path / "cut.h5"
    cut.write_bytes(Path(train).read_bytes()[:-1])
    other = write(tmp_path / "other.h5", 20, 2, weights_sha256="def")
    for more, says in (
        (("--test", str(tmp_path / "absent.h5")), "absent.h5' do not exist. First: vtdl extract"),
        (("--test", str(toy.preset)), "are not an HDF5 file"),
        (("--test", str(other)), "in weights_sha256: "),
        (("--test", train), "share 120 videos"),
        (("--train", str(fresh), "--test", str(fresh_too)), "in weights_sha256: "),
        (("--train", str(cut)), "cut.h5' are cut short or damaged"),
        (("--per-class", "0"), "--per-class '0' is not a list of numbers from 1"),
        (("--per-class", "31"), "--per-class '31' exceeds the 30 videos of class 0"),
    ):
        refuse(*line, *more, code=2, says=(says,))
