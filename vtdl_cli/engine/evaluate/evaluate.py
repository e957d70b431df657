"""Evaluation: clips spread over each video, their scores averaged, accuracies that say what they are."""

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
    ORIGIN,
    measure,
    refuse_results,
    remove_stale_results,
    write_metrics,
    write_results,
)
from vtdl_cli.engine.lists.groups import Groups, choose_groups, recorded_regex
from vtdl_cli.engine.lists.labels import check_labels
from vtdl_cli.engine.networks.bad_videos import BadVideos
from vtdl_cli.engine.networks.clips import build_test_clips, decoder_of
from vtdl_cli.engine.networks.inference import VideoOutputs, collect, forward_videos, stop_on_signal
from vtdl_cli.engine.networks.machine import Machine, build_machine
from vtdl_cli.engine.networks.selection import combine_selected, is_selected_on, report_selection
from vtdl_cli.engine.networks.trained import Source, load_classifier
from vtdl_cli.engine.request import Execution, ListSource, Protocol, protocol_name
from vtdl_cli.errors import UsageError, VtdlError
from vtdl_cli.locks import lock_folder, releasing_locks
from vtdl_cli.metrics import ACCURACIES, softmax
from vtdl_cli.models.encoder import Encoder
from vtdl_cli.runtime import Reporter, nearest_existing_folder


@dataclass(frozen=True)
class Measurement:
    """One network on one list: checked, and nothing computed yet.

    Attributes:
        selected: whether the list had a part in choosing the network's weights; none: not known.
        warnings: what is to be said of the list's classes.
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
        """Frames that clips start at, where no number of clips was asked for and the configuration has some."""
        return [] if self.protocol.clips else self.source.config.evaluate.starts

    @property
    def clips(self) -> int:
        """Of each video."""
        return len(self.starts) or self.protocol.clips or self.source.config.evaluate.clips

    @property
    def views(self) -> int:
        """Of each video: every clip through every crop."""
        return self.clips * self.protocol.crops

    @property
    def batch_clips(self) -> int:
        """That pass through the network together."""
        return self.source.config.evaluate.batch_clips

    @property
    def dataset(self) -> VideoClips:
        """The clips of every video."""
        config, crops = self.source.config, self.protocol.crops
        return build_test_clips(config, self.videos, config.finetune, clips=self.clips, crops=crops, starts=self.starts)

    @property
    def plan(self) -> dict[str, Any]:
        """What is going to be measured."""
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
    """Measure finetuned networks on lists: one on one, one on several, or each on its own, as with three splits.

    Args:
        weights: run folders or checkpoints with a classifier; one, or as many as lists.
        lists: one, or as many as weights.
        out: a folder; of several measurements each has one in it, beside the metrics.json of all.
        execution: where and how.
        reporter: who is told.
        protocol: none: the preset's.
        assignments: `section.key=value` on top of the configuration inside the weights.
        group_by: a regex, whose first group names the recording that a video is cut from; none: that of the list.

    Returns:
        What metrics.json holds.

    Raises:
        UsageError, ListError, CheckpointError: something does not fit; nothing has been written.
    """
    pairs = pair(weights, lists)
    several = len(pairs) > 1
    folders = [out / f"{number}_{source.path.stem}" for number, (_, source) in enumerate(pairs, start=1)]
    folders = folders if several else [out]  # numbered, as two lists, or a list twice, may have one name
    for folder in (out, *folders):
        refuse_results(folder, execution.overwrite)
    protocol = protocol or Protocol()
    networks = {name: load_tested(name, protocol, assignments) for name in dict.fromkeys(weights)}
    tests = [prepare(networks[name], source, execution, protocol, reporter, group_by) for name, source in pairs]
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
        refuse_results(folder, execution.overwrite)  # once more: another one may just have written them
    results = {folder.name: run(test, folder, reporter) for folder, test in zip(folders, tests, strict=True)}
    if execution.overwrite:
        remove_stale_results(out, keep=folders)
    if not several:
        return results[out.name]
    summary = summarise(results)
    write_metrics(out, summary)
    return summary


def pair(weights: Sequence[str], lists: Sequence[ListSource]) -> list[tuple[str, ListSource]]:
    """Which weights are measured on which list.

    Raises:
        UsageError: neither is one, and there are not as many of both.
    """
    if len(weights) > 1 and len(lists) > 1 and len(weights) != len(lists):
        raise UsageError(
            f"--weights '{weights[0]}' and {len(weights) - 1} more do not go with {len(lists)} lists. "
            "Give one of either, or as many --weights as --list"
        )
    number = max(len(weights), len(lists))
    every_weights = [*weights] * (number // len(weights))
    return list(zip(every_weights, [*lists] * (number // len(lists)), strict=True))


def summarise(results: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Mean and sample deviation of each accuracy over several measurements, and the measurements."""
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


