"""Extraction: the features of every video at a layer of a network, into HDF5."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import nn

from vtdl_cli import ranks
from vtdl_cli.config import Config, Data
from vtdl_cli.data.clips.windows import Hop
from vtdl_cli.data.hdf5.actionformer import name_videos
from vtdl_cli.data.hdf5.feature_parts import FeatureParts
from vtdl_cli.data.hdf5.feature_tables import check_is_hdf5
from vtdl_cli.data.hdf5.features import open_features
from vtdl_cli.data.hdf5.rows import RowsFile
from vtdl_cli.data.lists.video_list import VideoList
from vtdl_cli.data.video.decoding import AUTO, FLOW
from vtdl_cli.engine.evaluate.dense import check_one_stride, describe_hop, window_rows
from vtdl_cli.engine.evaluate.extracted_rows import keep_rows, video_rows
from vtdl_cli.engine.evaluate.short_videos import warn_of_short
from vtdl_cli.engine.features.export import (
    ACTIONFORMER,
    check_export,
    lock_export,
    path_beside,
    stale_exports,
    write_export,
)
from vtdl_cli.engine.lists.groups import recorded_regex
from vtdl_cli.engine.lists.labels import report_list
from vtdl_cli.engine.networks.bad_videos import BadVideos
from vtdl_cli.engine.networks.build import clip_mistakes
from vtdl_cli.engine.networks.clips import build_test_clips, build_window_rule, decoder_of
from vtdl_cli.engine.networks.inference import forward_videos
from vtdl_cli.engine.networks.machine import Machine, build_machine
from vtdl_cli.engine.networks.trained import Source, load_backbone, load_embedder, random_backbone
from vtdl_cli.engine.request import Execution, ListSource, protocol_name
from vtdl_cli.errors import ConfigError, UsageError
from vtdl_cli.locks import lock_file, releasing_locks
from vtdl_cli.models.encoder import PooledFeatures
from vtdl_cli.runtime import Reporter, Warn, seed_torch
from vtdl_cli.settings import build_config
from vtdl_cli.yaml_values import read_yaml

SEQUENTIAL = "pyav"  # the decoder of whole videos, see `open_sequential`

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
        hop: slide windows over each video, so far from one to the next, in place of clips: (W, D), see
            `data.hdf5.features`; None: clips.
    """

    layer: str = LAST
    clips: int | None = None
    keep: Literal["video", "clip", "time"] = "video"
    hop: Hop | None = None

    def __post_init__(self) -> None:
        if self.hop and (self.clips or self.keep != "video"):
            raise UsageError(
                "--hop slides windows over each video, with a vector for each. Leave out --clips, --per-clip and "
                "--per-frame"
            )


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
    formats: Sequence[str] = (),
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
        formats: to export the features in, too, beside the HDF5 file: keys of `engine.features.export.FORMATS`.

    Returns:
        Path, shape, protocol, skipped videos and seconds.

    Raises:
        UsageError, ListError, CheckpointError: options, list and weights do not fit together. Nothing is written.
        Interrupted: by a signal; the features so far are kept for `--resume`.
    """
    exports = {path_beside(out, name): name for name in formats}
    check_is_hdf5(out)
    if spec.hop and ranks.world_size() > 1:
        raise UsageError("--hop runs in one process. Start it without torchrun; lists can be divided, and files merged")
    seed_torch(execution.seed)
    network, source = load_layer(weights, config, assignments, spec, reporter.warn)
    config = source.config
    looking = reporter if execution.dry_run else None
    videos = videos_list.read(needs_classes=False, flow=config.data.modality == "flow", dry_run=looking)
    if ACTIONFORMER in formats:
        if spec.hop is None:
            raise UsageError(f"--format {ACTIONFORMER} needs windows that slide. Add --hop, such as --hop 8")
        name_videos([videos.name(index) for index in range(len(videos))], videos.intervals, f"list '{videos.source}'")
        check_one_stride(videos, spec.hop, config.data.frame_rate, reporter)
    if spec.hop and (ignored := decoder_of(config)) not in (AUTO, FLOW, SEQUENTIAL):
        reporter.warn(f"data.decoder '{ignored}' has no effect with --hop: whole videos are read with {SEQUENTIAL}")
    clips = spec.clips or config.extract.clips
    machine = build_machine(execution.device, source.precision, execution.workers, reporter)
    provenance = _describe_provenance(source, videos, spec, clips, execution.seed) | machine.provenance
    provenance["group_by"] = recorded_regex(videos_list.path)
    if not execution.dry_run and not out.is_dir():
        lock_file(out, reporter)
    parts = FeatureParts(out, provenance, resume=execution.resume, overwrite=execution.overwrite, is_same=_is_same)
    for path, name in exports.items():
        check_export(path, name, overwrite=execution.overwrite or parts.finished)
        if not execution.dry_run:
            lock_export(path, name, reporter)
    plan: dict[str, Any] = {"out": str(out), "videos": len(videos), **parts.provenance}
    plan |= {"classes": videos.classes} if "classes" in plan else {}  # the file has them as text
    report_list(videos, reporter)
    if execution.dry_run:
        return {**plan, "machine": machine.describe()}
    ranks.wait_for_all()  # until each has read the parts: where nothing is left to compute, rank 0 removes them
    began = time.monotonic()
    if execution.resume:
        reporter.line(parts.standing(len(videos)))
    if parts.finished:
        parts.begin()
    else:
        extract_features(network, config, videos, clips, spec, machine, parts, reporter)
    if not ranks.is_rank_0():
        return plan
    with open_features(out) as file:
        shape = list(file.shape("features"))
        if not spec.hop:  # which has said so of its windows
            _warn_of_short(file, config, reporter)
    for path, name in exports.items():
        write_export(out, path, name, reporter.warn)
        reporter.line(f"exported to '{path}'")
    for warning in stale_exports(out, formats) if execution.overwrite else []:
        reporter.warn(warning)
    seconds = round(time.monotonic() - began, 2)
    return {**plan, "shape": shape, "skipped": parts.skipped, "seconds": seconds}


def extract_features(
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
    network = machine.place(network)
    bad_videos = BadVideos(len(videos), config.data.max_bad_fraction, _list_skipped_before(parts))
    if spec.hop:
        rows = window_rows(network, config, videos, spec.hop, machine, (parts.done, parts.windows), reporter)
    else:
        dataset, batch_clips = build_test_clips(config, videos, config.extract, clips=clips), config.extract.batch_clips
        left = np.arange(parts.done, len(videos))
        outputs = forward_videos(network, dataset, machine, views=clips, batch_clips=batch_clips, indices=left)
        rows = video_rows(outputs, parts.done, spec.keep)
    keep_rows(rows, parts, bad_videos, reporter)
    parts.finish(videos.name, videos.intervals)


def _warn_of_short(file: RowsFile, config: Config, reporter: Reporter) -> None:
    """Warn of the videos in a feature file that are shorter than a clip."""
    rule = build_window_rule(config, config.extract, None)
    short = np.flatnonzero(file.read("num_frames") < rule.extent)
    names = file.read("paths") if len(short) else np.empty(0, str)
    warn_of_short([str(names[row]) for row in short], file.shape("features")[0], rule, reporter)


def load_layer(
    weights: str | None, config: Config | None, assignments: tuple[str, ...], spec: FeatureSpec, warn: Warn
) -> tuple[nn.Module, Source]:
    """Load a network that maps clips (N, C, T, R, R) to features, (N, D) or (N, t, D).

    Raises:
        UsageError: random weights have no preset, or the layer does not exist or has no time positions.
        ConfigError: clips are too small for the network.
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
    if spec.layer == LAST and (mistakes := [*clip_mistakes(source.config, "extract")]):
        raise ConfigError(*mistakes)
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


