"""Extraction: the features of every video at a layer of a network, into HDF5."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import nn

from vtdl_cli import ranks
from vtdl_cli.config import Config, Data
from vtdl_cli.data.clips.datasets import Unreadable
from vtdl_cli.data.hdf5.feature_parts import FeatureParts
from vtdl_cli.data.hdf5.feature_tables import ARRAY
from vtdl_cli.data.lists.video_list import VideoList
from vtdl_cli.engine.features.files import inspect_features, write_table
from vtdl_cli.engine.lists.groups import recorded_regex
from vtdl_cli.engine.lists.labels import report_list
from vtdl_cli.engine.networks.bad_videos import BadVideos
from vtdl_cli.engine.networks.clips import build_test_clips, decoder_of
from vtdl_cli.engine.networks.inference import VideoOutputs, forward_videos
from vtdl_cli.engine.networks.machine import Machine, build_machine
from vtdl_cli.engine.networks.trained import Source, load_backbone, load_embedder, random_backbone
from vtdl_cli.engine.request import Execution, ListSource, protocol_name
from vtdl_cli.errors import ConfigError, Interrupted, UsageError
from vtdl_cli.locks import lock_file, releasing_locks
from vtdl_cli.models.encoder import PooledFeatures
from vtdl_cli.runtime import Reporter, StopRequest, Warn, check_new_file, seed_torch
from vtdl_cli.settings import build_config, read_yaml

KEEP_EVERY_SECONDS = 20.0  # the most work that an interruption costs

LAST, EMBEDDING = "last", "embedding"
"""Layers by their role; others have the names of the backbone's stages."""


@dataclass(frozen=True)
class FeatureSpec:
    """Which features to extract.

    Attributes:
        layer: LAST, the backbone's feature map; EMBEDDING, the output of the pretraining head; or a stage's name.
        clips: spread evenly over each video; none: the preset's.
        keep: a vector for each `video`, the mean over its clips, (N, D); for each `clip`, (N, clips, D); or for each
            `time` position of the feature map, averaged over space alone, (N, clips, t, D).
    """

    layer: str = LAST
    clips: int | None = None
    keep: Literal["video", "clip", "time"] = "video"


@releasing_locks
def extract(
    weights: str | None,
    videos_list: ListSource,
    out: Path,
    execution: Execution,
    reporter: Reporter,
    *,
    config: Config | None = None,
    assignments: tuple[str, ...] = (),
    spec: FeatureSpec = FeatureSpec(),
    npy: bool = False,
) -> dict[str, Any]:
    """Write the features of the videos of a list, or of one video.

    Args:
        weights: run folder or checkpoint of either stage; none: random weights, as a baseline.
        videos_list: a list, a folder of videos, or one video.
        out: HDF5 file.
        execution: seed, device, workers, and whether to resume or overwrite.
        reporter: warns, and shows progress.
        config: of the randomly initialised network; checkpoints have their own.
        assignments: `section.key=value` on top of the configuration in the weights.
        spec: which features.
        npy: also write the features as an array beside the HDF5 file.

    Returns:
        Path, shape, protocol, skipped videos and seconds.

    Raises:
        UsageError, ListError, CheckpointError: options, list and weights do not fit together. Nothing is written.
        Interrupted: by a signal; the features so far are kept for `--resume`.
    """
    array = array_beside(out) if npy else None
    seed_torch(execution.seed)
    network, source = load_layer(weights, config, assignments, spec, reporter.warn)
    config = source.config
    videos = videos_list.read(needs_classes=False, flow=config.data.modality == "flow")
    clips = spec.clips or config.extract.clips
    machine = build_machine(execution.device, config.pretrain.precision, execution.workers, reporter)
    provenance = _describe_provenance(source, videos, spec, clips, execution.seed) | machine.provenance
    provenance["group_by"] = recorded_regex(videos_list.path)
    if not execution.dry_run and not out.is_dir():
        lock_file(out, reporter)
    parts = FeatureParts(out, provenance, resume=execution.resume, overwrite=execution.overwrite, is_same=_is_same)
    if array:
        check_new_file(array, "--out", overwrite=execution.overwrite or parts.finished)
        if not execution.dry_run:
            lock_file(array, reporter)
    plan = {"out": str(out), "videos": len(videos), **parts.provenance}
    report_list(videos, reporter)
    if execution.dry_run:
        return {**plan, "machine": machine.describe()}
    ranks.wait_for_all()  # until each has read the parts: where nothing is left to compute, rank 0 removes them
    began = time.monotonic()
    if execution.resume:
        reporter.line(parts.standing(len(videos)))
    if not parts.finished:
        _extract_features(network, config, videos, clips, spec, machine, parts, reporter)
    if not ranks.is_rank_0():
        return plan
    if array:
        write_table(out, array)
    seconds = round(time.monotonic() - began, 2)
    return {**plan, "shape": list(inspect_features(out).shape), "skipped": parts.skipped, "seconds": seconds}


