"""Temporal-consistent augmentation: mix one still frame of a clip into all of it (README, Method, version 2).

    Ṽ_t = (1 - λ) V_t + λ V_s    =>    ∂ⁿṼ/∂tⁿ = (1 - λ) ∂ⁿV/∂tⁿ  for every n >= 1

so what moves keeps moving in the same way, weaker by a constant, while what stands still changes. Finite differences
obey the same law. The weights sum to 1: mixing before or after normalisation is the same.

Shapes: N clips, C channels, T frames, H x W pixels.
"""

import torch
from torch import Tensor, nn


def mix_still_frame(clips: Tensor, still: Tensor, weight: Tensor) -> Tensor:
    """Ṽ = (1 - λ) V + λ V_s, out of place.

    Args:
        clips: V, (N, C, T, H, W).
        still: s, the index of each clip's still frame, (N,) integers from 0 to T - 1.
        weight: λ, (N,) or (1,).
    """
    index = still.view(-1, 1, 1, 1, 1).expand(-1, clips.shape[1], 1, *clips.shape[3:])
    frame = clips.gather(2, index)  # (N, C, 1, H, W)
    return torch.lerp(clips, frame.expand_as(clips), weight.view(-1, 1, 1, 1, 1))


class TemporalConsistentAugmentation(nn.Module):
    """Draws s ~ U{0, .., T - 1} for each clip and λ ~ U[0, alpha), and mixes.

    Args:
        alpha: the largest weight of the still frame, 0.1 in the authors' `TC/gen_positive.py:9`; 0 mixes nothing.
        per_sample: one λ for each clip; otherwise one for the batch, as the authors have it.
    """

    def __init__(self, alpha: float, per_sample: bool) -> None:
        super().__init__()
        self.alpha, self.per_sample = alpha, per_sample

    def forward(self, clips: Tensor) -> Tensor:
        """Mix (N, C, T, H, W) clips; the draws come from torch's generator of their device."""
        if self.alpha == 0:
            return clips
        num_clips, _, num_frames = clips.shape[:3]
        still = torch.randint(num_frames, (num_clips,), device=clips.device)
        weight = self.alpha * torch.rand(num_clips if self.per_sample else 1, device=clips.device)
        return mix_still_frame(clips, still, weight)
