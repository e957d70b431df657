"""Curves of one training, or of several side by side."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from vtdl_cli.analysis.picture import save_picture

PANELS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("loss", "", ("loss", "val_loss")),
    ("probability", "", ("_probability",)),
    ("logit", " (cosine / temperature)", ("_logit",)),
    ("accuracy", " (%)", ("_top1", "_top5")),
    ("embedding spread", "", ("spread",)),
    ("learning rate", "", ("lr",)),
)
"""Title, unit, and the metrics that share a panel of one run: by their names, or by the ends of names from `_` on. Thus
a method says by the names of its metrics where they are drawn; all others are left out."""

FEW_EPOCHS = 30  # fewer are marked one by one
COLOURS = 10  # of matplotlib's cycle; then the lines are drawn otherwise
LINES = ("-", "--", ":", "-.")

Rows = Sequence[Mapping[str, float]]
Line = tuple[str, Rows, dict[str, Any]]  # metric, its rows, and how it is drawn


def draw_curves(runs: Mapping[str, Rows], path: Path | IO[bytes]) -> None:
    """Write a PNG of the metrics over the epochs.

    One run has a panel for each kind of metric, with the metrics' names below it. Several have a panel for each
    metric, and a line for each run, named once beside all panels.

    Args:
        runs: name -> one dict an epoch, each with `epoch`; none is empty.
        path: where to, or what to write into; the suffix does not matter.
    """
    panels = list(_panels_of_one(*runs.values()) if len(runs) == 1 else _panels_of_several(runs))
    columns = min(3, len(panels))
    lines = -(-len(panels) // columns)
    beside = 0 if len(runs) == 1 else 0.7 + 0.085 * max(map(len, runs))  # inches that the runs' names take
    figure = Figure(figsize=(4.2 * columns + beside, 3.1 * lines), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False).flatten()
    epochs = [row["epoch"] for rows in runs.values() for row in rows]
    margin = 0.04 * (max(epochs) - min(epochs)) or 0.5
    for axis, (title, drawn) in zip(axes, panels, strict=False):
        _draw_panel(axis, title, drawn)
        axis.set_xlim(min(epochs) - margin, max(epochs) + margin)  # the same for all: a metric may be of one epoch
    for unused in axes[len(panels) :]:
        unused.set_visible(False)
    if len(runs) > 1:
        named = dict(_styles(runs))
        handles = [Line2D([], [], **style) for style in named.values()]
        for text in figure.legend(handles, list(named), loc="outside right upper").get_texts():
            text.set_parse_math(False)
    save_picture(figure, path, dpi=120)


def group_metrics(rows: Rows) -> Iterator[tuple[str, str, list[str]]]:
    """Yield title, unit and metrics of each panel of PANELS that these epochs have metrics for."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    for title, unit, kinds in PANELS:
        if found := [name for name in names if any(_is_of_kind(name, kind) for kind in kinds)]:
            yield title, unit, found


def _is_of_kind(name: str, kind: str) -> bool:
    return name.endswith(kind) if kind.startswith("_") else name == kind


def _panels_of_one(rows: Rows) -> Iterator[tuple[str, list[Line]]]:
    """Metrics of a kind together, coloured one by one and labelled by what tells them apart."""
    for title, unit, names in group_metrics(rows):
        if len(names) > 1:
            labels = [name.removesuffix(f"_{title}").replace("_", " ") for name in names]
            yield title + unit, [(name, rows, {"label": label}) for name, label in zip(names, labels, strict=True)]
        else:
            yield _title(title, unit, names[0]), [(names[0], rows, {})]


def _panels_of_several(runs: Mapping[str, Rows]) -> Iterator[tuple[str, list[Line]]]:
    """One metric of all runs, as far as they have it."""
    for title, unit, names in group_metrics([row for rows in runs.values() for row in rows]):
        for name in names:
            lines: list[Line] = [
                (name, runs[run], style) for run, style in _styles(runs) if any(name in row for row in runs[run])
            ]
            yield _title(title, unit, name), lines


def _title(title: str, unit: str, name: str) -> str:
    """Of a panel with a single metric of the kind."""
    return (name.replace("_", " ") if "_" in name else title) + unit


def _styles(runs: Mapping[str, Rows]) -> Iterator[tuple[str, dict[str, Any]]]:
    """A colour for each run, the same in every panel; after the last, the first with another line."""
    for number, run in enumerate(runs):
        yield run, {"color": f"C{number % COLOURS}", "linestyle": LINES[number // COLOURS % len(LINES)]}


def _draw_panel(axis: Any, title: str, lines: Sequence[Line]) -> None:
    for name, rows, style in lines:
        points = [(row["epoch"], row[name]) for row in rows if name in row]
        axis.plot(*zip(*points, strict=True), marker="." if len(points) < FEW_EPOCHS else None, **style)
    axis.set(title=title, xlabel="epoch")
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axis.grid(alpha=0.3)
    if any("label" in style for _, _, style in lines):  # below the panel: inside it would cover what is drawn
        axis.legend(
            fontsize="small", frameon=False, ncols=len(lines), loc="upper center", bbox_to_anchor=(0.5, -0.16),
            columnspacing=1, handlelength=1.4,
        )  # fmt: skip
