"""Files that may hold anything are read without running it, and refused with the reason."""

import argparse
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.foreign_weights import Bomb
from vtdl_cli.engine.networks.tensor_file import NAME_WEIGHTS, read_tensors
from vtdl_cli.errors import CheckpointError


def reason(path: Path) -> str:
    """Why a file is refused."""
    with pytest.raises(CheckpointError) as error:
        read_tensors(path)
    return str(error.value).removeprefix(f"weights '{path}' cannot be read: ")


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (np.float64(52.9), "scalar"),
        (np.arange(3), "_reconstruct"),
        (nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
    ],
)
def test_read__names_what_is_not_a_tensor(tmp_path: Path, content: Any, name: str) -> None:
    torch.save({"best": content}, tmp_path / "a.pth")
    says = reason(tmp_path / "a.pth")
    assert says.startswith("it holds '")
    assert says.endswith(
        f"{name}', which loading would run. If you trust it, load it in Python and save its tensors only"
    )


def test_read__authors_options_lead_to_convert(tmp_path: Path) -> None:
    path = tmp_path / "ckpt epoch.pth"
    torch.save({"opt": argparse.Namespace(lr=0.003)}, path)
    says = "it holds 'argparse.Namespace', which loading would run. First: vtdl convert "
    assert (
        reason(path)
        == f"{says}'{path}' --preset hmdb51/i3d --out '{path.stem}-converted.pt', with the preset of their network"
    )
    assert read_tensors(path, allowed=[argparse.Namespace])["opt"].lr == 0.003


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"# Read me\n", f"it is not a checkpoint. {NAME_WEIGHTS}"),
        (b"\x00\x00\x00 ftypisom", f"it is not a checkpoint. {NAME_WEIGHTS}"),
        (b"", "it is empty. Use another copy of the file"),
        (b"PK\x03\x04 not a checkpoint", "it is damaged, cut short, or not a checkpoint. Use another copy of the file"),
        (pickle.dumps({"a": 1}, 2), "it is damaged, cut short, or not a checkpoint. Use another copy of the file"),
    ],
)
def test_read__what_is_not_a_checkpoint(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "a.pth").write_bytes(content)
    assert reason(tmp_path / "a.pth") == says


def test_read__programs_are_refused_and_not_run(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(2)}, tmp_path / "four.pth", pickle_protocol=4)
    assert reason(tmp_path / "four.pth").startswith("it is in pickle protocol 4 or later, which loading would run")
    (tmp_path / "bomb.pkl").write_bytes(pickle.dumps(Bomb(tmp_path / "trace")))
    assert reason(tmp_path / "bomb.pkl").startswith("it is in pickle protocol 4 or later")
    assert not (tmp_path / "trace").exists()


def test_read__script(tmp_path: Path) -> None:
    """As torch.jit.save lays out its zip: what tells it from torch.save's is the file of constants."""
    with zipfile.ZipFile(tmp_path / "script.pt", "w") as archive:
        for name, content in (("version", "3"), ("constants.pkl", ""), ("data.pkl", "")):
            archive.writestr(f"script/{name}", content)
    assert reason(tmp_path / "script.pt").startswith("it is a TorchScript program, which loading would run")


def test_read__files_without_checksums_are_reported(tmp_path: Path) -> None:
    """As before torch 1.6, and as torch writes where it is asked to leave checksums out: zeros stand in their place."""
    for name in ("legacy.pth", "without.pth"):
        before = torch.serialization.get_crc32_options()
        torch.serialization.set_crc32_options(name == "legacy.pth")
        torch.save({"a": torch.ones(2)}, tmp_path / name, _use_new_zipfile_serialization=name == "without.pth")
        torch.serialization.set_crc32_options(before)
        told: list[str] = []
        assert read_tensors(tmp_path / name, warn=told.append)["a"].tolist() == [1, 1]
        assert told == [f"weights '{tmp_path / name}' have no checksums: damage in them would not be noticed"]
    told = []
    torch.save({"a": torch.ones(2)}, tmp_path / "new.pth")
    read_tensors(tmp_path / "new.pth", warn=told.append)
    assert told == []


def test_read__damage_in_weights_from_elsewhere_is_detected(tmp_path: Path) -> None:
    torch.save({"state_dict": {"w": torch.arange(500.0)}}, tmp_path / "a.pth")
    content = (tmp_path / "a.pth").read_bytes()
    at = content.index(torch.arange(500.0).numpy().tobytes()) + 403
    (tmp_path / "a.pth").write_bytes(content[:at] + bytes([content[at] ^ 0x80]) + content[at + 1 :])  # the sign of one
    with pytest.raises(CheckpointError, match="a.pth' are damaged: record 'data/0' does not match its checksum"):
        read_tensors(tmp_path / "a.pth")


def test_read__prints_nothing_about_pickle_protocols(tmp_path: Path) -> None:
    """Protocol 3 is read, and torch warns of it."""
    torch.save({"a": torch.ones(2)}, tmp_path / "three.pth", pickle_protocol=3)
    assert read_tensors(tmp_path / "three.pth")["a"].tolist() == [1, 1]  # warnings are errors here
