"""What a training shows: metrics beside the progress bar and in the line of each epoch, and why it stops."""

import re
from collections.abc import Mapping

from vtdl_cli.engine.train.state import TrainingState

BESIDE_BAR = {
    "loss": ("loss", "{:.3f}"),
    "positive_probability": ("positive", "{:.3f}"),
    "lr": ("lr", "{:.2g}"),
    "clips_per_second": ("clips/s", "{:.1f}"),
    "data_time_share": ("data time", "{:.0%}"),
}
"""Metric -> label and format beside the bar."""

IN_EPOCH_LINE = re.compile(r"loss|positive_probability|spread|\w+_top[15]|clips_per_second")
"""Metrics of an epoch's line; accuracies by whatever name a method gives them."""


def bar_fields(metrics: Mapping[str, float]) -> dict[str, str]:
    """Label -> formatted value beside the bar."""
    return {label: form.format(metrics[name]) for name, (label, form) in BESIDE_BAR.items() if name in metrics}


def epoch_line(row: Mapping[str, float], num_epochs: int, best_by: str = "") -> str:
    """One line on an epoch: `epoch 3/48 loss 2.104 knn_top1 31.2`, with the metric that chooses the best one."""
    names = [name for name in row if IN_EPOCH_LINE.fullmatch(name) or name == best_by]
    return f"epoch {row['epoch']}/{num_epochs} {' '.join(f'{name} {row[name]:.4g}' for name in names)}"


def describe_early_stop(state: TrainingState) -> str:
    """One line on why a training has stopped early."""
    metric = state.selection["metric"] if state.selection else ""
    return (
        f"stopped early after epoch {state.epoch} of {state.options.epochs}: no {metric} above the "
        f"{state.best[metric]:.4g} of epoch {state.best['epoch']:.0f}, finetune.patience {state.patience}"
    )
