"""Output for the user: Rich on a terminal, plain lines in a pipe, JSON on request."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.table import Column, Table

from vtdl_cli import ranks
from vtdl_cli.runtime import Progress, Reporter, SilentReporter
from vtdl_cli.text import printable, result_rows

PLAIN_EVERY = 50  # steps between two lines in a pipe
BAR_FROM_WIDTH = 100  # characters; narrower terminals show the numbers without a bar
JSON_ONLY = ("preset", "triplets", "times", "draws", "neighbours", "gallery_weights_sha256", "query_weights_sha256")
"""Keys of results that tables leave out: a file of settings, tables of their own, every value behind a mean, hashes."""


def print_line(line: str) -> None:
    """Print one line on stderr."""
    sys.stderr.write(f"{printable(line)}\n")


def make_reporter(quiet: bool) -> Reporter:
    """Return the reporter for this run: it prints to stderr, since stdout is for results, and only on rank 0."""
    if not ranks.is_rank_0():
        return SilentReporter()
    return ConsoleReporter(Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False), quiet)


class ConsoleReporter:
    """Prints lines, progress, and each warning once, however often an epoch, a list or part of an ablation repeats it.

    Args:
        console: where to print.
        quiet: print warnings only.
    """

    def __init__(self, console: Console, quiet: bool) -> None:
        self.console, self.quiet = console, quiet
        self._bars: RichProgress | None = None
        self._warned = set[str]()

    def line(self, text: str) -> None:
        """Print one line, above the progress bar."""
        if not self.quiet:
            self.console.print(printable(text), markup=False, emoji=False)

    def warn(self, text: str) -> None:
        """Print one line that begins with `warning:`, even if quiet, unless it has been printed before."""
        if text in self._warned:
            return
        self._warned.add(text)
        self.console.print(f"warning: {printable(text)}", markup=False, emoji=False, style="yellow")

    @contextmanager
    def progress(self, total: int, description: str, start: int = 0) -> Iterator[Progress]:
        """Show a bar on a terminal, below the bar of an enclosing task, or lines in a pipe."""
        if self.quiet:
            yield SilentReporter()
        elif not self.console.is_terminal:
            yield PlainBar(self, total, description, start)
        elif self._bars is not None:
            bar = Bar(self._bars, total, description, start)
            yield bar
            bar.remove()
        else:
            with _bars(self.console) as self._bars:
                yield Bar(self._bars, total, description, start)
            self._bars = None


def _bars(console: Console) -> RichProgress:
    """Return bars whose fields come last and are cut where they do not fit: all else keeps its width."""
    return RichProgress(
        TextColumn("{task.description}", markup=False),
        *([BarColumn(bar_width=24)] if console.width >= BAR_FROM_WIDTH else []),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("left "),
        TextColumn("{task.fields[shown]}", markup=False, table_column=Column(ratio=1, no_wrap=True)),
        console=console,
        expand=True,
    )


class Bar:
    """A progress bar of Rich."""

    def __init__(self, bars: RichProgress, total: int, description: str, start: int) -> None:
        self.bars = bars
        self.task: TaskID = bars.add_task(printable(description), total=total, completed=start, shown="")

    def advance(self, n: int = 1, **fields: str) -> None:
        """Advance by `n` steps, and show the fields if there are any."""
        shown = {"shown": _join(fields)} if fields else {}
        self.bars.update(self.task, advance=n, **shown)  # type: ignore[arg-type]  # a field, not a parameter

    def remove(self) -> None:
        """Remove the bar from the screen."""
        self.bars.remove_task(self.task)


class PlainBar:
    """Progress for a pipe: a plain line every PLAIN_EVERY steps and at the end."""

    def __init__(self, reporter: ConsoleReporter, total: int, description: str, start: int) -> None:
        self.reporter, self.total, self.description, self.done = reporter, total, description, start
        self.shown = ""

    def advance(self, n: int = 1, **fields: str) -> None:
        """Advance by `n` steps, and print a line if one is due."""
        before, self.done = self.done, self.done + n
        self.shown = _join(fields) if fields else self.shown
        if self.done // PLAIN_EVERY > before // PLAIN_EVERY or self.done >= self.total:
            self.reporter.line(f"{self.description} {self.done}/{self.total} {self.shown}".rstrip())


def _join(fields: Mapping[str, str]) -> str:
    return "  ".join(f"{name} {printable(value)}" for name, value in fields.items())


def print_result(result: Mapping[str, Any], as_json: bool, title: str) -> None:
    """Print a command's result on stdout, as JSON or as a table."""
    if as_json:
        sys.stdout.write(json.dumps(result, indent=2) + "\n")
        return
    console = Console(highlight=False, markup=False, emoji=False)  # names are printed unchanged
    table = Table(title=printable(title), show_header=False, title_justify="left", pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in result_rows(result, leave_out=JSON_ONLY):
        table.add_row(printable(name), printable(value))
    console.print(table)


def print_columns(columns: Mapping[str, Mapping[str, Any]], title: str) -> None:
    """Print columns by name, which have the same rows, as a table on stdout."""
    table = Table("", title=printable(title), title_justify="left", pad_edge=False)
    for name in columns:
        table.add_column(printable(name), justify="right")
    for name in next(iter(columns.values())):
        table.add_row(printable(name), *(printable(str(column[name])) for column in columns.values()))
    Console(highlight=False, markup=False, emoji=False).print(table)
