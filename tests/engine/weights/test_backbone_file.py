"""Backbones taken out of runs, through the real command."""

import json
import shlex
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.foreign_weights import features
from tests.toy import Toy, load, refuse, succeed
from vtdl_cli.engine.networks.build import build_backbone
from vtdl_cli.engine.networks.checkpoint import find_weights
from vtdl_cli.engine.networks.trained import load_backbone
from vtdl_cli.settings import load_config


def test_backbone_file__backbone_of_a_run_for_elsewhere(
    toy: Toy, pretrained: Path, finetuned: Path, tmp_path: Path
) -> None:
    """Oracle: the run's own backbone, filled from the file by torch alone."""
    for run in (pretrained, finetuned):
        out = tmp_path / f"{run.parent.name}.pt"
        result = succeed("convert", str(run), "--out", str(out), "--json")
        report, head = json.loads(result.stdout), "classifier" if run == finetuned else "embedding head"
        assert f"holds the backbone alone, for other code, without the {head}. To keep it, use" in result.stderr
        assert (report["tensors"], report["feature_dim"], report["largest_difference"]) == (72, 32, 0.0)
        state = load(out)
        assert all(isinstance(tensor, Tensor) and tensor.is_contiguous() for tensor in state.values())
        assert len({tensor.untyped_storage().data_ptr() for tensor in state.values()}) == len(
            state
        )  # as safetensors asks
        fresh = build_backbone(load_config(str(toy.preset))).eval()
        fresh.load_state_dict(state)
        assert torch.equal(features(fresh), features(load_backbone(str(find_weights(str(run))), ())[0]))


def test_backbone_file__is_no_checkpoint(
    toy: Toy, finetuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: what is proposed in its place, which predicts."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "finetuned").symlink_to(finetuned)
    succeed("convert", "runs/finetuned", "--out", "out/backbone.pt")
    video = str(next(toy.root.rglob("*.mp4")))
    line = ["predict", video, "--device", "cpu", "--workers", "0", "--weights"]
    says = "weights 'out/backbone.pt' are a backbone alone, as vtdl convert writes it for other code, without settings"
    result = refuse(*line, "out/backbone.pt", code=1, says=(says,))
    assert "not written by vtdl" not in result.stderr
    words = shlex.split(result.stderr.split(": vtdl ")[1])
    succeed(*words)
    succeed(*line, words[-1])


def test_backbone_file__nan_values(pretrained: Path, tmp_path: Path) -> None:
    content = load(pretrained / "checkpoints/last.pt")
    content["model"]["encoders.query.backbone.stem.0.weight"][0, 1, 0, 2, 1] = float("nan")
    torch.save(content, tmp_path / "broken.pt")
    line = ["convert", str(tmp_path / "broken.pt"), "--out", str(tmp_path / "backbone.pt")]
    refuse(*line, code=1, says=("have values that are infinite or NaN, in tensor 'backbone.stem.0.weight'. Take",))
    assert not (tmp_path / "backbone.pt").exists()
