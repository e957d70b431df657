"""What `vtdl convert` does with which file, what it refuses, and what it says."""

import argparse
import pickle
import shlex
from pathlib import Path

import pytest
import torch

from tests.foreign_weights import I3D, Bomb, authors_checkpoint, authors_finetuned, thin_i3d
from tests.toy import Toy, load, next_commands, refuse, succeed
from vtdl_cli.engine.networks.build import build_embedder
from vtdl_cli.engine.networks.trained import load_backbone, load_embedder
from vtdl_cli.settings import load_config

# ---- which file


@pytest.mark.parametrize("where", ["top", "namespace"])
def test_convert__code_is_refused_and_not_run(tmp_path: Path, where: str) -> None:
    trace = tmp_path / "trace"
    more = {"amp": Bomb(trace)} if where == "top" else {"opt": argparse.Namespace(hook=Bomb(trace))}
    source = authors_checkpoint(tmp_path / "bomb.pth", **more)
    line = ["convert", str(source), *I3D, "--out", str(tmp_path / "ours.pt")]
    refuse(*line, code=1, says=("it holds 'posix.mkdir', which loading would run. If you trust it, load",))
    assert not trace.exists()
    assert not (tmp_path / "ours.pt").exists()
    with source.open("rb") as file:  # the bomb is real: a plain reader of its pickle sets it off
        pickle.loads(pickle.dumps(Bomb(trace)))
        assert file.read(1)
    assert trace.exists()


def test_convert__never_writes_over_anything_unasked(tmp_path: Path) -> None:
    source = authors_checkpoint(tmp_path / "ckpt.pth")
    before = source.read_bytes()
    (tmp_path / "there.pt").write_bytes(b"mine")
    refuse("convert", str(source), *I3D, "--out", str(tmp_path / "there.pt"), code=2, says=("there.pt' exists. Use",))
    refuse("convert", str(source), *I3D, "--out", str(source), "--overwrite", code=2, says=("one of the inputs",))
    refuse("convert", str(tmp_path / "absent.pth"), "--out", str(tmp_path / "o.pt"), code=1, says=("do not exist",))
    assert (tmp_path / "there.pt").read_bytes() == b"mine"
    assert source.read_bytes() == before


def test_convert__a_run_is_neither_written_over_nor_reinterpreted(pretrained: Path, tmp_path: Path) -> None:
    last = pretrained / "checkpoints/last.pt"
    before = last.read_bytes()
    line = ["convert", str(pretrained), "--overwrite", "--out"]
    refuse(*line, str(last), code=2, says=("is itself one of the inputs",))
    refuse(*line, str(pretrained), code=2, says=("is a run folder. Choose another --out",))
    refuse(*line, str(tmp_path / "o.bin"), code=2, says=("does not end in .pt, .pth, .safetensors, .onnx, and is not",))
    for option, value in (
        ("--set", "model.width=4"),
        ("--rename", "a=b"),
        ("--min-match", "0"),
        ("--classes", "c.txt"),
    ):
        says = (f"are ours and carry their preset. Leave out {option}",)
        refuse(*line, str(tmp_path / "o.pt"), option, value, code=2, says=says)
    more = ("--preset", "demo", "--set", "model.width=4")
    refuse(*line, str(tmp_path / "o.pt"), *more, code=2, says=("Leave out --preset and --set",))
    assert last.read_bytes() == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("o.pt", "--license", "mit"),
        ("o.safetensors", "--frames", "uint8"),
        ("o.onnx", "--results", "r"),
        ("o", "--frames", "uint8"),
    ],
)
def test_convert__option_of_another_form(pretrained: Path, tmp_path: Path, name: str, option: str, value: str) -> None:
    says = (f"{option} has no effect on --out '{tmp_path / name}'. Leave it out",)
    refuse("convert", str(pretrained), "--out", str(tmp_path / name), option, value, code=2, says=says)
    assert list(tmp_path.iterdir()) == []


# ---- the key encoder of a run


