"""One self-contained HTML page about a run, without scripts. Functions are named after the part they return."""

import io
from collections.abc import Sequence
from pathlib import Path

from vtdl_cli.analysis.curves import Epoch, draw_curves, group_metrics, name_unit
from vtdl_cli.analysis.report.content import Report, Retrieval
from vtdl_cli.analysis.report.evaluations import (
    accuracy_table,
    evaluation_section,
    format_interval,
    format_percent,
)
from vtdl_cli.analysis.report.markup import Markup, element, image, join, pairs_table, section, table

STYLE = Path(__file__).with_name("style.css")
MAX_SKIPPED = 100  # skipped videos in the table


def render_page(report: Report) -> str:
    """Return the whole page."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"{report.name}: vtdl report"),
        element("style", Markup(STYLE.read_text(encoding="utf-8"))),
    )
    remarks = report.remarks
    sections = (
        section("Accuracy", remarks.get("accuracy", ()), accuracy_table(report.evaluations)),
        *map(evaluation_section, report.evaluations),
        section("Training", remarks.get("training", ()), curves(report.epochs), metrics_table(report.epochs)),
        section("Retrieval", remarks.get("retrieval", ()), *map(retrieval_part, report.retrievals)),
        section("Settings", remarks.get("settings", ()), *settings_parts(report)),
        section("Skipped videos", (), skipped_table(report.skipped)),
        section("Provenance", remarks.get("provenance", ()), pairs_table(report.provenance)),
    )
    header = element("header", element("h1", report.name), element("p", report.summary), tiles(report))
    page = element("html", head, element("body", element("main", header, *sections)), lang="en")
    return f"<!doctype html>\n{page.html}\n"


# ---- header


def tiles(report: Report) -> Markup:
    """Return the most important numbers: accuracies, or without any the last metrics of training."""
    accuracies = [
        tile(format_percent(metrics["top1"]), f"top-1, {metrics['protocol']}", format_interval(metrics, "top1"))
        for metrics in (evaluation.metrics for evaluation in report.evaluations)
    ]
    last = report.epochs[-1] if report.epochs else {}
    of_training = [
        tile(f"{last[name]:.3g}{unit}", label, f"after epoch {last['epoch']:.0f}")
        for name, label, unit in (
            ("knn_top1", "kNN accuracy", "%"),
            ("val_top1", "validation top-1", "%"),
            ("positive_probability", "positive probability", ""),
            ("spread", "embedding spread", ""),
            ("loss", "loss", ""),
        )
        if name in last
    ]
    return element("div", *(accuracies or of_training)[:4], class_="tiles")


def tile(value: str, label: str, detail: str) -> Markup:
    """Return one number with its label."""
    lines = [element("span", text) for text in (label, detail) if text]
    return element("div", element("strong", value), *lines, class_="tile")


# ---- training


def curves(epochs: Sequence[Epoch]) -> Markup:
    """Return a figure for each kind of metric, so that they fit a page of any width."""
    charts = []
    for title, _unit, names in group_metrics(epochs):
        part = [{name: row[name] for name in ("epoch", *names) if name in row} for row in epochs]
        content = io.BytesIO()
        draw_curves({"run": part}, content)
        charts.append(image(content.getvalue(), "png", f"Curve over the epochs: {title}", class_="chart"))
    return element("div", *charts, class_="charts") if charts else Markup("")


def metrics_table(epochs: Sequence[Epoch]) -> Markup:
    """Return all metrics of the first and of the last epoch."""
    if not epochs:
        return Markup("")
    ends = epochs[0], epochs[-1]
    names = [name for name in dict.fromkeys((*ends[0], *ends[1])) if name not in ("epoch", "step")]
    body = [[name_unit(name), *(format_metric(row.get(name)) for row in ends)] for name in names]
    header = ("metric", *(f"epoch {row['epoch']:.0f}" for row in ends))
    summary = element("summary", "Metrics of the first and the last epoch")
    return element("details", summary, table(header, body), open="")


def format_metric(value: float | None) -> str:
    """Format four digits; nothing where an epoch lacks the metric."""
    return "" if value is None else f"{value:.4g}"


# ---- retrieval, settings, skipped videos


def retrieval_part(retrieval: Retrieval) -> Markup:
    """Return the figure of a retrieval, or its numbers."""
    heading = element("h3", retrieval.name)
    if retrieval.figure is None:
        return join([heading, pairs_table(retrieval.values)])
    return join([heading, element("figure", image(retrieval.figure, "png", f"Retrieval: {retrieval.name}"))])


def settings_parts(report: Report) -> list[Markup]:
    """Return the main settings as a table, and all of them folded."""
    parts = [pairs_table(report.settings)]
    if report.configuration:
        folded = element("summary", "The whole configuration")
        parts.append(element("details", folded, element("pre", report.configuration)))
    return parts


def skipped_table(skipped: Sequence[tuple[str, str, str]] | None) -> Markup:
    """Return the first MAX_SKIPPED skipped videos, and the number of the others."""
    if skipped is None:
        return element("p", "Unknown: there is neither a checkpoint nor an evaluation.", class_="legend")
    if not skipped:
        return element("p", "None: every video could be read.", class_="legend")
    parts = [table(("where", "video", "reason"), skipped[:MAX_SKIPPED])]
    if len(skipped) > MAX_SKIPPED:
        parts.append(element("p", f"And {len(skipped) - MAX_SKIPPED} more: see metrics.json.", class_="legend"))
    return join(parts)
