"""Weights from elsewhere, and backbones taken out, through the real command."""

import argparse
import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.toy import Toy, load, refuse, succeed
from vtdl_cli.config import load_config
from vtdl_cli.engine.build import build_trunk
from vtdl_cli.engine.checkpoint import find_weights
from vtdl_cli.engine.trained import load_trunk
from vtdl_cli.models.heads import pool_features

I3D = ("--preset", "hmdb51/i3d", "--set", "model.width=4")


def thin_i3d(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return build_trunk(load_config("hmdb51/i3d", ["model.width=4"])).eval()


def authors_state(seed: int) -> dict[str, Tensor]:
    """Named as the authors' DataParallel saves them, heads and all (README, Method)."""
    state = {f"module.{name}": tensor for name, tensor in thin_i3d(seed).state_dict().items()}
    heads = {
        "id_head.2.weight": torch.zeros(128, 64),
        "id_head.2.bias": torch.zeros(128),
        "cls_head.2.weight": torch.ones(9),
    }
    return state | {f"module.{name}": tensor for name, tensor in heads.items()}


def authors_checkpoint(path: Path, **more: Any) -> Path:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(2))], 0.003, momentum=0.9)
    content = {
        "opt": argparse.Namespace(dataset="hmdb51", softmax=True, learning_rate=0.003, lr_decay_epochs=[120, 160]),
        "model": authors_state(1),
        "contrast": {"memory": torch.zeros(9, 128), "params": torch.tensor([9.0])},
        "optimizer": optimizer.state_dict(),
        "epoch": 48,
        "model_ema": authors_state(2),
    }
    torch.save(content | more, path)
    return path


