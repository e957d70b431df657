"""What is compiled, and what happens if it cannot be. The backend is one that runs the traced graph as it is: code
that is generated takes minutes to compile."""

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.data.clips.test_augmentation import draw_batch
from vtdl_cli.data.clips.augmentation import to_clips
from vtdl_cli.engine.networks import compiling
from vtdl_cli.engine.networks.compiling import MOST_SHAPES, Compiled, compile_augmentation, compile_backbones
from vtdl_cli.engine.networks.machine import Machine
from vtdl_cli.models.convolution import Conv3d
from vtdl_cli.models.encoder import Encoder
from vtdl_cli.models.heads import EmbeddingHead
from vtdl_cli.models.normalisation import BatchNorm3d
from vtdl_cli.models.pooling import MaxPool3d
from vtdl_cli.models.zoo import BACKBONES, create_backbone


def fails(*_: Any) -> Any:
    raise OSError("no compiler\nat all")


@pytest.fixture(autouse=True)
def backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "BACKEND", "eager")


class Counted:
    """Doubles, and counts how often its own code runs: not in a compiled call, which is the graph."""

    def __init__(self) -> None:
        self.warnings = list[str]()
        self.compiled = Compiled(self.double, "C3D", self.warnings.append)
        self.uncompiled = 0

    def double(self, values: Tensor) -> Tensor:
        if not torch.compiler.is_compiling():
            self.uncompiled += 1
        return 2 * values


def test_compile_backbones__leaves_names_and_results(monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: the same network uncompiled, bit for bit: output, gradients, and statistics of batch norm."""
    backbone = create_backbone("r3d", depth=10, width=2)
    encoder = Encoder(backbone, EmbeddingHead(backbone.feature_dim, 4))
    start, clips = {name: each.clone() for name, each in encoder.state_dict().items()}, torch.randn(2, 3, 2, 16, 16)
    found, calls = [], list[str]()

    def backend(graph: torch.fx.GraphModule, _inputs: object) -> Any:
        calls.append("compiled")
        return graph.forward

    monkeypatch.setattr(compiling, "BACKEND", backend)
    for compiles in (False, True):
        encoder.load_state_dict(start)
        encoder.zero_grad()
        if compiles:
            compile_backbones(encoder, pytest.fail)
        encoder(clips).sum().backward()
        gradients = {name: each.grad for name, each in encoder.named_parameters()}
        found.append((gradients, {name: each.clone() for name, each in encoder.state_dict().items()}))
    assert calls == ["compiled"]
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=0)


def test_compiled__that_fails_runs_uncompiled_and_says_why_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "BACKEND", fails)
    counted = Counted()
    for _ in range(2):
        assert counted.compiled(torch.ones(3)).tolist() == [2, 2, 2]
    assert counted.uncompiled == 2
    assert counted.warnings == ["C3D cannot be compiled, and runs uncompiled: no compiler"]


def test_compiled__shapes_beyond_the_first_run_uncompiled() -> None:
    """Oracle: by hand: of five shapes, twice each, two are too many."""
    counted = Counted()
    for size in [*range(1, MOST_SHAPES + 3)] * 2:
        assert counted.compiled(torch.ones(size)).tolist() == [2] * size
    assert counted.uncompiled == 4
    assert counted.warnings == ["C3D is compiled for 3 shapes of batches; others run uncompiled"]


def test_compiled__in_inference_runs_uncompiled() -> None:
    counted = Counted()
    with torch.inference_mode():
        counted.compiled(torch.ones(1))
    assert counted.uncompiled == 1


@pytest.mark.parametrize(
    "name", [pytest.param("i3d", marks=pytest.mark.slow), "r3d-author"]
)  # those that pool, and fold their stride
def test_compile_backbones__traces_a_gpus_kernels_whole(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: the same network uncompiled; what only a GPU computes so is forced upon the CPU, in its last form."""
    monkeypatch.setattr(MaxPool3d, "forward", MaxPool3d.pool_apart)
    monkeypatch.setattr(BatchNorm3d, "forward", BatchNorm3d.normalise_as_images)
    depth = next(iter(BACKBONES[name].depths), None)
    backbone = create_backbone(name, depth=depth, width=2).to(memory_format=torch.channels_last_3d).eval()
    for layer in backbone.modules():
        if isinstance(layer, Conv3d):
            layer.form = layer.forms()[-1]
    clips = torch.randn(2, 3, 8, 32, 32).to(memory_format=torch.channels_last_3d)
    expected = backbone(clips)
    compile_backbones(backbone, pytest.fail)
    torch.testing.assert_close(backbone(clips), expected)


def test_compile_augmentation__is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: `to_clips`: compiled, where compiling fails, and without augmentation."""
    windows, draws = draw_batch(3, 2, 12)
    plain, warnings = windows[:, :, :12, :12], list[str]()
    for backend in ("eager", fails):
        monkeypatch.setattr(compiling, "BACKEND", backend)
        machine = compile_augmentation(Machine(torch.device("cpu"), None, 0), warnings.append)
        torch.testing.assert_close(machine.augment(windows, 12, draws), to_clips(windows, 12, draws), rtol=0, atol=1e-3)
        assert torch.equal(machine.augment(plain, 12, {}), to_clips(plain, 12, {}))
    assert warnings == ["the augmentation cannot be compiled, and runs uncompiled: no compiler"]
