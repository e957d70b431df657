"""What a training will do: described for a dry run and the result, and reported where it is not what was asked for."""

from typing import Any

from vtdl_cli.engine.train.optimization import trained_parameters, warmup_epochs
from vtdl_cli.engine.train.training import Training
from vtdl_cli.text import counted


def report_schedule(training: Training) -> None:
    """Report what becomes of a warm-up or milestones beyond the end of the run, and which batch the lr is for."""
    options, stage, reporter = training.options, training.state.identity["stage"], training.reporter
    asked, epochs = options.schedule.warmup_epochs, warmup_epochs(options)
    if epochs != asked:
        reporter.warn(
            f"{stage}.schedule.warmup_epochs {asked:g} is not below {stage}.epochs {options.epochs}: the lr rises "
            f"over {counted(epochs, 'epoch')} instead. To choose: --set {stage}.schedule.warmup_epochs={epochs:g}"
        )
    milestones = options.schedule.milestones if options.schedule.name == "step" else []
    if milestones and min(milestones) >= options.epochs:
        reporter.warn(
            f"{stage}.schedule.milestones {', '.join(map(str, milestones))} are not below {stage}.epochs "
            f"{options.epochs}: the lr never falls. Set lower ones, or --set {stage}.schedule.name=cosine"
        )
    if options.accumulate_steps > 1:
        reporter.line(
            f"each step accumulates {counted(training.order.batches_in(0), 'batch', 'batches')} of "
            f"{options.batch_size} videos: lr "
            f"{options.optimizer.lr:g} is for an effective batch of {training.effective_batch_size}"
        )


def describe_plan(training: Training) -> dict[str, Any]:
    """Describe what the run will do, for a dry run and for the result."""
    options, state, data = training.options, training.state, training.config.data
    return {
        "stage": state.identity["stage"],
        "out": str(training.run.path),
        "videos": training.order.num_videos,
        "classes": state.identity["num_classes"],
        "epochs": options.epochs,
        "steps_per_epoch": state.steps_per_epoch,
        "batch_size": options.batch_size,
        "effective_batch_size": training.effective_batch_size,
        "lr": options.optimizer.lr,
        "clip": f"{counted(options.clip_len_frames, 'frame')}, stride {options.stride_frames}, "
        f"{data.crop_size} pixels of {data.modality}",
        "parameters": sum(weight.numel() for weight in trained_parameters(state.optimizer)),
        "machine": training.machine.describe(),
        "compile": options.compile,
        "cuda_graphs": options.cuda_graphs,
        "deterministic": state.identity["deterministic"],
    }
