"""Pretraining, by any method: the loop."""

from pathlib import Path
from typing import Any

import torch

from vtdl_cli import ranks
from vtdl_cli.config import Config
from vtdl_cli.data.lists.video_list import VideoList
from vtdl_cli.engine.networks.checkpoint import load_pretrained_backbone
from vtdl_cli.engine.networks.clips import build_pretraining_clips, build_test_clips
from vtdl_cli.engine.networks.inference import Collected, collect, forward_videos
from vtdl_cli.engine.networks.machine import Machine, autocast, build_machine, device_clips
from vtdl_cli.engine.networks.methods import build_method, check_config
from vtdl_cli.engine.request import Execution, ListSource
from vtdl_cli.engine.train.collapse import signs_of_collapse
from vtdl_cli.engine.train.forecast import keys_per_video, triplets, warnings
from vtdl_cli.engine.train.run_folder import RunFolder
from vtdl_cli.engine.train.training import Training, check_batch
from vtdl_cli.errors import ListError
from vtdl_cli.locks import releasing_locks
from vtdl_cli.method.pretext_task import PretextTask
from vtdl_cli.metrics import cluster, knn_accuracy
from vtdl_cli.models.encoder import PooledFeatures
from vtdl_cli.runtime import Reporter, seed_torch


@releasing_locks
def pretrain(
    config: Config,
    train_list: ListSource,
    out: Path,
    execution: Execution,
    reporter: Reporter,
    *,
    weights: str | None = None,
) -> dict[str, Any]:
    """Pretrain on the videos of a list; its labels are used by the kNN metric alone.

    Args:
        weights: a run folder or checkpoint whose backbone to start from; none: from nothing.

    Returns:
        The plan, with the last epoch's `metrics` and the `skipped` videos; of a dry run, which looks into no video,
        with what triplets the list's frame counts give.

    Raises:
        UsageError, ListError, CheckpointError: something does not fit; nothing has been written.
        Interrupted: by a signal, after saving.
    """
    check_config(config)
    videos = train_list.read(absent=reporter.warn if execution.dry_run else None)
    _check_size(config, videos)
    check_batch("pretrain", config.pretrain.batch_size)
    run = RunFolder(out, resume=execution.resume, overwrite=execution.overwrite)
    seed_torch(execution.seed)
    method = build_method(config, len(videos))  # before the ranks meet: its settings may not go with their number
    machine = build_machine(execution.device, config.pretrain.precision, execution.workers, reporter)
    origin: dict[str, Any] = {"weights": weights}
    if weights is not None and not run.resumes:
        origin["weights_sha256"] = load_pretrained_backbone(weights, method.trained_backbone, reporter)
        method.begin_from_backbone()
    method = machine.place(method)
    training = Training(
        "pretrain",
        config,
        videos=videos,
        dataset=build_pretraining_clips(config, videos, execution.seed),
        model=method,
        parameters=list(method.trained_parameters()),
        machine=machine,
        run=run,
        execution=execution,
        reporter=reporter,
        drop_last=True,
        origin=origin,
    )
    plan = training.plan(machine) | {"method": config.method.name, "weights": weights or "none"}
    plan |= keys_per_video(config, videos)
    for warning in warnings(config, videos):
        reporter.warn(warning)
    if execution.dry_run:
        return plan | triplets(config, videos, execution.seed)
    run.claim(reporter)
    if execution.resume:
        training.resume()
    train(training, method, machine, videos)
    if not ranks.is_rank_0():
        return plan
    return {**plan, "metrics": run.rows()[-1], "skipped": training.bad_videos.as_list()}


def _check_size(config: Config, videos: VideoList) -> None:
    """Raise ListError where the list is too short for a batch."""
    if len(videos) < config.pretrain.batch_size:
        raise ListError(
            f"list '{videos.source}' has {len(videos)} videos, less than one batch of {config.pretrain.batch_size}. "
            f"--set pretrain.batch_size={len(videos)}"
        )


def train(training: Training, method: PretextTask, machine: Machine, videos: VideoList) -> None:
    """The loop. A step: views, loss, gradient, query encoder, key encoder."""
    config, ddp_model = training.config, ranks.wrap_ddp(method)
    warned: set[str] = set()
    for epoch in training.epochs():
        if method.relabel_every and epoch % method.relabel_every == 0 and training.between_epochs:
            relabel(training, method, machine, videos, seed=epoch)
        method.train()
        for batch in training.batches():
            clips = device_clips(batch, machine, config.data.crop_size)  # (V, B, C, T, R, R), V clips a video
            video = batch.index.to(machine.device, non_blocking=True)
            with autocast(machine):
                step = ddp_model(*clips, video)
            training.learn(step.loss)
            method.after_step()
            training.record(loss=step.loss, **step.metrics)
        every = config.pretrain.knn_every
        due = every and (epoch + 1) % every == 0
        row = training.close_epoch({"knn_top1": knn_metric(training, method, machine, videos)} if due else {})
        signs = signs_of_collapse(row)
        for name in signs.keys() - warned:
            training.reporter.warn(signs[name])
        warned |= signs.keys()


def relabel(training: Training, method: PretextTask, machine: Machine, videos: VideoList, seed: int) -> None:
    """Give the method the clusters of the videos that can be read, by their features as they are now."""
    found = read_features(training, method, machine, videos, "clustering")
    labels = ranks.from_rank_0(cluster(found.values[:, 0], method.num_clusters, seed))
    on_device = (torch.from_numpy(each).long().to(machine.device) for each in (found.index, labels))
    method.relabel(*on_device)
    ranks.broadcast(method)  # what each drew for the new labels


def knn_metric(training: Training, method: PretextTask, machine: Machine, videos: VideoList) -> float:
    """Leave-one-out kNN accuracy on the list's own labels, from the features of one clip of each video."""
    found = read_features(training, method, machine, videos, "kNN")
    return knn_accuracy(found.values[:, 0], found.label)


def read_features(
    training: Training, method: PretextTask, machine: Machine, videos: VideoList, description: str
) -> Collected:
    """Features of one clip of each video that can be read."""
    options = training.config.pretrain
    dataset = build_test_clips(training.config, videos, options, clips=1)
    network = PooledFeatures(method.trained_backbone.eval())
    batch_clips = 2 * options.batch_size  # a training step has three clips a video, two of them with gradients
    outputs = forward_videos(network, dataset, machine, views=1, batch_clips=batch_clips)
    return collect(outputs, training.bad_videos, training.reporter, description)
