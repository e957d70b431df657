"""Curves of a training: one panel for each kind of reading."""

from collections.abc import Sequence
from pathlib import Path
from typing import IO

from matplotlib.figure import Figure

PANELS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("loss", ("loss", "val_loss")),
    ("probability", ("positive_probability", "queue_probability", "own_negative_probability")),
    ("logit (cosine / temperature)", ("positive_logit", "queue_logit", "own_negative_logit")),
    ("accuracy (%)", ("train_top1", "val_top1", "val_top5", "knn_top1")),
    ("embedding spread", ("spread",)),
    ("learning rate", ("learning_rate",)),
)
"""Title with unit, and the readings that share a panel; panels without readings are left out."""


def draw_curves(rows: Sequence[dict[str, float]], path: Path | IO[bytes]) -> None:
    """Write a PNG of the readings over the epochs.

    Args:
        rows: one dict an epoch, each with `epoch`.
        path: where to, or what to write into; the suffix does not matter.
    """
    panels = [
        (title, present)
        for title, names in PANELS
        if (present := [name for name in names if any(name in row for row in rows)])
    ]
    columns = min(3, len(panels))
    lines = -(-len(panels) // columns)
    figure = Figure(figsize=(4.2 * columns, 3.1 * lines), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False).flatten()
    for axis, (title, names) in zip(axes, panels, strict=False):
        for name in names:
            points = [(row["epoch"], row[name]) for row in rows if name in row]
            axis.plot(
                *zip(*points, strict=True), label=name.replace("_", " "), marker="." if len(points) < 30 else None
            )
        axis.set(title=title, xlabel="epoch")
        axis.grid(alpha=0.3)
        if len(names) > 1:
            axis.legend(fontsize="small")
    for unused in axes[len(panels) :]:
        unused.set_visible(False)
    figure.savefig(path, format="png", dpi=120)
