"""HTML elements from plain data. Functions are named after the element they return.

Whatever is not `Markup` is escaped on its way in, so that no name can break a page.
"""

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from vtdl_cli.analysis.report.content import Pairs, Remark
from vtdl_cli.text import printable_lines

VOID_ELEMENTS = ("img", "meta", "wbr")
THUMBNAIL_PIXELS = 320  # long side: twice what is shown, for high-density screens
JPEG_QUALITY = 85


@dataclass(frozen=True)
class Markup:
    """Finished HTML."""

    html: str


Child = Markup | str


def element(tag: str, *children: Child, **attributes: str) -> Markup:
    """Return `<tag name="value">children</tag>`; `class_` sets the class."""
    opening = "".join(f' {name.rstrip("_")}="{_escape(value)}"' for name, value in attributes.items())
    if tag in VOID_ELEMENTS:
        return Markup(f"<{tag}{opening}>")
    return Markup(f"<{tag}{opening}>{join(children).html}</{tag}>")


def join(children: Sequence[Child]) -> Markup:
    """Return the children one after another."""
    parts = (child.html if isinstance(child, Markup) else _escape(child) for child in children)
    return Markup("".join(parts))


def _escape(text: str) -> str:
    return html.escape(printable_lines(text))


def breakable(path: str) -> list[Child]:
    """Return a path that a narrow page breaks at its slashes, where it can."""
    first, *rest = path.split("/")
    return [first, *(part for name in rest for part in ("/", element("wbr"), name))]


def table(header: Sequence[str], rows: Sequence[Sequence[Child]], class_: str = "") -> Markup:
    """Return a table that scrolls on its own on a narrow page; without a header, the first cell of a row names it."""
    head = [element("thead", element("tr", *(element("th", name, scope="col") for name in header)))] if header else []
    first = "td" if header else "th"
    lines = (element("tr", element(first, row[0]), *(element("td", cell) for cell in row[1:])) for row in rows)
    return element("div", element("table", *head, element("tbody", *lines), class_=class_), class_="scroll")


def pairs_table(pairs: Pairs) -> Markup:
    """Return names and values as a table."""
    return table((), pairs, "pairs") if pairs else Markup("")


def image(content: bytes, kind: str, description: str, **attributes: str) -> Markup:
    """Return an image embedded in the page; `kind` is `png` or `jpeg`."""
    source = f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
    return element("img", src=source, alt=description, **attributes)


def thumbnail(frame: np.ndarray, description: str) -> Markup:
    """Return a small image of a frame (H, W, 3) uint8."""
    small, content = Image.fromarray(frame), io.BytesIO()
    small.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS))
    small.save(content, "jpeg", quality=JPEG_QUALITY)
    return image(content.getvalue(), "jpeg", description)


def section(title: str, remarks: Sequence[Remark], *content: Markup) -> Markup:
    """Return a section with a heading; nothing where it would be empty."""
    sentences = [paragraph(each) for each in remarks]
    if not any(part.html for part in (*content, *sentences)):
        return Markup("")
    return element("section", element("h2", title), *content, *sentences)


def paragraph(remark: Remark) -> Markup:
    """Return a sentence and its command."""
    command = [element("code", remark.command)] if remark.command else []
    return element("p", remark.text, *command, class_="note")
