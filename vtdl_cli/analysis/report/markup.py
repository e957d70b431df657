"""HTML out of plain data: whatever is not `Markup` yet is escaped on its way in, so that no name can break a page."""

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from vtdl_cli.analysis.report.content import Note, Pairs
from vtdl_cli.text import printable_lines

WITHOUT_END = ("img", "meta")
THUMBNAIL_PIXELS = 320  # of the long side: twice what is shown, for sharp screens
JPEG_QUALITY = 85


@dataclass(frozen=True)
class Markup:
    """HTML that is ready."""

    html: str


Child = Markup | str


def element(tag: str, *children: Child, **attributes: str) -> Markup:
    """`<tag name="value">children</tag>`; `class_` stands for class."""
    opening = "".join(f' {name.rstrip("_")}="{_escape(value)}"' for name, value in attributes.items())
    if tag in WITHOUT_END:
        return Markup(f"<{tag}{opening}>")
    return Markup(f"<{tag}{opening}>{join(children).html}</{tag}>")


def join(children: Sequence[Child]) -> Markup:
    """One after another."""
    parts = (child.html if isinstance(child, Markup) else _escape(child) for child in children)
    return Markup("".join(parts))


def _escape(text: str) -> str:
    return html.escape(printable_lines(text))


def table(header: Sequence[str], rows: Sequence[Sequence[Child]], class_: str = "") -> Markup:
    """A table that scrolls by itself where a page is narrow; no header: the first cell of each row names it."""
    head = [element("thead", element("tr", *(element("th", name, scope="col") for name in header)))] if header else []
    first = "td" if header else "th"
    lines = (element("tr", element(first, row[0]), *(element("td", cell) for cell in row[1:])) for row in rows)
    return element("div", element("table", *head, element("tbody", *lines), class_=class_), class_="scroll")


def picture(content: bytes, kind: str, description: str, **attributes: str) -> Markup:
    """A picture that lies in the page itself; `kind` is `png` or `jpeg`."""
    source = f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
    return element("img", src=source, alt=description, **attributes)


def thumbnail(frame: np.ndarray, description: str) -> Markup:
    """A small picture of a frame (H, W, 3) uint8."""
    image, content = Image.fromarray(frame), io.BytesIO()
    image.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS))
    image.save(content, "jpeg", quality=JPEG_QUALITY)
    return picture(content.getvalue(), "jpeg", description)


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


def pairs_table(pairs: Pairs) -> Markup:
    """Names and values."""
    return table((), pairs, "pairs") if pairs else Markup("")
