"""Logits and losses of the temporal triplet (method/README).

    logits = [ q·k | q·m_1 .. q·m_K | q·n ] / τ        (N, K + 2); the positive is column 0
    loss   = cross-entropy of the logits with target 0, that is InfoNCE; or NCE

Shapes: N clips, D-dimensional embeddings, K keys in memory.
"""

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vtdl_cli import ranks


def triplet_logits(
    query: Tensor,
    positive: Tensor,
    memory: Tensor,
    intra_video: Mapping[str, Tensor],
    masked: Tensor | None,
    temperature: float,
) -> Tensor:
    """Compute the logits, in float32 whatever the embeddings' type.

    Args:
        query: q, (N, D).
        positive: k, (N, D).
        memory: m, (K, D).
        intra_video: intra-video negatives by name, (N, D) each; n is another interval of the query's video.
        masked: (N, K), True for keys that are no negatives, because they come from the query's video; None masks none.
        temperature: τ, 0.07 in the authors' code.

    Returns:
        (N, 1 + K + intra-video negatives).
    """
    query = query.float()

    def dot(other: Tensor) -> Tensor:
        return (query * other.float()).sum(1, keepdim=True)  # (N, 1)

    positive_column = dot(positive)  # first: gradients are summed in this order, and another one rounds differently
    with torch.autocast(query.device.type, enabled=False):  # it would multiply in bf16
        memory_columns = query @ memory.float().T  # (N, K)
    if masked is not None:
        memory_columns = memory_columns.masked_fill(masked, -torch.inf)
    return torch.cat([positive_column, memory_columns, *map(dot, intra_video.values())], 1) / temperature


def mask_column(logits: Tensor, column: int, masked: Tensor) -> Tensor:
    """Set one column of logits (N, columns) to minus infinity where `masked` (N,) says that it is no negative."""
    everywhere = torch.zeros_like(logits, dtype=torch.bool)
    everywhere[:, column] = masked
    return logits.masked_fill(everywhere, -torch.inf)


def masked_mean(values: Tensor, counted: Tensor) -> Tensor:
    """Mean of the values that are counted, both of the same shape; 0 if none is."""
    return torch.where(counted, values, 0).sum() / counted.sum().clamp(min=1)


def info_nce(logits: Tensor) -> Tensor:
    """Mean cross-entropy of logits (N, columns) with the positive, column 0, as the target."""
    return F.cross_entropy(logits, logits.new_zeros(len(logits), dtype=torch.long))


@torch.no_grad()
def chance_loss(logits: Tensor) -> Tensor:
    """Mean cross-entropy if all columns of logits (N, columns) were equal, except masked ones."""
    return (logits != -torch.inf).sum(1).log().mean()


class NoiseContrastiveLoss(nn.Module):
    """NCE: tell the positive from noise, each column on its own (arXiv 1805.01978, equations 6 and 7).

    P(i|v) = exp(logit) / Z, against noise that is uniform over the videos. Z is set once, from the first batch, to the
    number of videos times the mean of exp(logit), as in the authors' `NCEAverage.py`. There n is the number of batches
    (`train_temporal_dis.py:297`), and the buffer of Z holds whole numbers alone; here both are the paper's. Everything
    is computed in logs: at low temperatures exp(logit) overflows float32.

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
        """Mean over clips with logits (N, 1 + negatives); masked columns, at minus infinity, do not count."""
        masked = logits == -torch.inf
        counted = (~masked).sum(1, keepdim=True)  # (N, 1)
        with torch.no_grad():
            log_sum = ranks.gather_rows(logits.logsumexp(1)).logsumexp(0)  # over all columns and clips, of all ranks
            first = log_sum - ranks.all_reduce(counted.sum()).log() + math.log(self.num_videos)
            self.log_normaliser.copy_(torch.where(self.log_normaliser.isfinite(), self.log_normaliser, first))
        log_noise = (counted - 1).log() - math.log(self.num_videos)  # ln (m P_n)
        # h = P / (P + m P_n) = sigmoid(ln P - ln (m P_n)), and 1 - h the same of the negative
        log_odds = (logits - self.log_normaliser - log_noise).masked_fill(masked, -torch.inf)
        of_positive, of_noise = F.logsigmoid(log_odds[:, :1]), F.logsigmoid(-log_odds[:, 1:])  # 0 where masked
        return -(of_positive.sum() + of_noise.sum()) / len(logits)


@torch.no_grad()
def health(logits: Tensor, query: Tensor, intra_video: Iterable[str], same_video: Tensor) -> dict[str, Tensor]:
    """Compute the metrics that tell a healthy run from a collapsed one.

    A logit is a cosine divided by the temperature, a probability a column's share of the softmax; that of the positive
    is the authors' "ins prob". `own_video_share` is the share of keys that come from the query's video. `spread` is
    sqrt(D) times the standard deviation of the embeddings' coordinates over the clips of all ranks, averaged over the
    coordinates: near 1 if embeddings fill the sphere, near 0 if they have collapsed, absent for a single clip.

    Args:
        logits: those of `triplet_logits`.
        query: q, (N, D).
        intra_video: names of the intra-video negatives.
        same_video: (N, K), True for keys that come from the query's video, masked or not.

    Returns:
        Scalars on the device.
    """
    names = list(intra_video)
    probability = logits.softmax(1)
    last = logits.shape[1] - len(names)
    memory_logits = logits[:, 1:last]
    metrics = {
        "positive_logit": logits[:, 0].mean(),
        "queue_logit": masked_mean(memory_logits, memory_logits.isfinite()),
        "positive_probability": probability[:, 0].mean(),
        "queue_probability": probability[:, 1:last].sum(1).mean(),
        "own_video_share": same_video.float().mean(),
    }
    embeddings = ranks.gather_rows(query.float())  # (M, D), M clips on all ranks
    if len(embeddings) > 1:
        metrics["spread"] = embeddings.std(0, correction=0).mean() * query.shape[1] ** 0.5
    for name, column in zip(names, range(last, logits.shape[1]), strict=True):
        metrics[f"{name}_logit"] = masked_mean(logits[:, column], logits[:, column].isfinite())
        metrics[f"{name}_probability"] = probability[:, column].mean()
    return metrics
