"""What a command shows on a terminal, as an SVG: `python -m tests.terminal_picture .pictures/help.svg vtdl --help`."""

import os
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

WIDTH = 96  # characters


def main(out: Path, command: list[str]) -> None:
    """Run a command as if on a terminal, and draw what it shows."""
    terminal = {"COLUMNS": str(WIDTH), "FORCE_COLOR": "1", "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    done = subprocess.run(command, env=os.environ | terminal, stdout=subprocess.PIPE, text=True, check=True)
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=WIDTH, file=nowhere, force_terminal=True)
        console.print(Text.from_ansi(done.stdout.strip("\n")))
        out.write_text(console.export_svg(title=" ".join(command), unique_id="terminal"), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
