"""Optical flow through the whole chain by the real commands."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

import vtdl_cli
from tests.toy import PRESET, refuse, rows, succeed

NUM_FRAMES, HEIGHT, WIDTH, PER_CLASS = 16, 36, 50, 6
CLASSES = ("left", "up")


@pytest.fixture(scope="module")
def flow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of flow pairs in two classes, which differ in the direction alone: one leaves y still, one x."""
    root = tmp_path_factory.mktemp("flow")
    for label, name in enumerate(CLASSES):
        for number in range(PER_CLASS):
            folder = root / "videos" / name / f"{name}_{number}"
            folder.mkdir(parents=True)
            generator = np.random.default_rng(10 * label + number)
            moving = 128 + 40 * generator.uniform(0.5, 1) + generator.normal(0, 3, (NUM_FRAMES, HEIGHT, WIDTH))
            still = np.full_like(moving, 128)
            for direction, pictures in zip("xy", (still, moving) if label else (moving, still), strict=True):
                for index, picture in enumerate(pictures, start=1):
                    Image.fromarray(picture.astype(np.uint8)).save(folder / f"flow_{direction}_{index:05d}.jpg")
    (root / "preset.yaml").write_text(PRESET.replace("data: {", "data: {modality: flow, "))
    line = ["--root", str(root / "videos"), "--out", str(root / "lists"), "--workers", "0"]
    succeed("prepare-lists", "folder", *line, "--decoder", "flow", "--verify")
    return root


def training(flow: Path, out: Path) -> list[str]:
    line = ["--preset", str(flow / "preset.yaml"), "--train-list", str(flow / "lists/train_split_1.txt")]
    return [*line, *common(flow, out)]


def common(flow: Path, out: Path) -> list[str]:
    return ["--root", str(flow / "videos"), "--out", str(out), "--device", "cpu", "--workers", "0"]


@pytest.fixture(scope="module")
def pretrained_flow(flow: Path, one_torch_thread: None) -> Path:  # noqa: ARG001
    succeed("pretrain", *training(flow, flow / "pretrained"))
    return flow / "pretrained"


def test_flow__lists(flow: Path) -> None:
    audit = json.loads((flow / "lists/audit.json").read_text())
    assert (audit["splits"], audit["options"]["decoder"]) == ({"train": 10, "val": 2}, "flow")
    assert audit["frames"] == {"min": NUM_FRAMES, "median": NUM_FRAMES, "max": NUM_FRAMES}
    assert (flow / "lists/val_split_1.txt").read_text().split()[2] == str(NUM_FRAMES)


def test_flow__from_pretraining_to_features(flow: Path, pretrained_flow: Path) -> None:
    """Directions can only be told apart where x and y are read from pictures of their own."""
    assert np.isfinite(rows(pretrained_flow)[-1]["loss"])
    val = ["--val-list", str(flow / "lists/val_split_1.txt")]
    more = ["--weights", str(pretrained_flow), "--set", "finetune.epochs=15"]
    succeed("finetune", *training(flow, flow / "finetuned"), *val, *more)
    test = ["--list", str(flow / "lists/val_split_1.txt")]
    succeed("evaluate", "--weights", str(flow / "finetuned"), *test, *common(flow, flow / "evaluated"))
    assert json.loads((flow / "evaluated/metrics.json").read_text())["top1"] == 100.0
    succeed("extract", "--weights", str(flow / "finetuned"), *test, *common(flow, flow / "features.h5"))
    with h5py.File(flow / "features.h5") as file:
        assert (file["features"].shape, file.attrs["modality"]) == ((2, 32), "flow")
        paths, vectors = file["paths"].asstr()[:], file["features"][:]
    model = vtdl_cli.load(flow / "finetuned", device="cpu")
    for path, vector in zip(paths, vectors, strict=True):
        assert model.features(flow / "videos" / path) == pytest.approx(vector, abs=1e-5)
    no_motion = model.transform(np.full((4, HEIGHT, WIDTH, 2), 128, np.uint8))
    assert (no_motion.shape[:2], float(no_motion.abs().max()) < 0.01) == ((2, 4), True)


def test_flow__weights_of_colours_are_refused(flow: Path, pretrained: Path, tmp_path: Path) -> None:
    val = ["--val-list", str(flow / "lists/val_split_1.txt")]
    line = [*training(flow, tmp_path / "run"), *val, "--weights", str(pretrained)]
    refuse("finetune", *line, code=1, says=("weights of r3d (depth 10, width 4, rgb) do not fit the network",))
    assert not (tmp_path / "run").exists()


def test_flow__videos_without_it(flow: Path, tmp_path: Path) -> None:
    for file in (flow / "videos").rglob("flow_x*"):
        target = tmp_path / "videos" / file.relative_to(flow / "videos").with_name(file.name.replace("flow_x", "img"))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())
    line = ["--root", str(tmp_path / "videos"), "--out", str(tmp_path / "lists")]
    refuse("prepare-lists", "folder", *line, "--decoder", "flow", code=2, says=("holds no optical flow at any depth",))