def load_tested(weights: str, protocol: Protocol, assignments: Sequence[str]) -> tuple[Encoder, Source]:
    """The network to measure.

    Raises:
        UsageError, CheckpointError: something does not fit.
    """
    if protocol.clips and any(text.startswith("evaluate.starts=") for text in assignments):
        raise UsageError("--clips and --set evaluate.starts=... exclude each other. Choose one")
    return load_classifier(weights, assignments)


def prepare(
    tested: tuple[Encoder, Source],
    source: ListSource,
    execution: Execution,
    protocol: Protocol,
    reporter: Reporter,
    group_by: str | None = None,
) -> Measurement:
    """Check all that one measurement needs besides its network.

    Raises:
        UsageError, ListError: something does not fit.
    """
    network, trained = tested
    videos = source.read()
    warnings = check_labels(videos, trained.label_set, trained.num_classes)
    machine = build_machine(execution.device, trained.config.finetune.precision, execution.workers, reporter)
    names = [videos.name(index) for index in range(len(videos))]
    groups = choose_groups(names, group_by, recorded_regex(source.path), reporter)
    selected = is_selected_on(trained.selection, videos)
    return Measurement(network, trained, videos, protocol, machine, groups, selected, warnings)


def run(test: Measurement, out: Path, reporter: Reporter) -> dict[str, Any]:
    """Measure, and write the files of folder `out`.

    Raises:
        ListError: too many videos, or all, could not be read.
        VtdlError: the network's outputs are no numbers, or the disk is full.
    """
    config, classes = test.source.config, test.source.class_names
    bad_videos = BadVideos(len(test.videos), config.data.max_bad_fraction)
    began = time.monotonic()
    with closing(ClipSpool(nearest_existing_folder(out), (test.views, len(classes)))) as spool:
        found = collect(average(test, spool), bad_videos, reporter, test.plan["protocol"])
        metrics: dict[str, Any] = {**test.plan, "num_videos": len(found.label), "skipped": bad_videos.as_list()}
        origin = {name: metrics[name] for name in ("protocol", "aggregate", *ORIGIN)}
        paths = [test.videos.name(index) for index in found.index]
        origin |= {"skipped": json.dumps(metrics["skipped"]), "group_by": test.groups.regex}
        origin["selected_on_this_list"] = json.dumps(test.selected)
        scores = Scores(found.values, found.label, paths, classes, origin)
        metrics |= {**measure(scores, test.groups), "seconds": round(time.monotonic() - began, 2)}
        write_results(out, metrics, scores, spool)
    return metrics


def average(test: Measurement, spool: ClipSpool) -> Iterator[VideoOutputs]:
    """Batches with the scores (B, C) of their videos; the logits of the views go into the spool.

    Raises:
        VtdlError: a logit is no number: every class would count as the right one, or none.
    """
    for batch, logits in stop_on_signal(forward_test(test)):
        if not np.isfinite(logits).all():
            raise VtdlError(f"weights '{test.source.path}' give scores that are no numbers. Finetune again from others")
        spool.add(logits)
        yield batch, (softmax(logits) if test.protocol.aggregate == "softmax" else logits).mean(1)


def forward_test(test: Measurement) -> Generator[VideoOutputs, None, None]:
    """Logits (B, V, C) of all videos, in the list's order."""
    network = test.machine.place(test.network)
    return forward_videos(network, test.dataset, test.machine, views=test.views, batch_clips=test.batch_clips)
