"""Pseudo-labels: classify videos by the cluster of their features, and cluster again as the features improve.

In the authors' code this is a stage after contrastive pretraining: features, k-means, classification, in turns. It is
DeepCluster (Caron et al. 2018, arXiv 1807.05520) on video. Its classifier is reset by each clustering, since the
numbers of clusters mean nothing from one clustering to the next.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vtdl_cli.method.loss import chance_loss
from vtdl_cli.method.pretext_task import PretextTask, Step

NO_CLUSTER = -1  # of a video that could not be read when features were extracted


class PseudoLabels(PretextTask):
    """Cross-entropy with the cluster of each video, on one clip of each video of a batch.

    Args:
        encoder: clips (N, C, T, H, W) -> logits (N, num_clusters); has a `backbone`, and a `head` with a `linear`.
        num_videos: number of videos in the training list.
        num_clusters: number of clusters.
        relabel_every: epochs between two clusterings.

    Attributes:
        labels: (num_videos,) the cluster of each video.
    """

    settings = ("clusters", "relabel_every")
    labels: Tensor

    def __init__(self, encoder: nn.Module, num_videos: int, num_clusters: int, relabel_every: int = 1) -> None:
        super().__init__()
        self.encoder, self.num_clusters, self.relabel_every = encoder, num_clusters, relabel_every
        self.register_buffer("labels", torch.full((num_videos,), NO_CLUSTER))

    def forward(self, *clips: Tensor) -> Step:
        """Predict the cluster of each clip's video; if no video has a cluster, loss and gradient are 0."""
        clip, video = clips
        logits, label = self.encoder(clip).float(), self.labels[video]  # (N, num_clusters), (N,)
        count = (label != NO_CLUSTER).sum().clamp(min=1)
        loss = F.cross_entropy(logits, label, ignore_index=NO_CLUSTER, reduction="sum") / count
        top1 = 100 * (logits.argmax(1) == label).sum() / count
        return Step(loss, {"cluster_top1": top1, "chance_loss": chance_loss(logits)})

    @torch.no_grad()
    def relabel(self, videos: Tensor, labels: Tensor) -> None:
        """Store the clusters `labels` (M,) of `videos` (M,), and reset the classifier."""
        self.labels.fill_(NO_CLUSTER)
        self.labels[videos] = labels
        classifier = self.encoder.get_submodule("head.linear")
        assert isinstance(classifier, nn.Linear)
        classifier.reset_parameters()
