"""One HTML page of a run: all that it needs lies in it, and it asks for no script."""

import io
from collections.abc import Sequence
from pathlib import Path

from vtdl_cli.analysis.curves import draw_curves, group_metrics
from vtdl_cli.analysis.report.content import Report, Retrieval, Row
from vtdl_cli.analysis.report.markup import Markup, element, join, pairs_table, picture, section, table
from vtdl_cli.analysis.report.results import accuracy_table, interval_words, percent, result_section

STYLE = Path(__file__).with_name("style.css")
SHOWN_SKIPPED = 100


def render(report: Report) -> str:
    """The whole page."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"{report.name}: vtdl report"),
        element("style", Markup(STYLE.read_text(encoding="utf-8"))),
    )
    sections = (
        section("Accuracy", report.notes.get("accuracy", ()), accuracy_table(report.results)),
        *(result_section(result) for result in report.results if result.classes or result.confusion or result.notes),
        section("Training", report.notes.get("training", ()), curves(report.rows), metrics_table(report.rows)),
        section("Retrieval", report.notes.get("retrieval", ()), *map(retrieval, report.retrievals)),
        section("Settings", report.notes.get("settings", ()), *settings(report)),
        section("Skipped videos", (), skipped_table(report.skipped)),
        section("Provenance", report.notes.get("provenance", ()), pairs_table(report.provenance)),
    )
    header = element("header", element("h1", report.name), element("p", report.summary), tiles(report))
    page = element("html", head, element("body", element("main", header, *sections)), lang="en")
    return f"<!doctype html>\n{page.html}\n"


# ---- what stands first


def tiles(report: Report) -> Markup:
    """The numbers that readers look for first."""
    measured = [
        tile(percent(metrics["top1"]), f"top-1, {metrics['protocol']}", interval_words(metrics, "top1"))
        for metrics in (result.metrics for result in report.results)
    ]
    last = report.rows[-1] if report.rows else {}
    of_training = [
        tile(f"{last[name]:.3g}{unit}", label, f"after epoch {last['epoch']:.0f}")
        for name, label, unit in (
            ("knn_top1", "nearest neighbours", "%"),
            ("val_top1", "validation top-1", "%"),
            ("positive_probability", "positive probability", ""),
            ("spread", "embedding spread", ""),
            ("loss", "loss", ""),
        )
        if name in last
    ]
    return element("div", *(measured or of_training)[:4], class_="tiles")


def tile(value: str, label: str, detail: str) -> Markup:
    """One number."""
    lines = [element("span", text) for text in (label, detail) if text]
    return element("div", element("strong", value), *lines, class_="tile")


# ---- training


def curves(rows: Sequence[Row]) -> Markup:
    """A figure for each kind of metric, so that they find their place on any page."""
    charts = []
    for title, _unit, names in group_metrics(rows):
        part = [{name: row[name] for name in ("epoch", *names) if name in row} for row in rows]
        content = io.BytesIO()
        draw_curves({"run": part}, content)
        charts.append(picture(content.getvalue(), "png", f"Curve over the epochs: {title}", class_="chart"))
    return element("div", *charts, class_="charts") if charts else Markup("")


def metrics_table(rows: Sequence[Row]) -> Markup:
    """The health of a run: every metric of the first and of the last epoch."""
    if not rows:
        return Markup("")
    first, last = rows[0], rows[-1]
    names = [name for name in dict.fromkeys((*first, *last)) if name not in ("epoch", "step")]
    body = [[name.replace("_", " "), *(number(row.get(name)) for row in (first, last))] for name in names]
    header = ("metric", *(f"epoch {row['epoch']:.0f}" for row in (first, last)))
    summary = element("summary", "Metrics of the first and the last epoch")
    return element("details", summary, table(header, body), open="")


def number(value: float | None) -> str:
    """Four digits; nothing where an epoch had no such metric."""
    return "" if value is None else f"{value:.4g}"


# ---- the rest


def retrieval(each: Retrieval) -> Markup:
    """Numbers, or a picture."""
    heading = element("h3", each.name)
    if each.picture is None:
        return join([heading, pairs_table(each.values)])
    return join([heading, element("figure", picture(each.picture, "png", f"Retrieval: {each.name}"))])


def settings(report: Report) -> list[Markup]:
    """The main ones as a table, all of them folded."""
    parts = [pairs_table(report.settings)]
    if report.configuration:
        folded = element("summary", "The whole configuration")
        parts.append(element("details", folded, element("pre", report.configuration)))
    return parts


def skipped_table(skipped: Sequence[tuple[str, str, str]] | None) -> Markup:
    """The first of them, and how many more."""
    if skipped is None:
        return element("p", "Unknown: neither a checkpoint nor results are there to tell.", class_="legend")
    if not skipped:
        return element("p", "None: every video could be read.", class_="legend")
    parts = [table(("where", "video", "reason"), skipped[:SHOWN_SKIPPED])]
    if len(skipped) > SHOWN_SKIPPED:
        parts.append(element("p", f"And {len(skipped) - SHOWN_SKIPPED} more: see metrics.json.", class_="legend"))
    return join(parts)
