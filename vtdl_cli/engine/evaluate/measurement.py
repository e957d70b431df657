"""One measurement of a network on a list: clips spread evenly over each video, their scores averaged, accuracies under
the name of the protocol.
"""

import json
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vtdl_cli.data.clips.datasets import VideoClips
from vtdl_cli.data.hdf5.scores import ClipSpool, Scores
from vtdl_cli.data.lists.video_list import VideoList
from vtdl_cli.engine.evaluate.results import SCORES_ORIGIN, measure_accuracies, write_results
from vtdl_cli.engine.evaluate.short_videos import warn_of_short
from vtdl_cli.engine.lists.groups import Groups, choose_groups, recorded_regex
from vtdl_cli.engine.lists.labels import check_labels, report_list
from vtdl_cli.engine.networks.bad_videos import BadVideos
from vtdl_cli.engine.networks.clips import build_test_clips, build_window_rule, choose_clips, decoder_of
from vtdl_cli.engine.networks.inference import (
    Collected,
    VideoOutputs,
    check_finite_scores,
    collect,
    forward_videos,
    stop_on_signal,
)
from vtdl_cli.engine.networks.machine import Machine, build_machine
from vtdl_cli.engine.networks.selection import is_selected_on
from vtdl_cli.engine.networks.trained import Source, load_classifier
from vtdl_cli.engine.request import Execution, ListSource, Protocol, protocol_name
from vtdl_cli.errors import UsageError
from vtdl_cli.metrics import softmax
from vtdl_cli.models.encoder import Encoder
from vtdl_cli.runtime import Reporter, Warn, nearest_existing_folder


@dataclass(frozen=True)
class Measurement:
    """One network on one list: checked, nothing computed yet.

    Attributes:
        network: with its classifier.
        source: of the network.
        videos: of the list.
        protocol: as asked for.
        machine: where to compute.
        groups: of the videos, for intervals.
        selected: whether the network's weights were chosen on videos of the list; none: unknown.
        warnings: on the list's classes.
    """

    network: Encoder
    source: Source
    videos: VideoList
    protocol: Protocol
    machine: Machine
    groups: Groups
    selected: bool | None = None
    warnings: Sequence[str] = ()

    @property
    def starts(self) -> Sequence[int]:
        """First frames of the clips, from the configuration; empty where clips are spread evenly."""
        return choose_clips(self.source.config, self.protocol.clips)[0]

    @property
    def clips(self) -> int:
        """Number of clips of each video."""
        return choose_clips(self.source.config, self.protocol.clips)[1]

    @property
    def views(self) -> int:
        """Number of views of each video: its clips times their crops."""
        return self.clips * self.protocol.crops

    @property
    def batch_clips(self) -> int:
        """Number of clips in one forward pass."""
        return self.source.config.evaluate.batch_clips

    @property
    def dataset(self) -> VideoClips:
        """The clips of every video."""
        config, crops = self.source.config, self.protocol.crops
        return build_test_clips(config, self.videos, config.finetune, clips=self.clips, crops=crops, starts=self.starts)

    @property
    def plan(self) -> dict[str, Any]:
        """What will be measured, as in metrics.json."""
        name = protocol_name(self.clips, self.protocol.crops)
        return {
            "protocol": name + (f" from frames {', '.join(map(str, self.starts))}" if self.starts else ""),
            "aggregate": self.protocol.aggregate,
            "num_videos": len(self.videos),
            "weights": self.source.path,
            "weights_sha256": self.source.sha256,
            "list": str(self.videos.source),
            "list_sha256": self.videos.sha256,
            "selected_on_this_list": self.selected,
            "root": str(self.videos.root),
            "decoder": decoder_of(self.source.config),
            **self.machine.provenance,
        }


def load_tested_network(
    weights: str, protocol: Protocol, assignments: Sequence[str], warn: Warn
) -> tuple[Encoder, Source]:
    """Load the network to measure.

    Raises:
        UsageError, CheckpointError: the options exclude each other, or the weights have no classifier or do not fit.
    """
    if protocol.clips and any(text.startswith("evaluate.starts=") for text in assignments):
        raise UsageError("--clips and --set evaluate.starts exclude each other. Choose one")
    return load_classifier(weights, assignments, warn)


