"""Speed prediction: at which stride were the frames of a clip taken? (the authors' `--pt_loss TSC`).

A clip of stride s shows the video at s times its speed. The sampler draws for each video one of the speeds at which a
clip fits into it; the authors show each video at all eight, and restart a clip that reaches the end, which gives its
speed away in short videos. `chance_loss` is that of eight equally frequent speeds; where many videos are too short for
the fast ones, guessing by frequency does better.

Shapes: N clips, C channels, T frames, R x R pixels.
"""

from typing import Self

from torch import Tensor, nn
from torch.nn import functional as F

from vtdl_cli.method.loss import chance_loss
from vtdl_cli.method.pretext_task import Context, PretextTask, Step

SPEEDS = 8  # strides of 1 to 8 frames, whatever the preset's (authors' `data/dataset.py`)


class SpeedPrediction(PretextTask):
    """Cross-entropy over the speeds.

    Args:
        encoder: clips (N, C, T, R, R) -> logits (N, SPEEDS).
    """

    settings = ()
    sampler = "speed"
    min_clip_len_frames = 2

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    @classmethod
    def build(cls, context: Context) -> Self:
        """Build it around a classifier over the speeds."""
        return cls(context.new_classifier(SPEEDS))

    def forward(self, *clips: Tensor) -> Step:
        """Predict the speed of each clip."""
        clip, stride, _video = clips
        label = stride.clamp(1, SPEEDS) - 1  # (N,); a video of one frame has stride 0
        logits = self.encoder(clip).float()  # (N, SPEEDS)
        top1 = 100 * (logits.argmax(1) == label).float().mean()
        return Step(F.cross_entropy(logits, label), {"speed_top1": top1, "chance_loss": chance_loss(logits)})
