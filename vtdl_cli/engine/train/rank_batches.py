"""What ranks report to one another about their parts of a batch, and warnings about batches that are too small."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import nn

from vtdl_cli import ranks
from vtdl_cli.data.clips.datasets import Unreadable
from vtdl_cli.engine.networks.checkpoint import Stage
from vtdl_cli.errors import UsageError
from vtdl_cli.runtime import Reporter
from vtdl_cli.text import counted


class RankReport(NamedTuple):
    """What a rank reports to the others before a step.

    Attributes:
        signal: the name of the one that has arrived; empty: none.
        save_is_due: whether it is time for a checkpoint.
        num_videos: in its part of the batch.
        unreadable: videos missing from its part.
    """

    signal: str
    save_is_due: bool
    num_videos: int
    unreadable: list[Unreadable]


def check_batch(stage: Stage, batch_size: int) -> None:
    """Refuse batches of fewer videos than ranks.

    Raises:
        UsageError: `batch_size`, which is that of all ranks together, is too small.
    """
    if batch_size < ranks.world_size():
        raise UsageError(
            f"{stage}.batch_size {batch_size} is that of all {ranks.world_size()} processes: under one video each. "
            f"--set {stage}.batch_size={ranks.world_size()} or more, or start fewer processes"
        )


class SmallBatches:
    """Warns of batches that are too small; once of each kind, as the last batch of every epoch may be.

    Args:
        stage: whose batch size is to blame.
        model: that is trained.
        reporter: receives the warnings.
    """

    def __init__(self, stage: Stage, model: nn.Module, reporter: Reporter) -> None:
        self.stage, self.model, self.reporter = stage, model, reporter
        self._warned = set[str]()

    def check(self, sizes: Sequence[int], step: int) -> None:
        """Warn if a rank has no video, or a single one in a network with batch norm.

        Args:
            sizes: videos of each rank.
            step: steps done before.
        """
        if any(sizes) and not all(sizes):
            self._warn_once(
                f"step {step}: {counted(sum(sizes), 'video is', 'videos are')} too few for "
                f"{ranks.world_size()} processes: step skipped, "
                "as others like it will be",
                kind="left out",
            )
        elif all(sizes) and 1 in sizes and self._has_batch_norm():
            self._warn_once(
                f"step {step}: batch norm has a single video to normalise over, or uses running averages where the "
                f"feature map is a single position. Another {self.stage}.batch_size avoids that",
                kind="single video",
            )

    def _has_batch_norm(self) -> bool:
        """Whether batch norm is trained; see `models.normalisation`."""
        return any(isinstance(layer, nn.BatchNorm3d) and layer.training for layer in self.model.modules())

    def _warn_once(self, text: str, kind: str) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            self.reporter.warn(text)