def _extract_features(
    network: nn.Module,
    config: Config,
    videos: VideoList,
    clips: int,
    spec: FeatureSpec,
    machine: Machine,
    parts: FeatureParts,
    reporter: Reporter,
) -> None:
    """Extract the videos that are not done yet, then write the file."""
    dataset = build_test_clips(config, videos, config.extract, clips=clips)
    network, batch_clips = machine.place(network), config.extract.batch_clips
    outputs = forward_videos(network, dataset, machine, views=clips, batch_clips=batch_clips, start=parts.done)
    bad_videos = BadVideos(len(videos), config.data.max_bad_fraction, _list_skipped_before(parts))
    keep_rows(outputs, parts, bad_videos, reporter, average_clips=spec.keep == "video")
    parts.finish(videos.name, videos.intervals)


def load_layer(
    weights: str | None, config: Config | None, assignments: tuple[str, ...], spec: FeatureSpec, warn: Warn
) -> tuple[nn.Module, Source]:
    """Load a network that maps clips (N, C, T, R, R) to features, (N, D) or (N, t, D).

    Raises:
        UsageError: random weights have no preset, or the layer does not exist or has no time positions.
        CheckpointError: the weights cannot be read, or have no such layer.
    """
    if spec.layer == EMBEDDING:
        return _load_embedding(weights, assignments, spec, warn)
    if weights is not None:
        backbone, source = load_backbone(weights, assignments, warn)
    elif config is not None:
        backbone, source = random_backbone(config)
    else:
        raise UsageError("weights 'none' need the network of a preset. Add --preset, see: vtdl presets list")
    until_layer = backbone if spec.layer == LAST else backbone.up_to(spec.layer)
    return PooledFeatures(until_layer, keep_time=spec.keep == "time"), source


def _load_embedding(
    weights: str | None, assignments: tuple[str, ...], spec: FeatureSpec, warn: Warn
) -> tuple[nn.Module, Source]:
    if spec.keep == "time":
        raise UsageError(f"layer '{EMBEDDING}' has no time positions: it is one vector a clip. Leave out --per-frame")
    if weights is None:
        raise UsageError(f"layer '{EMBEDDING}' needs pretrained weights: random ones have none. Use --layer {LAST}")
    return load_embedder(weights, assignments, warn)


def _list_skipped_before(parts: FeatureParts) -> dict[int, tuple[str, str]]:
    """Return videos that an earlier run of this extraction could not read, by negative numbers, which no video has."""
    return {~number: (bad["path"], bad["reason"]) for number, bad in enumerate(parts.skipped)}


