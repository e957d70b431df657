"""One HTML page of a run: all that it needs lies in it, and it asks for no script."""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vtdl_cli.analysis.curves import PANELS, draw_curves
from vtdl_cli.analysis.markup import Child, Markup, element, join, picture, table, thumbnail

STYLE = Path(__file__).with_name("report.css")
ACCURACIES = {"top1": "top-1", "top5": "top-5", "mean_class": "class mean"}
SHOWN_CLASSES = 5  # best, and as many worst
SHOWN_SKIPPED = 100

Row = Mapping[str, float]
Pairs = Sequence[tuple[str, str]]
"""Names and values."""


@dataclass(frozen=True)
class Note:
    """Why something is not there, and the command that would add it."""

    text: str
    command: str = ""


@dataclass(frozen=True)
class Sample:
    """One test video and what was said of it.

    Attributes:
        path: as the list has it.
        true: name of its class.
        predicted: name of the class that it was taken for.
        probability: of that class, from 0 to 1.
        frame: from its middle, (H, W, 3) uint8; none: it could not be read.
    """

    path: str
    true: str
    predicted: str
    probability: float
    frame: np.ndarray | None


@dataclass(frozen=True)
class ClassScore:
    """One class: how many videos, how many right, and what the others were most often taken for."""

    name: str
    videos: int
    right: int
    confused_with: str


@dataclass(frozen=True)
class Result:
    """One folder of `vtdl evaluate`.

    Attributes:
        name: for people.
        metrics: what metrics.json holds.
        classes: that have videos, best first; empty where unknown.
        confusion: a PNG; none: it is not there.
        samples: right ones first.
        notes: what is not there.
    """

    name: str
    metrics: Mapping[str, Any]
    classes: Sequence[ClassScore] = ()
    confusion: bytes | None = None
    samples: Sequence[Sample] = ()
    notes: Sequence[Note] = ()


@dataclass(frozen=True)
class Retrieval:
    """What a user kept of `vtdl retrieve`: its numbers, or its picture (PNG)."""

    name: str
    values: Pairs = ()
    picture: bytes | None = None


@dataclass(frozen=True)
class Report:
    """All that a page says.

    Attributes:
        name: of the run.
        summary: one line: what it is.
        settings: the main ones.
        configuration: all of them, as YAML; empty where unknown.
        rows: one an epoch, as in metrics.jsonl.
        results: of evaluations.
        retrievals: what was given.
        skipped: (where, path, reason) of every video that could not be read; none: nothing tells.
        provenance: weights, lists, versions.
        notes: by section (`accuracy`, `training`, `settings`, `retrieval`, `provenance`): what is not there.
    """

    name: str
    summary: str
    settings: Pairs = ()
    configuration: str = ""
    rows: Sequence[Row] = ()
    results: Sequence[Result] = ()
    retrievals: Sequence[Retrieval] = ()
    skipped: Sequence[tuple[str, str, str]] | None = None
    provenance: Pairs = ()
    notes: Mapping[str, Sequence[Note]] = field(default_factory=dict)


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
        section("Training", report.notes.get("training", ()), curves(report.rows), readings_table(report.rows)),
        section("Retrieval", report.notes.get("retrieval", ()), *map(retrieval, report.retrievals)),
        section("Settings", report.notes.get("settings", ()), *settings(report)),
        section("Skipped videos", (), skipped_table(report.skipped)),
        section("Provenance", report.notes.get("provenance", ()), pairs_table(report.provenance)),
    )
    header = element("header", element("h1", report.name), element("p", report.summary), tiles(report))
    page = element("html", head, element("body", element("main", header, *sections)), lang="en")
    return f"<!doctype html>\n{page.html}\n"


def section(title: str, notes: Sequence[Note], *content: Markup) -> Markup:
    """A headed part of the page; nothing where it has nothing to say."""
    sentences = [note(each) for each in notes]
    if not any(part.html for part in (*content, *sentences)):
        return Markup("")
    return element("section", element("h2", title), *content, *sentences)


def note(each: Note) -> Markup:
    """A sentence, and its command."""
    command = [element("code", each.command)] if each.command else []
    return element("p", each.text, *command, class_="note")


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


# ---- accuracy


def percent(value: Any) -> str:
    """One reading, or mean and deviation of several."""
    if isinstance(value, Mapping):
        return f"{value['mean']:.1f} ± {value['std']:.1f}%"
    return f"{value:.1f}%"


def interval_words(metrics: Mapping[str, Any], name: str) -> str:
    """`95%: 77.5 to 95.0`, where the interval is known."""
    ends = metrics.get("intervals", {}).get(name)
    return f"95%: {ends[0]:.1f} to {ends[1]:.1f}" if ends else ""


def accuracy_table(results: Sequence[Result]) -> Markup:
    """A row for each result."""
    if not results:
        return Markup("")
    rows: list[list[Child]] = [
        [
            result.name,
            str(result.metrics["protocol"]),
            str(result.metrics.get("num_videos", result.metrics.get("num_tests", ""))),
            *(accuracy_cell(result.metrics, name) for name in ACCURACIES),
        ]
        for result in results
    ]
    content = [table(("results", "protocol", "videos", *ACCURACIES.values()), rows, "accuracy")]
    if any("intervals" in result.metrics for result in results):
        words = "Small numbers and bars (0 to 100%): 95% intervals, by drawing the test videos anew (bootstrap)."
        content.append(element("p", words, class_="legend"))
    return join(content)


