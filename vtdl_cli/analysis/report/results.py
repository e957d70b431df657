"""Accuracies on the page: a table of all results, and what each was right and wrong about."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vtdl_cli.analysis.report.content import ACCURACY_TITLES, ClassScore, Result, Sample
from vtdl_cli.analysis.report.markup import Child, Markup, element, join, picture, section, table, thumbnail

SHOWN_CLASSES = 5  # best, and as many worst


def percent(value: Any) -> str:
    """One metric, or mean and deviation of several."""
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
    names = [name for name in ACCURACY_TITLES if any(name in result.metrics for result in results)]
    rows: list[list[Child]] = [
        [
            result.name,
            str(result.metrics["protocol"]),
            str(result.metrics.get("num_videos", result.metrics.get("num_tests", ""))),
            *(accuracy_cell(result.metrics, name) for name in names),
        ]
        for result in results
    ]
    content = [table(("results", "protocol", "videos", *(ACCURACY_TITLES[name] for name in names)), rows, "accuracy")]
    if any("intervals" in result.metrics for result in results):
        words = "Small numbers and bars (0 to 100%): 95% intervals, over other videos of the same kind."
        if by_group := [result.name for result in results if result.metrics.get("intervals_by") == "group"]:
            words += f" Of {', '.join(by_group)}: over other recordings, as several videos are cut from each."
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
    """Best and worst; no class stands in both, none of the best is all wrong, none of the worst all right."""
    perfect = sum(each.right == each.videos for each in classes)
    best = min(SHOWN_CLASSES, max(perfect, -(-len(classes) // 2)), sum(each.right > 0 for each in classes))
    worst = min(SHOWN_CLASSES, len(classes) - max(best, perfect))
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
