"""Pretraining by VTDL or another pretext task."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vtdl_cli import ranks
from vtdl_cli.config import Config
from vtdl_cli.data.clips.datasets import Batch
from vtdl_cli.data.lists.video_list import VideoList
from vtdl_cli.engine.lists.labels import choose_knn_videos, report_list
from vtdl_cli.engine.lists.parts import describe_held_out
from vtdl_cli.engine.networks.checkpoint import load_pretrained_backbone
from vtdl_cli.engine.networks.clips import build_pretraining_clips, build_test_clips, clip_facts
from vtdl_cli.engine.networks.inference import Collected, collect, forward_videos
from vtdl_cli.engine.networks.machine import Machine, build_machine
from vtdl_cli.engine.networks.methods import build_method, check_config
from vtdl_cli.engine.request import Execution, ListSource
from vtdl_cli.engine.train.forecast import keys_per_video, triplets, warnings
from vtdl_cli.engine.train.health import signs_of_failure
from vtdl_cli.engine.train.optimization import ParameterGroup
from vtdl_cli.engine.train.overwriting import check_overwriting
from vtdl_cli.engine.train.plan import describe_plan, report_schedule
from vtdl_cli.engine.train.rank_batches import check_batch
from vtdl_cli.engine.train.run_folder import RunFolder
from vtdl_cli.engine.train.step import train_epoch
from vtdl_cli.engine.train.training import Training
from vtdl_cli.errors import UsageError
from vtdl_cli.locks import releasing_locks
from vtdl_cli.method.pretext_task import PretextTask, Sampler, Step
from vtdl_cli.metrics import cluster, knn_accuracy
from vtdl_cli.models.encoder import PooledFeatures
from vtdl_cli.runtime import Reporter, seed_torch
from vtdl_cli.text import counted


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
        weights: a run folder or checkpoint to take the backbone from; none: randomly initialised.

    Returns:
        The plan, the last logged epoch's `metrics` and the `skipped` videos; for a dry run, which opens no video,
        the plan and the shares of triplets by the frame counts of the list.

    Raises:
        UsageError, ListError, CheckpointError: something does not fit; nothing has been written.
        Interrupted: by a signal, after saving.
    """
    check_config(config)
    videos = train_list.read(
        needs_classes=False,
        flow=config.data.modality == "flow",
        dry_run=reporter if execution.dry_run else None,
        may_lack_all=True,
    )
    check_size(config, videos)
    if execution.overwrite:
        check_overwriting(out, "pretrain", weights)
    run = RunFolder(out, resume=execution.resume, overwrite=execution.overwrite, trackers=config.pretrain.trackers)
    training, method = prepare_pretraining(config, videos, run, execution, reporter, weights)
    report_schedule(training)
    plan = describe_plan(training) | {"method": config.method.name, "weights": weights or "none"}
    plan |= keys_per_video(config, videos)
    _warn_of_list(config, videos, reporter, is_folder=train_list.path.is_dir())
    if execution.dry_run:
        training.check_start()
        return plan | triplets(config, videos, execution.seed, train_list)
    with training.started():
        pretrain_epochs(training, method, videos)
    return plan | (_describe_result(training) if ranks.is_rank_0() else {})


def check_size(config: Config, videos: VideoList) -> None:
    """Raise UsageError where the list is too short for a batch, or a batch is too small for the ranks."""
    if len(videos) < config.pretrain.batch_size:
        raise UsageError(
            f"list '{videos.source}' has {counted(len(videos), 'video')}, less than one batch of "
            f"{config.pretrain.batch_size}. "
            f"--set pretrain.batch_size={len(videos)}"
        )
    check_batch("pretrain", config.pretrain.batch_size)


def prepare_pretraining(
    config: Config,
    videos: VideoList,
    run: RunFolder,
    execution: Execution,
    reporter: Reporter,
    weights: str | None = None,
) -> tuple[Training, PretextTask]:
    """Build the method on its device, and its training; nothing is written. Arguments and errors as of `pretrain`."""
    seed_torch(execution.seed)
    method = build_method(config, len(videos))  # before the ranks meet: its settings may not go with their number
    machine = build_machine(execution.device, config.pretrain.precision, execution.workers, reporter)
    origin: dict[str, Any] = {"weights": weights}
    if weights is not None and not run.resumes:
        origin["weights_sha256"] = _load_weights(weights, method, config, reporter)
    method = machine.place(method)
    training = Training(
        "pretrain",
        config,
        videos=videos,
        dataset=build_pretraining_clips(config, videos, execution.seed),
        model=method,
        groups=[ParameterGroup(params=list(method.trained_parameters()), lr_scale=1.0)],
        machine=machine,
        run=run,
        execution=execution,
        reporter=reporter,
        drop_last=True,
        origin=origin,
    )
    return training, method


