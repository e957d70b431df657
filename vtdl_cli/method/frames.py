"""What else may be done to the frames of a clip: orders for negatives, two extras for positives (README, Method).

Each draw is made for one clip and comes from torch's generator of the clips' device.

Shapes: N clips, C channels, T frames, H x W pixels.
"""

import torch
from torch import Tensor, nn


def take_frames(clips: Tensor, order: Tensor) -> Tensor:
    """Frames `order` (N, T) of clips (N, C, T, H, W)."""
    return clips.gather(2, order[:, None, :, None, None].expand(clips.shape))


def shuffled(num_clips: int, length: int, device: torch.device) -> Tensor:
    """A random order (N, length) for each clip; where it comes out as it was, it starts one further on."""
    order = torch.rand(num_clips, length, device=device).argsort(1)
    unchanged = (order == torch.arange(length, device=device)).all(1, keepdim=True)
    return torch.where(unchanged, order.roll(1, 1), order)


class FrameShuffle(nn.Module):
    """All frames in another order: the authors' `GenNegative` (`TC/gen_negative.py:25-29`)."""

    def forward(self, clips: Tensor) -> Tensor:
        """Shuffle (N, C, T, H, W)."""
        return take_frames(clips, shuffled(len(clips), clips.shape[2], clips.device))


class BlockShuffle(nn.Module):
    """Blocks of neighbouring frames in another order: motion is right within each, and broken between them.

    Args:
        blocks: how many, of equal length where T allows.
    """

    def __init__(self, blocks: int = 4) -> None:
        super().__init__()
        self.blocks = blocks

    def forward(self, clips: Tensor) -> Tensor:
        """Shuffle (N, C, T, H, W); a clip of fewer frames than blocks has a block for each."""
        num_clips, num_frames = len(clips), clips.shape[2]
        blocks = min(self.blocks, num_frames)
        frames = torch.arange(num_frames, device=clips.device)
        place = shuffled(num_clips, blocks, clips.device)[:, frames * blocks // num_frames]  # (N, T), of the block
        return take_frames(clips, (place * num_frames + frames).argsort(1))


class TemporalDropout(nn.Module):
    """Some frames are lost, and the one before each stays in its place.

    Args:
        share: of the frames, 0.1 in the authors' `TC/gen_negative.py`.
    """

    def __init__(self, share: float = 0.1) -> None:
        super().__init__()
        self.share = share

    def forward(self, clips: Tensor) -> Tensor:
        """Drop frames of (N, C, T, H, W); the first is never lost."""
        num_clips, num_frames = len(clips), clips.shape[2]
        frames = torch.arange(num_frames, device=clips.device)
        kept = torch.rand(num_clips, num_frames, device=clips.device) >= self.share
        return take_frames(clips, torch.where(kept, frames, 0).cummax(1).values)


class MotionEnhancement(nn.Module):
    """Takes a part of the clip's mean away: (V - λ mean_t V) / (1 - λ), so derivatives grow by 1 / (1 - λ).

    Args:
        alpha: λ is drawn from 0 to this for each clip (authors' `model/model.py:35-46`).
    """

    def __init__(self, alpha: float = 0.3) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, clips: Tensor) -> Tensor:
        """Enhance (N, C, T, H, W)."""
        weight = self.alpha * torch.rand(len(clips), 1, 1, 1, 1, device=clips.device)
        return (clips - weight * clips.mean(2, keepdim=True)) / (1 - weight)


class Cut(nn.Module):
    """A square of every frame, the same in all, shows the mean colour: what moves outside of it moves as before.

    Args:
        share: the square's side, of the picture's shorter one.
    """

    def __init__(self, share: float = 0.5) -> None:
        super().__init__()
        self.share = share

    def forward(self, clips: Tensor) -> Tensor:
        """Cut (N, C, T, H, W), normalised, so that 0 is the mean."""
        num_clips, height, width = len(clips), *clips.shape[3:]
        side = round(self.share * min(height, width))
        inside = [
            self._inside(length, side, torch.rand(num_clips, 1, device=clips.device)) for length in (height, width)
        ]
        return clips.masked_fill((inside[0][:, :, None] & inside[1][:, None, :])[:, None, None], 0)

    @staticmethod
    def _inside(length: int, side: int, draw: Tensor) -> Tensor:
        first = (draw * (length - side + 1)).floor()
        places = torch.arange(length, device=draw.device)
        return (places >= first) & (places < first + side)