def prepare_measurement(
    tested: tuple[Encoder, Source],
    source: ListSource,
    execution: Execution,
    protocol: Protocol,
    reporter: Reporter,
    group_by: str | None = None,
) -> Measurement:
    """Check everything that one measurement needs.

    Raises:
        UsageError, ListError: list, classes, device or grouping do not fit.
    """
    network, trained = tested
    videos = source.read(dry_run=reporter if execution.dry_run else None)
    report_list(videos, reporter)
    warnings = check_labels(videos, trained.label_set, trained.num_classes)
    if videos.sha256 == trained.list_sha256:
        warnings.append(
            f"weights '{trained.path}' were trained on list '{videos.source}': this accuracy says nothing of other "
            "videos. Evaluate on a list of those"
        )
    machine = build_machine(execution.device, trained.config.finetune.precision, execution.workers, reporter)
    names = [videos.name(index) for index in range(len(videos))]
    groups = choose_groups(names, group_by, recorded_regex(source.path), reporter)
    selected = is_selected_on(trained.selection, videos)
    return Measurement(network, trained, videos, protocol, machine, groups, selected, warnings)


def run_measurement(test: Measurement, out: Path, reporter: Reporter) -> dict[str, Any]:
    """Measure, and write the files of results folder `out`.

    Raises:
        ListError: too many videos, or all, could not be read.
        VtdlError: the network's outputs are not finite, or the disk is full.
    """
    config, classes = test.source.config, test.source.class_names
    bad_videos = BadVideos(len(test.videos), config.data.max_bad_fraction)
    began = time.monotonic()
    with closing(ClipSpool(nearest_existing_folder(out), (test.views, len(classes)))) as spool:
        found = collect(average_views(test, spool), bad_videos, reporter, test.plan["protocol"])
        _warn_of_short(test, found, reporter)
        metrics: dict[str, Any] = {**test.plan, "num_videos": len(found.label), "skipped": bad_videos.as_list()}
        attributes = {name: metrics[name] for name in ("protocol", "aggregate", *SCORES_ORIGIN)}
        paths = [test.videos.name(index) for index in found.index]
        attributes |= {"skipped": json.dumps(metrics["skipped"]), "group_by": test.groups.regex}
        attributes["selected_on_this_list"] = json.dumps(test.selected)
        intervals = None if test.videos.intervals is None else test.videos.intervals[found.index]
        scores = Scores(found.values, found.label, paths, classes, attributes, intervals)
        metrics |= {**measure_accuracies(scores, test.groups), "seconds": round(time.monotonic() - began, 2)}
        write_results(out, metrics, scores, spool)
    return metrics


def _warn_of_short(test: Measurement, found: Collected, reporter: Reporter) -> None:
    rule = build_window_rule(test.source.config, test.source.config.finetune, None)
    short = sorted(found.index[found.num_frames < rule.extent].tolist())
    warn_of_short([test.videos.sample_name(index) for index in short], len(test.videos), rule, reporter)


def average_views(test: Measurement, spool: ClipSpool) -> Iterator[VideoOutputs]:
    """Yield batches with the scores (B, C) of their videos, and keep the logits of the views in the spool.

    Raises:
        VtdlError: a logit is not finite.
    """
    for batch, logits in stop_on_signal(forward_measurement(test)):
        check_finite_scores(logits, test.source.path)
        spool.add(logits)
        yield batch, (softmax(logits) if test.protocol.aggregate == "softmax" else logits).mean(1)


def forward_measurement(test: Measurement) -> Generator[VideoOutputs, None, None]:
    """Yield batches with the logits (B, V, C) of their videos, in the list's order."""
    network = test.machine.place(test.network)
    return forward_videos(network, test.dataset, test.machine, views=test.views, batch_clips=test.batch_clips)
