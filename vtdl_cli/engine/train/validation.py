"""Validation in finetuning: accuracies of one centre clip a video (clip@1), by which the best epoch is chosen."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from vtdl_cli.config import Config, Finetune
from vtdl_cli.data.clips.datasets import VideoClips
from vtdl_cli.data.lists.video_list import VideoList
from vtdl_cli.engine.networks.bad_videos import BadVideos
from vtdl_cli.engine.networks.clips import build_test_clips
from vtdl_cli.engine.networks.inference import collect, forward_videos
from vtdl_cli.engine.networks.selection import Selection, select_by
from vtdl_cli.engine.train.run_folder import EpochMetrics
from vtdl_cli.engine.train.training import Training
from vtdl_cli.errors import UsageError
from vtdl_cli.metrics import accuracies
from vtdl_cli.models.encoder import Encoder


def selecting_metric(options: Finetune) -> str:
    """Return the metric of an epoch that selects the best one."""
    return f"val_{options.best_by}"


def check_patience(options: Finetune, val_videos: VideoList | None) -> None:
    """Refuse early stopping without a list that could stop it.

    Raises:
        UsageError: there is none.
    """
    if options.patience and val_videos is None:
        raise UsageError(
            f"finetune.patience '{options.patience}' needs videos to validate on. Give --val-list, or --set "
            "finetune.patience=0"
        )


def select_on(options: Finetune, val_videos: VideoList | None) -> Selection | None:
    """Return how the best epoch is selected; none: nothing is validated, or the last epoch alone."""
    return select_by(selecting_metric(options), val_videos) if val_videos and options.validate_every else None


@dataclass(frozen=True)
class Validation:
    """The videos that are validated on: one centre clip of each, and those found unreadable."""

    clips: VideoClips
    bad_videos: BadVideos

    @classmethod
    def of(cls, config: Config, videos: VideoList) -> Self:
        """Return the validation on the videos of a list."""
        clips = build_test_clips(config, videos, config.finetune, clips=1)
        return cls(clips, BadVideos(len(videos), config.data.max_bad_fraction))


def validate(training: Training, network: Encoder, validation: Validation) -> EpochMetrics:
    """Measure the accuracies on the validation list, with one centre clip a video."""
    batch_clips = training.inference_clips
    outputs = forward_videos(network, validation.clips, training.machine, views=1, batch_clips=batch_clips)
    logits = collect(outputs, validation.bad_videos, training.reporter, "validation")
    return {f"val_{name}": value for name, value in accuracies(logits.values[:, 0], logits.label).items()}


def select_last_validated(rows: Sequence[EpochMetrics], metrics: Iterable[str]) -> EpochMetrics:
    """Select `metrics` of the last epoch that has them.

    It is the last of all, unless a resumed run is to end before the epoch it has reached.
    """
    last = next((row for row in reversed(rows) if all(name in row for name in metrics)), EpochMetrics())
    return {name: last[name] for name in metrics}
