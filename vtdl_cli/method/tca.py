"""Temporal-consistent augmentation: mix one still frame into all of a clip (README, Method).

    Ṽ_t = (1 - λ) V_t + λ S    =>    ∂ⁿṼ/∂tⁿ = (1 - λ) ∂ⁿV/∂tⁿ  for every n >= 1

so what moves keeps moving in the same way, weaker by a constant, while what stands still changes. Finite differences
obey the same law. The weights sum to 1: mixing before or after normalisation is the same. S is a frame of the clip
itself in version 2, the paper's; of the next clip of the batch in version 1; of a random other one in version 3. These
two bring in the background of another video.

Shapes: N clips, C channels, T frames, H x W pixels.
"""

import torch
from torch import Tensor, nn


def mix_still_frame(clips: Tensor, still: Tensor, weight: Tensor, donor: Tensor | None = None) -> Tensor:
    """Ṽ = (1 - λ) V + λ S, out of place: S is always a frame as it was before any mixing.

    Args:
        clips: V, (N, C, T, H, W).
        still: s, which frame S is, (N,) integers from 0 to T - 1.
        weight: λ, (N,) or (1,).
        donor: which clip of the batch it is from, (N,) integers; None: each from its own.
    """
    donor = torch.arange(len(clips), device=clips.device) if donor is None else donor
    frame = clips[donor, :, still].unsqueeze(2)  # (N, C, 1, H, W)
    return torch.lerp(clips, frame.expand_as(clips), weight.view(-1, 1, 1, 1, 1))


class TemporalConsistentAugmentation(nn.Module):
    """Draws s ~ U{0, .., T - 1} for each clip and λ ~ U[0, alpha), and mixes.

    Args:
        alpha: the largest weight of the still frame, 0.1 in the authors' `TC/gen_positive.py:9`; 0 mixes nothing.
        per_sample: one λ for each clip; otherwise one for the batch, as the authors have it.
        version: whose frame it is, by the authors' numbers (`TC/basic_augmentation/mixup_methods.py:90-103`).
    """

    def __init__(self, alpha: float, per_sample: bool, version: int = 2) -> None:
        super().__init__()
        self.alpha, self.per_sample, self.version = alpha, per_sample, version

    def forward(self, clips: Tensor) -> Tensor:
        """Mix (N, C, T, H, W) clips; the draws come from torch's generator of their device."""
        if self.alpha == 0:
            return clips
        return mix_still_frame(clips, *self.draw(clips))

    def draw(self, clips: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """How to mix: `still`, `weight` and `donor` of `mix_still_frame`."""
        num_clips, _, num_frames = clips.shape[:3]
        still = torch.randint(num_frames, (num_clips,), device=clips.device)
        weight = self.alpha * torch.rand(num_clips if self.per_sample else 1, dtype=clips.dtype, device=clips.device)
        return still, weight, self._donor(num_clips, clips.device)

    def _donor(self, num_clips: int, device: torch.device) -> Tensor:
        own = torch.arange(num_clips, device=device)
        if self.version == 2 or num_clips == 1:
            return own
        further = torch.randint(1, num_clips, (num_clips,), device=device) if self.version == 3 else 1
        return (own + further) % num_clips