def features(trunk: nn.Module) -> Tensor:
    clips = torch.randn(2, 3, 16, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        return pool_features(trunk(clips))


@pytest.mark.parametrize(("option", "seed"), [((), 1), (("--key-encoder",), 2)])
def test_convert__authors_checkpoint(tmp_path: Path, option: tuple[str, ...], seed: int) -> None:
    """Oracle: the network whose weights were saved; the trained encoder is taken unless told."""
    source = authors_checkpoint(tmp_path / "ckpt_epoch_48.pth")
    answer = succeed("convert", str(source), *I3D, "--out", str(tmp_path / "ours.pt"), "--json", *option)
    report = json.loads(answer.stdout)
    assert (report["matched"], report["missing"], report["unexpected"], report["misshaped"]) == (342, [], [], [])
    assert sorted(report["heads_left_out"]) == ["cls_head.2.weight", "id_head.2.bias", "id_head.2.weight"]
    trunk, loaded = load_trunk(str(tmp_path / "ours.pt"), ())
    assert torch.equal(features(trunk), features(thin_i3d(seed)))
    assert loaded.config.model.width == 4


@pytest.mark.parametrize("name", ["r3d_18", "r2plus1d_18"])
def test_convert__torchvision(tmp_path: Path, name: str) -> None:
    """Oracle: torchvision's own network: what its average pooling gives to its classifier."""
    from torchvision.models import video

    torch.manual_seed(0)
    theirs = getattr(video, name)(weights=None).eval()
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    preset = {"r3d_18": "ucf101/r3d", "r2plus1d_18": "ucf101/r2p1d"}[name]
    succeed("convert", str(tmp_path / "weights.pth"), "--preset", preset, "--out", str(tmp_path / "ours.pt"))
    trunk, _ = load_trunk(str(tmp_path / "ours.pt"), ())
    theirs.fc = nn.Identity()
    clips = torch.randn(2, 3, 8, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(pool_features(trunk(clips)), theirs(clips), rtol=1e-4, atol=1e-5)


def test_convert__finetunes_from_what_was_converted(toy: Toy, tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = build_trunk(load_config(str(toy.preset))).state_dict()
    torch.save({"state_dict": {f"net.{name}": tensor for name, tensor in state.items()}}, tmp_path / "plain.pth")
    line = ["--preset", str(toy.preset), "--rename", "net.=", "--out", str(tmp_path / "ours.pt")]
    result = succeed("convert", str(tmp_path / "plain.pth"), *line)
    assert "next: vtdl finetune" in result.stderr
    weights = ["--weights", str(tmp_path / "ours.pt"), "--set", "finetune.epochs=1"]
    assert "all 72 tensors match" in succeed(*toy.finetune(tmp_path / "run", *weights)).stderr


class Bomb:
    """Leaves a file behind when it is unpickled by a reader that runs what it reads."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize("where", ["top", "namespace"])
def test_convert__code_is_refused_and_not_run(tmp_path: Path, where: str) -> None:
    trace = tmp_path / "trace"
    more = {"amp": Bomb(trace)} if where == "top" else {"opt": argparse.Namespace(hook=Bomb(trace))}
    source = authors_checkpoint(tmp_path / "bomb.pth", **more)
    line = ["convert", str(source), *I3D, "--out", str(tmp_path / "ours.pt")]
    refuse(*line, code=1, says=("it holds other things than tensors and plain types",))
    assert not trace.exists()
    assert not (tmp_path / "ours.pt").exists()
    with source.open("rb") as file:  # the bomb is real: a plain reader of its pickle sets it off
        pickle.loads(pickle.dumps(Bomb(trace)))
        assert file.read(1)
    assert trace.exists()


def test_convert__weights_of_another_network(tmp_path: Path) -> None:
    source = authors_checkpoint(tmp_path / "ckpt.pth")
    line = ["convert", str(source), "--preset", "ucf101/r3d", "--out", str(tmp_path / "ours.pt")]
    refuse(*line, code=1, says=("do not fit r3d: 0 tensors match, 100 missing (stem.0.weight,",))
    assert not (tmp_path / "ours.pt").exists()


def test_convert__part_of_a_network_where_told(tmp_path: Path) -> None:
    """Oracle: by hand: of 342 tensors, 285 without counters, the last block's 42 are taken out, and one is reshaped."""
    state = {name: tensor for name, tensor in authors_state(1).items() if "mixed_5c" not in name}
    state = {name: tensor for name, tensor in state.items() if "num_batches" not in name}
    state["module.conv3d_1a_7x7.conv3d.weight"] = torch.zeros(4, 2, 7, 7, 7)
    source = authors_checkpoint(tmp_path / "ckpt.pth", model=state)
    line = ["convert", str(source), *I3D, "--out", str(tmp_path / "ours.pt"), "--json"]
    refuse(*line, code=1, says=("1 misshaped (conv3d_1a_7x7.conv3d.weight); that is 89%, less than --min-match 95",))
    result = succeed(*line, "--min-match", "80")
    report = json.loads(result.stdout)
    assert (report["matched"], len(report["missing"]), len(report["misshaped"])) == (254, 30, 1)
    assert "warning: 30 tensors of the backbone were not there: they start anew" in result.stderr


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        (("--rename", "encoder"), 2, "--rename 'encoder' is not of the form OLD=NEW"),
        ((), 2, "do not say which network they are of. Add --preset"),
        (("--preset", "hmdb51/i3d", "--key-encoder"), 1, "have no 'model_ema'. Leave out --key-encoder"),
    ],
)
def test_convert__mistakes(tmp_path: Path, more: tuple[str, ...], code: int, says: str) -> None:
    torch.save(authors_state(1), tmp_path / "plain.pth")
    more = (*I3D, *more) if "--rename" in more else more
    refuse("convert", str(tmp_path / "plain.pth"), "--out", str(tmp_path / "o.pt"), *more, code=code, says=(says,))
    assert not (tmp_path / "o.pt").exists()


def test_convert__what_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "damaged.pth").write_bytes(b"PK\x03\x04 not a checkpoint")
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({"epoch": 3}, tmp_path / "empty.pth")
    line = [*I3D, "--out", str(tmp_path / "o.pt")]
    refuse(
        "convert", str(tmp_path / "damaged.pth"), *line, code=1, says=("it is damaged, cut short, or no checkpoint",)
    )
    refuse("convert", str(tmp_path / "list.pth"), *line, code=1, says=("hold a list, not weights by name",))
    refuse("convert", str(tmp_path / "empty.pth"), *line, code=1, says=("hold no tensors by name",))
    refuse("convert", str(tmp_path / "absent.pth"), *line, code=1, says=("do not exist",))


def test_convert__never_writes_over_anything_unasked(tmp_path: Path) -> None:
    source = authors_checkpoint(tmp_path / "ckpt.pth")
    before = source.read_bytes()
    (tmp_path / "there.pt").write_bytes(b"mine")
    refuse("convert", str(source), *I3D, "--out", str(tmp_path / "there.pt"), code=2, says=("exists already",))
    refuse("convert", str(source), *I3D, "--out", str(source), "--overwrite", code=2, says=("is the file to convert",))
    assert (tmp_path / "there.pt").read_bytes() == b"mine"
    assert source.read_bytes() == before


