"""Which metrics a training shows: beside the progress bar, and in the line of each epoch."""

import re
from collections.abc import Mapping

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


def epoch_line(row: Mapping[str, float], num_epochs: int) -> str:
    """One line on an epoch: `epoch 3/48 loss 2.104 knn_top1 31.2`."""
    shown = " ".join(f"{name} {value:.4g}" for name, value in row.items() if IN_EPOCH_LINE.fullmatch(name))
    return f"epoch {row['epoch']}/{num_epochs} {shown}"
