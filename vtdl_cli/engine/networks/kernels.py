"""Which of its GPU kernels torch may choose in training: the fastest, or those that always give the same bits."""

import os
import warnings

import torch

CUBLAS_WORKSPACE = ":4096:8"
"""Eight buffers of 4096 KiB, one of the two settings with which cuBLAS repeats its results (NVIDIA, cuBLAS, Results
reproducibility). It is read when cuBLAS starts."""


def choose_kernels(device: torch.device, *, deterministic: bool) -> None:
    """Set, for this process, how torch chooses kernels on a GPU; on a CPU results repeat, and nothing is set.

    Otherwise cuDNN times its algorithms for each new shape of a convolution, and keeps the fastest: of clips of a
    fixed shape, all shapes are met in the first step. Another algorithm rounds differently, so two runs may differ in
    the last digits.

    Float32 convolutions are in TF32 either way (10 bits of mantissa), torch's own default, which is stated here. Matrix
    products of float32 stay exact: there are few, and the similarities of a contrastive loss are among them.

    Args:
        device: that training computes on.
        deterministic: give the same bits again on the same GPU and versions, where torch can; it is slower.
    """
    if device.type != "cuda":
        return
    cudnn = torch.backends.cudnn
    cudnn.conv.fp32_precision = "tf32"  # type: ignore[attr-defined]  # made at runtime
    cudnn.benchmark, cudnn.deterministic = not deterministic, deterministic
    torch.use_deterministic_algorithms(deterministic, warn_only=True)  # where it cannot, it would raise
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", CUBLAS_WORKSPACE)
        warnings.filterwarnings("ignore", message=".* does not have a deterministic implementation")
