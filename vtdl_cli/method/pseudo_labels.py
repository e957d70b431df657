"""Pseudo-labels: classify videos by the cluster that their features fall into, and cluster anew as these get better.

The authors' code has this as a stage after the contrast: features, k-means, classification, in turn. It is DeepCluster
(Caron et al. 2018, arXiv 1807.05520) on video, whose classifier starts anew with every clustering, as the numbers of
clusters mean nothing from one to the next.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vtdl_cli.method.loss import chance_loss
from vtdl_cli.method.task import Step, Task

NO_CLUSTER = -1  # of a video that could not be read when features were taken


class PseudoLabels(Task):
    """Cross-entropy with a cluster for each video, in a batch of one clip a video.

    Args:
        encoder: clips (N, C, T, H, W) -> logits (N, K); with a `backbone` and a `head` with a `linear`.
        num_videos: of the training list.
        relabel_every: epochs from one clustering to the next.

    Attributes:
        labels: (num_videos,) the cluster of each.
    """

    labels: Tensor

    def __init__(self, encoder: nn.Module, num_videos: int, relabel_every: int = 1) -> None:
        super().__init__()
        self.encoder, self.relabel_every = encoder, relabel_every
        self.register_buffer("labels", torch.full((num_videos,), NO_CLUSTER))

    def forward(self, *clips: Tensor) -> Step:
        """Ask for the cluster of each clip's video; where none of them is in any, loss and gradient are 0."""
        clip, video = clips
        logits, label = self.encoder(clip).float(), self.labels[video]  # (N, K), (N,)
        number = (label != NO_CLUSTER).sum().clamp(min=1)
        loss = F.cross_entropy(logits, label, ignore_index=NO_CLUSTER, reduction="sum") / number
        top1 = 100 * (logits.argmax(1) == label).sum() / number
        return Step(loss, {"cluster_top1": top1, "chance_loss": chance_loss(logits)})

    @torch.no_grad()
    def relabel(self, videos: Tensor, labels: Tensor) -> None:
        """Take the clusters `labels` (M,) of `videos` (M,), and start the classifier anew."""
        self.labels.fill_(NO_CLUSTER)
        self.labels[videos] = labels
        classifier = self.encoder.get_submodule("head.linear")
        assert isinstance(classifier, nn.Linear)
        classifier.reset_parameters()
