"""The campaign in small, and what it judges by: a campaign that finds nothing has to be able to find something."""

import json
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.campaign.command import Shot
from tests.campaign.content import compare
from tests.campaign.damage import DAMAGES, damaged
from tests.campaign.lists import ORDERS, Fuzzed, Row, judge, lines_of, read
from tests.campaign.process import Ended
from tests.campaign.trial import Trial, flaws

REPOSITORY = Path(__file__).parents[2]


def ended(code: int = 0, stdout: str = "", stderr: str = "", *, hung: bool = False) -> Ended:
    return Ended(["extract"], code, stdout, stderr, 1.0, hung)


@pytest.mark.slow
def test_campaign__in_small_finds_nothing(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "tests.campaign", "--each", "12", "--out", str(tmp_path / "campaign")]
    result = subprocess.run(line, text=True, capture_output=True, check=False, cwd=REPOSITORY)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("how", "kinds"),
    [
        (ended(stdout="{}", stderr="warning: skipped\n"), []),
        (ended(1, stderr="error: list 'a' is empty. Write one\n"), []),
        (ended(1, stderr="error: unexpected KeyError 'x'. This is a bug in vtdl\n"), ["traceback"]),
        (ended(1, stderr="Traceback (most recent call last):\n  File\nKeyError: 1\n"), ["traceback"]),
        (ended(stderr="UserWarning: something\n"), ["traceback"]),
        (ended(1, stderr="error: video '\x1b[31m' is not there\n"), ["traceback"]),
        (ended(stdout="done"), ["traceback"]),
        (ended(-signal.SIGSEGV), ["traceback"]),
        (ended(-signal.SIGTERM), []),
        (ended(-signal.SIGKILL, hung=True), ["hang"]),
        (Ended(["extract"], 0, "", "", 1.0, left_behind=["multiprocessing.spawn"]), ["lost"]),
    ],
)
def test_flaws__of_how_a_command_ended(how: Ended, kinds: list[str]) -> None:
    assert [finding.kind for finding in flaws(how, [Shot(signal.SIGTERM)])] == kinds


def test_compare__names_what_differs(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder, loss in ((ours, 1.0), (theirs, 2.0)):
        folder.mkdir()
        (folder / "metrics.jsonl").write_text(json.dumps({"loss": loss, "seconds": loss}) + "\n")
        (folder / "same.json").write_text(json.dumps({"top1": 1, "seconds": loss}))
    (ours / ".last.pt.part").touch()
    (theirs / "curves.png").touch()
    (ours / "notes.txt").touch()
    words = ["'curves.png' is missing", "'.last.pt.part' is left over", "'metrics.jsonl' differs at [0].loss"]
    assert compare(ours, theirs) == words


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage__changes_something(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.campaign.damage.DAMAGES", {kind: DAMAGES[kind]})
    content = random.Random(0).randbytes(10_000)
    for seed in range(20):
        assert damaged(content, random.Random(seed))[1] != content


@pytest.mark.parametrize(
    ("line", "order", "row"),
    [
        (b"a b 1.mp4 2 24", "path class frames", Row(b"a b 1.mp4", 2)),
        (b"a b 1.mp4  24\t2", "path frames class", Row(b"a b 1.mp4", 2)),
        (b"a 1 2", "path class", Row(b"a 1", 2)),
        (b"a 1", "path class frames", None),
        (b"a 1 x", "path class", None),
        (b"1", "path class", None),
    ],
)
def test_read__line_by_hand(line: bytes, order: str, row: Row | None) -> None:
    assert read(line, order) == row


def test_lines__end_as_files_of_all_systems_do() -> None:
    assert lines_of(b"\xef\xbb\xbfa 1\r\nb 2\rc 3\n\n \t\nd\x0b") == [b"a 1", b"b 2", b"c 3", b"d"]


@pytest.mark.parametrize(
    ("rows", "kinds"),
    [
        ([Row(b"a", 0), Row(b"b", 1)], set()),
        ([Row(b"a", 0)], {"silent"}),
        ([Row(b"a", 0), Row(b"b", 2)], {"silent"}),
        ([Row(b"a", 24), Row(b"b", 24)], {"silent"}),
    ],
)
def test_judge__rows_of_a_list(tmp_path: Path, rows: list[Row], kinds: set[str]) -> None:
    trial = Trial("lists", 0, tmp_path, random.Random(0))
    content = b"a 0 24\nb 1 24\n"
    assert "path class frames" in ORDERS
    judge(trial, "extract", rows, Fuzzed(content, content, "path class frames"))
    assert trial.kinds() == kinds
