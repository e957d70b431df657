"""Finetuning: a classifier on a backbone that is pretrained, randomly initialised, or frozen (linear probe)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from vtdl_cli import ranks
from vtdl_cli.config import Config, Finetune
from vtdl_cli.data.clips.datasets import Batch
from vtdl_cli.data.lists.label_sets import counting_warning
from vtdl_cli.data.lists.same_videos import find_shared_files, name_shared
from vtdl_cli.data.lists.video_list import VideoList
from vtdl_cli.engine.lists.labels import check_labels, report_list
from vtdl_cli.engine.lists.recordings import RECORDING, find_recordings_on_several
from vtdl_cli.engine.networks.build import build_network
from vtdl_cli.engine.networks.checkpoint import load_pretrained_backbone
from vtdl_cli.engine.networks.clips import build_training_clips
from vtdl_cli.engine.networks.machine import build_machine
from vtdl_cli.engine.request import Execution, ListSource
from vtdl_cli.engine.train.class_balance import Loss, build_loss, describe_balance
from vtdl_cli.engine.train.freezing import check_freezing, freeze
from vtdl_cli.engine.train.optimization import group_parameters
from vtdl_cli.engine.train.overwriting import check_overwriting
from vtdl_cli.engine.train.plan import describe_plan, report_schedule
from vtdl_cli.engine.train.rank_batches import check_batch
from vtdl_cli.engine.train.run_folder import RunFolder
from vtdl_cli.engine.train.step import train_epoch
from vtdl_cli.engine.train.training import Training
from vtdl_cli.engine.train.validation import (
    Validation,
    check_patience,
    select_last_validated,
    select_on,
    selecting_metric,
    validate,
)
from vtdl_cli.locks import releasing_locks
from vtdl_cli.models.encoder import Encoder
from vtdl_cli.runtime import Reporter, seed_torch
from vtdl_cli.text import counted


@releasing_locks
def finetune(
    config: Config,
    train_list: ListSource,
    val_list: ListSource | None,
    out: Path,
    execution: Execution,
    reporter: Reporter,
    *,
    weights: str | None = None,
    linear_probe: bool = False,
    weights_follow: bool = False,
) -> dict[str, Any]:
    """Train on the labels of one list and validate on another, with one centre clip a video (clip@1).

    Args:
        val_list: None: nothing is validated, no best.pt is written, and last.pt is the result.
        weights: a run folder or checkpoint to take the backbone from; none: randomly initialised.
        linear_probe: train the classifier alone; the backbone stays as it is, batch-norm statistics included.
        weights_follow: of a dry run, whether there will be weights when it is meant.

    Returns:
        The plan; unless it is a dry run, also the validation of the `best` and the `last` epoch, empty without a
        validation list, the epoch at which training was `stopped_early`, if it was, and `skipped` videos.

    Raises:
        UsageError, ListError, CheckpointError: something does not fit; nothing has been written.
        Interrupted: by a signal, after saving.
    """
    options = config.finetune
    dry_run = reporter if execution.dry_run else None
    videos, val_videos = train_list.read(dry_run=dry_run), val_list.read(dry_run=dry_run) if val_list else None
    check_patience(options, val_videos)
    check_freezing(options, trained=weights is not None or weights_follow, linear_probe=linear_probe)
    _warn_of_lists(options, videos, val_videos, reporter)
    check_batch("finetune", options.batch_size)
    if execution.overwrite:
        check_overwriting(out, "finetune", weights)
    run = RunFolder(out, resume=execution.resume, overwrite=execution.overwrite, trackers=options.trackers)
    machine = build_machine(execution.device, options.precision, execution.workers, reporter)
    seed_torch(execution.seed)
    network = build_network(config, videos.num_classes)
    if options.sync_batch_norm:
        ranks.sync_batch_norm(network, machine.device)
    backbone = network.backbone
    frozen = freeze(backbone, options, reporter, linear_probe=linear_probe)
    origin = {"linear_probe": linear_probe, "weights": weights, "val_list_sha256": val_videos and val_videos.sha256}
    if weights is not None and not run.resumes:
        checksum = load_pretrained_backbone(weights, backbone, reporter, frame_rate=config.data.frame_rate)
        origin["weights_sha256"] = checksum
    training = Training(
        "finetune",
        config,
        videos=videos,
        dataset=build_training_clips(config, videos, execution.seed),
        model=machine.place(network),
        groups=group_parameters([(backbone, options.backbone_lr_scale), (network.head, 1.0)]),
        machine=machine,
        run=run,
        execution=execution,
        reporter=reporter,
        drop_last=False,
        origin=origin,
        selection=select_on(options, val_videos),
        patience=options.patience,
        balanced_labels=videos.labels if options.sampling == "balanced" else None,
    )
    report_schedule(training)
    plan = describe_plan(training) | _describe_options(options, val_videos, weights, linear_probe=linear_probe)
    if execution.dry_run:
        training.check_start()
        return plan
    validation = Validation.of(config, val_videos) if val_videos else None
    with training.started():
        finetune_epochs(training, network, build_loss(options, videos, machine.device), validation, frozen)
    return plan | (_describe_result(training, validation) if ranks.is_rank_0() else {})


def _describe_options(
    options: Finetune, val_videos: VideoList | None, weights: str | None, *, linear_probe: bool
) -> dict[str, Any]:
    """Return what a plan of finetuning has beside that of any training."""
    return {
        "class_weights": options.class_weights,
        "sampling": options.sampling,
        "val_videos": len(val_videos) if val_videos else 0,
        "patience": options.patience,
        "weights": weights or "none",
        "linear_probe": linear_probe,
    }


def _describe_result(training: Training, validation: Validation | None) -> dict[str, Any]:
    """Return how a training has ended; see `finetune`."""
    state = training.state
    return {
        "best": state.best,
        "last": select_last_validated(training.run.rows(), state.best),
        "stopped_early": state.epoch if state.stopped_early else None,
        "skipped": state.bad_videos.as_list() + (validation.bad_videos.as_list() if validation else []),
    }


def _warn_of_lists(options: Finetune, videos: VideoList, val_videos: VideoList | None, reporter: Reporter) -> None:
    """Report how lists were read; compare the validation list with the training list: labels, videos in both."""
    for listed in filter(None, (videos, val_videos)):
        report_list(listed, reporter)
    checked = check_labels(val_videos, videos.label_set, videos.num_classes) if val_videos else []
    shared = _describe_shared(videos, val_videos) if val_videos else ""
    balance = describe_balance(options, videos)
    for warning in filter(None, (counting_warning(videos.label_set), *checked, shared, *balance)):
        reporter.warn(warning)


def _describe_shared(videos: VideoList, val_videos: VideoList) -> str:
    """Return a warning if both lists hold the same videos, or seem to hold clips of one recording; else ''."""
    lists = {"train": videos, "val": val_videos}
    names = {side: map(listed.name, range(len(listed))) for side, listed in lists.items()}
    if untrimmed := find_shared_files(videos, val_videos):
        return (
            f"{counted(len(untrimmed), 'video has', 'videos have')} intervals in both lists, "
            f"'{videos.source}' and '{val_videos.source}'; the "
            f"first is '{untrimmed[0]}'. Validation is optimistic: keep all intervals of a video in one list"
        )
    if same := name_shared(videos, val_videos):
        return (
            f"{counted(len(same), 'video is', 'videos are')} in both lists, '{videos.source}' and "
            f"'{val_videos.source}'; the first is '{same[0]}'. Validation is "
            "optimistic: use lists without common videos"
        )
    if not (shared := find_recordings_on_several(names, videos.num_classes)):
        return ""
    return (
        f"{counted(len(shared), 'recording seems', 'recordings seem')} to have clips in both lists, "
        f"'{videos.source}' and '{val_videos.source}', by "
        f"their file names; the first is '{shared[0]}'. If so, validation is optimistic: prepare both lists with "
        f"vtdl prepare-lists folder --root videos --out lists --group-by '{RECORDING}'"
    )


def finetune_epochs(
    training: Training, network: Encoder, loss_of: Loss, validation: Validation | None, frozen: Sequence[nn.Module]
) -> None:
    """Train all epochs; after each, where due, validate and keep the best checkpoint.

    Args:
        training: the training.
        network: backbone and classifier.
        loss_of: logits and labels -> loss.
        validation: none: nothing is validated.
        frozen: parts of the network that stay as they are, statistics of batch norm included.
    """
    machine, options = training.machine, training.config.finetune
    ddp_model = ranks.wrap_ddp(network)
    every = options.validate_every or options.epochs

    def forward(clips: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        label = batch.label.to(machine.device, non_blocking=True)  # (B,)
        logits = ddp_model(clips[0])  # (B, num_classes), of one clip a video
        return loss_of(logits.float(), label), {"train_top1": 100 * (logits.argmax(1) == label).float().mean()}

    for epoch in training.epochs():
        network.train()
        for layer in frozen:
            layer.eval()
        train_epoch(training, ddp_model, forward)
        is_due = (epoch + 1) % every == 0 or epoch + 1 == options.epochs
        metrics = validate(training, network.eval(), validation) if validation and is_due else {}
        training.close_epoch(metrics, best_by=selecting_metric(options))
