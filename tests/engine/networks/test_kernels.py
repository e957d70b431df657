"""Which kernels torch may choose; oracle: torch's own word on its settings, which can be asked without a GPU."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from vtdl_cli.engine.networks.kernels import choose_kernels

GPU = torch.device("cuda")


def settings() -> dict[str, Any]:
    cudnn = torch.backends.cudnn
    return {
        "benchmark": cudnn.benchmark,
        "cudnn_deterministic": cudnn.deterministic,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "warn_only": torch.is_deterministic_algorithms_warn_only_enabled(),
        "convolutions": cudnn.conv.fp32_precision,  # type: ignore[attr-defined]  # made at runtime
        "products": torch.backends.cuda.matmul.allow_tf32,
    }


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave torch as it was."""
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    before = settings()
    yield
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = False, False
    torch.use_deterministic_algorithms(False)
    os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)
    assert settings() == before


def test_kernels__on_a_gpu_are_the_fastest() -> None:
    choose_kernels(GPU, deterministic=False)
    found = settings()
    assert (found["benchmark"], found["cudnn_deterministic"], found["deterministic"]) == (True, False, False)
    assert (found["convolutions"], found["products"]) == ("tf32", False)
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ


def test_kernels__that_repeat_themselves() -> None:
    """Oracle: what torch asks for (its notes on reproducibility): all three settings and cuBLAS's workspace."""
    choose_kernels(GPU, deterministic=True)
    found = settings()
    assert (found["benchmark"], found["cudnn_deterministic"], found["deterministic"]) == (False, True, True)
    assert found["warn_only"]  # an operation without such a kernel would raise
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    torch.use_deterministic_algorithms(False)


def test_kernels__of_a_cpu_are_left_alone() -> None:
    before = settings()
    choose_kernels(torch.device("cpu"), deterministic=True)
    assert settings() == before
