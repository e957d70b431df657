"""The page as a browser would read it, from plain data with every kind of name in it."""

import base64
import io
from collections.abc import Sequence
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from vtdl_cli.analysis.report.content import ClassScore, Evaluation, Example, Remark, Report, Retrieval
from vtdl_cli.analysis.report.evaluations import class_tables
from vtdl_cli.analysis.report.markup import VOID_ELEMENTS, breakable, element, join, table, thumbnail
from vtdl_cli.analysis.report.page import MAX_SKIPPED, render_page

HOSTILE = """<b>&"it's"</script>"""
METRICS = {
    "protocol": "video@10",
    "num_videos": 40,
    "top1": 62.5,
    "top5": 95.0,
    "mean_class": 61.25,
    "intervals": {"top1": [47.5, 77.5], "top5": [87.5, 100.0], "mean_class": [46.25, 75.75]},
}
EPOCHS = [{"epoch": epoch, "loss": 3 / epoch, "spread": 0.5, "seconds": 2.0} for epoch in (1.0, 2.0)]


class Page(HTMLParser):
    """Reads a page; fails where tags do not nest."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self.feed(content.replace("<wbr>", ""))
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "data", "action", "srcset")]
        if tag not in VOID_ELEMENTS:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text.append(data)


def png() -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(content, "png")
    return content.getvalue()


def full_report(name: str = "run", epochs: Sequence[dict[str, float]] = ()) -> Report:
    frame = np.zeros((30, 40, 3), np.uint8)
    examples = [Example(name, name, name, 0.625, frame), Example(name, name, "other", 0.375, None)]
    classes = [ClassScore(name, 4, 3, 37.5, 50.0, "other"), ClassScore("other", 5, 1, None, 28.5, name)]
    return Report(
        name=name,
        summary=name,
        settings=[(name, name)],
        configuration=f"a: {name}\n",
        epochs=epochs,
        evaluations=[Evaluation(name, METRICS, classes, png(), examples, [Remark(name, name)])],
        retrievals=[Retrieval(name, [(name, name)]), Retrieval("drawn", figure=png())],
        skipped=[(name, name, name)],
        provenance=[(name, name)],
        remarks={"accuracy": [Remark(name, name)]},
    )


def test_render_page__nests_and_holds_everything_in_itself() -> None:
    content = render_page(full_report(epochs=EPOCHS))
    page = Page(content)
    assert page.links
    assert all(link.startswith("data:image/") for link in page.links)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert page.tags.count("img") == 5  # confusion, one example, loss and spread, retrieval
    assert "url(" not in content
    assert "@import" not in content
    assert "http" not in content


def test_render_page__shows_every_number() -> None:
    """Oracle: by hand, from METRICS, EPOCHS and the examples."""
    text = " ".join(Page(render_page(full_report(epochs=EPOCHS))).text)
    for words in (
        "62.5%", "95.0%", "61.2%", "47.5 to 77.5", "87.5 to 100.0", "46.2 to 75.8", "95%: 47.5 to 77.5",
        "3 of 4", "1 of 5", "37.5%", "50.0%", "28.5%", "probability 62%", "probability 38%", "no frame", "1.5", "The whole configuration",
    ):  # fmt: skip
        assert words in text, words


def test_render_page__names_of_any_kind_are_text() -> None:
    """Names with markup in them come out as they went in, and open no tag."""
    page, plain = (Page(render_page(full_report(name))) for name in (HOSTILE, "run"))
    assert page.tags == plain.tags
    assert sum(HOSTILE in text for text in page.text) == sum("run" in text for text in plain.text)


def test_render_page__has_remarks_where_there_is_nothing() -> None:
    page = Page(
        render_page(Report("run", "nothing yet", remarks={"training": [Remark("No curves.", "vtdl pretrain")]}))
    )
    text = " ".join(page.text)
    assert "No curves." in text
    assert "vtdl pretrain" in page.text
    assert "Unknown: there is neither a checkpoint nor an evaluation" in text
    assert "img" not in page.tags
    assert "Accuracy" not in page.text


def test_render_page__many_skipped_videos_are_counted() -> None:
    skipped = [("training", f"video {number}", "empty") for number in range(MAX_SKIPPED + 7)]
    text = " ".join(Page(render_page(Report("run", "", skipped=skipped))).text)
    assert "And 7 more" in text
    assert f"video {MAX_SKIPPED - 1}" in text
    assert f"video {MAX_SKIPPED}" not in text
    assert "None: every video" in " ".join(Page(render_page(Report("run", "", skipped=[]))).text)


def test_render_page__evaluation_without_intervals_and_summary_of_several() -> None:
    several = {name: {"mean": 50.0, "std": 2.5} for name in ("top1", "top5", "mean_class")}
    evaluations = [
        Evaluation("old", {name: value for name, value in METRICS.items() if name != "intervals"}),
        Evaluation("three splits", {"protocol": "video@10", "num_tests": 3, **several}),
    ]
    text = " ".join(Page(render_page(Report("run", "", evaluations=evaluations))).text)
    assert "62.5%" in text
    assert "50.0 ± 2.5%" in text
    assert "bootstrap" not in text


@pytest.mark.parametrize(("number", "best", "worst"), [(1, 1, 0), (3, 2, 1), (10, 5, 5), (101, 5, 5)])
def test_class_tables__no_class_in_both(number: int, best: int, worst: int) -> None:
    classes = [ClassScore(f"class {index}", 200, 200 - index, 50.0, 50.0, "") for index in range(number)]  # best first
    pages = [Page(part.html) for part in class_tables(classes)]
    shown = [text for page in pages for text in page.text if text.startswith("class ")]
    expected = [f"class {index}" for index in range(best)] + [f"class {number - 1 - index}" for index in range(worst)]
    assert shown == expected


def test_element__escapes_children_and_attributes() -> None:
    assert element("p", "<", element("b", "&"), class_='a"b').html == '<p class="a&quot;b">&lt;<b>&amp;</b></p>'
    assert element("img", alt="x").html == '<img alt="x">'


def test_breakable__breaks_after_slashes() -> None:
    """By hand."""
    assert join(breakable("a/b<c/d.mp4")).html == "a/<wbr>b&lt;c/<wbr>d.mp4"
    assert join(breakable("d.mp4")).html == "d.mp4"


def test_render_page__results_named_by_their_protocol_say_it_once() -> None:
    remark = Remark("Something is missing.")
    for name, heading in (("video@10", "video@10"), ("test", "test: video@10")):
        page = render_page(Report("run", "", evaluations=[Evaluation(name, METRICS, remarks=[remark])]))
        assert f"<h2>{heading}</h2>" in page


def test_table__without_header_names_its_rows() -> None:
    assert Page(table((), [("a", "b")]).html).tags == ["div", "table", "tbody", "tr", "th", "td"]
    assert Page(table(("a", "b"), [("c", "d")]).html).tags.count("th") == 2


def test_thumbnail__is_small_and_keeps_its_shape() -> None:
    (link,) = Page(thumbnail(np.zeros((1080, 1920, 3), np.uint8), "wide").html).links
    with Image.open(io.BytesIO(base64.b64decode(link.split(",")[1]))) as image:
        assert image.size == (320, 180)


@pytest.mark.parametrize(
    ("correct", "best", "worst"),
    [
        ([4, 0, 0], ["4 of 4"], ["0 of 4"] * 2),
        ([0, 0], [], ["0 of 4"] * 2),
        ([4, 4, 4], ["4 of 4"] * 3, []),
        ([4, 4, 4, 1], ["4 of 4"] * 3, ["1 of 4"]),
        ([4] * 9 + [3], ["4 of 4"] * 5, ["3 of 4"]),
    ],
)
def test_class_tables__best_has_correct_and_worst_has_incorrect_videos(
    correct: list[int], best: list[str], worst: list[str]
) -> None:
    classes = [
        ClassScore(f"class {index}", 4, number, 50.0, 50.0, "") for index, number in enumerate(correct)
    ]  # best first
    tables = list(class_tables(classes))
    found: dict[str, list[str]] = {"Best classes": [], "Worst classes": []}
    for heading, part in zip(tables[::2], tables[1::2], strict=True):
        found["".join(Page(heading.html).text)] = [text for text in Page(part.html).text if " of " in text]
    assert [*found.values()] == [best, worst]


def test_render_page__evaluation_without_top5() -> None:
    """Of a few classes it is not measured: no column where no result has it."""
    few = {name: value for name, value in METRICS.items() if name != "top5"} | {"intervals_by": "group"}
    text = " ".join(Page(render_page(Report("run", "", evaluations=[Evaluation("few", few)]))).text)
    assert "top-5" not in text
    assert "not measured" not in text
    assert "For few: over recordings" in text
    both = " ".join(
        Page(render_page(Report("run", "", evaluations=[Evaluation("few", few), Evaluation("many", METRICS)]))).text
    )
    assert "top-5" in both
    assert both.count("not measured") == 1