def test_convert__backbone_of_a_run_for_elsewhere(toy: Toy, pretrained: Path, finetuned: Path, tmp_path: Path) -> None:
    """Oracle: the run's own backbone, filled from the file by torch alone."""
    for run in (pretrained, finetuned):
        out = tmp_path / f"{run.parent.name}.pt"
        report = json.loads(succeed("convert", str(run), "--out", str(out), "--json").stdout)
        assert (report["tensors"], report["feature_dim"], report["largest_difference"]) == (72, 32, 0.0)
        state = load(out)
        assert all(isinstance(tensor, Tensor) and tensor.is_contiguous() for tensor in state.values())
        assert len({tensor.untyped_storage().data_ptr() for tensor in state.values()}) == len(
            state
        )  # as safetensors asks
        fresh = build_trunk(load_config(str(toy.preset))).eval()
        fresh.load_state_dict(state)
        assert torch.equal(features(fresh), features(load_trunk(str(find_weights(str(run))), ())[0]))


def test_convert__onnx_gives_the_same_features(pretrained: Path, tmp_path: Path) -> None:
    """Oracle: the run's own network, on another number of clips than it was exported with."""
    onnxruntime = pytest.importorskip("onnxruntime")
    out = tmp_path / "backbone.onnx"
    result = succeed("convert", str(pretrained), "--out", str(out), "--json")
    assert json.loads(result.stdout)["clips"] == [3, 4, 32, 32]
    assert [path.name for path in tmp_path.iterdir()] == ["backbone.onnx"]
    clips = torch.randn(5, 3, 4, 32, 32)
    session = onnxruntime.InferenceSession(out.read_bytes(), providers=["CPUExecutionProvider"])
    found = torch.from_numpy(session.run(None, {"clips": clips.numpy()})[0])
    trunk, _ = load_trunk(str(pretrained), ())
    with torch.inference_mode():
        torch.testing.assert_close(found, pool_features(trunk(clips)), rtol=1e-3, atol=1e-5)


def test_convert__onnx_is_not_installed(pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    line = ["convert", str(pretrained), "--out", str(tmp_path / "backbone.onnx")]
    refuse(*line, code=2, says=("--out 'backbone.onnx' needs onnxscript. Type pip install 'vtdl[onnx]'",))
    assert list(tmp_path.iterdir()) == []


def test_convert__a_deeper_network_is_another(tmp_path: Path) -> None:
    """All tensors of an R3D-10 are in an R3D-18, which is no reason to take it for one."""
    torch.manual_seed(0)
    deep = build_trunk(load_config("ucf101/r3d", ["model.width=4"]))
    torch.save(deep.state_dict(), tmp_path / "r3d_18.pth")
    shallow = ["--preset", "ucf101/r3d", "--set", "model.width=4", "--set", "model.depth=10"]
    line = ["convert", str(tmp_path / "r3d_18.pth"), *shallow, "--out", str(tmp_path / "o.pt")]
    refuse(*line, code=1, says=("72 tensors match, 0 missing, 48 unexpected (layer1.1.conv1.0.weight,",))


def test_convert__two_tensors_for_one_name(tmp_path: Path) -> None:
    """Query and key encoder of another code, whose names are made the same."""
    state = thin_i3d(1).state_dict()
    both = {f"encoder_{side}.{name}": tensor for side in "qk" for name, tensor in state.items()}
    torch.save(both, tmp_path / "moco.pth")
    rename = ("--rename", "encoder_q.=", "--rename", "encoder_k.=")
    line = ["convert", str(tmp_path / "moco.pth"), *I3D, *rename, "--out", str(tmp_path / "o.pt")]
    refuse(*line, code=1, says=("have two tensors for 'conv3d_1a_7x7.conv3d.weight'",))


def test_convert__a_run_is_neither_written_over_nor_reinterpreted(pretrained: Path, tmp_path: Path) -> None:
    last = pretrained / "checkpoints/last.pt"
    before = last.read_bytes()
    line = ["convert", str(pretrained), "--overwrite", "--out"]
    refuse(*line, str(last), code=2, says=("is the file to convert",))
    refuse(*line, str(tmp_path), code=2, says=("is a folder. Name a file in it",))
    refuse(*line, str(tmp_path / "o.pt"), "--key-encoder", code=2, says=("are ours and carry their preset",))
    assert last.read_bytes() == before
