"""Logits and losses of the temporal triplet (README, Method).

    logits = [ q·k | q·m_1 .. q·m_K | q·n ] / τ        (N, K + 2); the positive is column 0
    loss   = cross-entropy of the logits with target 0, that is InfoNCE; or NCE

Shapes: N clips, D numbers an embedding, K keys in memory.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vtdl_cli import ranks


def triplet_logits(
    query: Tensor,
    positive: Tensor,
    memory: Tensor,
    own: Mapping[str, Tensor],
    masked: Tensor | None,
    temperature: float,
) -> Tensor:
    """The logits, in float32 whatever the embeddings' type.

    Args:
        query: q, (N, D).
        positive: k, (N, D).
        memory: m, (K, D).
        own: negatives of the query's own video, (N, D) each, by name: n, another interval of it. A column for each.
        masked: (N, K) True where a key belongs to the query's own video and is no negative; None masks nothing.
        temperature: τ, 0.07 in the authors' code.
    """
    query = query.float()

    def to_own(other: Tensor) -> Tensor:
        return (query * other.float()).sum(1, keepdim=True)  # (N, 1)

    to_positive = to_own(positive)  # first: gradients add up in this order, and another one rounds otherwise
    with torch.autocast(query.device.type, enabled=False):  # which would multiply in bf16
        to_memory = query @ memory.float().T  # (N, K)
    if masked is not None:
        to_memory = to_memory.masked_fill(masked, -torch.inf)
    return torch.cat([to_positive, to_memory, *map(to_own, own.values())], 1) / temperature


def info_nce(logits: Tensor) -> Tensor:
    """Mean cross-entropy with the positive, column 0, as the target."""
    return F.cross_entropy(logits, logits.new_zeros(len(logits), dtype=torch.long))


@torch.no_grad()
def chance_loss(logits: Tensor) -> Tensor:
    """What the mean cross-entropy is where all columns of logits (N, columns) look alike, but for masked ones."""
    return (logits != -torch.inf).sum(1).log().mean()


class NoiseContrastiveLoss(nn.Module):
    """NCE: tell the positive from noise, each column by itself (arXiv 1805.01978, equations 6 and 7).

    P(i|v) = exp(logit) / Z, against noise that is uniform over the videos. Z is set once, from the first batch, to the
    number of videos times the mean of exp(logit), as the authors have it (`NCEAverage.py`). All is computed in logs:
    at low temperatures exp(logit) is more than float32 holds.

    Args:
        num_videos: n of the training list.

    Attributes:
        log_normaliser: ln Z, (); minus infinity before the first batch.
    """

    log_normaliser: Tensor

    def __init__(self, num_videos: int) -> None:
        super().__init__()
        self.num_videos = num_videos
        self.register_buffer("log_normaliser", torch.tensor(-torch.inf))

    def forward(self, logits: Tensor) -> Tensor:
        """Mean over the clips of logits (N, 1 + negatives); a masked column, at minus infinity, counts for nothing."""
        masked = logits == -torch.inf
        counted = (~masked).sum(1, keepdim=True)  # (N, 1)
        with torch.no_grad():
            gathered = ranks.gather_rows(logits.logsumexp(1)).logsumexp(0)  # ln of the sum over all clips and columns
            first = gathered - ranks.all_reduce(counted.sum()).log() + math.log(self.num_videos)
            self.log_normaliser.copy_(torch.where(self.log_normaliser.isfinite(), self.log_normaliser, first))
        log_noise = (counted - 1).log() - math.log(self.num_videos)  # ln (m P_n)
        # h = P / (P + m P_n) = sigmoid(ln P - ln (m P_n)), and 1 - h the same of the negative
        log_odds = (logits - self.log_normaliser - log_noise).masked_fill(masked, -torch.inf)
        of_positive, of_noise = F.logsigmoid(log_odds[:, :1]), F.logsigmoid(-log_odds[:, 1:])  # 0 where masked
        return -(of_positive.sum() + of_noise.sum()) / len(logits)


@torch.no_grad()
def health(logits: Tensor, query: Tensor, own: Mapping[str, Tensor], own_video: Tensor) -> dict[str, Tensor]:
    """Metrics that tell a healthy run from a collapsed one; scalars that stay on the device.

    Logits are cosines divided by the temperature; a probability is a column's share of the softmax.
    The positive's is the authors' "ins prob". `own_video_share` is the share of keys that come from the
    query's own video, (N, K) `own_video`, masked or not. `spread` is sqrt(D) times the mean standard
    deviation of the embeddings' coordinates over the clips of all processes: near 1 where they fill the
    sphere, near 0 where they have collapsed; a single clip has none.
    """
    probability = logits.softmax(1)
    last = logits.shape[1] - len(own)
    memory_logits = logits[:, 1:last]
    kept = memory_logits.isfinite()
    metrics = {
        "positive_logit": logits[:, 0].mean(),
        "queue_logit": torch.where(kept, memory_logits, 0).sum() / kept.sum().clamp(min=1),
        "positive_probability": probability[:, 0].mean(),
        "queue_probability": probability[:, 1:last].sum(1).mean(),
        "own_video_share": own_video.float().mean(),
    }
    gathered = ranks.gather_rows(query.float())  # (M, D), M clips in all processes
    if len(gathered) > 1:
        metrics["spread"] = gathered.std(0, correction=0).mean() * query.shape[1] ** 0.5
    for name, column in zip(own, range(last, logits.shape[1]), strict=True):
        metrics[f"{name}_logit"] = logits[:, column].mean()
        metrics[f"{name}_probability"] = probability[:, column].mean()
    return metrics
