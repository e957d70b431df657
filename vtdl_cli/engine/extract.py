"""Extraction: one feature vector a video, or one a clip, into HDF5."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from vtdl_cli.config import Config
from vtdl_cli.data.features import FeatureParts
from vtdl_cli.data.lists import VideoList
from vtdl_cli.engine.bad_videos import BadVideos
from vtdl_cli.engine.build import build_machine, build_test_clips, decoder_of
from vtdl_cli.engine.evaluate import protocol_name
from vtdl_cli.engine.inference import VideoOutputs, feature_network, forward_videos
from vtdl_cli.engine.request import Execution, ListSource
from vtdl_cli.engine.trained import Source, fresh_trunk, load_trunk
from vtdl_cli.errors import Interrupted, UsageError
from vtdl_cli.models.encoder import Backbone
from vtdl_cli.runtime import Reporter, StopRequest, replacing, seed_torch

KEEP_EVERY_SECONDS = 20.0  # of work is the most that an interruption costs


def extract(
    weights: str | None,
    videos_list: ListSource,
    out: Path,
    execution: Execution,
    reporter: Reporter,
    *,
    config: Config | None = None,
    assignments: tuple[str, ...] = (),
    clips: int | None = None,
    per_clip: bool = False,
    npy: bool = False,
) -> dict[str, Any]:
    """Write the globally averaged features of the backbone's last map.

    Args:
        weights: a run folder or checkpoint of either stage; none: fresh weights, the baseline.
        config: of the fresh network; not used with weights, which carry their own.
        assignments: `section.key=value` on top of the configuration inside the weights.
        clips: spread evenly over each video; none: the preset's.
        per_clip: keep a vector for each clip instead of their mean.
        npy: write the features as a plain array, too, beside the HDF5 file.

    Returns:
        Path, shape, protocol, skipped videos and seconds.

    Raises:
        UsageError, ListError, CheckpointError: something does not fit; nothing has been written.
        Interrupted: by a signal; what was computed is kept for `--resume`.
    """
    seed_torch(execution.seed)
    trunk, source = _load(weights, config, assignments)
    videos = videos_list.read()
    clips = clips or source.config.extract.clips
    machine = build_machine(execution.device, source.config.pretrain.precision, execution.workers)
    provenance = _provenance(source, videos, clips, per_clip, execution.seed)
    parts = FeatureParts(out, provenance, resume=execution.resume, overwrite=execution.overwrite)
    plan = {"out": str(out), "videos": len(videos), **provenance}
    if execution.dry_run:
        return {**plan, "machine": machine.describe()}
    began = time.monotonic()
    if execution.resume:
        reporter.line(_standing(parts, len(videos)))
    if not parts.finished:
        outputs = forward_videos(
            feature_network(machine.place(trunk)),
            build_test_clips(source.config, videos, source.config.extract, clips=clips),
            machine,
            views=clips,
            batch_clips=source.config.extract.batch_clips,
            start=parts.done,
        )
        earlier = {~number: (bad["path"], bad["reason"]) for number, bad in enumerate(parts.skipped)}  # not met again
        bad_videos = BadVideos(len(videos), source.config.data.max_bad_fraction, earlier)
        keep_rows(outputs, parts, bad_videos, per_clip, reporter)
        parts.finish([videos.name(index) for index in range(len(videos))])
    if npy:
        _write_array(out)
    with h5py.File(out) as file:
        shape = file["features"].shape
    return {**plan, "shape": list(shape), "skipped": parts.skipped, "seconds": round(time.monotonic() - began, 2)}


def _standing(parts: FeatureParts, num_videos: int) -> str:
    if parts.finished:
        return f"output '{parts.out}' is finished: nothing to do"
    if not parts.done:
        return f"output '{parts.out}' has not been begun yet: starting from the beginning"
    return f"output '{parts.out}' goes on at video {parts.done} of {num_videos}"


def keep_rows(
    outputs: Iterator[VideoOutputs], parts: FeatureParts, bad_videos: BadVideos, per_clip: bool, reporter: Reporter
) -> None:
    """Run through the batches, putting rows aside every few seconds, at a signal and at the end."""
    parts.begin()
    pending: list[VideoOutputs] = []
    done, kept_at = parts.done, time.monotonic()
    with StopRequest() as stop, reporter.progress(bad_videos.num_videos, "features", start=done) as bar:
        for batch, values in outputs:
            bad_videos.add(batch.unreadable, reporter)
            pending.append((batch, values if per_clip else values.mean(1)))
            done += len(batch) + len(batch.unreadable)
            bar.advance(len(batch) + len(batch.unreadable))
            if stop or done == bad_videos.num_videos or time.monotonic() - kept_at > KEEP_EVERY_SECONDS:
                _keep(parts, done, pending)
                pending, kept_at = [], time.monotonic()
            if stop:
                raise Interrupted(
                    f"{stop.name} after {done} of {bad_videos.num_videos} videos: kept. Go on with --resume"
                )


def _keep(parts: FeatureParts, done: int, pending: list[VideoOutputs]) -> None:
    skipped = [{"path": bad.path, "reason": bad.reason} for batch, _ in pending for bad in batch.unreadable]
    rows = [values for batch, values in pending if len(batch)]  # a batch without a readable video has no D
    columns = {
        "features": np.concatenate(rows) if rows else np.empty(0, np.float32),
        "labels": np.concatenate([batch.label for batch, _ in pending]),
        "num_frames": np.concatenate([batch.num_frames for batch, _ in pending]),
        "positions": np.concatenate([batch.index for batch, _ in pending]),
    }
    parts.add(done, skipped, columns)


def _load(weights: str | None, config: Config | None, assignments: tuple[str, ...]) -> tuple[Backbone, Source]:
    if weights is not None:
        return load_trunk(weights, assignments)
    if config is None:
        raise UsageError("weights 'none' are a fresh network: which one? Add --preset, see: vtdl presets list")
    return fresh_trunk(config)


def _provenance(source: Source, videos: VideoList, clips: int, per_clip: bool, seed: int) -> dict[str, str]:
    """What the features depend on, as attributes of the file."""
    config = source.config
    return {
        "backbone": f"{config.model.name} depth {config.model.depth or '-'} width {config.model.width}",
        "layer": "last convolution, global average",
        "protocol": f"{clips} clips" if per_clip else protocol_name(clips),
        "weights": source.path if source.sha256 else f"none, seed {seed}",
        "weights_sha256": source.sha256,
        "list_sha256": videos.sha256,
        "modality": config.data.modality,
        "decoder": decoder_of(config),
        "preset": config.to_yaml(),
    }


def _write_array(out: Path) -> None:
    with h5py.File(out) as file, replacing(out.with_suffix(".npy")) as temporary, temporary.open("wb") as array:
        np.save(array, file["features"][:])
