"""A model as hubs keep it: written by `vtdl convert`, read as --weights, refused where it is not as written."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml
from safetensors.torch import load_file

from tests.toy import CLASSES, Toy, load, refuse, rows, succeed

FILES = {"model.safetensors", "config.json", "README.md"}


@pytest.fixture(scope="module")
def results(toy: Toy, finetuned: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An evaluation of the run, outside of it."""
    out = tmp_path_factory.mktemp("results") / "results"
    succeed(*toy.evaluate(finetuned, out))
    return out


@pytest.fixture(scope="module")
def hub(finetuned: Path, results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("hub") / "r3d-colours"
    succeed("convert", str(finetuned), "--out", str(out), "--license", "cc-by-4.0", "--results", str(results))
    return out


def metrics_of(results: Path) -> dict[str, Any]:
    """Without the names of the weights and the clock."""
    metrics = json.loads((results / "metrics.json").read_text())
    return {name: value for name, value in metrics.items() if name not in ("weights", "weights_sha256", "seconds")}


def downloaded(hub: Path, folder: Path) -> Path:
    """As huggingface_hub lays a snapshot out: links to files named by their hashes, and files of the hub's own."""
    blobs = folder / "blobs"
    blobs.mkdir(parents=True)
    snapshot = folder / "snapshot"
    snapshot.mkdir()
    for name in FILES:
        blob = blobs / hashlib.sha256((hub / name).read_bytes()).hexdigest()
        shutil.copyfile(hub / name, blob)
        (snapshot / name).symlink_to(blob)
    (snapshot / ".gitattributes").write_text("*.safetensors filter=lfs\n")
    return snapshot


def test_hub__every_form_is_evaluated_alike(
    toy: Toy, finetuned: Path, results: Path, hub: Path, tmp_path: Path
) -> None:
    """Oracle: metrics.json and scores of the run itself."""
    succeed("convert", str(finetuned), "--out", str(tmp_path / "model.safetensors"))
    for form in (tmp_path / "model.safetensors", downloaded(hub, tmp_path / "cache")):
        out = tmp_path / f"of {form.name}"
        succeed(*toy.evaluate(form, out))
        assert metrics_of(out) == metrics_of(results)
        with h5py.File(out / "scores.h5") as ours, h5py.File(results / "scores.h5") as theirs:
            np.testing.assert_array_equal(ours["scores"], theirs["scores"])


def test_hub__weights_that_were_not_chosen_stay_so(toy: Toy, finetuned: Path, tmp_path: Path) -> None:
    """last.pt was not chosen on the list, which only its name says; model.safetensors is another name."""
    last = finetuned / "checkpoints/last.pt"
    succeed("convert", str(last), "--out", str(tmp_path / "model.safetensors"))
    for weights, out in ((last, "last"), (tmp_path / "model.safetensors", "converted")):
        succeed(*toy.evaluate(weights, tmp_path / out))
    assert metrics_of(tmp_path / "converted") == metrics_of(tmp_path / "last")
    assert metrics_of(tmp_path / "last")["selected_on_this_list"] is False


def test_hub__pretrained_folder_is_extracted_and_finetuned(toy: Toy, pretrained: Path, tmp_path: Path) -> None:
    """Oracle: features of the run itself, of the backbone and of the embedding head."""
    folder = tmp_path / "hub"
    succeed("convert", str(pretrained), "--out", str(folder))
    for layer in ("last", "embedding"):
        for weights, name in ((pretrained, "run"), (folder, "hub")):
            succeed(*toy.extract(weights, tmp_path / f"{name} {layer}.h5", "--layer", layer))
        with h5py.File(tmp_path / f"run {layer}.h5") as run, h5py.File(tmp_path / f"hub {layer}.h5") as ours:
            np.testing.assert_array_equal(ours["features"], run["features"])
    names = {name.partition(".")[0] for name in load_file(folder / "model.safetensors")}
    assert names == {"backbone", "head"}  # of the query encoder; no key encoder and no queue
    assert json.loads((folder / "config.json").read_text())["classes"] == []  # it has no outputs for them
    assert "| classes | none |" in (folder / "README.md").read_text()
    line = toy.finetune(tmp_path / "run", "--weights", str(folder), "--dry-run")
    assert "all 72 tensors match" in succeed(*line).stderr
    line = toy.evaluate(folder, tmp_path / "results")
    refuse(
        *line,
        code=1,
        says=("were pretrained and have no classifier. First: vtdl finetune --preset small/r3d --weights",),
    )


def test_hub__config_and_card(finetuned: Path, results: Path, hub: Path) -> None:
    """Oracle: the run's checkpoint, its log and the evaluation's metrics.json; SHA-256 of the file by hashlib."""
    assert {path.name for path in hub.iterdir()} == FILES
    config = json.loads((hub / "config.json").read_text())
    sha256 = hashlib.sha256((hub / "model.safetensors").read_bytes()).hexdigest()
    assert (config["library_name"], config["license"], config["sha256"]) == ("vtdl", "cc-by-4.0", sha256)
    assert (config["classes"], config["clip_len_frames"], config["crop_size"]) == (list(CLASSES), 4, 32)
    best = load(finetuned / "checkpoints/best.pt")
    metrics = json.loads((results / "metrics.json").read_text())
    row = next(row for row in rows(finetuned) if row["epoch"] == best["epoch"])
    validated, evaluated = config["measured"]
    assert (validated["protocol"], validated["top1"], validated["selected_on_this_list"]) == (
        "clip@1",
        row["val_top1"],
        True,
    )
    assert (evaluated["protocol"], evaluated["top1"]) == ("video@2", metrics["top1"])
    card = (hub / "README.md").read_text()
    _, header, text = card.split("---\n", 2)
    assert yaml.safe_load(header)["license"] == "cc-by-4.0"
    assert yaml.safe_load(header)["pipeline_tag"] == "video-classification"
    assert str(finetuned.parent.parent) not in text + (hub / "config.json").read_text()  # no paths of this machine
    assert str(finetuned.parent.parent).encode() not in (hub / "model.safetensors").read_bytes()
    for words in (
        "# r3d-colours",
        "classifies video clips into 3 classes",
        "vtdl predict --weights FOLDER VIDEO",
        "| classes | blue, green, red |",
        "| optimiser | adamw, lr 0.01",
        f"| video@2 | 6 | {metrics['top1']:.1f} (",
        "yes: optimistic",
        best["list_sha256"],
        sha256,
    ):
        assert words in text


def test_hub__finds_results_in_the_run(toy: Toy, finetuned: Path, tmp_path: Path) -> None:
    """Those of other weights are left out with a warning, and refused where they are named."""
    run = tmp_path / "run"
    shutil.copytree(finetuned, run)
    succeed(*toy.evaluate(run, run / "results"))
    result = succeed("convert", str(run), "--out", str(tmp_path / "a"), "--json")
    assert [row["protocol"] for row in json.loads(result.stdout)["measured"]] == ["clip@1", "video@2"]
    assert "the model card says license: unknown. --license apache-2.0 would state that one" in result.stderr
    metrics = json.loads((run / "results/metrics.json").read_text())
    (run / "results/metrics.json").write_text(json.dumps(metrics | {"weights_sha256": "0" * 64}))
    result = succeed("convert", str(run), "--out", str(tmp_path / "b"), "--json", "--quiet")
    assert len(json.loads(result.stdout)["measured"]) == 1
    says = f"results '{run}/results/metrics.json' are of other weights than '{run}/checkpoints/best.pt'. First: "
    assert result.stderr.startswith(f"warning: left out: {says}")
    line = ["convert", str(run), "--out", str(tmp_path / "c"), "--results", str(run / "results")]
    refuse(*line, code=2, says=(says + f"vtdl evaluate --weights {run}/checkpoints/best.pt --list",))
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("command", ["evaluate", "extract", "finetune", "convert"])
def test_hub__another_sha256_is_refused(toy: Toy, hub: Path, finetuned: Path, tmp_path: Path, command: str) -> None:
    folder = tmp_path / "hub"
    shutil.copytree(hub, folder)
    succeed("convert", str(finetuned / "checkpoints/last.pt"), "--out", str(tmp_path / "other.safetensors"))
    (tmp_path / "other.safetensors").replace(folder / "model.safetensors")
    lines = {
        "evaluate": toy.evaluate(folder, tmp_path / "out"),
        "extract": toy.extract(folder, tmp_path / "out.h5"),
        "finetune": toy.finetune(tmp_path / "out", "--weights", str(folder)),
        "convert": ["convert", str(folder), "--out", str(tmp_path / "out.onnx")],
    }
    refuse(*lines[command], code=1, says=("are damaged, cut short or others: their SHA-256 is",))
    assert [path.name for path in tmp_path.iterdir()] == ["hub"]


def test_hub__folder_without_its_config(toy: Toy, hub: Path, tmp_path: Path) -> None:
    """Or with another library's, as of any model of a hub; the file alone can be used."""
    folder = tmp_path / "hub"
    shutil.copytree(hub, folder)
    for text in ("", "[]", '{"model_type": "videomae"}', '{"library_name": "vtdl"}'):
        (folder / "config.json").write_text(text)
        says = f"have no config.json of vtdl with the sha256 of model.safetensors. Download the whole folder again, or name the file: {folder / 'model.safetensors'}"
        refuse(*toy.evaluate(folder, tmp_path / "out"), code=1, says=(says,))
    succeed(*toy.evaluate(folder / "model.safetensors", tmp_path / "out", "--dry-run"))


def test_hub__never_writes_over_anything_unasked(hub: Path, finetuned: Path, tmp_path: Path) -> None:
    folder = tmp_path / "hub"
    shutil.copytree(hub, folder)
    before = {name: (folder / name).read_bytes() for name in FILES}
    line = ["convert", str(finetuned), "--out", str(folder)]
    refuse(*line, code=2, says=(f"output '{folder}/model.safetensors' exists. Use --overwrite",))
    refuse("convert", str(folder), "--out", str(folder), "--overwrite", code=2, says=("itself one of the inputs",))
    refuse(*line, "--overwrite", "--license", "a b", code=2, says=("--license 'a b' is not an identifier such as",))
    assert {name: (folder / name).read_bytes() for name in FILES} == before
    succeed(*line, "--overwrite", "--license", "mit")
    assert json.loads((folder / "config.json").read_text())["license"] == "mit"
    project = tmp_path / "project"
    project.mkdir()
    (project / "README.md").write_text("mine\n")
    line[-1] = str(project)
    refuse(*line, "--overwrite", code=2, says=("README.md' exists, and is not of vtdl. Choose another --out",))
    assert [path.name for path in project.iterdir()] == ["README.md"]