def test_convert__key_encoder_of_a_run(toy: Toy, pretrained: Path, tmp_path: Path) -> None:
    """Oracle: the run's own tensors, put into an encoder by torch alone; the query encoder has others."""
    out = tmp_path / "key.pt"
    result = succeed("convert", str(pretrained), "--key-encoder", "--out", str(out))
    state = load(pretrained / "checkpoints/last.pt")["model"]
    key = {name.removeprefix("encoders.key."): state[name] for name in state if name.startswith("encoders.key.")}
    expected = build_embedder(load_config(str(toy.preset))).eval()
    expected.load_state_dict(key)
    clips = torch.randn(2, 3, 4, 32, 32)
    backbone, _ = load_backbone(str(out), ())
    embedder, _ = load_embedder(str(out), ())
    query, _ = load_backbone(str(pretrained), ())
    with torch.inference_mode():
        assert torch.equal(backbone(clips), expected.backbone(clips))
        assert torch.equal(embedder(clips), expected(clips))
        assert not torch.equal(backbone(clips), query(clips))
    assert f"next: vtdl finetune --preset {pretrained}/config.yaml --weights {out} --train-list" in result.stderr
    line = toy.finetune(tmp_path / "run", "--weights", str(out), "--dry-run")
    assert "all 72 tensors match" in succeed(*line).stderr


def test_convert__key_encoder_of_a_method_from_elsewhere(pretrained: Path, tmp_path: Path) -> None:
    """Only the checkpoint says that such a method trains an embedding; the key encoder's has to say so as well."""
    content = load(pretrained / "checkpoints/last.pt")
    content["config"]["method"]["name"] = "gone:Mine"
    torch.save(content, tmp_path / "run.pt")
    succeed("convert", str(tmp_path / "run.pt"), "--key-encoder", "--out", str(tmp_path / "key.pt"))
    encoder, _ = load_embedder(str(tmp_path / "key.pt"), ())
    assert torch.equal(encoder.state_dict()["head.linear.weight"], content["model"]["encoders.key.head.linear.weight"])


def test_convert__key_encoder_that_is_not_there(finetuned: Path, tmp_path: Path) -> None:
    line = ["convert", str(finetuned), "--key-encoder", "--out", str(tmp_path / "key.pt")]
    refuse(*line, code=1, says=("have no key encoder: only pretraining with vtdl trains one",))


# ---- what is said


def test_convert__next_step_is_ready_to_be_typed(toy: Toy, tmp_path: Path) -> None:
    """With the settings that the weights need, quoted; the finetuning that it names is planned."""
    torch.save(thin_i3d(1).state_dict(), tmp_path / "plain.pth")
    jitter = "data.jitter={brightness: 0.0, hue: 0.0}"
    out = tmp_path / "of mine.pt"
    result = succeed("convert", str(tmp_path / "plain.pth"), *I3D, "--set", jitter, "--out", str(out))
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("next: ")]
    words = shlex.split(line)[2:]
    assert words[:7] == ["finetune", *I3D, "--set", jitter]
    assert words[7:9] == ["--weights", str(out)]
    lists = ["--train-list", str(toy.train_list), "--val-list", str(toy.val_list), "--root", str(toy.root)]
    run = ["--out", str(tmp_path / "run"), "--workers", "0", "--dry-run"]
    assert "all 342 tensors match" in succeed(*words[:9], *lists, *run).stderr


def test_convert__next_step_names_a_new_folder(
    finetuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle, by hand: the run that is converted, and another of that name with a number, exist."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    (tmp_path / "runs" / "finetuned_2").mkdir(parents=True)
    (tmp_path / "runs" / "finetuned").symlink_to(finetuned)
    said = succeed("convert", "runs/finetuned", "--out", "finetuned.safetensors").stderr
    assert [words[-2:] for words in next_commands(said)] == [["--out", "results_2"], ["--out", "runs/finetuned_3"]]


def test_convert__names_are_told_where_they_are_few(tmp_path: Path) -> None:
    more = {f"extra_{number}": torch.zeros(1) for number in range(8)}
    source = authors_finetuned(tmp_path / "best.pth.tar", 5, **more)
    told = succeed("convert", str(source), *I3D, "--out", str(tmp_path / "o.pt")).stdout
    words = " ".join(told.replace("│", " ").split())
    assert "unexpected 8 (extra_0, extra_1, extra_2, extra_3, extra_4, extra_5 and 2 more)" in words
    assert "missing 0 " in words
    assert "heads_left_out 1 (conv3d_0c_1x1_custom.conv3d.weight)" in words
