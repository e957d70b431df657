"""The one batch norm that every network here is built of.

Shapes: `N` clips, `C` channels, `T` frames, `H`, `W` pixels; tensors are (N, C, T, H, W).
"""

import torch.nn.functional as F
from torch import Tensor, nn


class BatchNorm3d(nn.BatchNorm3d):
    """Batch norm that takes a batch of one clip whose map is a single position, in training too.

    A channel has one value there: its mean is itself and it has no spread, so that torch refuses it. Such a batch goes
    by the running averages, as in evaluation, and leaves them alone. An epoch's last batch may be so small, a batch
    whose other videos could not be read, or the part of one that a process or a split of the keys is given.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalise: (N, C, T, H, W) -> the same."""
        if self.training and input.numel() == input.shape[1]:
            return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(input)
