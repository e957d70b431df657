"""Pseudo-labels: classify videos by the cluster that their features fall into, and cluster anew as these get better.

The authors' code has this as a stage after the contrast: features, k-means, classification, in turn. It is DeepCluster
(Caron et al. 2018, arXiv 1807.05520) on video, whose classifier starts anew with every clustering, as the numbers of
clusters mean nothing from one to the next.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vtdl_cli.method.task import Step, Task

NO_CLUSTER = -1  # of a video that could not be read when features were taken


class PseudoLabels(Task):
    """Cross-entropy with a cluster for each video, in a batch of one clip a video.

    Args:
        encoder: clips (N, C, T, H, W) -> logits (N, K); with a `backbone` and a `head` with a `linear`.
        num_videos: of the training list.
        num_clusters: K.
        relabel_every: epochs from one clustering to the next.

    Attributes:
        labels: (num_videos,) the cluster of each.
    """

    labels: Tensor

    def __init__(self, encoder: nn.Module, num_videos: int, num_clusters: int, relabel_every: int = 1) -> None:
        super().__init__()
        self.encoder, self.num_clusters, self.relabel_every = encoder, num_clusters, relabel_every
        self.register_buffer("labels", torch.full((num_videos,), NO_CLUSTER))

    def forward(self, *clips: Tensor) -> Step:
        """Ask for the cluster of each clip's video."""
        clip, video = clips
        logits, label = self.encoder(clip).float(), self.labels[video]  # (N, K), (N,)
        loss = F.cross_entropy(logits, label, ignore_index=NO_CLUSTER)
        return Step(loss, {"cluster_top1": 100 * (logits.argmax(1) == label).float().mean()})

    def num_choices(self, _readings: Mapping[str, float]) -> float:
        """The clusters."""
        return self.num_clusters

    @torch.no_grad()
    def relabel(self, videos: Tensor, labels: Tensor) -> None:
        """Take the clusters `labels` (M,) of `videos` (M,), and start the classifier anew."""
        self.labels.fill_(NO_CLUSTER)
        self.labels[videos] = labels
        classifier = self.encoder.get_submodule("head.linear")
        assert isinstance(classifier, nn.Linear)
        classifier.reset_parameters()
