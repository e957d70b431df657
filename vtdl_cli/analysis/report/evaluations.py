"""Evaluations on the page: a table of all accuracies, then each one's confusions, classes and examples.

Functions are named after the part they return.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vtdl_cli.analysis.report.content import ACCURACY_TITLES, ClassScore, Evaluation, Example
from vtdl_cli.analysis.report.markup import Child, Markup, breakable, element, image, join, section, table, thumbnail

MAX_CLASSES = 5  # in the table of the best, and in that of the worst
MACRO_F1_LEGEND = "Macro F1: the harmonic mean of precision and recall, averaged over the classes with test videos."
CLASS_COLUMNS = ("class", "correct (recall)", "", "precision", "F1", "most often misclassified as")


def format_percent(value: Any) -> str:
    """Format one accuracy, or mean and standard deviation of several."""
    if isinstance(value, Mapping):
        return f"{value['mean']:.1f} ± {value['std']:.1f}%"
    return f"{value:.1f}%"


def format_interval(metrics: Mapping[str, Any], name: str) -> str:
    """Format `95%: 77.5 to 95.0`; nothing where the interval is unknown."""
    ends = metrics.get("intervals", {}).get(name)
    return f"95%: {ends[0]:.1f} to {ends[1]:.1f}" if ends else ""


def accuracy_table(evaluations: Sequence[Evaluation]) -> Markup:
    """Return a table with a row for each evaluation."""
    if not evaluations:
        return Markup("")
    names = [name for name in ACCURACY_TITLES if any(name in each.metrics for each in evaluations)]
    rows: list[list[Child]] = [
        [
            each.name,
            str(each.metrics["protocol"]),
            str(each.metrics.get("num_videos", each.metrics.get("num_tests", ""))),
            *(accuracy_cell(each.metrics, name) for name in names),
        ]
        for each in evaluations
    ]
    content = [table(("results", "protocol", "videos", *(ACCURACY_TITLES[name] for name in names)), rows, "accuracy")]
    if any("intervals" in each.metrics for each in evaluations):
        legend = "Small numbers and bars (0 to 100%): 95% confidence intervals over test videos."
        if by_group := [each.name for each in evaluations if each.metrics.get("intervals_by") in ("group", "file")]:
            legend += f" For {', '.join(by_group)}: over recordings, since several videos are cut from each."
        content.append(element("p", legend, class_="legend"))
    if "macro_f1" in names:
        content.append(element("p", MACRO_F1_LEGEND, class_="legend"))
    return join(content)


def accuracy_cell(metrics: Mapping[str, Any], name: str) -> Markup:
    """Return an accuracy, with its interval in numbers and as a bar."""
    if name not in metrics:
        return element("span", "not measured", class_="quiet")
    if name not in metrics.get("intervals", {}):
        return element("span", format_percent(metrics[name]))
    low, high = metrics["intervals"][name]
    ends = element("span", f"{low:.1f} to {high:.1f}", class_="quiet")
    bar = element(
        "span",
        element("i", style=f"left:{low:.2f}%;width:{high - low:.2f}%"),
        element("b", style=f"left:{metrics[name]:.2f}%"),
        class_="interval",
    )
    return join([format_percent(metrics[name]), ends, bar])


def evaluation_section(evaluation: Evaluation) -> Markup:
    """Return confusion matrix, classes and examples of one evaluation; nothing where it has only accuracies."""
    if not (evaluation.classes or evaluation.confusion or evaluation.remarks):
        return Markup("")
    columns = []
    if evaluation.confusion:
        title = f"Confusion matrix of {evaluation.name}"
        columns.append(element("figure", image(evaluation.confusion, "png", title, class_="chart")))
    if evaluation.classes:
        columns.append(element("div", *class_tables(evaluation.classes)))
    protocol = str(evaluation.metrics["protocol"])
    heading = protocol if evaluation.name == protocol else f"{evaluation.name}: {protocol}"
    content = element("div", *columns, class_="columns"), example_cards(evaluation.examples)
    return section(heading, evaluation.remarks, *content)


def class_tables(classes: Sequence[ClassScore]) -> Iterator[Markup]:
    """Yield the best classes, with some correct videos, and the worst, with some incorrect ones; none is in both."""
    perfect = sum(each.correct == each.videos for each in classes)
    best = min(MAX_CLASSES, max(perfect, -(-len(classes) // 2)), sum(each.correct > 0 for each in classes))
    worst = min(MAX_CLASSES, len(classes) - max(best, perfect))
    for title, part in (("Best classes", classes[:best]), ("Worst classes", classes[::-1][:worst])):
        if part:
            yield element("h3", title)
            yield table(CLASS_COLUMNS, [class_row(each) for each in part])


def class_row(each: ClassScore) -> list[Child]:
    """Return the cells of one class."""
    precision = "" if each.precision is None else f"{each.precision:.1f}%"
    recall = f"{each.correct} of {each.videos}"
    return [each.name, recall, share_bar(each), precision, f"{each.f1:.1f}%", each.confused_with]


def share_bar(each: ClassScore) -> Markup:
    """Return the share of correct videos as a bar."""
    share = 100 * each.correct / each.videos
    return element("span", element("i", style=f"left:0;width:{share:.1f}%"), class_="share")


def example_cards(examples: Sequence[Example]) -> Markup:
    """Return thumbnails, correct ones first."""
    groups = []
    for title, correct in (("Correctly classified", True), ("Misclassified", False)):
        cards = [example_card(each) for each in examples if each.correct == correct]
        if cards:
            groups += [element("h3", title), element("div", *cards, class_="cards")]
    return join(groups)


def example_card(example: Example) -> Markup:
    """Return the frame, true class and prediction of one video."""
    frame = (
        element("div", "no frame", class_="blank")
        if example.frame is None
        else thumbnail(example.frame, f"Middle frame of {example.path}")
    )
    prediction = [] if example.correct else [element("span", "predicted ", element("b", example.predicted))]
    caption = (
        element("b", example.true),
        *prediction,
        element("span", f"probability {100 * example.probability:.0f}%", class_="quiet"),
        element("span", *breakable(example.path), class_="path"),
    )
    class_ = "card" if example.correct else "card misclassified"
    return element("figure", frame, element("figcaption", *caption), class_=class_)
