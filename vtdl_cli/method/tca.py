"""Temporal-consistent augmentation: mix one still frame into all of a clip (method/README).

    Ṽ_t = (1 - λ) V_t + λ S    =>    ∂ⁿṼ/∂tⁿ = (1 - λ) ∂ⁿV/∂tⁿ  for every n >= 1

so motion keeps its shape, scaled by a constant, while the background changes. Finite differences obey the same law.
The weights sum to 1, so that mixing before or after normalisation is the same. S is a frame of the clip itself in
version 2, that of the paper; of the next clip of the batch in version 1; of a random other clip in version 3. The
latter two mix in the background of another video.

Shapes: N clips, C channels, T frames, H x W pixels.
"""

import torch
from torch import Tensor, nn


def mix_still_frame(clips: Tensor, still: Tensor, weight: Tensor, donor: Tensor | None = None) -> Tensor:
    """Compute Ṽ = (1 - λ) V + λ S out of place: S is always a frame of the unmixed clips.

    Args:
        clips: V, (N, C, T, H, W).
        still: s, the frame that is S, (N,) integers from 0 to T - 1.
        weight: λ, (N,) or (1,).
        donor: the clip of the batch that S is from, (N,) integers; None: each clip itself.
    """
    donor = torch.arange(len(clips), device=clips.device) if donor is None else donor
    frame = clips[donor, :, still].unsqueeze(2)  # (N, C, 1, H, W)
    return torch.lerp(clips, frame.expand_as(clips), weight.view(-1, 1, 1, 1, 1))


class TemporalConsistentAugmentation(nn.Module):
    """Draws s ~ U{0, .., T - 1} for each clip and λ ~ U[0, alpha), and mixes.

    The authors' version 3, which they do not use, has λ ~ U[0, 0.3) whatever alpha is, takes S from a permutation of
    the batch, where it may be the clip's own, and mixes in place, so that S may be mixed already; their version 1 stops
    with an error. Here both have alpha and always a frame of another clip, as it came.

    Args:
        alpha: the largest weight of the still frame, 0.1 in the authors' `TC/gen_positive.py:9`; 0 mixes nothing.
        per_sample: draw λ for each clip; otherwise once for the batch, as the authors do.
        version: whose frame S is, numbered as in the authors' code (`TC/basic_augmentation/mixup_methods.py:90-103`).
    """

    def __init__(self, alpha: float, per_sample: bool, version: int = 2) -> None:
        super().__init__()
        self.alpha, self.per_sample, self.version = alpha, per_sample, version

    def forward(self, clips: Tensor) -> Tensor:
        """Mix clips (N, C, T, H, W); random numbers come from torch's generator of their device."""
        if self.alpha == 0:
            return clips
        return mix_still_frame(clips, *self.draw(clips))

    def draw(self, clips: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Draw `still`, `weight` and `donor` of `mix_still_frame`."""
        num_clips, _, num_frames = clips.shape[:3]
        still = torch.randint(num_frames, (num_clips,), device=clips.device)
        weight = self.alpha * torch.rand(num_clips if self.per_sample else 1, dtype=clips.dtype, device=clips.device)
        return still, weight, self._donor(num_clips, clips.device)

    def _donor(self, num_clips: int, device: torch.device) -> Tensor:
        clip = torch.arange(num_clips, device=device)
        if self.version == 2 or num_clips == 1:
            return clip
        offset = torch.randint(1, num_clips, (num_clips,), device=device) if self.version == 3 else 1
        return (clip + offset) % num_clips