def _describe_provenance(source: Source, videos: VideoList, spec: FeatureSpec, clips: int, seed: int) -> dict[str, str]:
    """Return everything that the features depend on, as attributes of the file."""
    config = source.config
    data = config.data.model_copy(update={"max_bad_fraction": Data().max_bad_fraction})  # changes no feature
    return {
        "backbone": f"{config.model.name} depth {config.model.depth or '-'} width {config.model.width}",
        "layer": _describe_layer(spec),
        **_describe_sampling(config, spec, clips),
        "weights": source.path if source.sha256 else f"none, seed {seed}",
        "weights_sha256": source.sha256,
        "list_sha256": videos.sha256,
        **({"classes": json.dumps(videos.classes)} if videos.classes else {}),
        "root": str(videos.root.absolute()),
        "modality": config.data.modality,
        "preset": config.model_copy(update={"data": data}).to_yaml(),
    }


def _is_same(key: str, before: Any, now: str) -> bool:
    """Whether two values of the provenance mean the same: a preset may have the keys of an earlier version, which also
    recorded the root as it was typed."""
    if key == "root":
        return str(Path(str(before)).absolute()) == now
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


def _describe_sampling(config: Config, spec: FeatureSpec, clips: int) -> dict[str, str]:
    """Return which frames vectors are of, and what decodes them; of windows with what other programs need to know."""
    if spec.hop:
        rule, rate = build_window_rule(config, config.extract, spec.hop), config.data.frame_rate
        sampling = {"hop": describe_hop(spec.hop), "window_frames": str(rule.extent)}
        sampling["frame_rate"] = "" if rate is None else f"{rate:.12g}"
        decoder = FLOW if decoder_of(config) == FLOW else SEQUENTIAL
        return {"protocol": rule.description, **sampling, "decoder": decoder}
    of_clips = {"clip": f"{clips} clips", "time": f"{clips} clips, each time position"}
    return {"protocol": of_clips.get(spec.keep, protocol_name(clips)), "decoder": decoder_of(config)}
