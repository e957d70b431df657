"""The public names, used as in a notebook; oracles are what the commands write."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

import vtdl_cli
from tests.toy import CLASSES, Toy, clips_by_hand, succeed
from vtdl_cli.data.video.decoding import open_video

README = Path(__file__).parent.parent / "README.md"
LINES = re.findall(r"(?:\n    \S.*|\n(?=\n    ))+", str(vtdl_cli.__doc__))
"""The indented lines of the docstring."""


@pytest.fixture(scope="module")
def model(finetuned: Path) -> vtdl_cli.Model:
    return vtdl_cli.load(finetuned, device="cpu")


@pytest.fixture(scope="module")
def first(toy: Toy) -> Path:
    """The first video of the validation list."""
    return toy.root / toy.val_list.read_text().split()[0]


def decode(path: Path) -> np.ndarray:
    with open_video(path) as reader:
        return reader.read(range(reader.num_frames))


def test_import__loads_nothing_heavy() -> None:
    """In a new process: what `import vtdl_cli` brings, and what it names."""
    heavy = "[name for name in ('torch', 'numpy', 'h5py', 'pydantic', 'typer') if name in sys.modules]"
    names = "set(vtdl_cli.__all__) <= set(dir(vtdl_cli))"
    code = f"import sys, vtdl_cli; print({heavy}, {names})"
    assert subprocess.check_output([sys.executable, "-c", code], text=True, timeout=60) == "[] True\n"


def test_public_names__all_exist_and_no_other() -> None:
    assert all(hasattr(vtdl_cli, name) for name in vtdl_cli.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'lod'"):
        vtdl_cli.lod  # noqa: B018  # type: ignore[attr-defined]


def test_docstring__lines_run(
    toy: Toy, finetuned: Path, first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exactly the lines of the docstring, in a folder with the files that they name."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "finetuned").symlink_to(finetuned)
    (tmp_path / "clip.mp4").symlink_to(first)
    monkeypatch.chdir(tmp_path)
    succeed(*toy.extract(finetuned, tmp_path / "train.h5"))
    names: dict[str, Any] = {}
    code = "".join(LINES).replace("\n    ", "\n")
    exec(code, names)
    assert code.count("\n") > 8
    assert names["train"].values.shape == (len(names["train"].labels), names["model"].feature_dim)


def test_readme__notebook_lines_are_those_of_the_docstring() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    shown = [block for block in blocks if "vtdl_cli.load(" in block]
    assert all(line in vtdl_cli.__doc__ for block in shown for line in block.splitlines())


def test_predict__equals_evaluate(model: vtdl_cli.Model, toy: Toy, finetuned: Path, tmp_path: Path) -> None:
    """Oracle: scores.h5 of `vtdl evaluate`, for every video of the list."""
    succeed(*toy.evaluate(finetuned, tmp_path))
    with h5py.File(tmp_path / "scores.h5") as file:
        paths, scores = file["paths"].asstr()[:], file["scores"][:]
    for path, expected in zip(paths, scores, strict=True):
        found = model.predict(toy.root / path)
        assert list(found.values()) == sorted(found.values(), reverse=True)
        assert [found[name] for name in CLASSES] == pytest.approx(expected.tolist(), abs=1e-6)
    assert model.classes == list(CLASSES)


def test_predict__equals_the_command(model: vtdl_cli.Model, finetuned: Path, first: Path) -> None:
    """Oracle: the rows of `vtdl predict`, which have six digits."""
    line = ["predict", "--weights", str(finetuned), str(first), "--device", "cpu", "--workers", "0", "--json"]
    top = json.loads(succeed(*line).stdout)["predictions"][0]["top"]
    found = [{"class": name, "probability": round(value, 6)} for name, value in model.predict(first).items()]
    assert found == top


@pytest.mark.parametrize("stage", ["pretrained", "finetuned"])
def test_features__equal_extract(stage: str, toy: Toy, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Oracle: the HDF5 file of `vtdl extract`, as h5py reads it and as `read_features` does; three clips, not two."""
    weights = request.getfixturevalue(stage)
    model = vtdl_cli.load(str(weights), device="cpu")
    succeed(*toy.extract(weights, tmp_path / "f.h5", "--clips", "3"))
    with h5py.File(tmp_path / "f.h5") as file:
        paths, expected = file["paths"].asstr()[:], file["features"][:]
    for path, vector in zip(paths, expected, strict=True):
        found = model.features(str(toy.root / path), clips=3)
        assert (found.dtype == np.float32, found.shape) == (True, (model.feature_dim,))
        assert found == pytest.approx(vector, abs=1e-5)
    stored = vtdl_cli.read_features(tmp_path / "f.h5")
    assert np.array_equal(stored.values, expected)
    assert stored.paths == paths.tolist()


