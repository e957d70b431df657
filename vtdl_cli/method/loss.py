"""Logits and loss of the temporal triplet (README, Method).

    logits = [ q·k | q·m_1 .. q·m_K | q·n ] / τ        (N, K + 2); the positive is column 0
    loss   = cross-entropy of the logits with target 0, that is InfoNCE

Shapes: N clips, D numbers an embedding, K keys in the queue.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def triplet_logits(
    query: Tensor, positive: Tensor, queue: Tensor, negative: Tensor | None, masked: Tensor | None, temperature: float
) -> Tensor:
    """The logits, in float32 whatever the embeddings' type.

    Args:
        query: q, (N, D).
        positive: k, (N, D).
        queue: m, (K, D).
        negative: n, (N, D): another interval of the same video; None leaves the last column out.
        masked: (N, K) True where a queue key belongs to the query's own video and is no negative; None masks nothing.
        temperature: τ, 0.07 in the authors' code.
    """
    query, positive = query.float(), positive.float()
    to_positive = (query * positive).sum(1, keepdim=True)  # (N, 1)
    with torch.autocast(query.device.type, enabled=False):  # which would multiply in bf16
        to_queue = query @ queue.float().T  # (N, K)
    if masked is not None:
        to_queue = to_queue.masked_fill(masked, -torch.inf)
    columns = [to_positive, to_queue]
    if negative is not None:
        columns.append((query * negative.float()).sum(1, keepdim=True))  # (N, 1)
    return torch.cat(columns, 1) / temperature


def info_nce(logits: Tensor) -> Tensor:
    """Mean cross-entropy with the positive, column 0, as the target."""
    return F.cross_entropy(logits, logits.new_zeros(len(logits), dtype=torch.long))


@torch.no_grad()
def health(logits: Tensor, query: Tensor, has_negative: bool) -> dict[str, Tensor]:
    """Readings that tell a healthy run from a collapsed one; scalars that stay on the device.

    Logits are cosines divided by the temperature; a probability is a column's share of the softmax.
    The positive's is the authors' "ins prob". `spread` is sqrt(D) times the mean standard deviation of
    the embeddings' coordinates: near 1 where they fill the sphere, near 0 where they have collapsed.
    """
    probability = logits.softmax(1)
    last = logits.shape[1] - 1 if has_negative else logits.shape[1]
    queue_logits = logits[:, 1:last]
    kept = queue_logits.isfinite()
    readings = {
        "positive_logit": logits[:, 0].mean(),
        "queue_logit": torch.where(kept, queue_logits, 0).sum() / kept.sum().clamp(min=1),
        "positive_probability": probability[:, 0].mean(),
        "queue_probability": probability[:, 1:last].sum(1).mean(),
        "masked_share": 1 - kept.float().mean(),
        "spread": query.float().std(0, correction=0).mean() * query.shape[1] ** 0.5,
    }
    if has_negative:
        readings["own_negative_logit"] = logits[:, -1].mean()
        readings["own_negative_probability"] = probability[:, -1].mean()
    return readings
