"""Classify the videos of a list, or the windows that slide over each, into rows."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from vtdl_cli.config import Config
from vtdl_cli.data.clips.datasets import Batch
from vtdl_cli.data.clips.window_loading import EndedVideo, SlidingWindows
from vtdl_cli.data.clips.windows import Hop, Window, WindowRule
from vtdl_cli.data.lists.video_list import VideoList
from vtdl_cli.engine.evaluate.predictions import NO_SCORES, Prediction
from vtdl_cli.engine.networks.clips import build_test_clips, build_window_rule, choose_clips
from vtdl_cli.engine.networks.inference import check_finite_scores, forward_videos, forward_windows, stop_on_signal
from vtdl_cli.engine.networks.machine import Machine
from vtdl_cli.engine.networks.trained import Source
from vtdl_cli.engine.request import protocol_name
from vtdl_cli.metrics import softmax
from vtdl_cli.models.encoder import Encoder
from vtdl_cli.runtime import Progress


@dataclass(frozen=True)
class PredictionSpec:
    """What to predict.

    Attributes:
        top_k: most probable classes in a row, at most.
        clips: spread evenly over each video; None: the preset's, or its starts.
        timeline: a row for each window of each video, in place of one for each video.
        hop_seconds: from the start of a window to that of the next; None: windows adjoin.
    """

    top_k: int = 5
    clips: int | None = None
    timeline: bool = False
    hop_seconds: float | None = None


@dataclass
class Tally:
    """What has been found about the videos so far.

    Attributes:
        videos: finished ones, readable or not.
        windows: rows of windows.
        unreadable: path and reason of each.
        short: paths of those shorter than a clip.
    """

    videos: int = 0
    windows: int = 0
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    short: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Predictor:
    """A network and the videos that it is to classify.

    Attributes:
        network: with its classifier.
        source: of the network.
        videos: of all arguments.
        machine: where to compute.
        spec: what to predict.
    """

    network: Encoder
    source: Source
    videos: VideoList
    machine: Machine
    spec: PredictionSpec

    @property
    def config(self) -> Config:
        """The configuration of the network."""
        return self.source.config

    @property
    def rule(self) -> WindowRule:
        """How the windows of a timeline slide."""
        hop = Hop(self.spec.hop_seconds, "seconds") if self.spec.hop_seconds else None
        return build_window_rule(self.config, self.config.finetune, hop)

    @property
    def protocol(self) -> str:
        """How a row comes about, as in metrics.json."""
        if not self.spec.timeline:
            starts, clips = choose_clips(self.config, self.spec.clips)
            return protocol_name(clips) + (f" from frames {', '.join(map(str, starts))}" if starts else "")
        return self.rule.description

    def predict(self, tally: Tally, progress: Progress) -> Iterator[Prediction]:
        """Yield all rows, in the order of the videos."""
        predict = self._predict_windows if self.spec.timeline else self._predict_videos
        yield from predict(self.machine.place(self.network), tally, progress)

    def _predict_videos(self, network: Encoder, tally: Tally, progress: Progress) -> Iterator[Prediction]:
        starts, views = choose_clips(self.config, self.spec.clips)
        dataset = build_test_clips(self.config, self.videos, self.config.finetune, clips=views, starts=starts)
        batch_clips = self.config.evaluate.batch_clips
        outputs = forward_videos(network, dataset, self.machine, views=views, batch_clips=batch_clips)
        for batch, logits in stop_on_signal(outputs):
            check_finite_scores(logits, self.source.path)
            scores = dict(zip(batch.index.tolist(), softmax(logits), strict=True))
            for video in _ended_videos(batch, self.rule.extent):
                self._end(video, tally, progress)
                yield self._row(video) if video.error else self._row(video, scores[video.index].mean(0))

    def _predict_windows(self, network: Encoder, tally: Tally, progress: Progress) -> Iterator[Prediction]:
        threads = max(1, self.machine.workers // len(self.videos))  # a worker has one video at a time
        dataset = SlidingWindows(self.videos, self.rule, self.config.evaluate.batch_clips, threads)
        pending: dict[int, list[Prediction]] = {}  # rows of videos that wait for the one before them to end
        ended: dict[int, EndedVideo] = {}
        for batch, logits in stop_on_signal(forward_windows(network, dataset, self.machine)):
            check_finite_scores(logits, self.source.path)
            for index, window, scores in zip(batch.index, batch.windows, softmax(logits), strict=True):
                pending.setdefault(index, []).append(self._row(EndedVideo(index), scores, window))
            ended |= {video.index: video for video in batch.ended}
            tally.windows += len(batch)
            progress.advance(0, windows=str(tally.windows))
            while tally.videos < len(self.videos):
                yield from pending.pop(tally.videos, [])
                if (video := ended.pop(tally.videos, None)) is None:
                    break
                self._end(video, tally, progress)
                if video.error:
                    yield self._row(video)

    def _row(self, video: EndedVideo, scores: np.ndarray = NO_SCORES, window: Window | None = None) -> Prediction:
        path, interval = str(self.videos.path(video.index)), self.videos.interval(video.index)
        return Prediction(path, scores, interval, window, video.error)

    def _end(self, video: EndedVideo, tally: Tally, progress: Progress) -> None:
        tally.videos += 1
        path = self.videos.sample_name(video.index)
        if video.error:
            tally.unreadable.append((path, video.error))
        if video.is_short:
            tally.short.append(path)
        progress.advance()


def _ended_videos(batch: Batch, extent: int) -> list[EndedVideo]:
    """Return the videos of a batch in the order of the list."""
    lengths = zip(batch.index.tolist(), batch.num_frames.tolist(), strict=True)
    read = [EndedVideo(index, num_frames < extent) for index, num_frames in lengths]
    return sorted(
        [*read, *(EndedVideo(video.index, error=video.reason) for video in batch.unreadable)],
        key=lambda video: video.index,
    )