def test_arrays__equal_the_file(model: vtdl_cli.Model, first: Path) -> None:
    """Oracle: the same video by its path."""
    frames = decode(first)
    assert np.array_equal(model.features(frames), model.features(first))
    assert model.predict(torch.from_numpy(frames)) == model.predict(first)


def test_transform_and_module__equal_the_method(model: vtdl_cli.Model, first: Path) -> None:
    """Oracle: clips cut out and normalised by hand; the mean of the module's probabilities, in plain torch."""
    frames = decode(first)
    clips = torch.stack([model.transform(frames[start : start + 8 : 2]) for start in (0, 16)])
    assert torch.allclose(clips, clips_by_hand(first), atol=1e-5)
    with torch.inference_mode():
        probabilities = model.module(clips).softmax(1).mean(0)
    assert [model.predict(first)[name] for name in CLASSES] == pytest.approx(probabilities.tolist(), abs=1e-6)
    assert isinstance(model.module, torch.nn.Module)
    assert not model.module.training


@pytest.mark.parametrize("name", ["model.safetensors", "hub/"])
def test_load__what_weights_take(
    name: str, model: vtdl_cli.Model, finetuned: Path, first: Path, tmp_path: Path
) -> None:
    """Oracle: the run that was converted."""
    out = f"{tmp_path}/{name}"
    succeed("convert", str(finetuned), "--out", out)
    assert vtdl_cli.load(out, device="cpu").predict(first) == model.predict(first)


def test_load__settings_change_the_configuration(finetuned: Path, first: Path) -> None:
    """Oracle: the argument that says the same."""
    one = vtdl_cli.load(finetuned, device="cpu", settings=["evaluate.clips=1"])
    assert one.predict(first) == vtdl_cli.load(finetuned, device="cpu").predict(first, clips=1)


def test_errors__are_one_line_each(model: vtdl_cli.Model, pretrained: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.mp4").write_text("no video")
    attempts: list[tuple[Any, str]] = [
        (lambda: vtdl_cli.load(tmp_path / "none"), "none' do not exist. Give a run folder or a checkpoint file"),
        (lambda: vtdl_cli.load(pretrained).predict("a.mp4"), "were pretrained and have no classifier. First: vtdl"),
        (lambda: model.predict(tmp_path / "notes.mp4"), "notes.mp4' cannot be read: "),
        (lambda: model.features("absent.mp4"), "video 'absent.mp4' cannot be read: no such file"),
        (lambda: model.features(np.zeros((4, 8, 8, 3))), "of shape [4, 8, 8, 3] and type float64 are not uint8"),
        (lambda: model.transform(np.zeros((8, 8, 3), np.uint8)), "of shape [8, 8, 3] and type uint8 are not"),
        (lambda: vtdl_cli.read_features(tmp_path / "notes.mp4"), "are not an HDF5 file"),
    ]  # fmt: skip
    for attempt, says in attempts:
        with pytest.raises(vtdl_cli.VtdlError, match=re.escape(says)) as caught:
            attempt()
        assert len(str(caught.value).splitlines()) == 1


def test_repr__names_weights_and_network(model: vtdl_cli.Model) -> None:
    assert re.fullmatch(r"Model\('.*best\.pt': r3d, 3 classes, cpu\)", repr(model))
