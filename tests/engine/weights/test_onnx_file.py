"""Networks as ONNX, run by onnxruntime, through the real command."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.foreign_weights import I3D, authors_checkpoint
from tests.toy import CLASSES, Toy, clips_by_hand, refuse, succeed
from vtdl_cli.engine.networks.trained import load_backbone, load_classifier
from vtdl_cli.models.heads import pool_features

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


def open_session(path: Path) -> Any:
    return onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("frames", ["uint8", pytest.param("float32", marks=pytest.mark.slow)])
def test_onnx__classifier_takes_the_frames_of_a_video(toy: Toy, finetuned: Path, tmp_path: Path, frames: str) -> None:
    """Oracle: our network on clips that PyAV decoded and NumPy cropped and normalised; 1e-4, as sums have other orders.

    Two clips, another number than it was exported with.
    """
    out = tmp_path / "classifier.onnx"
    result = succeed("convert", str(finetuned), "--out", str(out), "--frames", frames, "--json")
    report = json.loads(result.stdout)
    assert report["frames"] == [4, 32, 32, 3]
    assert report["largest_difference"] < 1e-4
    assert "averaging clips are not in it" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["classifier.onnx"]
    clips = clips_by_hand(next(toy.root.rglob("*.mp4")))
    scale = (torch.tensor([0.229, 0.224, 0.225]), torch.tensor([0.485, 0.456, 0.406]))
    values = (clips.permute(0, 2, 3, 4, 1) * scale[0] + scale[1]).numpy()  # from 0 to 1
    given = (values * 255).round().astype(np.uint8) if frames == "uint8" else values.astype(np.float32)
    probabilities, features = open_session(out).run(["probabilities", "features"], {"frames": given})
    network, _ = load_classifier(str(finetuned), ())
    with torch.inference_mode():
        np.testing.assert_allclose(probabilities, network(clips).softmax(1), atol=1e-4)
        np.testing.assert_allclose(features, pool_features(network.backbone(clips)), rtol=1e-3, atol=1e-4)
    metadata = open_session(out).get_modelmeta().custom_metadata_map
    assert json.loads(metadata["classes"]) == list(CLASSES)
    assert json.loads(metadata["mean"]) == [0.485, 0.456, 0.406]
    assert json.loads(metadata["std"]) == [0.229, 0.224, 0.225]
    assert (metadata["clip_len_frames"], metadata["stride_frames"], metadata["frame_rate"]) == ("4", "2", "null")
    assert json.loads(metadata["preset"])["model"]["name"] == "r3d"
    assert metadata["frames"].startswith(frames)


@pytest.mark.slow
def test_onnx__pretrained_backbone(pretrained: Path, tmp_path: Path) -> None:
    """Oracle: the run's own network, on another number of clips than it was exported with."""
    out = tmp_path / "backbone.onnx"
    result = succeed("convert", str(pretrained), "--out", str(out), "--json")
    assert json.loads(result.stdout)["clips"] == [3, 4, 32, 32]
    clips = torch.randn(5, 3, 4, 32, 32)
    found = torch.from_numpy(open_session(out).run(None, {"clips": clips.numpy()})[0])
    backbone, _ = load_backbone(str(pretrained), ())
    with torch.inference_mode():
        torch.testing.assert_close(found, pool_features(backbone(clips)), rtol=1e-3, atol=1e-5)
    line = ["convert", str(pretrained), "--out", str(tmp_path / "o.onnx"), "--frames", "uint8"]
    refuse(*line, code=2, says=("--frames 'uint8' needs a classifier, and weights",))


@pytest.mark.slow
def test_onnx__weights_of_other_code_in_one_step(tmp_path: Path) -> None:
    source = authors_checkpoint(tmp_path / "ckpt.pth")
    small = ["--set", "data.crop_size=32", "--set", "data.short_side=36"]
    report = json.loads(
        succeed("convert", str(source), *I3D, *small, "--out", str(tmp_path / "o.onnx"), "--json").stdout
    )
    assert report["clips"] == [3, 16, 32, 32]
    assert report["matched"] == 285
    assert "stage" not in report  # ONNX cannot be used as --weights


def test_onnx__what_cannot_be_written(finetuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = ["convert", str(finetuned), "--out", str(tmp_path / "o.onnx")]
    refuse(*line, "--frames", "int4", code=2, says=("--frames 'int4' is neither uint8 nor float32",))

    def fail(*_arguments: Any, **_options: Any) -> None:
        raise torch.onnx.OnnxExporterError("\n No decomposition for aten.new \n and a long explanation")

    with monkeypatch.context() as patch:
        patch.setattr("torch.onnx.export", fail)
        says = (
            "are of a network that ONNX cannot express (No decomposition for aten.new). Choose --out model.safetensors"
        )
        refuse(*line, code=1, says=(says,))
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    refuse(*line, code=2, says=("--out 'o.onnx' needs onnxscript. Type pip install onnxscript onnxruntime",))
    assert list(tmp_path.iterdir()) == []
