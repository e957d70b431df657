"""Checkpoints as safetensors: what others read in them, and what damage is noticed."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tests.toy import differences, load, succeed
from vtdl_cli.engine.networks.checkpoint import load_checkpoint
from vtdl_cli.engine.networks.safetensors_file import is_safetensors, read_safetensors, write_safetensors
from vtdl_cli.errors import CheckpointError


@pytest.fixture(scope="module")
def written(finetuned: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("safetensors") / "model.safetensors"
    succeed("convert", str(finetuned), "--out", str(out))
    return out


def test_safetensors__others_read_the_tensors(finetuned: Path, written: Path) -> None:
    """Oracle: the safetensors package itself, and the run's own checkpoint, read by torch."""
    expected = load(finetuned / "checkpoints/best.pt")["model"]
    assert differences(load_file(written), dict(expected)) == []
    with safe_open(written, framework="pt") as file:
        header = file.metadata()
    assert header["format"] == "pt"
    assert json.loads(header["vtdl"])["stage"] == "finetune"


def test_safetensors__the_same_content_gives_the_same_bytes(finetuned: Path, tmp_path: Path) -> None:
    """The library orders the values of a header anew in each call: of 6 files some would differ."""
    checkpoint = load_checkpoint(finetuned / "checkpoints/best.pt")
    contents = set()
    for number in range(6):
        write_safetensors(tmp_path / f"{number}", checkpoint)
        contents.add((tmp_path / f"{number}").read_bytes())
    (content,) = contents
    assert int.from_bytes(content[:8], "little") % 8 == 0  # tensors are aligned, as the format asks
    assert differences(load_file(tmp_path / "0"), dict(checkpoint["model"])) == []


def test_safetensors__hold_all_of_a_checkpoint_but_the_training_state(finetuned: Path, written: Path) -> None:
    ours, original = load_checkpoint(written), load(finetuned / "checkpoints/best.pt")
    kept = ("schema", "versions", "stage", "config", "classes", "num_classes", "list_sha256", "seed", "origin", "epoch")
    for name in (*kept, "best", "selection"):
        assert differences(ours[name], original[name]) == [], name
    assert "optimizer" not in ours


def test_safetensors__are_recognised_by_their_content(finetuned: Path, written: Path, tmp_path: Path) -> None:
    named = tmp_path / "weights.pt"
    named.write_bytes(written.read_bytes())
    assert load_checkpoint(named)["stage"] == "finetune"
    assert not is_safetensors(finetuned / "checkpoints/best.pt")


@pytest.mark.parametrize("place", ["length", "header", "tensors", "end"])
def test_safetensors__damage_is_noticed(written: Path, tmp_path: Path, place: str) -> None:
    """One bit, or the last byte; the format itself has no checksum."""
    content = bytearray(written.read_bytes())
    at = {"length": 1, "header": content.index(b"best"), "tensors": len(content) - 100, "end": -1}[place]
    content[at] ^= 1
    damaged = tmp_path / "model.safetensors"
    damaged.write_bytes(content[:-1] if place == "end" else content)
    with pytest.raises(CheckpointError, match=r"damaged|cannot be read"):
        load_checkpoint(damaged)


@pytest.mark.parametrize("text", ["[1]", "{", '{"selection": {"videos": "x"}}', '{"selection": 3}', "[" * 100_000])
def test_safetensors__header_that_vtdl_did_not_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """With a checksum that fits, as somebody may mean harm."""
    path = tmp_path / "model.safetensors"
    with monkeypatch.context() as patch:
        patch.setattr("vtdl_cli.engine.networks.safetensors_file._sort_header", lambda header: header)
        patch.setattr("json.dumps", lambda *_values, **_options: text)
        write_safetensors(path, {"model": {"a": torch.zeros(2)}})
    with pytest.raises(CheckpointError, match=r"are not as vtdl writes them|were not written by vtdl"):
        load_checkpoint(path)


def test_safetensors__every_type_and_shape(tmp_path: Path) -> None:
    """Scalars, empty tensors, views and half precision come back bit for bit."""
    tensors = {
        "scalar": torch.tensor(3),
        "empty": torch.zeros(0, 4),
        "view": torch.arange(6.0).reshape(2, 3).T,
        "half": torch.randn(3).to(torch.bfloat16),
        "flag": torch.tensor([True, False]),
    }
    write_safetensors(tmp_path / "o.safetensors", {"model": tensors})
    content, has_checksum = read_safetensors(tmp_path / "o.safetensors")
    assert has_checksum
    assert differences(content["model"], tensors) == []


def test_safetensors__of_other_code(tmp_path: Path) -> None:
    """They are no checkpoint; `convert` takes them, as it does a state dict of torch's."""
    save_file({"a": torch.zeros(2)}, tmp_path / "theirs.safetensors", {"format": "pt"})
    said: list[str] = []
    with pytest.raises(CheckpointError, match=r"were not written by vtdl. First: vtdl convert"):
        load_checkpoint(tmp_path / "theirs.safetensors", said.append)
    assert said == [f"weights '{tmp_path}/theirs.safetensors' have no checksums: damage in them would not be noticed"]
