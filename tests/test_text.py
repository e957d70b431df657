"""What is printable stays as it is, and nothing else reaches a terminal; names are counted in words."""

import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from tests.toy import Toy, error_lines, refuse, succeed, vtdl
from vtdl_cli.analysis.report.markup import element
from vtdl_cli.errors import ConfigError, UnreadableVideo, UsageError
from vtdl_cli.text import brief_number, count_names, counted, printable, printable_lines, result_rows, shorten

CLEAR = "\x1b[2J\x1b]0;owned\x07"  # clears the screen and names the window
NASTY = f"a{CLEAR}\nerror: forged [red]"
SHOWN = r"a\x1b[2J\x1b]0;owned\x07\nerror: forged [red]"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (NASTY, SHOWN),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("a\u2028b\u2029c\x85d\x9be\x7f", r"a\u2028b\u2029c\x85d\x9be\x7f"),
        ("\udcff.mp4", r"\udcff.mp4"),  # what Python makes of the byte FF in a file name
        ("Übung 漢字 \u200d🤸🏽\u200d♀️ é.mp4", "Übung 漢字 \u200d🤸🏽\u200d♀️ é.mp4"),
        ("back\\slash", "back\\slash"),
    ],
)  # by hand
def test_printable__escapes_what_acts(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("number", "words", "said"),
    [
        (1, ("video",), "1 video"),
        (0, ("video",), "0 videos"),
        (2, ("class",), "2 classes"),
        (3, ("batch", "batches"), "3 batches"),
        (2, ("query",), "2 queries"),
        (2, ("key",), "2 keys"),
        (1.0, ("epoch",), "1 epoch"),
        (0.5, ("epoch",), "0.5 epochs"),
        (1, ("video is", "videos are"), "1 video is"),
        (2, ("video is", "videos are"), "2 videos are"),
    ],
)  # by hand
def test_counted__agrees_with_the_number(number: float, words: tuple[str, ...], said: str) -> None:
    assert counted(number, *words) == said


def test_printable__leaves_no_control_character() -> None:
    """Oracle: Unicode's own categories, over all characters."""
    every = "".join(map(chr, range(sys.maxunicode + 1)))
    left = {unicodedata.category(each) for each in printable(every)}
    assert not left & {"Cc", "Cs", "Zl", "Zp"}
    assert "Cf" in left  # joiners, which scripts and emoji need


def test_printable_lines__keeps_breaks() -> None:
    assert printable_lines("a\nb\x1b") == "a\nb\\x1b"


def test_errors__lines() -> None:
    assert ConfigError("one", "two").lines == ("one", "two")
    assert str(ConfigError("one", "two")) == "one\ntwo"
    assert UsageError("a\nb").lines == ("a\nb",)
    assert UnreadableVideo("x.mp4", "short").lines == ("video 'x.mp4' cannot be read: short",)


@pytest.mark.parametrize("option", ["--train-list", "--weights", "--out", "--preset", "--set", "--list-columns"])
def test_options__cannot_act_on_the_terminal(toy: Toy, tmp_path: Path, option: str) -> None:
    out = ("--out", f"{toy.preset}/{NASTY}") if option == "--out" else ("--out", str(tmp_path / "run"))
    result = vtdl(*toy.pretrain(tmp_path / "run", *out, *((option, NASTY) if option != "--out" else ())))
    assert result.exit_code in (1, 2)
    (line,) = error_lines(result)
    assert "\x1b" not in result.output
    assert SHOWN in line


@pytest.mark.usefixtures("real_pictures")
def test_list__names_cannot_act_on_the_terminal(toy: Toy, tmp_path: Path) -> None:
    """A video in a list, a class in classes.txt and a run folder: warnings, tables, epochs and pictures."""
    name = f"{CLEAR}[red].mp4"
    (tmp_path / name).write_bytes(b"no video")
    (tmp_path / "list.txt").write_text(toy.val_list.read_text() + f"{tmp_path / name} 1 9\n")
    (tmp_path / "classes.txt").write_text(f"{CLEAR}[red]\ngreen\n\u202ered\n")
    lists = ("--train-list", str(tmp_path / "list.txt"), "--val-list", str(tmp_path / "list.txt"))
    run = tmp_path / f"run{CLEAR}"
    result = succeed(*toy.finetune(run, *lists, "--set", "finetune.epochs=1"))
    assert f"warning: skipped video '{printable(str(tmp_path / name))}'" in result.stderr
    out = tmp_path / "results"
    test = ("--list", str(tmp_path / "list.txt"), "--root", str(toy.root), "--workers", "0")
    result_2 = succeed("evaluate", "--weights", str(run), *test, "--out", str(out))
    assert not any(mark in each.output for each in (result, result_2) for mark in ("\x1b", "\x07", "\u202e"))
    assert (out / "confusion.png").stat().st_size


