"""VTDL pretraining: the loop."""

from pathlib import Path
from typing import Any

from vtdl_cli.config import Config
from vtdl_cli.data.lists import VideoList
from vtdl_cli.data.triplets import triplet_shares
from vtdl_cli.engine.build import (
    Machine,
    build_machine,
    build_method,
    build_test_clips,
    build_triplet_sampler,
    build_triplets,
)
from vtdl_cli.engine.clips import autocast, device_clips
from vtdl_cli.engine.collapse import signs_of_collapse
from vtdl_cli.engine.inference import collect, feature_network, forward_videos
from vtdl_cli.engine.request import Execution, ListSource
from vtdl_cli.engine.run_folder import RunFolder
from vtdl_cli.engine.training import Training
from vtdl_cli.errors import ListError
from vtdl_cli.method.vtdl import VTDL
from vtdl_cli.metrics import knn_accuracy
from vtdl_cli.runtime import Reporter, seed_torch


def pretrain(
    config: Config, train_list: ListSource, out: Path, execution: Execution, reporter: Reporter
) -> dict[str, Any]:
    """Pretrain on the videos of a list; its labels are used by the kNN reading alone.

    Returns:
        The plan, with the last epoch's `metrics` and the `skipped` videos unless it was a dry run.

    Raises:
        UsageError, ListError, CheckpointError: something does not fit; nothing has been written.
        Interrupted: by a signal, after saving.
    """
    videos = train_list.read()
    if len(videos) < config.pretrain.batch_size:
        raise ListError(
            f"list '{videos.source}' has {len(videos)} videos, less than one batch of {config.pretrain.batch_size}. "
            f"--set pretrain.batch_size={len(videos)}"
        )
    run = RunFolder(out, resume=execution.resume, overwrite=execution.overwrite)
    machine = build_machine(execution.device, config.pretrain.precision, execution.workers)
    seed_torch(execution.seed)
    method = machine.place(build_method(config, len(videos)))
    training = Training(
        "pretrain",
        config,
        videos=videos,
        dataset=build_triplets(config, videos, execution.seed),
        model=method,
        parameters=list(method.encoders.query.parameters()),
        machine=machine,
        run=run,
        execution=execution,
        reporter=reporter,
        drop_last=True,
    )
    plan = training.plan(machine)
    if execution.dry_run:
        return plan | {"triplets_percent": _triplets(config, videos, execution.seed)}
    if execution.resume:
        training.resume()
    train(training, method, machine, videos)
    return {**plan, "metrics": run.rows()[-1], "skipped": training.bad_videos.as_list()}


def train(training: Training, method: VTDL, machine: Machine, videos: VideoList) -> None:
    """The loop. A step: views, loss, gradient, query encoder, key encoder."""
    optimizer, config = training.optimizer, training.config
    warned: set[str] = set()
    for epoch in training.epochs():
        method.train()
        for batch in training.batches():
            anchor, positive, negative = device_clips(batch, machine, config.data.crop_size)  # (B, 3, T, R, R) each
            video = batch.index.to(machine.device, non_blocking=True)
            with autocast(machine):
                step = method(anchor, positive, negative, video)
            optimizer.zero_grad()
            step.loss.backward()
            optimizer.step()
            method.encoders.update_key()
            training.record(loss=step.loss, **step.readings)
        every = config.pretrain.knn_every
        due = every and (epoch + 1) % every == 0
        row = training.close_epoch({"knn_top1": knn_reading(training, method, machine, videos)} if due else {})
        signs = signs_of_collapse(row, config)
        for name in signs.keys() - warned:
            training.reporter.warn(signs[name])
        warned |= signs.keys()


def _triplets(config: Config, videos: VideoList, seed: int) -> dict[str, float] | str:
    """What the triplets of this list will be like, by its own frame counts."""
    known = videos.frames[videos.frames > 0]
    if not len(known):
        return "the list gives no frame counts. To count them: vtdl lists convert"
    return triplet_shares(build_triplet_sampler(config), known, seed)


def knn_reading(training: Training, method: VTDL, machine: Machine, videos: VideoList) -> float:
    """Leave-one-out kNN accuracy on the list's own labels, from the features of one clip of each video."""
    options = training.config.pretrain
    dataset = build_test_clips(training.config, videos, options, clips=1)
    network = feature_network(method.encoders.query.get_submodule("backbone").eval())
    batch_clips = 2 * options.batch_size  # a training step has three clips a video, two of them with gradients
    outputs = forward_videos(network, dataset, machine, views=1, batch_clips=batch_clips)
    features = collect(outputs, training.bad_videos, training.reporter, "kNN")
    return knn_accuracy(features.values[:, 0], features.label)
