"""Damage through the real commands: all that read a file refuse it in one line, and leave nothing behind."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.toy import Toy, load, refuse, succeed, without_checksums


@pytest.fixture(scope="module")
def made(toy: Toy, pretrained: Path, finetuned: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with features of both lists, and results twice; not to be changed."""
    folder = tmp_path_factory.mktemp("made")
    succeed(*toy.extract(pretrained, folder / "val.h5"))
    line = toy.extract(pretrained, folder / "train.h5")
    line[line.index("--list") + 1] = str(toy.train_list)
    succeed(*line)
    succeed(*toy.evaluate(finetuned, folder / "results"))
    return folder


def flip(path: Path, content: bytes, at: int = 3) -> None:
    """Turn one bit of what lies at `content` in a file: of a float32 the sign of the first number."""
    whole = bytearray(path.read_bytes())
    whole[whole.index(content) + at] ^= 0x80
    path.write_bytes(whole)


Commands = Callable[[Path, Path, Path], list[str]]
OF_FEATURES: dict[str, Commands] = {
    "probe": lambda made, file, _: ["probe", "--train", str(made / "train.h5"), "--test", str(file)],
    "retrieve": lambda made, file, _: ["retrieve", "--gallery", str(made / "train.h5"), "--query", str(file)],
    "info": lambda _, file, __: ["features", "info", str(file)],
    "merge": lambda made, file, out: ["features", "merge", str(made / "train.h5"), str(file), "--out", f"{out}.h5"],
    "export": lambda _, file, out: ["features", "export", str(file), "--out", f"{out}.csv"],
    "plot": lambda _, file, out: ["plot", "features", str(file), "--method", "pca", "--out", f"{out}.png"],
}


@pytest.mark.parametrize("command", OF_FEATURES)
def test_features__damaged_are_refused_and_old_ones_warned_of(made: Path, tmp_path: Path, command: str) -> None:
    file = tmp_path / "f.h5"
    shutil.copy(made / "val.h5", file)
    flip(file, read_values(made / "val.h5"))
    line = OF_FEATURES[command](made, file, tmp_path / "out")
    refuse(*line, code=2, says=(f"features '{file}' are damaged: their features do not match their checksum",))
    assert [path.name for path in tmp_path.iterdir()] == ["f.h5"]
    shutil.copy(made / "val.h5", file)
    with without_checksums(file):
        pass
    warnings = [each for each in succeed(*line).stderr.splitlines() if "without checksums" in each]
    assert warnings == [
        f"warning: features '{file}' are of an earlier version, without checksums: damage would not be noticed"
    ]


def read_values(path: Path, name: str = "features") -> bytes:
    import h5py

    with h5py.File(path) as file:
        content: bytes = file[name][:].tobytes()
    return content


def test_scores__damaged_are_refused_and_old_ones_warned_of(made: Path, finetuned: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "results", tmp_path / "results")
    file = tmp_path / "results/scores.h5"
    fuse = ["fuse", str(made / "results/scores.h5"), str(file), "--out", str(tmp_path / "fused")]
    report = ["report", str(finetuned), "--results", str(file.parent), "--out", str(tmp_path / "page.html")]
    flip(file, read_values(file, "scores"))
    for line in (fuse, report):
        refuse(*line, code=2, says=(f"scores '{file}' are damaged: their scores do not match their checksum",))
    assert [path.name for path in tmp_path.iterdir()] == ["results"]
    shutil.copy(made / "results/scores.h5", file)
    with without_checksums(file):
        pass
    for line in (fuse, report):
        assert succeed(*line).stderr.count("without checksums") == 1


def test_extract__finished_and_damaged_since(toy: Toy, made: Path, pretrained: Path, tmp_path: Path) -> None:
    shutil.copy(made / "val.h5", tmp_path / "val.h5")
    flip(tmp_path / "val.h5", read_values(made / "val.h5"))
    line = toy.extract(pretrained, tmp_path / "val.h5", "--resume")
    refuse(*line, code=2, says=("val.h5' are damaged: their features do not match",))


def test_weights__flipped_sign_is_refused_by_all_who_read_them(toy: Toy, finetuned: Path, tmp_path: Path) -> None:
    weights = tmp_path / "best.pt"
    shutil.copy(finetuned / "checkpoints/best.pt", weights)
    flip(weights, load(weights)["model"]["head.linear.weight"].numpy().tobytes())
    for line in (
        toy.evaluate(weights, tmp_path / "out"),
        toy.extract(weights, tmp_path / "out.h5"),
        toy.finetune(tmp_path / "run", "--weights", str(weights)),
        ["convert", str(weights), "--out", str(tmp_path / "backbone.pt")],
    ):
        refuse(*line, code=1, says=(f"weights '{weights}' are damaged: record 'data/",))
    assert [path.name for path in tmp_path.iterdir()] == ["best.pt"]


def test_weights__damaged_cannot_be_resumed_from(toy: Toy, pretrained: Path, tmp_path: Path) -> None:
    shutil.copytree(pretrained, tmp_path / "run")
    last = tmp_path / "run/checkpoints/last.pt"
    flip(last, load(last)["model"]["memory.keys"].numpy().tobytes())
    more = ("--set", "pretrain.epochs=3", "--set", "pretrain.knn_every=2", "--quiet")
    refuse(*toy.pretrain(tmp_path / "run", "--resume", *more), code=1, says=("last.pt' are damaged: record 'data/",))


def test_convert__weights_without_checksums_are_reported(toy: Toy, finetuned: Path, tmp_path: Path) -> None:
    network = {
        name.removeprefix("backbone."): tensor
        for name, tensor in load(finetuned / "checkpoints/best.pt")["model"].items()
        if name.startswith("backbone.")
    }
    torch.save(network, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    line = ["convert", str(tmp_path / "old.pth"), "--preset", str(toy.preset), "--out", str(tmp_path / "new.pt")]
    warning = f"warning: weights '{tmp_path}/old.pth' have no checksums: damage in them would not be noticed"
    assert warning in succeed(*line).stderr.splitlines()


def test_load__weights_without_checksums_are_reported(toy: Toy, finetuned: Path, tmp_path: Path) -> None:
    """Oracle: torch's older format, which is no zip and has none."""
    old = tmp_path / "old.pt"
    torch.save(load(finetuned / "checkpoints/best.pt"), old, _use_new_zipfile_serialization=False)
    warning = f"warning: weights '{old}' have no checksums: damage in them would not be noticed"
    for line in (toy.evaluate(old, tmp_path / "results"), toy.extract(old, tmp_path / "f.h5")):
        assert succeed(*line).stderr.splitlines().count(warning) == 1
