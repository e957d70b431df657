"""The batch norm of all networks here.

Shapes: `N` clips, `C` channels, `T` frames, `H`, `W` pixels; tensors are (N, C, T, H, W).
"""

import torch.nn.functional as F
from torch import Tensor, nn


class BatchNorm3d(nn.BatchNorm3d):
    """Batch norm that also accepts, in training, a batch of one clip whose feature map is a single position.

    Each channel then has one value and no variance, so that torch raises an error. Such a batch is normalised by the
    running statistics, as in evaluation, and does not update them. It may be an epoch's last batch, a batch whose other
    videos could not be read, or the share of a rank or of a key split.

    Under autocast inputs and outputs are rounded to bf16; statistics, running averages, weight and bias are float32:
    torch computes mean and variance of bf16 values in float32.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalise: (N, C, T, H, W) -> the same."""
        if self.training and input.numel() == input.shape[1]:
            return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(input)
