"""Which metrics a training shows: beside the progress bar, and in the line of each epoch."""

from collections.abc import Mapping

BESIDE_BAR = {
    "loss": ("loss", "{:.3f}"),
    "positive_probability": ("positive", "{:.3f}"),
    "lr": ("lr", "{:.2g}"),
    "clips_per_second": ("clips/s", "{:.1f}"),
    "data_time_share": ("data time", "{:.0%}"),
}
"""Metric -> label and format beside the bar."""

IN_EPOCH_LINE = (
    "loss",
    "positive_probability",
    "spread",
    "order_top1",
    "cluster_top1",
    "train_top1",
    "val_top1",
    "val_top5",
    "knn_top1",
    "clips_per_second",
)


def bar_fields(metrics: Mapping[str, float]) -> dict[str, str]:
    """Label -> formatted value beside the bar."""
    return {label: form.format(metrics[name]) for name, (label, form) in BESIDE_BAR.items() if name in metrics}


def epoch_line(row: Mapping[str, float], num_epochs: int) -> str:
    """One line on an epoch: `epoch 3/48 loss 2.104 knn_top1 31.2`."""
    shown = " ".join(f"{name} {row[name]:.4g}" for name in IN_EPOCH_LINE if name in row)
    return f"epoch {row['epoch']}/{num_epochs} {shown}"
