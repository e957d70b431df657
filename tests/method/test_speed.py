import math

import pytest
import torch
from torch import Tensor, nn

from vtdl_cli.method.speed import SPEEDS, SpeedPrediction


class Clock(nn.Module):
    """Reads the stride off clips whose frame t shows t, if it is allowed to."""

    def __init__(self, known: bool) -> None:
        super().__init__()
        self.known = known

    def forward(self, clips: Tensor) -> Tensor:
        stride = (clips[:, 0, 1, 0, 0] - clips[:, 0, 0, 0, 0]).long()
        return self.known * 100.0 * nn.functional.one_hot(stride - 1, SPEEDS)


def test_speed__loss_of_who_knows_and_of_who_guesses() -> None:
    """Oracle: by hand: 0, and ln 8: class s - 1 is stride s."""
    stride = torch.arange(1, 9)
    clips = (torch.arange(4.0) * stride[:, None]).view(8, 1, 4, 1, 1).expand(-1, 3, -1, 2, 2)
    knows, guesses = (SpeedPrediction(Clock(known))(clips, stride, torch.arange(8)) for known in (True, False))
    assert knows.loss.item() == pytest.approx(0, abs=1e-6)
    assert knows.metrics["speed_top1"].item() == 100
    for found in (guesses.loss, guesses.metrics["chance_loss"]):
        assert found.item() == pytest.approx(math.log(8))


def test_speed__a_video_of_one_frame_is_of_the_lowest() -> None:
    clips = torch.arange(4.0).view(1, 1, 4, 1, 1)
    assert SpeedPrediction(Clock(True))(clips, torch.zeros(1).long(), torch.zeros(1)).loss.item() < 1e-6
