"""Figures of runs, features and gradients, through the command."""

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from tests.engine.features.test_probe import write
from tests.toy import Toy, refuse, rows, succeed, without_times
from vtdl_cli.analysis.embedding import MOST_NAMED
from vtdl_cli.engine.report.plot import layer_names, unique_names
from vtdl_cli.engine.train.run_folder import read_log

GRADIENTS = ("--set", "pretrain.log_gradients=true", "--set", "pretrain.epochs=3", "--set", "pretrain.keep_every=1")


def write_run(folder: Path, *metrics: dict[str, float]) -> Path:
    folder.mkdir(parents=True)
    lines = [json.dumps({"epoch": epoch, "step": epoch, **row}) + "\n" for epoch, row in enumerate(metrics, 1)]
    (folder / "metrics.jsonl").write_text("".join(lines))
    return folder


def size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return image.size


@pytest.fixture(scope="module")
def logged(toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three epochs that logged its gradients; not to be changed."""
    out = tmp_path_factory.mktemp("logged") / "run"
    succeed(*toy.pretrain(out, *GRADIENTS))
    return out


def test_plot_runs__one_beside_itself_several_beside_the_first(tmp_path: Path) -> None:
    first, second = (write_run(tmp_path / name, {"loss": 2.0}, {"loss": 1.0}) for name in ("a", "b"))
    result = json.loads(succeed("plot", str(first), "--json").stdout)
    assert result == {"out": str(tmp_path / "a-curves.png"), "runs": [{"name": "a", "epochs": 2}]}
    result = json.loads(succeed("plot", "runs", str(first), str(second), "--json").stdout)
    assert result == {"out": str(tmp_path / "curves.png"), "runs": [{"name": name, "epochs": 2} for name in "ab"]}
    assert size(tmp_path / "curves.png") > size(tmp_path / "a-curves.png")  # the legend is beside the panel
    refuse("plot", str(first), code=2, says=("a-curves.png' exists. Use --overwrite, or another --out",))
    refuse("plot", str(first), "--out", str(tmp_path / "a.pdf"), code=2, says=("a.pdf' does not end in .png",))
    succeed("plot", str(first), "--overwrite")


def test_plot_runs__of_training(pretrained: Path, finetuned: Path, tmp_path: Path) -> None:
    one, out = tmp_path / "one.png", tmp_path / "both.png"
    succeed("plot", str(pretrained), "--out", str(one))
    result = json.loads(succeed("plot", str(pretrained), str(finetuned), "--out", str(out), "--json").stdout)
    assert [run["epochs"] for run in result["runs"]] == [2, 8]
    assert size(out)[1] > 3 * size(one)[1] / 2  # a panel for each metric


@pytest.mark.parametrize(
    ("runs", "names"),
    [
        (["x/a", "x/b"], ["a", "b"]),
        (["x/a", "y/a"], ["x/a", "y/a"]),
        (["x/a", "y/a", "y/b"], ["x/a", "y/a", "y/b"]),
        (["x/a/../b"], ["b"]),
    ],
)
def test_unique_names__as_short_as_can_be(runs: list[str], names: list[str]) -> None:
    assert unique_names([Path(run) for run in runs]) == names


def test_plot_runs__bad_input(tmp_path: Path) -> None:
    good = write_run(tmp_path / "good", {"loss": 1.0})
    empty, strange = write_run(tmp_path / "empty"), write_run(tmp_path / "strange", {"other": 1.0})
    damaged, bare = write_run(tmp_path / "damaged", {"loss": 1.0}), tmp_path / "bare"
    with (damaged / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 2, "lo')
    bare.mkdir()
    for line, says, code in (
        ([tmp_path / "absent"], "absent' is not a folder. Name a run folder", 2),
        ([good, bare], "bare' has no metrics.jsonl. Name a run folder", 2),
        ([empty], "empty' has no finished epoch yet", 2),
        ([strange], "strange' has no known metric", 2),
        ([damaged], "metrics.jsonl' is damaged: line 2 is not an epoch", 1),
        ([good, tmp_path / "bare" / ".." / "good"], "is named twice", 2),
        ([tmp_path / "val.h5"], "vtdl plot features", 2),
        ([good, "--out", tmp_path], "is a folder. Name a file in it", 2),
    ):
        refuse("plot", *map(str, line), code=code, says=(says,))
    assert not list(tmp_path.rglob("*.png"))


@pytest.mark.parametrize("method", ["tsne", "pca"])
def test_plot_features__beside_the_file(tmp_path: Path, method: str) -> None:
    file = write(tmp_path / "train.h5", 24, 0, signal=3)
    result = json.loads(succeed("plot", "features", str(file), "--method", method, "--json").stdout)
    assert result["out"] == str(tmp_path / f"train-{method}.png")
    assert (result["num_videos"], result["num_classes"]) == (24, 4)
    assert result["method"] == ("PCA" if method == "pca" else "t-SNE (perplexity 7.67)")  # (24 - 1) / 3
    with Image.open(result["out"]) as image:
        colours = {colour for _, colour in image.convert("RGB").getcolors(1 << 24)}  # type: ignore[union-attr]
    assert len(colours) > 50


def test_plot_features__videos_without_a_class_are_of_none(tmp_path: Path) -> None:
    file = write(tmp_path / "train.h5", 24, 0)
    for unlabelled, num_classes in ((8, 4), (24, 0)):
        with h5py.File(file, "a") as opened:
            opened["labels"][:unlabelled] = -1
        line = ("plot", "features", str(file), "--method", "pca", "--overwrite", "--json")
        assert json.loads(succeed(*line).stdout)["num_classes"] == num_classes


def test_plot_features__names_a_few_videos_without_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more than MOST_NAMED, and of classes, no names; the command that is printed runs."""
    named: list[list[str]] = []

    def watch(*arguments: Any, videos: list[str]) -> None:
        named.append(videos)
        arguments[-1].write_bytes(b"")

    monkeypatch.setattr("vtdl_cli.engine.report.plot.draw_points", watch)
    said = []
    for number, label in ((MOST_NAMED, -1), (MOST_NAMED + 1, -1), (8, 0)):
        file = write(tmp_path / f"{number}.h5", number, 0)
        with h5py.File(file, "a") as opened:
            opened["labels"][:] = label
        said.append(succeed("plot", "features", str(file), "--method", "pca").stderr)
    assert named == [[str(number) for number in range(MOST_NAMED)], [], []]
    remedy = f"vtdl retrieve --gallery {tmp_path / '41.h5'} --query {tmp_path / '41.h5'}"
    assert [remedy in text for text in said] == [False, True, False]
    succeed(*shlex.split(remedy)[1:])


def test_plot_features__chooses_videos_by_seed(tmp_path: Path) -> None:
    file = write(tmp_path / "train.h5", 40, 0)
    figures = []
    for name, seed in (("a.png", "0"), ("b.png", "0"), ("c.png", "1")):
        out = ("--out", str(tmp_path / name), "--max-videos", "20", "--seed", seed, "--method", "pca")
        assert json.loads(succeed("plot", "features", str(file), *out, "--json").stdout)["num_videos"] == 20
        figures.append((tmp_path / name).read_bytes())
    assert figures[0] == figures[1] != figures[2]


def test_plot_features__many_classes_have_no_legend(tmp_path: Path) -> None:
    """A legend of 30 classes would take the figure's side; one of 4 does."""
    widths = []
    for num_classes in (4, 30):
        file = tmp_path / f"{num_classes}.h5"
        write(file, 60, 0)
        with h5py.File(file, "a") as opened:
            opened["labels"][:] = np.arange(60) % num_classes
            del opened["paths"]
            opened["paths"] = [f"a class of a long name {number % num_classes:02d}/{number}" for number in range(60)]
        succeed("plot", "features", str(file), "--method", "pca")
        widths.append(size(tmp_path / f"{num_classes}-pca.png")[0])
    assert widths[0] > widths[1]


def test_plot_features__bad_input(toy: Toy, tmp_path: Path) -> None:
    good, few = write(tmp_path / "good.h5", 20, 0), write(tmp_path / "few.h5", 3, 0)
    same = write(tmp_path / "same.h5", 20, 0)
    with h5py.File(same, "a") as file:
        file["features"][:] = 1
    for line, says in (
        ([tmp_path / "absent.h5"], "absent.h5' do not exist"),
        ([toy.preset], "are not an HDF5 file"),
        ([few], "tsne needs at least 2 dimensions and 4 videos"),
        ([same], "all have one direction: the network has collapsed"),
        ([good, "--method", "umap"], "--method 'umap' is unknown. Choose from tsne, pca"),
    ):
        refuse("plot", "features", *map(str, line), "--quiet", code=2, says=(says,))
    assert not list(tmp_path.glob("*.png"))


def test_plot_gradients__of_a_run(logged: Path) -> None:
    """Oracle: the network by hand. Ten of r3d-10's tensors are convolutions of its path, three shortcuts; one head."""
    out = logged / "gradients.png"
    result = json.loads(succeed("plot", "gradients", str(logged), "--json").stdout)
    assert (result["out"], result["epochs"]) == (str(out), 3)
    table = read_log(logged / "gradients.jsonl")
    assert [row["step"] for row in table] == [3, 6, 9]
    layers = layer_names(list(table[0]["mean"]))
    assert layers[0] == "stem.0"
    assert layers[-1] == "head.linear"
    assert len(layers) == result["layers"] == 13
    assert all(0 < row["mean"][name] <= row["largest"][name] for row in table for name in row["mean"])
    refuse("plot", "gradients", str(logged), code=2, says=("gradients.png' exists. Use --overwrite",))
    assert size(out)[0] > 600


def test_log_gradients__changes_nothing_else(logged: Path, pretrained: Path) -> None:
    """The other run has read kNN, and learnt for two epochs only."""
    other = [{name: value for name, value in row.items() if name != "knn_top1"} for row in rows(pretrained)]
    assert without_times(rows(logged))[:2] == without_times(other)
    assert not (pretrained / "gradients.jsonl").exists()


def test_log_gradients__of_a_linear_probe_are_the_heads(toy: Toy, pretrained: Path, tmp_path: Path) -> None:
    more = ("--linear-probe", "--weights", str(pretrained), "--set", "finetune.log_gradients=true")
    succeed(*toy.finetune(tmp_path / "run", *more))
    assert [len(row["mean"]) for row in read_log(tmp_path / "run" / "gradients.jsonl")] == [1, 1]
    succeed("plot", "gradients", str(tmp_path / "run"))


def test_log_gradients__resumed_run_ends_with_the_same_file(toy: Toy, logged: Path, tmp_path: Path) -> None:
    """As after a kill in the third epoch, between its line in the log and its checkpoint: that line is forgotten."""
    out = tmp_path / "run"
    shutil.copytree(logged, out)
    shutil.copy(out / "checkpoints" / "epoch_0002.pt", out / "checkpoints" / "last.pt")
    before = (out / "gradients.jsonl").read_text()
    (out / "gradients.jsonl").write_text(before.replace('"mean"', '"meant"'))
    succeed(*toy.pretrain(out, *GRADIENTS, "--resume"))
    lines = [text.splitlines() for text in (before, (out / "gradients.jsonl").read_text())]
    assert len(lines[1]) == 3
    assert lines[1][2] == lines[0][2]  # made anew; the first two are kept as they were
    assert '"meant"' in lines[1][0]
    assert '"meant"' in lines[1][1]


def test_plot_gradients__bad_input(pretrained: Path, finetuned: Path, tmp_path: Path) -> None:
    for run, stage in ((pretrained, "pretrain"), (finetuned, "finetune")):
        says = f"has no gradients.jsonl. Train with --set {stage}.log_gradients=true"
        refuse("plot", "gradients", str(run), code=2, says=(says,))
    refuse("plot", "gradients", str(tmp_path / "absent"), code=2, says=("is not a folder",))


def test_plot_gradients__zero_and_not_finite(tmp_path: Path) -> None:
    """Neither has a place on a logarithmic scale: both are marked, and nothing is said by warnings."""
    sizes = []
    for name, sick in (("well", 0.5), ("zero", 0.0), ("none", None)):
        run = tmp_path / name
        run.mkdir()
        values = {"a.weight": 1.0, "b.weight": sick}
        row = {"epoch": 1, "step": 1, "mean": values, "largest": values}
        (run / "gradients.jsonl").write_text(json.dumps(row) + "\n")
        succeed("plot", "gradients", str(run))
        sizes.append((run / "gradients.png").read_bytes())
    assert len(set(sizes)) == 3


@pytest.mark.parametrize(
    ("weights", "layers"),
    [
        (["encoders.query.backbone.a.weight", "encoders.query.head.b.weight"], ["a", "head.b"]),
        (["backbone.a.0.conv3d.weight", "head.weight"], ["a.0", "head"]),
    ],
)
def test_layer_names(weights: list[str], layers: list[str]) -> None:
    assert layer_names(weights) == layers
