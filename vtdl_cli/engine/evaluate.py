"""Evaluation: clips spread over each video, mean of their softmax, accuracies that say what they are."""

import csv
import io
import json
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from vtdl_cli.analysis.confusion import draw_confusion
from vtdl_cli.data.lists import VideoList
from vtdl_cli.engine.bad_videos import BadVideos
from vtdl_cli.engine.build import build_machine, build_test_clips
from vtdl_cli.engine.finetune import check_labels
from vtdl_cli.engine.inference import Collected, collect, forward_videos, until_signal
from vtdl_cli.engine.request import Execution, ListSource
from vtdl_cli.engine.trained import load_classifier
from vtdl_cli.errors import UsageError
from vtdl_cli.metrics import accuracies, confusion
from vtdl_cli.runtime import Reporter, check_writable, replacing

OUTPUTS = ("metrics.json", "scores.h5", "per_class.csv", "confusion.png")


def protocol_name(clips: int, crops: int = 1) -> str:
    """`clip@1` for one clip, `video@10` for the mean of ten, `video@10x3` with three crops of each."""
    if crops > 1:
        return f"video@{clips}x{crops}"
    return "clip@1" if clips == 1 else f"video@{clips}"


def evaluate(
    weights: str,
    test_list: ListSource,
    out: Path,
    execution: Execution,
    reporter: Reporter,
    *,
    clips: int | None = None,
    crops: int = 1,
    assignments: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Measure a finetuned network on a list.

    Args:
        weights: a run folder or checkpoint with a classifier.
        clips: spread evenly over each video; none: the preset's clips, or its starts.
        crops: 1 centre square, or 3 along the long side.
        assignments: `section.key=value` on top of the configuration inside the weights.

    Returns:
        What metrics.json holds.

    Raises:
        UsageError, ListError, CheckpointError: something does not fit; nothing has been written.
    """
    network, source = load_classifier(weights, assignments)
    config = source.config
    videos = test_list.read()
    check_labels(videos, source.num_classes, source.classes)
    _refuse_outputs(out, execution.overwrite)
    machine = build_machine(execution.device, config.finetune.precision, execution.workers)
    starts = [] if clips else config.evaluate.starts
    clips = len(starts) or clips or config.evaluate.clips
    protocol = protocol_name(clips, crops) + (f" from frames {', '.join(map(str, starts))}" if starts else "")
    plan = {"protocol": protocol, "num_videos": len(videos), "weights": source.path}
    if execution.dry_run:
        return {**plan, "list": str(test_list.path), "machine": machine.describe()}
    network = machine.place(network)
    bad_videos = BadVideos(len(videos), config.data.max_bad_fraction)
    dataset = build_test_clips(config, videos, config.finetune, clips=clips, crops=crops, starts=starts)
    began = time.monotonic()
    forward = forward_videos(network, dataset, machine, views=clips * crops, batch_clips=config.evaluate.batch_clips)
    outputs = until_signal(forward)
    means = ((batch, softmax(logits).mean(1)) for batch, logits in outputs if logits.size or batch.unreadable)
    scores = collect(means, bad_videos, reporter, protocol)
    metrics = {
        **plan,
        **accuracies(scores.values, scores.label),
        "num_videos": len(scores.label),
        "skipped": bad_videos.as_list(),
        "weights_sha256": source.sha256,
        "list": str(test_list.path),
        "list_sha256": videos.sha256,
        "seconds": round(time.monotonic() - began, 2),
    }
    _write(out, metrics, scores, videos, source.classes or [str(number) for number in range(source.num_classes)])
    return metrics


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities over the last axis; (B, V, C) where nothing could be read has C = 0 and stays so."""
    if not logits.size:
        return logits
    powers: np.ndarray = np.exp(logits - logits.max(-1, keepdims=True))
    powers /= powers.sum(-1, keepdims=True)
    return powers


def _refuse_outputs(out: Path, overwrite: bool) -> None:
    check_writable(out)
    present = [name for name in OUTPUTS if (out / name).exists()]
    if present and not overwrite:
        raise UsageError(f"output '{out / present[0]}' exists. Use --overwrite, or another --out")


def _write(out: Path, metrics: dict[str, Any], scores: Collected, videos: VideoList, classes: list[str]) -> None:
    """All files at the end: numbers last, so that metrics.json never stands beside older scores."""
    counts = confusion(scores.values.argmax(1), scores.label, len(classes))
    with replacing(out / "scores.h5") as temporary, h5py.File(temporary, "w") as file:
        file["scores"], file["labels"] = scores.values.astype(np.float32), scores.label
        file["paths"] = [videos.name(index) for index in scores.index]
        file.attrs.update({name: metrics[name] for name in ("protocol", "weights_sha256", "list_sha256")})
    with replacing(out / "per_class.csv") as temporary:
        temporary.write_text(_per_class_table(counts, classes), encoding="utf-8")
    with replacing(out / "confusion.png") as temporary:
        draw_confusion(counts, classes, f"{metrics['protocol']}: top-1 {metrics['top1']:.1f}%", temporary)
    with replacing(out / "metrics.json") as temporary:
        temporary.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")


def _per_class_table(counts: np.ndarray, classes: list[str]) -> str:
    """Class, videos, right ones, accuracy, and the class most often said instead."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("class", "name", "videos", "correct", "top1", "most_confused_with"))
    for number, (name, row) in enumerate(zip(classes, counts, strict=True)):
        wrong = row.copy()
        wrong[number] = 0
        confused = classes[wrong.argmax()] if wrong.any() else ""
        accuracy = f"{100 * row[number] / row.sum():.2f}" if row.any() else ""
        writer.writerow((number, name, row.sum(), row[number], accuracy, confused))
    return table.getvalue()
