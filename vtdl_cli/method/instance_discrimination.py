"""Instance discrimination (Wu et al. 2018, arXiv 1805.01978) on video: every video is a class of its own.

One clip of each video and a single encoder: the positive is the video's key in the bank, from earlier epochs.

Shapes: N clips, C channels, T frames, R x R pixels, D-dimensional embeddings, K keys as negatives.
"""

from collections.abc import Callable

from torch import Tensor, nn

from vtdl_cli.method.loss import chance_loss, health, info_nce, triplet_logits
from vtdl_cli.method.memory import VideoBank
from vtdl_cli.method.pretext_task import PretextTask, Step


class InstanceDiscrimination(PretextTask):
    """A contrastive loss between clips and a memory bank.

    Args:
        encoder: clips (N, C, T, R, R) -> unit embeddings (N, D).
        bank: a key for each video.
        temperature: τ.
        criterion: logits -> loss; NCE in the paper.
    """

    settings = ("temperature", "loss", "queue.size")
    trains_embedding = True

    def __init__(
        self, encoder: nn.Module, bank: VideoBank, temperature: float, criterion: Callable[[Tensor], Tensor] = info_nce
    ) -> None:
        super().__init__()
        self.encoder, self.bank, self.temperature, self.criterion = encoder, bank, temperature, criterion

    def forward(self, *clips: Tensor) -> Step:
        """Compute the loss of a batch; its embeddings are enqueued after the logits are computed."""
        clip, video = clips
        q = self.encoder(clip)  # (N, D)
        k = self.bank.keys[video].clone()  # (N, D)
        m, origin = self.bank.read()  # (K, D), (K,)
        same_video = video[:, None] == origin  # (N, K)
        logits = triplet_logits(q, k, m, {}, same_video, self.temperature)  # (N, K + 1)
        self.bank.enqueue(q.detach(), video)
        metrics = health(logits.detach(), q.detach(), (), same_video) | {"queue_age": self.bank.age()}
        if self.criterion is info_nce:
            metrics["chance_loss"] = chance_loss(logits)
        return Step(self.criterion(logits), metrics)
