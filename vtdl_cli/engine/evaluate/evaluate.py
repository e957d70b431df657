"""Evaluation: clips spread evenly over each video, their scores averaged, accuracies under the name of the protocol."""

import json
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vtdl_cli.data.clips.datasets import VideoClips
from vtdl_cli.data.hdf5.scores import ClipSpool, Scores
from vtdl_cli.data.lists.video_list import VideoList
from vtdl_cli.engine.evaluate.results import (
    SCORES_ORIGIN,
    measure_accuracies,
    refuse_results,
    remove_stale_results,
    write_metrics,
    write_results,
)
from vtdl_cli.engine.lists.groups import Groups, choose_groups, recorded_regex
from vtdl_cli.engine.lists.labels import check_labels, report_list
from vtdl_cli.engine.networks.bad_videos import BadVideos
from vtdl_cli.engine.networks.clips import build_test_clips, choose_clips, decoder_of
from vtdl_cli.engine.networks.inference import VideoOutputs, check_finite, collect, forward_videos, stop_on_signal
from vtdl_cli.engine.networks.machine import Machine, build_machine
from vtdl_cli.engine.networks.selection import combine_selected, is_selected_on, report_selection
from vtdl_cli.engine.networks.trained import Source, load_classifier
from vtdl_cli.engine.request import Execution, ListSource, Protocol, protocol_name
from vtdl_cli.errors import UsageError
from vtdl_cli.locks import lock_folder, releasing_locks
from vtdl_cli.metrics import ACCURACIES, softmax
from vtdl_cli.models.encoder import Encoder
from vtdl_cli.runtime import Reporter, Warn, nearest_existing_folder
from vtdl_cli.text import counted


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


@releasing_locks
def evaluate(
    weights: Sequence[str],
    lists: Sequence[ListSource],
    out: Path,
    execution: Execution,
    reporter: Reporter,
    protocol: Protocol | None = None,
    assignments: Sequence[str] = (),
    group_by: str | None = None,
) -> dict[str, Any]:
    """Measure one network on one list, one on several lists, several on one, or each on its own list.

    Args:
        weights: run folders or checkpoints with a classifier; one, or as many as lists.
        lists: one, or as many as weights.
        out: results folder; several measurements have a folder in it each, beside the metrics.json of all.
        execution: device, workers, and whether to overwrite.
        reporter: warns, and shows progress.
        protocol: none: the preset's.
        assignments: `section.key=value` on top of the configuration in the weights.
        group_by: regex whose first group names the recording that a video is cut from; none: that of the list.

    Returns:
        Content of metrics.json.

    Raises:
        UsageError, ListError, CheckpointError: options, lists and weights do not fit together. Nothing is written.
    """
    pairs = pair_with_lists(weights, lists)
    several = len(pairs) > 1
    folders = [out / f"{number}_{source.path.stem}" for number, (_, source) in enumerate(pairs, start=1)]
    folders = folders if several else [out]  # numbered: two lists may have the same name
    for folder in (out, *folders):
        refuse_results(folder, execution.overwrite)
    protocol = protocol or Protocol()
    networks = {
        name: load_tested_network(name, protocol, assignments, reporter.warn) for name in dict.fromkeys(weights)
    }
    tests = [
        prepare_measurement(networks[name], source, execution, protocol, reporter, group_by) for name, source in pairs
    ]
    for test in tests:
        for warning in test.warnings:
            reporter.warn(warning)
        report_selection(test.source.path, str(test.videos.source), test.selected, reporter)
    if execution.dry_run:
        plans = [{**test.plan, "machine": test.machine.describe()} for test in tests]
        named = {folder.name: plan for folder, plan in zip(folders, plans, strict=True)}
        return {"tests": named} if several else plans[0]
    for folder in dict.fromkeys((out, *folders)):
        lock_folder(folder, reporter)
        refuse_results(folder, execution.overwrite)  # again: another process may have written some since
    results = {
        folder.name: run_measurement(test, folder, reporter) for folder, test in zip(folders, tests, strict=True)
    }
    if execution.overwrite:
        remove_stale_results(out, keep=folders)
    if not several:
        return results[out.name]
    summary = summarise_results(results)
    write_metrics(out, summary)
    return summary


def pair_with_lists(weights: Sequence[str], lists: Sequence[ListSource]) -> list[tuple[str, ListSource]]:
    """Pair each weights with the list to measure it on.

    Raises:
        UsageError: there are several of both, but not as many.
    """
    if len(weights) > 1 and len(lists) > 1 and len(weights) != len(lists):
        raise UsageError(
            f"--weights '{weights[0]}' and {len(weights) - 1} more do not go with {counted(len(lists), 'list')}. "
            "Give one of either, or as many --weights as --list"
        )
    number = max(len(weights), len(lists))
    every_weights = [*weights] * (number // len(weights))
    return list(zip(every_weights, [*lists] * (number // len(lists)), strict=True))


def summarise_results(results: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return mean and sample standard deviation of each accuracy over several measurements, and the measurements."""
    summary: dict[str, Any] = {
        name: " and ".join(sorted({metrics[name] for metrics in results.values()}))
        for name in ("protocol", "aggregate")
    }
    every = list(results.values())
    for name in (name for name in ACCURACIES if all(name in metrics for metrics in every)):
        values = [metrics[name] for metrics in every]
        summary[name] = {"mean": float(np.mean(values)), "std": float(np.std(values, ddof=1))}
    selected = combine_selected(metrics["selected_on_this_list"] for metrics in results.values())
    return {**summary, "selected_on_this_list": selected, "num_tests": len(results), "tests": results}


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
    videos = source.read()
    report_list(videos, reporter)
    warnings = check_labels(videos, trained.label_set, trained.num_classes)
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


def average_views(test: Measurement, spool: ClipSpool) -> Iterator[VideoOutputs]:
    """Yield batches with the scores (B, C) of their videos, and keep the logits of the views in the spool.

    Raises:
        VtdlError: a logit is not finite.
    """
    for batch, logits in stop_on_signal(forward_measurement(test)):
        check_finite(logits, test.source.path)
        spool.add(logits)
        yield batch, (softmax(logits) if test.protocol.aggregate == "softmax" else logits).mean(1)


def forward_measurement(test: Measurement) -> Generator[VideoOutputs, None, None]:
    """Yield batches with the logits (B, V, C) of their videos, in the list's order."""
    network = test.machine.place(test.network)
    return forward_videos(network, test.dataset, test.machine, views=test.views, batch_clips=test.batch_clips)
