"""Defects of torch and cuDNN in 3D convolutions: those known by version, and a measurement that finds any other."""

from collections.abc import Callable

import torch

from vtdl_cli.models.convolution import Conv3d

TOLERANCE = 0.05  # of the norm: bf16 rounds to 8 bits, which leaves below 0.01; the defects seen were from 1 up

Affected = Callable[[tuple[int, int], int | None], bool]

KNOWN_DEFECTS: tuple[tuple[Affected, str, str], ...] = (
    (
        lambda release, cudnn: cudnn == 91002 and release < (2, 9),
        "torch before 2.9 with cuDNN 9.10.2 computes wrong Conv3d results in bf16 (pytorch#163539)",
        "Type pip install 'torch>=2.10', or use --set pretrain.precision=fp32",
    ),
    (
        lambda release, cudnn: cudnn is not None and 90800 <= cudnn < 91500 and release >= (2, 9),
        "torch 2.9 and later does not use cuDNN 9.8 to 9.14 for Conv3d in bf16: up to 4 times as slow, with 3 times "
        "the memory (pytorch#166122, pytorch#166643)",
        "Install cuDNN 9.15 or later: pip install -U nvidia-cudnn-cu13",
    ),
)
"""Whether a defect applies to a release of torch and a version of cuDNN (91002 is 9.10.2); what it is; its remedy."""


def find_known_defect(version: str, cudnn: int | None) -> tuple[str, str]:
    """Return the first known defect of these versions, and its remedy; both empty if there is none.

    Args:
        version: torch's, such as `2.10.0+cu130`.
        cudnn: as `torch.backends.cudnn.version()`.
    """
    major, minor = version.split(".")[:2]
    release = int(major), int(minor)
    return next(((what, remedy) for applies, what, remedy in KNOWN_DEFECTS if applies(release, cudnn)), ("", ""))


def measure_conv3d_error(device: torch.device, autocast: torch.dtype | None, frames: int) -> float:
    """Return the relative error of a convolution's output and weight gradient, against float64 on the CPU.

    Args:
        device: computes.
        autocast: its mixed precision; None: float32.
        frames: length of the clips; some defects show in short ones only, see `models.convolution.Conv3d`.
    """
    generator = torch.Generator().manual_seed(0)
    exact, tested = (Conv3d(16, 32, (3, 3, 3), padding=(1, 1, 1)) for _ in range(2))
    with torch.no_grad():
        exact.weight.copy_(torch.randn(exact.weight.shape, generator=generator))
    tested.load_state_dict(exact.state_dict())
    clips = torch.randn(2, 16, frames, 14, 14, generator=generator)  # (N, C, T, H, W)
    expected = exact.double()(clips.double())
    expected.square().mean().backward()
    tested = tested.to(device)
    with torch.autocast(device.type, autocast, enabled=autocast is not None):
        output = tested(clips.to(device))
    output.float().square().mean().backward()
    return max(_relative_error(output, expected), _relative_error(tested.weight.grad, exact.weight.grad))


def _relative_error(values: torch.Tensor | None, expected: torch.Tensor | None) -> float:
    assert values is not None
    assert expected is not None
    return float((values.detach().cpu().double() - expected.detach()).norm() / expected.detach().norm())
