"""How every figure is written, and what becomes of the names in it.

Commands that train and evaluate import the modules of their figures at their start: there matplotlib, half a second of
work, is imported by the functions that draw.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from vtdl_cli.text import printable_lines

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def save_figure(figure: Figure, path: Path | IO[bytes], *, dpi: int) -> None:
    """Write a PNG, whatever its path ends in, with the values along its axes in full."""
    _show_whole_values(figure)
    with literal_text(figure):
        if engine := figure.get_layout_engine():
            engine.execute(figure)  # it can change the values along the axes, which that of the drawing fits
        figure.savefig(path, format="png", dpi=dpi)


def _show_whole_values(figure: Figure) -> None:
    """Write 11.99 and 12.01 along an axis, where matplotlib would write -1 and 1, and +1.2e1 at its end."""
    from matplotlib.ticker import ScalarFormatter

    for axis in (axis for each in figure.axes for axis in (each.xaxis, each.yaxis)):
        formatter = axis.get_major_formatter()
        if isinstance(formatter, ScalarFormatter):
            formatter.set_useOffset(False)


@contextmanager
def literal_text(figure: Figure) -> Iterator[None]:
    """Draw or measure text as it was written: names of files and classes may hold any character, dollar signs too.

    The powers of ten along a logarithmic axis, which matplotlib writes as formulas, stay formulas. Characters that no
    font has are drawn as boxes, without a warning.
    """
    from matplotlib.text import Text

    axes = [axis for each in figure.axes for axis in (each.xaxis, each.yaxis)]
    formulas = {label for axis in axes if axis.get_scale() == "log" for label in axis.get_ticklabels(which="both")}
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        text.set_text(printable_lines(text.get_text()))
        text.set_parse_math(text in formulas)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        yield