def _load_weights(weights: str, method: PretextTask, config: Config, reporter: Reporter) -> str:
    """Load the backbone, and begin the method from it; return the checksum of the weights."""
    backbone = method.trained_backbone
    checksum = load_pretrained_backbone(weights, backbone, reporter, frame_rate=config.data.frame_rate)
    method.begin_from_backbone()
    return checksum


def _warn_of_list(config: Config, videos: VideoList, reporter: Reporter, *, is_folder: bool) -> None:
    """Report how the list was read, and what of it does not go with the configuration."""
    report_list(videos, reporter, knn=bool(config.pretrain.knn_every))
    held_out = [describe_held_out(videos)] if is_folder else []
    for warning in filter(None, (*held_out, *warnings(config, videos))):
        reporter.warn(warning)


def _describe_result(training: Training) -> dict[str, Any]:
    """Return how a training has ended; see `pretrain`."""
    last = next(reversed(training.run.rows()), {})  # a finished run may have lost its log
    return {"metrics": last, "skipped": training.state.bad_videos.as_list()}


def pretrain_epochs(training: Training, method: PretextTask, videos: VideoList, *, judge: bool = True) -> None:
    """Train all epochs; where due, renew the labels before one, and measure kNN accuracy after it.

    Args:
        training: what is trained, and how.
        method: its model.
        videos: its list.
        judge: warn of signs that nothing is learned.
    """
    every = training.config.pretrain.knn_every
    ddp_model = ranks.wrap_ddp(method)
    forward = forward_by(ddp_model, method.sampler, training.machine)
    warned: set[str] = set()
    for epoch in training.epochs():
        if method.relabel_every and epoch % method.relabel_every == 0 and training.state.between_epochs:
            training.save()
            relabel(training, method, videos, seed=epoch)
        method.train()
        train_epoch(training, ddp_model, forward, method.after_step)
        is_due = every and (epoch + 1) % every == 0
        row = training.close_epoch(measure_knn(training, method, videos) if is_due else {})
        signs = signs_of_failure(row) if judge else {}
        for name in signs.keys() - warned:
            training.reporter.warn(signs[name])
        warned |= signs.keys()


def forward_by(ddp_model: nn.Module, sampler: Sampler, machine: Machine) -> Callable[[Tensor, Batch], Step]:
    """Return the function from the clips of a batch to the step of a method, which gets the facts of its `sampler`."""

    def forward(clips: Tensor, batch: Batch) -> Step:
        video = batch.index.to(machine.device, non_blocking=True)  # (B,)
        facts = clip_facts(sampler, batch).to(machine.device, non_blocking=True)  # (facts, B)
        step: Step = ddp_model(*clips, *facts, video)
        return step

    return forward


def relabel(training: Training, method: PretextTask, videos: VideoList, seed: int) -> None:
    """Cluster the readable videos by their present features, and give the method the clusters as labels."""
    features = compute_features(training, method, videos, "clustering")
    labels = ranks.from_rank_0(cluster(features.values[:, 0], method.num_clusters, seed))
    on_device = (torch.from_numpy(each).long().to(training.machine.device) for each in (features.index, labels))
    method.relabel(*on_device)
    ranks.broadcast(method)  # each rank has drawn weights of its own for the new labels


def measure_knn(training: Training, method: PretextTask, videos: VideoList) -> dict[str, float]:
    """Measure leave-one-out kNN accuracy on the labelled videos of the list, with the features of one clip a video.

    Videos that turned out to be unreadable are not opened again. Of a long list it is a sample, the same in all epochs
    (see `choose_knn_videos`).

    Returns:
        `knn_top1`; nothing if fewer than two videos with a class could be read.
    """
    chosen = choose_knn_videos(videos, training.order.seed)
    chosen = chosen[~np.isin(chosen, list(training.state.bad_videos.found))]
    if len(chosen) < 2:
        return {}
    features = compute_features(training, method, videos, "kNN", chosen)
    if len(features.label) < 2:
        return {}
    return {"knn_top1": knn_accuracy(features.values[:, 0], features.label)}


def compute_features(
    training: Training, method: PretextTask, videos: VideoList, description: str, indices: np.ndarray | None = None
) -> Collected:
    """Compute the features of one clip of each readable video, of all or of those with the given indices."""
    options, state = training.config.pretrain, training.state
    dataset = build_test_clips(training.config, videos, options, clips=1)
    network = PooledFeatures(method.trained_backbone.eval())
    outputs = forward_videos(
        network, dataset, training.machine, views=1, batch_clips=training.inference_clips, indices=indices
    )
    return collect(
        outputs, state.bad_videos, training.reporter, description, len(videos) if indices is None else len(indices)
    )
