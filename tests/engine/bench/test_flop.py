"""FLOP of a network against a count by hand, and the peak that they are compared with."""

import pytest
import torch
from torch import nn

from vtdl_cli.engine.bench.flop import DATA_SHEET_PEAKS, as_convolutions, count_flop, find_peak
from vtdl_cli.engine.networks.first_convolution import first_convolution, plain_forms
from vtdl_cli.engine.networks.machine import Machine
from vtdl_cli.models.convolution import Form
from vtdl_cli.models.zoo import create_backbone


def test_count_flop__is_that_by_hand() -> None:
    """Oracle: by hand. A convolution has 2 x outputs x (channels x kernel) FLOP, a multiplication with its addition being two.

    Of its gradients, that of the weights costs the same again, and that of the input as well, which only the second
    layer needs: 3 of the first layer's would be 2.
    """
    network = nn.Sequential(nn.Conv3d(3, 4, 3, padding=1), nn.BatchNorm3d(4), nn.ReLU(), nn.Conv3d(4, 2, (1, 3, 3)))
    clips = torch.randn(2, 3, 5, 8, 8)  # (N, C, T, H, W)
    first = 2 * (2 * 4 * 5 * 8 * 8) * (3 * 27)  # 2 clips, 4 channels of 5 x 8 x 8
    second = 2 * (2 * 2 * 5 * 6 * 6) * (4 * 9)
    assert count_flop(lambda: network(clips)) == first + second
    assert count_flop(lambda: network(clips).sum().backward()) == 2 * first + 3 * second


def test_count_flop__counts_products() -> None:
    """Oracle: 2 n m k by hand."""
    left, right = torch.randn(4, 5), torch.randn(5, 6)
    assert count_flop(lambda: left @ right) == 2 * 4 * 5 * 6


def test_find_peak__is_of_the_data_sheet_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.get_device_name", lambda _: "NVIDIA H100 80GB HBM3")
    peak = find_peak(Machine(torch.device("cuda"), torch.bfloat16, 0))
    assert peak.flop_per_second == 989e12  # NVIDIA's data sheet: 1,979 TFLOPS in bf16 "with sparsity", half without
    assert peak.source == "data sheet of NVIDIA H100 80GB HBM3, bfloat16, dense"
    assert all(60e12 < each < 1000e12 for each in DATA_SHEET_PEAKS.values())


def test_find_peak__is_measured_elsewhere() -> None:
    peak = find_peak(Machine(torch.device("cpu"), None, 0))
    assert peak.source == "measured product of 1024x1024 matrices in float32"
    assert 1e8 < peak.flop_per_second < 1e14


@pytest.mark.parametrize(("device", "is_tf32"), [("cuda", True), ("cpu", False)])
def test_as_convolutions__is_tf32_on_a_gpu_and_no_longer_afterwards(device: str, is_tf32: bool) -> None:
    """Oracle: torch's setting; `choose_kernels` convolves in TF32, and exact products would understate the peak."""
    with as_convolutions(torch.device(device)):
        assert (torch.backends.cuda.matmul.fp32_precision == "tf32") is is_tf32
    assert torch.backends.cuda.matmul.fp32_precision != "tf32"
    assert torch.get_float32_matmul_precision() == "highest"  # the older setting still goes with it


def test_count_flop__leaves_out_zeros() -> None:
    """Oracle: the same network in its plain form."""
    backbone, clips = create_backbone("r3d", depth=10, width=2), torch.zeros(1, 3, 2, 8, 8)
    before = count_flop(lambda: backbone(clips))
    first_convolution(backbone).form = Form(16, folds=True)
    with plain_forms(backbone):
        assert count_flop(lambda: backbone(clips)) == before
    assert first_convolution(backbone).form == (16, True, False)
