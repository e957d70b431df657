"""How every picture is written."""

import warnings
from pathlib import Path
from typing import IO

from matplotlib.figure import Figure
from matplotlib.text import Text

from vtdl_cli.text import printable_lines


def save_picture(figure: Figure, path: Path | IO[bytes], *, dpi: int) -> None:
    """Write a PNG, whatever its path ends in. Names of others in it may have characters that no font has."""
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        if (plain := printable_lines(text.get_text())) != text.get_text():
            text.set_text(plain)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        figure.savefig(path, format="png", dpi=dpi)
