"""Instance discrimination (Wu et al. 2018, arXiv 1805.01978) on video: every video is a class of its own.

One clip a video and one encoder: the positive is what the bank keeps of the video from epochs before.
"""

from collections.abc import Callable

from torch import Tensor, nn

from vtdl_cli.method.loss import chance_loss, health, info_nce, triplet_logits
from vtdl_cli.method.memory import VideoBank
from vtdl_cli.method.task import Step, Task


class InstanceDiscrimination(Task):
    """The bank against the encoder.

    Args:
        encoder: clips (N, C, T, H, W) -> unit embeddings (N, D).
        bank: a key for each video.
        temperature: τ.
        criterion: from the logits to the loss; the paper's is NCE.
    """

    def __init__(
        self, encoder: nn.Module, bank: VideoBank, temperature: float, criterion: Callable[[Tensor], Tensor] = info_nce
    ) -> None:
        super().__init__()
        self.encoder, self.bank, self.temperature, self.criterion = encoder, bank, temperature, criterion

    def forward(self, *clips: Tensor) -> Step:
        """Loss of a batch; its embeddings enter the bank after the logits have read it."""
        clip, video = clips
        q = self.encoder(clip)  # (N, D)
        k = self.bank.keys[video].clone()  # (N, D)
        m, origin = self.bank.read()  # (K, D), (K,)
        own_video = video[:, None] == origin  # (N, K)
        logits = triplet_logits(q, k, m, {}, own_video, self.temperature)  # (N, K + 1)
        self.bank.push(q.detach(), video)
        metrics = health(logits.detach(), q.detach(), {}, own_video) | {"queue_age": self.bank.age()}
        if self.criterion is info_nce:
            metrics["chance_loss"] = chance_loss(logits)
        return Step(self.criterion(logits), metrics)
