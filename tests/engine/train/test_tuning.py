"""What makes the steps of a training fast, through the commands; what the parts do is in tests/engine/networks."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.tape import Tape
from tests.toy import NUM_TRAIN, Toy, differences, load, succeed
from vtdl_cli.config import TrainingSection
from vtdl_cli.engine.networks import compiling, cuda_graphs
from vtdl_cli.engine.networks.cuda_graphs import WARM_CALLS
from vtdl_cli.engine.train import optimization
from vtdl_cli.engine.train.optimization import ParameterGroup, build_optimizer, load_optimizer

ONE_EPOCH = ("--set", "pretrain.epochs=1")
COMPILED = ("--set", "pretrain.compile=true")
RECORDED = ("--set", "pretrain.cuda_graphs=true")


def test_compile__leaves_the_same_weights(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: the run uncompiled, bit for bit under a backend that generates no code; then it resumes uncompiled."""
    compiled = list[int]()

    def backend(graph: torch.fx.GraphModule, _inputs: object) -> Any:
        compiled.append(len(graph.graph.nodes))
        return graph.forward

    monkeypatch.setattr(compiling, "BACKEND", backend)
    succeed(*toy.pretrain(tmp_path / "plain", *ONE_EPOCH))
    assert compiled == []
    result = succeed(*toy.pretrain(tmp_path / "compiled", *ONE_EPOCH, *COMPILED, "--json"))
    assert len(compiled) == 2  # query and key
    assert json.loads(result.stdout)["compile"] is True
    assert "warning" not in result.stderr
    ours, theirs = (load(tmp_path / name / "checkpoints/last.pt") for name in ("compiled", "plain"))
    for part in ("model", "optimizer", "random"):
        assert differences(ours[part], theirs[part]) == []
    succeed(*toy.pretrain(tmp_path / "compiled", "--resume"))


def test_compile__that_fails_is_told_and_trains(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> Any:
        raise OSError("no C++ compiler")

    monkeypatch.setattr(compiling, "BACKEND", fails)
    result = succeed(*toy.finetune(tmp_path / "run", "--set", "finetune.compile=true", "--set", "finetune.epochs=1"))
    warnings = [line for line in result.stderr.splitlines() if line.startswith("warning: ")]
    assert warnings == ["warning: ResNet3D cannot be compiled, and runs uncompiled: no C++ compiler"]


def test_cuda_graphs__leave_the_same_weights(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: the run unrecorded, bit for bit, on tapes; then it resumes unrecorded. A CPU has no CUDA graphs."""
    epochs = ("--set", "pretrain.epochs=4")
    result = succeed(*toy.pretrain(tmp_path / "plain", *epochs, *RECORDED))
    assert "warning: cuda_graphs has no effect on device 'cpu': only CUDA GPUs have them" in result.stderr
    monkeypatch.setattr(Tape, "replays", 0)
    monkeypatch.setitem(cuda_graphs.GRAPHS, "cpu", Tape)
    result = succeed(*toy.pretrain(tmp_path / "recorded", *epochs, *RECORDED, "--json"))
    assert json.loads(result.stdout)["cuda_graphs"] is True
    assert "cuda_graphs" not in result.stderr
    steps = 4 * NUM_TRAIN // 4
    assert Tape.replays == (steps - WARM_CALLS) + 2 * (2 * steps - WARM_CALLS)  # of the key and the query encoder
    ours, theirs = (load(tmp_path / name / "checkpoints/last.pt") for name in ("recorded", "plain"))
    for part in ("model", "optimizer", "random"):
        assert differences(ours[part], theirs[part]) == []
    succeed(*toy.pretrain(tmp_path / "recorded", "--resume"))


def test_deterministic__is_told_in_the_checkpoint(toy: Toy, tmp_path: Path) -> None:
    for number, words in enumerate(((), ("--deterministic",))):
        run = tmp_path / str(number)
        result = succeed(*toy.pretrain(run, *ONE_EPOCH, *words, "--json"))
        assert json.loads(result.stdout)["deterministic"] is bool(words)
        assert load(run / "checkpoints/last.pt")["deterministic"] is bool(words)


def test_load_optimizer__takes_the_layout_of_the_parameters() -> None:
    """Oracle: torch's own word; values stay. A fused step refuses momentum in another layout, as of older checkpoints."""
    weight = nn.Parameter(torch.zeros(2, 3, 2, 2, 2).contiguous(memory_format=torch.channels_last_3d))
    optimizer = torch.optim.SGD([weight], lr=1.0, momentum=0.9)
    momentum = torch.arange(48.0).view(2, 3, 2, 2, 2)
    load_optimizer(optimizer, {0: {"momentum_buffer": momentum}}, Path("last.pt"))
    loaded = optimizer.state[weight]["momentum_buffer"]
    assert loaded.is_contiguous(memory_format=torch.channels_last_3d)
    assert torch.equal(loaded, momentum)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_optimizer__fused_is_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: the optimizer of a CPU, to float32's rounding; torch has fused steps for the CPU as well."""
    options = TrainingSection.model_validate(
        {"clip_len_frames": 1, "stride_frames": 1, "epochs": 1, "batch_size": 1}
        | {"optimizer": {"name": name, "lr": 0.1, "weight_decay": 0.01}}
    )
    found = []
    for on_gpu in (False, True):
        monkeypatch.setattr(optimization, "_on_gpu", lambda _groups, on_gpu=on_gpu: on_gpu)
        torch.manual_seed(0)
        weight = nn.Parameter(torch.randn(8, 3, 1, 3, 3).contiguous(memory_format=torch.channels_last_3d))
        optimizer = build_optimizer(options, [ParameterGroup(params=[weight], lr_scale=1.0)])
        for _ in range(3):
            optimizer.zero_grad()
            weight.square().sum().backward()
            optimizer.step()
        found.append(weight.detach())
    torch.testing.assert_close(found[1], found[0])
    assert optimizer.param_groups[0]["fused"] is True
