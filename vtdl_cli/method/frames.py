"""Further augmentations of clips: of the order of frames, for negatives; two for positives (method/README).

Random numbers are drawn for each clip, from torch's generator of the clips' device.

Shapes: N clips, C channels, T frames, H x W pixels.
"""

import torch
from torch import Tensor, nn


def take_frames(clips: Tensor, order: Tensor) -> Tensor:
    """Take frames `order` (N, T) of clips (N, C, T, H, W)."""
    return clips.gather(2, order[:, None, :, None, None].expand(clips.shape))


def random_orders(num_clips: int, length: int, device: torch.device) -> Tensor:
    """Draw an order (num_clips, length) for each clip; an unchanged one is rotated by one place."""
    order = torch.rand(num_clips, length, device=device).argsort(1)
    unchanged = (order == torch.arange(length, device=device)).all(1, keepdim=True)
    return torch.where(unchanged, order.roll(1, 1), order)


class FrameShuffle(nn.Module):
    """Shuffles all frames: the authors' `GenNegative` (`TC/gen_negative.py:25-29`), which has one order for a batch."""

    def forward(self, clips: Tensor) -> Tensor:
        """Shuffle (N, C, T, H, W)."""
        return take_frames(clips, random_orders(len(clips), clips.shape[2], clips.device))


class BlockShuffle(nn.Module):
    """Shuffles blocks of consecutive frames: motion is intact within each block, and broken between them.

    Args:
        blocks: number of blocks, of equal length if T allows.
    """

    def __init__(self, blocks: int = 4) -> None:
        super().__init__()
        self.blocks = blocks

    def forward(self, clips: Tensor) -> Tensor:
        """Shuffle (N, C, T, H, W); a clip with fewer frames than blocks has one block for each frame."""
        num_clips, num_frames = len(clips), clips.shape[2]
        blocks = min(self.blocks, num_frames)
        frames = torch.arange(num_frames, device=clips.device)
        place = random_orders(num_clips, blocks, clips.device)[:, frames * blocks // num_frames]  # (N, T), of the block
        return take_frames(clips, (place * num_frames + frames).argsort(1))


class TemporalDropout(nn.Module):
    """Replaces random frames by the frame before them.

    The authors' sets them to 0 and divides the others by 0.9 (`TC/basic_augmentation/temporal_dropout.py`): a change of
    brightness that betrays the negative.

    Args:
        share: of the frames, 0.1 in the authors' `TC/gen_negative.py`.
    """

    def __init__(self, share: float = 0.1) -> None:
        super().__init__()
        self.share = share

    def forward(self, clips: Tensor) -> Tensor:
        """Drop frames of (N, C, T, H, W); the first is always kept."""
        num_clips, num_frames = len(clips), clips.shape[2]
        frames = torch.arange(num_frames, device=clips.device)
        kept = torch.rand(num_clips, num_frames, device=clips.device) >= self.share
        return take_frames(clips, torch.where(kept, frames, 0).cummax(1).values)


class MotionEnhancement(nn.Module):
    """Subtracts a part of the clip's mean over time: (V - λ mean_t V) / (1 - λ) scales its derivatives by 1 / (1 - λ).

    Args:
        alpha: λ ~ U[0, alpha) for each clip (authors' `model/model.py:35-46`, where it is drawn once a batch).
    """

    def __init__(self, alpha: float = 0.3) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, clips: Tensor) -> Tensor:
        """Enhance (N, C, T, H, W)."""
        weight = self.alpha * torch.rand(len(clips), 1, 1, 1, 1, device=clips.device)
        return (clips - weight * clips.mean(2, keepdim=True)) / (1 - weight)


class Cut(nn.Module):
    """Cuts a square out of the clip, the same in all frames: motion outside it stays as it is.

    The authors' cut (`TC/gen_positive.py`) is one rectangle for the whole batch, of 2% of the frame on average and 5%
    at most.

    Args:
        share: side of the square, as a share of the frame's shorter side; 0.5 is a quarter of a square frame.
    """

    def __init__(self, share: float = 0.5) -> None:
        super().__init__()
        self.share = share

    def forward(self, clips: Tensor) -> Tensor:
        """Cut (N, C, T, H, W), which is normalised: 0 is the mean colour."""
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
