"""What is compiled, and what happens if it cannot be. The backend is one that runs the traced graph as it is: code
that is generated takes minutes to compile."""

from typing import Any

import pytest
import torch
from torch import Tensor

from vtdl_cli.engine.networks import compiling
from vtdl_cli.engine.networks.compiling import MOST_SHAPES, Compiled, compile_backbones
from vtdl_cli.models.encoder import Encoder
from vtdl_cli.models.heads import EmbeddingHead
from vtdl_cli.models.zoo import create_backbone


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
