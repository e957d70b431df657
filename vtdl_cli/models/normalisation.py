"""The batch norm of all networks here.

Shapes: `N` clips, `C` channels, `T` frames, `H`, `W` pixels; tensors are (N, C, T, H, W).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class BatchNorm3d(nn.BatchNorm3d):
    """Batch norm that also accepts, in training, a batch of one clip whose feature map is a single position.

    Each channel then has one value and no variance, so that torch raises an error. Such a batch is normalised by the
    running statistics, as in evaluation, and does not update them. It may be an epoch's last batch, a batch whose other
    videos could not be read, or the share of a rank or of a key split.

    Under autocast inputs and outputs are rounded to bf16; statistics, running averages, weight and bias are float32:
    torch computes mean and variance of bf16 values in float32.

    On a GPU time and height are one axis to it: torch, in 2.11, has kernels for channels last of images alone. With the
    general ones, statistics took 13 of the 100 ms of a step of I3D, and 10 of 50 of R3D, on an H100.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalise: (N, C, T, H, W) -> the same."""
        if self.training and input.numel() == input.shape[1]:
            return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        if input.is_cuda and input.is_contiguous(memory_format=torch.channels_last_3d):
            return self.normalise_as_images(input)
        return super().forward(input)

    def normalise_as_images(self, input: Tensor) -> Tensor:
        """Normalise with time and height as one axis; neither change of shape copies anything, of channels last.

        Autograd must not know the second as a view: for a ReLU in place of a view it would copy every gradient twice.
        """
        normalised: Tensor = torch.ops.aten._unsafe_view(super().forward(input.flatten(2, 3)), input.shape)
        return normalised

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() not in (4, 5):
            raise ValueError(f"batch norm of clips has 5 axes, (N, C, T, H, W), not {input.dim()}")
