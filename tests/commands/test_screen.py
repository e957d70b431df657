"""Output for the user: bars on a terminal, plain lines in a pipe."""

import io
import json
import re

import pytest
from rich.console import Console

from vtdl_cli.commands.screen import PLAIN_EVERY, ConsoleReporter, print_result


def make_console(*, terminal: bool, quiet: bool = False, width: int = 120) -> tuple[ConsoleReporter, io.StringIO]:
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=width, soft_wrap=True, color_system=None)
    return ConsoleReporter(console, quiet), text


def test_plain_bar__one_every_so_many_steps_and_the_last() -> None:
    reporter, text = make_console(terminal=False)
    with reporter.progress(2 * PLAIN_EVERY + 3, "pretrain", start=10) as bar:
        for step in range(2 * PLAIN_EVERY - 7):
            bar.advance(1, loss=str(step))
    lines = text.getvalue().splitlines()
    assert [line.split("  ")[0] for line in lines] == [
        "pretrain 50/103 loss 39",
        "pretrain 100/103 loss 89",
        "pretrain 103/103 loss 92",
    ]


def test_plain_bar__big_strides_print_one_line() -> None:
    reporter, text = make_console(terminal=False)
    with reporter.progress(300, "features") as bar:
        bar.advance(160)
        bar.advance(140)
    assert text.getvalue() == "features 160/300\nfeatures 300/300\n"


def test_reporter__markup_of_others_is_left_alone() -> None:
    reporter, text = make_console(terminal=False)
    reporter.line("[red]not ours[/red]")
    reporter.warn("skipped video '[a].mp4'")
    assert text.getvalue() == "[red]not ours[/red]\nwarning: skipped video '[a].mp4'\n"


def test_reporter__quiet_still_warns() -> None:
    reporter, text = make_console(terminal=True, quiet=True)
    reporter.line("a")
    reporter.warn("b")
    with reporter.progress(3, "c") as bar:
        bar.advance(3, loss="1")
    assert text.getvalue() == "warning: b\n"


def test_reporter__each_warning_once() -> None:
    reporter, text = make_console(terminal=False)
    for said in ("a", "b", "a"):
        reporter.warn(said)
    assert text.getvalue() == "warning: a\nwarning: b\n"


def test_bar__shows_fields_and_a_bar_below_it() -> None:
    reporter, text = make_console(terminal=True)
    with reporter.progress(10, "pretrain", start=4) as outer:
        outer.advance(1, loss="2.345")
        with reporter.progress(3, "kNN") as inner:
            inner.advance(3)
        reporter.line("epoch 1/2")
    shown = text.getvalue()
    for part in ("pretrain", "5/10", "loss 2.345", "epoch 1/2", "left"):
        assert part in shown
    with reporter.progress(2, "again") as bar:
        bar.advance(2)
    assert "again" in text.getvalue()


FIELDS = {"loss": "3.960", "positive": "0.026", "lr": "0.0005", "clips/s": "25.3", "data time": "23%"}


@pytest.mark.parametrize("width", [70, 80, 100, 120])
@pytest.mark.parametrize("title", ["pretrain", "finetune (may stop early)"])
def test_bar__narrow_terminals_cut_the_fields_and_never_count_and_time(width: int, title: str) -> None:
    """Each bar is one line, no wider than the terminal; the bar itself is drawn where there is room for it."""
    reporter, text = make_console(terminal=True, width=width)
    with reporter.progress(12345, title, start=4000) as outer:
        outer.advance(1, **FIELDS)
        with reporter.progress(3000, "kNN"):
            reporter.line("drawn")
    shown = re.sub(r"\x1b\[[\d?]*[A-Za-z]", "", text.getvalue()).split("drawn\n")[1]
    first, second = (line.rstrip() for line in re.split(r"[\r\n]+", shown)[:2])
    bar = " +[━╸]+" if width >= 100 else ""
    assert re.fullmatch(rf"{re.escape(title)}{bar} +4001/12345 -:--:-- left  loss 3\.960 .*…", first)
    assert re.fullmatch(r"kNN[ ━╸]+0/3000 +-:--:-- left", second)
    assert len(first) <= width


def test_print_result__json_is_parsed_back(capsys: pytest.CaptureFixture[str]) -> None:
    result = {"a": 1.23456789, "b": {"c": [1, 2]}, "d": None}
    print_result(result, True, "title")
    assert json.loads(capsys.readouterr().out) == result


def test_print_result__table_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    print_result(
        {"top_1": 1 / 3, "skipped": [{"path": "[x]"}], "best": {"epoch": 2}, "name": "[x]"}, False, "evaluated"
    )
    shown = capsys.readouterr().out
    assert shown.startswith("evaluated")
    for part in ("top_1", "0.3333", "best: epoch", "[x]"):
        assert part in shown


@pytest.mark.parametrize("name", ["bridge_down", "[red]bold[/red]", ":smile:", "[/]", "a\\[b]", "$x_1$"])
def test_print_result__names_are_printed_unchanged(capsys: pytest.CaptureFixture[str], name: str) -> None:
    """Class, file and folder names are in keys, values and titles."""
    print_result({"classes": {name: {"train": 1}}, "weights": name}, False, f"lists: {name}")
    assert capsys.readouterr().out.count(name) == 3
    for terminal in (True, False):
        reporter, text = make_console(terminal=terminal)
        reporter.line(name)
        reporter.warn(name)
        with reporter.progress(1, name) as bar:
            bar.advance(1, loss=name)
        assert text.getvalue().count(name) >= 4
