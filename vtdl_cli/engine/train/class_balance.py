"""Uneven classes in finetuning: how the loss weighs them, and what a list is warned of.

Classes are counted over all videos of the training list, unreadable ones included.
"""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vtdl_cli.config import Finetune
from vtdl_cli.data.lists.video_list import VideoList
from vtdl_cli.text import counted

UNEVEN = 10
"""The largest class is more than so many times the smallest."""

Loss = Callable[[Tensor, Tensor], Tensor]
"""Logits (B, C) float32 and labels (B,) -> the mean over the B videos, a scalar."""


def build_loss(options: Finetune, videos: VideoList, device: torch.device) -> Loss:
    """Build the cross-entropy of finetuning, with label smoothing and class weights.

    Each video's loss is multiplied by its class's weight. The mean is over videos, and not over weights as torch's: it
    does not depend on which classes share a batch or a rank, and the weights average to 1 over the list.
    """
    smoothing = options.label_smoothing
    if options.class_weights == "none":
        return partial(F.cross_entropy, label_smoothing=smoothing)
    weights = torch.from_numpy(balanced_weights(videos.labels, videos.num_classes)).float().to(device)  # (C,)

    def weighted(logits: Tensor, label: Tensor) -> Tensor:
        losses = F.cross_entropy(logits, label, reduction="none", label_smoothing=smoothing)  # (B,)
        return (weights[label] * losses).mean()

    return weighted


def balanced_weights(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Return a weight for each class, (C,): n / (k * count), scikit-learn's "balanced".

    Args:
        labels: (n,) integers from 0 to C - 1; k classes occur.
        num_classes: C.

    Returns:
        float64; 0 for a class without videos.
    """
    counts = np.bincount(labels, minlength=num_classes)
    occurring = counts > 0
    weights = np.zeros(num_classes)
    weights[occurring] = len(labels) / (occurring.sum() * counts[occurring])
    return weights


def describe_balance(options: Finetune, videos: VideoList) -> Iterator[str]:
    """Yield a warning if the list is uneven and nothing balances it, or if what balances it leaves out classes."""
    counts = np.bincount(videos.labels, minlength=videos.num_classes)
    occurring = np.flatnonzero(counts)
    largest, smallest = int(counts.argmax()), int(occurring[counts[occurring].argmin()])
    balances = "balanced" in (options.class_weights, options.sampling)
    name = videos.label_set.describe
    if balances and len(occurring) < len(counts):
        absent = np.flatnonzero(counts == 0).tolist()
        yield (
            f"list '{videos.source}' has no video of {len(absent)} of its {len(counts)} classes, the first is "
            f"{name(absent[0])}: balancing leaves them out"
        )
    if not balances and counts[largest] > UNEVEN * counts[smallest]:
        yield (
            f"list '{videos.source}' is uneven: {counted(counts[largest], 'video')} of class "
            f"{name(largest)}, {counts[smallest]} "
            f"of class {name(smallest)}. To learn all classes alike: --set finetune.sampling=balanced, or --set "
            "finetune.class_weights=balanced"
        )
