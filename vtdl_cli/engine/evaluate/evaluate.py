"""Evaluation: a measurement, or several of them that belong together, and their results folders."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vtdl_cli.engine.evaluate.measurement import load_tested_network, prepare_measurement, run_measurement
from vtdl_cli.engine.evaluate.results import refuse_results, remove_stale_results, write_metrics
from vtdl_cli.engine.networks.selection import combine_selected, report_selection
from vtdl_cli.engine.request import Execution, ListSource, Protocol
from vtdl_cli.errors import UsageError
from vtdl_cli.locks import lock_folder, releasing_locks
from vtdl_cli.metrics import ACCURACIES
from vtdl_cli.runtime import Reporter
from vtdl_cli.text import counted


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
