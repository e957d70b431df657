"""What users see: Rich on a terminal, plain lines in a pipe, JSON where it was asked for."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.table import Table

from vtdl_cli import ranks
from vtdl_cli.runtime import Progress, Reporter, SilentReporter
from vtdl_cli.text import printable

PLAIN_EVERY = 50  # steps between two lines in a pipe
JSON_ONLY = ("preset",)  # of results: a whole file of settings


def say(line: str) -> None:
    """Print one line on stderr."""
    sys.stderr.write(f"{printable(line)}\n")


def speaker(quiet: bool) -> Reporter:
    """The reporter for this run: everything goes to stderr, stdout is for results; of several processes one speaks."""
    if not ranks.is_rank_0():
        return SilentReporter()
    return Speaker(Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False), quiet)


class Speaker:
    """Lines and bars on stderr.

    Args:
        console: where to.
        quiet: warnings only.
    """

    def __init__(self, console: Console, quiet: bool) -> None:
        self.console, self.quiet = console, quiet
        self._bars: RichProgress | None = None

    def line(self, text: str) -> None:
        """Print one line, above a running bar."""
        if not self.quiet:
            self.console.print(printable(text), markup=False, emoji=False)

    def warn(self, text: str) -> None:
        """Print one line that begins with `warning:`, however quiet."""
        self.console.print(f"warning: {printable(text)}", markup=False, emoji=False, style="yellow")

    @contextmanager
    def progress(self, total: int, description: str, start: int = 0) -> Iterator[Progress]:
        """A bar on a terminal, and below the bar of the work that it is a part of; lines in a pipe."""
        if self.quiet:
            yield SilentReporter()
        elif not self.console.is_terminal:
            yield Lines(self, total, description, start)
        elif self._bars is not None:
            bar = Bar(self._bars, total, description, start)
            yield bar
            bar.remove()
        else:
            with _bars(self.console) as self._bars:
                yield Bar(self._bars, total, description, start)
            self._bars = None


def _bars(console: Console) -> RichProgress:
    return RichProgress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[shown]}", markup=False),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=console,
    )


class Bar:
    """One of Rich's bars."""

    def __init__(self, bars: RichProgress, total: int, description: str, start: int) -> None:
        self.bars = bars
        self.task: TaskID = bars.add_task(printable(description), total=total, completed=start, shown="")

    def advance(self, n: int = 1, **fields: str) -> None:
        """Move on, and show the fields where there are any."""
        shown = {"shown": _join(fields)} if fields else {}
        self.bars.update(self.task, advance=n, **shown)  # type: ignore[arg-type]  # a field, not a parameter

    def remove(self) -> None:
        """Take the bar off the screen."""
        self.bars.remove_task(self.task)


class Lines:
    """A bar for a pipe: a plain line every PLAIN_EVERY steps and at the end."""

    def __init__(self, speaker: Speaker, total: int, description: str, start: int) -> None:
        self.speaker, self.total, self.description, self.done = speaker, total, description, start
        self.shown = ""

    def advance(self, n: int = 1, **fields: str) -> None:
        """Move on, and print a line where one is due."""
        before, self.done = self.done, self.done + n
        self.shown = _join(fields) if fields else self.shown
        if self.done // PLAIN_EVERY > before // PLAIN_EVERY or self.done >= self.total:
            self.speaker.line(f"{self.description} {self.done}/{self.total} {self.shown}".rstrip())


def _join(fields: Mapping[str, str]) -> str:
    return "  ".join(f"{name} {printable(value)}" for name, value in fields.items())


def show(result: Mapping[str, Any], as_json: bool, title: str) -> None:
    """Print a command's result on stdout: as JSON, or as a table for people."""
    if as_json:
        sys.stdout.write(json.dumps(result, indent=2) + "\n")
        return
    console = Console(highlight=False, markup=False, emoji=False)  # names are printed as they are
    table = Table(title=printable(title), show_header=False, title_justify="left", pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in flatten(result):
        table.add_row(printable(name), printable(value))
    console.print(table)


def flatten(result: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Rows of a nested result, by the names that JSON has, as some are classes or files; numbers keep four digits."""
    for name, value in result.items():
        label = f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield from flatten(value, f"{label}: ")
        elif isinstance(value, float):
            yield label, f"{value:.4g}"
        elif isinstance(value, list):
            yield label, _listed(value)
        elif name not in JSON_ONLY:
            yield label, "none" if value is None else str(value)


def _listed(values: list[Any]) -> str:
    """Whole numbers are a shape, two others the ends of an interval; of any other list its length is told."""
    if values and all(isinstance(value, int) for value in values):
        return " x ".join(map(str, values))
    if len(values) == 2 and all(isinstance(value, float) for value in values):
        return f"{values[0]:.4g} to {values[1]:.4g}"
    return str(len(values))