def accuracy_cell(metrics: Mapping[str, Any], name: str) -> Markup:
    """The number, and its interval in numbers and as a bar."""
    if name not in metrics:
        return element("span", "not measured", class_="quiet")
    if name not in metrics.get("intervals", {}):
        return element("span", percent(metrics[name]))
    low, high = metrics["intervals"][name]
    words = element("span", f"{low:.1f} to {high:.1f}", class_="quiet")
    bar = element(
        "span",
        element("i", style=f"left:{low:.2f}%;width:{high - low:.2f}%"),
        element("b", style=f"left:{metrics[name]:.2f}%"),
        class_="interval",
    )
    return join([percent(metrics[name]), words, bar])


def result_section(result: Result) -> Markup:
    """Confusion, classes and samples of one evaluation."""
    columns = []
    if result.confusion:
        title = f"Confusion matrix of {result.name}"
        columns.append(element("figure", picture(result.confusion, "png", title, class_="chart")))
    if result.classes:
        columns.append(element("div", *class_tables(result.classes)))
    heading = f"{result.name}: {result.metrics['protocol']}"
    return section(heading, result.notes, element("div", *columns, class_="columns"), samples(result.samples))


def class_tables(classes: Sequence[ClassScore]) -> Iterator[Markup]:
    """Best and worst; no class stands in both."""
    best = min(SHOWN_CLASSES, -(-len(classes) // 2))
    worst = min(SHOWN_CLASSES, len(classes) - best)
    for title, part in (("Best classes", classes[:best]), ("Worst classes", classes[::-1][:worst])):
        if part:
            yield element("h3", title)
            yield table(("class", "right", "", "taken most often for"), [class_row(each) for each in part])


def class_row(each: ClassScore) -> list[Child]:
    """One class of such a table."""
    return [each.name, f"{each.right} of {each.videos}", share_bar(each), each.confused_with]


def share_bar(each: ClassScore) -> Markup:
    """How much of a class was right."""
    share = 100 * each.right / each.videos
    return element("span", element("i", style=f"left:0;width:{share:.1f}%"), class_="share")


def samples(chosen: Sequence[Sample]) -> Markup:
    """Thumbnails, right ones first."""
    groups = []
    for title, is_right in (("Rightly classified", True), ("Wrongly classified", False)):
        cards = [card(each) for each in chosen if (each.true == each.predicted) == is_right]
        if cards:
            groups += [element("h3", title), element("div", *cards, class_="cards")]
    return join(groups)


def card(sample: Sample) -> Markup:
    """One video: its picture, what it is, what it was taken for."""
    seen = (
        element("div", "no picture", class_="blank")
        if sample.frame is None
        else thumbnail(sample.frame, f"Middle frame of {sample.path}")
    )
    is_right = sample.true == sample.predicted
    said: list[Child] = [] if is_right else [element("span", "taken for ", element("b", sample.predicted))]
    caption = (
        element("b", sample.true),
        *said,
        element("span", f"{100 * sample.probability:.0f}% probable", class_="quiet"),
        element("span", sample.path, class_="path"),
    )
    return element("figure", seen, element("figcaption", *caption), class_="card right" if is_right else "card wrong")


# ---- training


def curves(rows: Sequence[Row]) -> Markup:
    """A picture for each kind of reading, so that they find their place on any page."""
    charts = []
    for title, _unit, names in PANELS:
        part = [{name: row[name] for name in ("epoch", *names) if name in row} for row in rows]
        if any(len(row) > 1 for row in part):
            content = io.BytesIO()
            draw_curves({"run": part}, content)
            charts.append(picture(content.getvalue(), "png", f"Curve over the epochs: {title}", class_="chart"))
    return element("div", *charts, class_="charts") if charts else Markup("")


def readings_table(rows: Sequence[Row]) -> Markup:
    """The health of a run: every reading of the first and of the last epoch."""
    if not rows:
        return Markup("")
    first, last = rows[0], rows[-1]
    names = [name for name in dict.fromkeys((*first, *last)) if name not in ("epoch", "step")]
    body = [[name.replace("_", " "), *(number(row.get(name)) for row in (first, last))] for name in names]
    header = ("reading", *(f"epoch {row['epoch']:.0f}" for row in (first, last)))
    summary = element("summary", "Readings of the first and the last epoch")
    return element("details", summary, table(header, body), open="")


def number(value: float | None) -> str:
    """Four digits; nothing where an epoch had no such reading."""
    return "" if value is None else f"{value:.4g}"


# ---- the rest


def retrieval(each: Retrieval) -> Markup:
    """Numbers, or a picture."""
    heading = element("h3", each.name)
    if each.picture is None:
        return join([heading, pairs_table(each.values)])
    return join([heading, element("figure", picture(each.picture, "png", f"Retrieval: {each.name}", class_="chart"))])


def settings(report: Report) -> list[Markup]:
    """The main ones as a table, all of them folded."""
    parts = [pairs_table(report.settings)]
    if report.configuration:
        folded = element("summary", "The whole configuration")
        parts.append(element("details", folded, element("pre", report.configuration)))
    return parts


def pairs_table(pairs: Pairs) -> Markup:
    """Names and values."""
    return table((), pairs, "pairs") if pairs else Markup("")


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