def keep_rows(
    outputs: Iterator[VideoOutputs],
    parts: FeatureParts,
    bad_videos: BadVideos,
    reporter: Reporter,
    *,
    average_clips: bool,
) -> None:
    """Run through the batches; save their rows every few seconds, on a signal and at the end."""
    parts.begin()
    rows, unreadable = list[dict[str, np.ndarray]](), list[Unreadable]()
    total, done, kept_at = bad_videos.num_videos, parts.done, time.monotonic()
    with StopRequest() as stop, reporter.progress(total, "features", start=done) as bar:
        for batch, values in outputs:
            bad_videos.add(batch.unreadable, reporter)
            unreadable += batch.unreadable
            if len(batch):
                rows.append(_copy_rows((batch, values.mean(1) if average_clips else values)))
            done += len(batch) + len(batch.unreadable)
            bar.advance(len(batch) + len(batch.unreadable))
            signal = stop.received()
            if signal or done == total or time.monotonic() - kept_at > KEEP_EVERY_SECONDS:
                _save(parts, done, rows, unreadable)
                rows, unreadable, kept_at = [], [], time.monotonic()
            if signal:
                raise Interrupted(f"{signal} after {done} of {total} videos: saved. Resume with --resume")


def _copy_rows(outputs: VideoOutputs) -> dict[str, np.ndarray]:
    """Return the rows of a batch. Copies: a worker's tensors each hold a file open, and its frames fill the memory."""
    batch, values = outputs
    columns = {"labels": batch.label, "num_frames": batch.num_frames, "positions": batch.index}
    return {"features": values, **{name: column.numpy().copy() for name, column in columns.items()}}


def _save(parts: FeatureParts, done: int, rows: list[dict[str, np.ndarray]], unreadable: list[Unreadable]) -> None:
    skipped = [{"path": bad.path, "reason": bad.reason} for bad in unreadable]
    parts.add(done, skipped, {name: np.concatenate([each[name] for each in rows]) for name in (rows or [{}])[0]})


def _describe_provenance(source: Source, videos: VideoList, spec: FeatureSpec, clips: int, seed: int) -> dict[str, str]:
    """Return everything that the features depend on, as attributes of the file."""
    config = source.config
    data = config.data.model_copy(update={"max_bad_fraction": Data().max_bad_fraction})  # changes no feature
    return {
        "backbone": f"{config.model.name} depth {config.model.depth or '-'} width {config.model.width}",
        "layer": _describe_layer(spec),
        "protocol": _describe_protocol(spec, clips),
        "weights": source.path if source.sha256 else f"none, seed {seed}",
        "weights_sha256": source.sha256,
        "list_sha256": videos.sha256,
        **({"classes": json.dumps(videos.classes)} if videos.classes else {}),
        "root": str(videos.root),
        "modality": config.data.modality,
        "decoder": decoder_of(config),
        "preset": config.model_copy(update={"data": data}).to_yaml(),
    }


def _is_same(key: str, before: Any, now: str) -> bool:
    """Whether two values of the provenance mean the same: a preset may have the keys of an earlier version."""
    if key != "preset":
        return bool(before == now)
    try:
        return build_config(read_yaml(str(before))) == build_config(read_yaml(now))
    except (ValueError, ConfigError):
        return False


def _describe_layer(spec: FeatureSpec) -> str:
    if spec.layer == EMBEDDING:
        return "embedding head"
    name = "last convolution" if spec.layer == LAST else spec.layer
    return f"{name}, {'spatial' if spec.keep == 'time' else 'global'} average"


def _describe_protocol(spec: FeatureSpec, clips: int) -> str:
    if spec.keep == "video":
        return protocol_name(clips)
    return f"{clips} clips" if spec.keep == "clip" else f"{clips} clips, each time position"


def array_beside(out: Path) -> Path:
    """Return the array's path for `--npy`.

    Raises:
        UsageError: it is `out` itself.
    """
    array = out.with_suffix(ARRAY)
    if array == out:
        raise UsageError(f"--npy writes '{array}', which is --out itself. Choose an --out that ends in .h5")
    return array
