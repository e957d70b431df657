"""How much of the device a computation uses: FLOP as torch counts them, and the most that the device can do."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from vtdl_cli.engine.bench.timing import SHORTEST_SECONDS, Clock
from vtdl_cli.engine.networks.machine import Machine

DATA_SHEET_PEAKS = {
    "NVIDIA H200": 989e12,
    "NVIDIA H100 80GB HBM3": 989e12,
    "NVIDIA H100 PCIe": 756e12,
    "NVIDIA A100-SXM4-80GB": 312e12,
    "NVIDIA A100-SXM4-40GB": 312e12,
    "NVIDIA A100 80GB PCIe": 312e12,
    "NVIDIA A100-PCIE-40GB": 312e12,
    "NVIDIA L40S": 362e12,
    "NVIDIA L4": 121e12,
    "Tesla T4": 65e12,
    "Tesla V100-SXM2-16GB": 125e12,
    "Tesla V100-SXM2-32GB": 125e12,
}
"""Device as torch names it -> FLOP a second of its tensor cores, dense, in bf16 or fp16 (T4 and V100: fp16).

From NVIDIA's data sheets of each. Those of H100, H200, L4 and L40S print twice as much, "with sparsity".
"""

CPU_SIDE, GPU_SIDE = 1024, 8192  # of the matrices whose product is measured, large enough for each to be at its best
ATTEMPTS = 5  # of which the fastest counts


class Peak(NamedTuple):
    """The most FLOP a second that a device can do, and how that is known."""

    flop_per_second: float
    source: str


def count_flop(function: Callable[[], Any]) -> int:
    """Count the FLOP of the convolutions and matrix products in a function; a multiplication with its addition is two.

    Normalisation, activations and losses are left out, as in every such count: they are bound by memory.
    """
    with FlopCounterMode(display=False) as counter:
        function()
    return int(counter.get_total_flops())


def find_peak(machine: Machine) -> Peak:
    """Return the peak in the machine's precision: of a data sheet in bf16 and fp16, else as measured."""
    if machine.device.type == "cuda" and machine.autocast is not None:
        name = torch.cuda.get_device_name(machine.device)
        if name in DATA_SHEET_PEAKS:
            return Peak(DATA_SHEET_PEAKS[name], f"data sheet of {name}, {machine.precision}, dense")
    side = CPU_SIDE if machine.device.type == "cpu" else GPU_SIDE
    measured = measure_product(machine, side)
    in_tf32 = machine.device.type == "cuda" and machine.autocast is None
    precision = "tf32" if in_tf32 else machine.precision
    return Peak(measured, f"measured product of {side}x{side} matrices in {precision}")


@contextmanager
def as_convolutions(device: torch.device) -> Iterator[None]:
    """Let a GPU multiply float32 matrices in TF32, as `choose_kernels` lets it convolve, not several times slower."""
    products = torch.backends.cuda.matmul
    before = products.fp32_precision
    if device.type == "cuda":
        products.fp32_precision = "tf32"
    try:
        yield
    finally:
        products.fp32_precision = before


def measure_product(machine: Machine, side: int) -> float:
    """Return the FLOP a second of a matrix product in the machine's precision, the best of several attempts."""
    dtype = machine.autocast or torch.float32
    left, right = (torch.randn(side, side, device=machine.device, dtype=dtype) for _ in range(2))
    clock, best = Clock(machine.device), 0.0
    calls = 1
    for _ in range(ATTEMPTS + 1):  # the first warms up, and tells how many products take long enough
        clock.restart()
        with as_convolutions(machine.device):
            for _ in range(calls):
                torch.mm(left, right)
        seconds = clock.read().seconds / calls
        calls = max(1, round(SHORTEST_SECONDS / seconds))
        best = max(best, 2 * side**3 / seconds)
    return best