def test_prepare_lists__folders_cannot_act_on_the_terminal(toy: Toy, tmp_path: Path) -> None:
    source = next((toy.root / "blue").iterdir())
    for folder in (f"one{CLEAR}", "two"):
        (tmp_path / "videos" / folder).mkdir(parents=True)
        for number in range(2):
            (tmp_path / "videos" / folder / f"{number}{CLEAR}.mp4").write_bytes(source.read_bytes())
    out = ("--out", str(tmp_path / "lists"), "--workers", "0")
    result = vtdl("prepare-lists", "folder", "--root", str(tmp_path / "videos"), *out)
    assert "\x1b" not in result.output
    assert printable(CLEAR) in result.output


def test_main__names_that_the_encoding_lacks(tmp_path: Path) -> None:
    """A real process whose streams are ASCII, a class named in Chinese and a class folder that is no UTF-8."""
    for folder in ("漢", os.fsdecode(b"\xff")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.mp4").touch()
    command = ["prepare-lists", "folder", "--root", str(tmp_path), "--out", str(tmp_path / "out")]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    line = [sys.executable, "-m", "vtdl_cli", *command]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    says = "class folder '\\udcff' cannot be written to a list: its name is not UTF-8. Rename it"
    assert done.stderr == f"error: {says}\n"


@pytest.mark.parametrize("option", ["--train-list", "--weights", "--out", "--preset", "--set"])
def test_options__are_utf_8(toy: Toy, tmp_path: Path, option: str) -> None:
    """No list, checkpoint or result can name another file."""
    line = toy.pretrain(tmp_path / "run", option, os.fsdecode(b"\xff.x"))
    refuse(*line, code=2, says=("argument '\\udcff.x' is not UTF-8. Rename the file or folder",))
    assert list(tmp_path.iterdir()) == []


def test_report__names_cannot_break_a_page() -> None:
    assert element("p", "a\x1b\udcff<b>\n", title='"\x9b').html == (
        '<p title="&quot;\\x9b">a\\x1b\\udcff&lt;b&gt;\n</p>'
    )


@pytest.mark.parametrize(
    ("names", "kind", "says"),
    [
        ([], "missing", "0 missing"),
        (["a"], "", "1 (a)"),
        (["a", "b", "c"], "missing", "3 missing (a, b, c)"),
        (["a", "b", "c", "d"], "missing", "4 missing (a, b, c and 1 more)"),
    ],
)
def test_count_names(names: list[str], kind: str, says: str) -> None:
    assert count_names(names, kind) == says


def test_brief_number__has_no_exponent() -> None:
    values = {
        0.0: "0",
        4.5e-6: "below 0.001",
        0.00123456: "0.001235",
        12.3456: "12.35",
        999.96: "1000",
        44_201.4: "44201",
    }
    assert {value: brief_number(value) for value in values} == values


def test_result_rows__without_what_is_left_out() -> None:
    assert list(result_rows({"preset": "a\nb", "none": None, "n": {"x_y": 2}}, ("preset",))) == [
        ("none", "none"),
        ("n: x_y", "2"),
    ]


def test_result_rows__shapes_and_intervals_are_printed_and_lists_counted() -> None:
    """A shape is its numbers, an interval its ends; a list of skipped videos is how many there are."""
    result = {"shape": [70, 128], "R@1": [1 / 3, 50.0], "skipped": [{"path": "a.avi"}, {"path": "b.avi"}], "empty": []}
    rows = [("shape", "70 x 128"), ("R@1", "0.3333 to 50"), ("skipped", "2"), ("empty", "0")]
    assert list(result_rows(result)) == rows


def test_shorten__keeps_both_ends() -> None:
    """By hand."""
    assert [shorten("abcdef", length) for length in (6, 5, 4)] == ["abcdef", "ab…ef", "ab…f"]
