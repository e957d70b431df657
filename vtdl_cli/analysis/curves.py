"""Curves of one training, or of several side by side."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from vtdl_cli.analysis.figure import save_figure

PANELS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("loss", "", ("loss", "val_loss")),
    ("probability", "", ("_probability",)),
    ("logit", " (cosine / temperature)", ("_logit",)),
    ("accuracy", " (%)", ("_top1", "_top5")),
    ("embedding spread", "", ("spread",)),
    ("learning rate", "", ("lr",)),
)
"""Title, unit, and the metrics that share a panel of one run, by name or, with a leading `_`, by suffix: a method's
metrics find their panels by their names. Other metrics are not drawn."""

PERCENTAGES = ("_top1", "_top5", "_mean_class", "_macro_f1")  # what metrics in percent end in
PANEL_INCHES = (3.2, 2.5)  # width and height: of three side by side, 500 pixels wide, the text can be read
TITLE_CHARACTERS = 36  # of a title that fits above a panel on one line; of a longer one the unit comes below
LEGEND_CHARACTERS = 26  # of names that fit below a panel on one line
FEW_EPOCHS = 30  # fewer are marked one by one
CYCLE_COLOURS = 10  # of matplotlib's default cycle; further runs repeat them with another line style
LINE_STYLES = ("-", "--", ":", "-.")

Epoch = Mapping[str, float]
"""A line of metrics.jsonl: the number of an `epoch`, and its metrics."""

Line = tuple[str, Sequence[Epoch], dict[str, Any]]  # metric, epochs, and matplotlib's style


def draw_curves(runs: Mapping[str, Sequence[Epoch]], path: Path | IO[bytes]) -> None:
    """Write a PNG of the metrics over the epochs.

    One run has a panel for each kind of metric, with the metrics' names below it. Several runs have a panel for each
    metric, a line for each run, and one legend.

    Args:
        runs: epochs of each run by its name; none is empty.
        path: of the PNG, whatever its suffix, or a file object.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    panels = list(_panels_of_one(*runs.values()) if len(runs) == 1 else _panels_of_several(runs))
    columns = min(3, len(panels))
    lines = -(-len(panels) // columns)
    beside = 0 if len(runs) == 1 else 0.7 + 0.085 * max(map(len, runs))  # inches, of the legend
    figure = Figure(figsize=(PANEL_INCHES[0] * columns + beside, PANEL_INCHES[1] * lines), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False).flatten()
    epochs = [row["epoch"] for rows in runs.values() for row in rows]
    margin = 0.04 * (max(epochs) - min(epochs)) or 0.5
    for axis, (title, drawn) in zip(axes, panels, strict=False):
        _draw_panel(axis, title, drawn)
        axis.set_xlim(min(epochs) - margin, max(epochs) + margin)  # shared: some metrics have few epochs
    for unused in axes[len(panels) :]:
        unused.set_visible(False)
    if len(runs) > 1:
        named = dict(_styles(runs))
        handles = [Line2D([], [], **style) for style in named.values()]
        figure.legend(handles, list(named), loc="outside right upper")
    save_figure(figure, path, dpi=140)


def group_metrics(epochs: Sequence[Epoch]) -> Iterator[tuple[str, str, list[str]]]:
    """Yield title, unit and metrics of each panel of PANELS that these epochs have metrics for."""
    names = list(dict.fromkeys(name for row in epochs for name in row))
    for title, unit, kinds in PANELS:
        if found := [name for name in names if any(_is_of_kind(name, kind) for kind in kinds)]:
            yield title, unit, found


def title_metric(name: str) -> str:
    """Return a metric's name for readers: `intra-video negative logit`, `val top-1`."""
    for ours, readers in (("intra_video", "intra-video"), ("top1", "top-1"), ("top5", "top-5"), ("_", " ")):
        name = name.replace(ours, readers)
    return name


def name_unit(name: str) -> str:
    """Return a metric's name for readers, with its unit: `val top-1 (%)`, `seconds`; most metrics have none."""
    return title_metric(name) + (" (%)" if name.endswith(PERCENTAGES) else "")


def _is_of_kind(name: str, kind: str) -> bool:
    return name.endswith(kind) if kind.startswith("_") else name == kind


def _panels_of_one(epochs: Sequence[Epoch]) -> Iterator[tuple[str, list[Line]]]:
    """Yield title and lines of each panel: one for each kind of metric, each line labelled without the kind's name."""
    for title, unit, names in group_metrics(epochs):
        if len(names) > 1:
            labels = [title_metric(name.removesuffix(f"_{title}")) for name in names]
            yield title + unit, [(name, epochs, {"label": label}) for name, label in zip(names, labels, strict=True)]
        else:
            yield _title(title, unit, names[0]), [(names[0], epochs, {})]


def _panels_of_several(runs: Mapping[str, Sequence[Epoch]]) -> Iterator[tuple[str, list[Line]]]:
    """Yield title and lines of each panel: one for each metric, a line for each run that has it."""
    for title, unit, names in group_metrics([row for epochs in runs.values() for row in epochs]):
        for name in names:
            lines: list[Line] = [
                (name, runs[run], style) for run, style in _styles(runs) if any(name in row for row in runs[run])
            ]
            yield _title(title, unit, name), lines


def _title(title: str, unit: str, name: str) -> str:
    """Title a panel with a single metric of its kind."""
    return (title_metric(name) if "_" in name else title) + unit


def _styles(runs: Mapping[str, Sequence[Epoch]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the style of each run, the same in every panel: all colours, then all again with another line style."""
    for number, run in enumerate(runs):
        style = LINE_STYLES[number // CYCLE_COLOURS % len(LINE_STYLES)]
        yield run, {"color": f"C{number % CYCLE_COLOURS}", "linestyle": style}


def _draw_panel(axis: Any, title: str, lines: Sequence[Line]) -> None:
    from matplotlib.ticker import MaxNLocator

    for name, rows, style in lines:
        points = [(row["epoch"], row[name]) for row in rows if name in row]
        axis.plot(*zip(*points, strict=True), marker="." if len(points) < FEW_EPOCHS else None, **style)
    axis.set(title=title if len(title) <= TITLE_CHARACTERS else title.replace(" (", "\n("), xlabel="epoch")
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axis.grid(alpha=0.3)
    if labels := [style["label"] for _, _, style in lines if "label" in style]:
        fits = sum(map(len, labels)) <= LEGEND_CHARACTERS
        axis.legend(  # below the panel, where it covers no line
            fontsize="small", frameon=False, ncols=len(labels) if fits else 2, loc="upper center",
            bbox_to_anchor=(0.5, -0.22), columnspacing=1, handlelength=1.4,
        )  # fmt: skip
