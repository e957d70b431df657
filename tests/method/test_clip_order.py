import math

import pytest
import torch
from torch import Tensor, nn

from vtdl_cli.method.clip_order import ORDERS, ClipOrder, reorder_blocks


@pytest.mark.parametrize(
    ("num_frames", "order", "expected"),
    [
        (6, (0, 1, 2), [0, 1, 2, 3, 4, 5]),
        (6, (2, 0, 1), [4, 5, 0, 1, 2, 3]),
        (8, (1, 0, 2), [2, 3, 0, 1, 4, 5, 6, 7]),  # two frames are left over
    ],
)
def test_reorder_blocks__by_hand(num_frames: int, order: tuple[int, ...], expected: list[int]) -> None:
    clips = torch.arange(float(num_frames)).view(1, 1, -1, 1, 1).repeat(2, 3, 1, 2, 2)
    shuffled = reorder_blocks(clips, torch.tensor([order, (0, 1, 2)]))
    assert shuffled[0, 0, :, 0, 0].tolist() == expected
    assert torch.equal(shuffled[1], clips[1])


class Clock(nn.Module):
    """Sees the order: frame t shows t, so the first frames of the three blocks give it away."""

    def __init__(self, known: bool) -> None:
        super().__init__()
        self.known = known

    def forward(self, clips: Tensor) -> Tensor:
        blocks = clips[:, 0, ::2, 0, 0].div(2, rounding_mode="floor").int().tolist()
        right = torch.tensor([ORDERS.index(tuple(row)) for row in blocks])
        return 100.0 * nn.functional.one_hot(right, len(ORDERS)) if self.known else torch.zeros(len(clips), len(ORDERS))


def test_clip_order__loss_of_who_knows_and_of_who_guesses() -> None:
    """Oracle: by hand: 0, and ln 6."""
    torch.manual_seed(0)
    clips = torch.arange(6.0).view(1, 1, -1, 1, 1).repeat(60, 1, 1, 2, 2)
    knows, guesses = (ClipOrder(Clock(known))(clips, torch.arange(60)) for known in (True, False))
    assert float(knows.loss) == pytest.approx(0, abs=1e-6)
    assert float(knows.metrics["order_top1"]) == 100
    assert float(guesses.loss) == pytest.approx(math.log(6))
    assert float(guesses.metrics["order_top1"]) < 40
