"""Lists that somebody's editor, spreadsheet or disk has got at: read line for line as they stand, or refused."""

import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import h5py

from tests.campaign.process import Ended
from tests.campaign.stage import ODD_NAMES, OUT, QUIET, TOY, Stage
from tests.campaign.trial import Trial
from tests.toy import CLASSES, NUM_FRAMES, files_in

ORDERS = {"path class frames": (0, 1), "path frames class": (1, 0), "path class": (0,)}
"""Columns by name -> where in the numbers at a line's end the class and the frames are."""

LINE_ENDS = re.compile(rb"\r\n|\n|\r")
SPACES = b" \t\x0b\x0c"


class Row(NamedTuple):
    """Path and class of a line."""

    name: bytes
    label: int


@dataclass(frozen=True)
class Fuzzed:
    """A list, what it was made of, and the order of the columns of that."""

    content: bytes
    original: bytes
    order: str

    @property
    def lines(self) -> list[bytes]:
        """Those of the list that are not blank."""
        return lines_of(self.content)


def attempt(trial: Trial, stage: Stage) -> None:
    """Fuzz a list, and read it by some command."""
    stage.lay_out(trial)
    draw = trial.draw
    order = draw.choice([*ORDERS])
    original = _write(order)
    content = original
    fuzzes = draw.choices([*FUZZES], k=draw.choice((1, 1, 1, 2, 3)))
    for fuzz in fuzzes:
        content = FUZZES[fuzz](content, draw)
    folder = trial.work / "fuzzed"
    folder.mkdir()
    (folder / "list.txt").write_bytes(content)
    named = draw.random() < 0.5
    if named:
        (folder / "classes.txt").write_text("".join(f"{name}\n" for name in CLASSES))
    reader = draw.choice([*READERS])
    trial.name = f"{reader} of '{order}'{' with classes.txt' if named else ''}: {', '.join(fuzzes)}"
    before = files_in(trial.work)
    given = ("--root", "named", *(("--list-columns", order) if draw.random() < 0.5 else ()))
    ended = trial.run((*READERS[reader].line, *given, *QUIET))
    if ended.code:
        trial.check_refusal(ended, before)
    READERS[reader].judge(trial, ended, Fuzzed(content, original, order))
    if trial.findings:
        trial.lines.append(f"list: {content!r}")


def _write(order: str) -> bytes:
    """The list before it is fuzzed."""
    lines = []
    for name in ODD_NAMES:
        numbers = [CLASSES.index(name.split("/")[0]), NUM_FRAMES]
        lines.append(" ".join([name, *(str(numbers[place]) for place in ORDERS[order])]))
    return "".join(f"{line}\n" for line in lines).encode()


# ---- what should be read


def lines_of(content: bytes) -> list[bytes]:
    """The lines that are neither blank nor comments, trimmed; no video's name begins as a comment does."""
    lines = [line.strip(SPACES) for line in LINE_ENDS.split(content.removeprefix(b"\xef\xbb\xbf"))]
    return [line for line in lines if line and not line.startswith(b"#")]


def read(line: bytes, order: str) -> Row | None:
    """A line by the order of its columns; None where it does not fit."""
    places = ORDERS[order]
    name, numbers = line, list[int]()
    for _ in places:
        name, _, word = re.sub(rb"[%s]+(\S+)$" % SPACES, rb"\n\1", name).partition(b"\n")
        if not re.fullmatch(rb"-?[0-9]+", word):
            return None
        numbers.insert(0, int(word))
    return Row(name, numbers[places[0]])


def judge(trial: Trial, command: str, rows: list[Row], fuzzed: Fuzzed) -> None:
    """Whether rows are those of the list, by one order of columns for all; those of untouched lines by their own."""
    interpretations = ([read(line, order) for line in fuzzed.lines] for order in ORDERS)
    if not any(None not in each and sorted(rows) == sorted(filter(None, each)) for each in interpretations):
        trial.silent(f"vtdl {command} reads {len(rows)} rows of {len(fuzzed.lines)} lines otherwise than they stand")
    untouched = {read(line, fuzzed.order) for line in {*lines_of(fuzzed.original)} & {*fuzzed.lines}}
    classes = {row.name: row.label for row in untouched if row}
    if any(classes.get(row.name, row.label) != row.label for row in rows):
        trial.silent(f"vtdl {command} reads another class of a line that is untouched")


def count(trial: Trial, command: str, reported: int, fuzzed: Fuzzed) -> None:
    """Check that as many videos are reported as the list has lines."""
    if reported != len(fuzzed.lines):
        trial.silent(f"vtdl {command} reports {reported} videos, and the list has {len(fuzzed.lines)} lines")


# ---- who reads it, and what it made of it


@dataclass(frozen=True)
class Reader:
    """A command that reads a list.

    Attributes:
        line: what is typed.
        judge: compares what came of it with the list.
    """

    line: tuple[str, ...]
    judge: Callable[[Trial, Ended, Fuzzed], None]


def _judge_converted(trial: Trial, ended: Ended, fuzzed: Fuzzed) -> None:
    if not ended.code:
        lines = lines_of((trial.work / "new.txt").read_bytes())
        rows = [read(line.removeprefix(b"./"), "path class frames") for line in lines]  # which hides odd first signs
        judge(trial, "lists convert", [row for row in rows if row], fuzzed)


def _judge_count(trial: Trial, ended: Ended, fuzzed: Fuzzed) -> None:
    if ended.stdout:  # of `lists check` also where it fails
        count(trial, ended.line[0], json.loads(ended.stdout)["videos"], fuzzed)


def _judge_features(trial: Trial, ended: Ended, fuzzed: Fuzzed) -> None:
    if ended.code:
        return
    with h5py.File(trial.work / OUT / "features.h5") as file:
        rows = [Row(bytes(name), int(label)) for name, label in zip(file["paths"], file["labels"], strict=True)]
        skipped = [bad["path"].encode() for bad in json.loads(file.attrs["skipped"])]
    count(trial, "extract", len(rows) + len(skipped), fuzzed)
    kept = [line for line in fuzzed.lines if not any(row and row.name in skipped for row in _interpretations(line))]
    judge(trial, "extract", rows, replace(fuzzed, content=b"\n".join(kept)))


def _interpretations(line: bytes) -> list[Row | None]:
    """A line by every order; its path behind the root, as messages have it, too."""
    rows = [read(line, order) for order in ORDERS]
    return rows + [row and row._replace(name=b"named/" + row.name) for row in rows]


def _judge_metrics(trial: Trial, ended: Ended, fuzzed: Fuzzed) -> None:
    if not ended.code:
        metrics = json.loads((trial.work / OUT / "metrics.json").read_text())
        count(trial, "evaluate", metrics["num_videos"] + len(metrics["skipped"]), fuzzed)


_LIST = "fuzzed/list.txt"
READERS = {
    "lists convert": Reader(("lists", "convert", _LIST, "--out", "new.txt", "--workers", "0"), _judge_converted),
    "lists check": Reader(("lists", "check", _LIST, "--workers", "0"), _judge_count),
    "extract": Reader(
        (*TOY.extract("none", OUT / "features.h5", "--preset", "tiny.yaml", "--list", _LIST, "--clips", "1"),),
        _judge_features,
    ),
    "evaluate": Reader((*TOY.evaluate(Path("finetuned"), OUT, test_list=Path(_LIST)),), _judge_metrics),
    "plan of pretraining": Reader((*TOY.pretrain(OUT), "--train-list", _LIST, "--dry-run"), _judge_count),
    "plan of finetuning": Reader(
        (*TOY.finetune(OUT), "--train-list", _LIST, "--val-list", _LIST, "--dry-run"), _judge_count
    ),
}


# ---- what may happen to a list


def _each_line(change: Callable[[list[bytes], random.Random], list[bytes]]) -> Callable[[bytes, random.Random], bytes]:
    def fuzz(content: bytes, draw: random.Random) -> bytes:
        return b"".join(line + b"\n" for line in change(content.split(b"\n")[:-1] or [content], draw))

    return fuzz


def _one(change: Callable[[bytes, random.Random], bytes]) -> Callable[[bytes, random.Random], bytes]:
    """A change of one line."""

    def fuzz(lines: list[bytes], draw: random.Random) -> list[bytes]:
        at = draw.randrange(len(lines))
        return [*lines[:at], change(lines[at], draw), *lines[at + 1 :]]

    return _each_line(fuzz)


def _flip(content: bytes, draw: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(draw.choice((1, 1, 4, 16))):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def _insert(text: Callable[[random.Random], bytes]) -> Callable[[bytes, random.Random], bytes]:
    def fuzz(content: bytes, draw: random.Random) -> bytes:
        at = draw.randrange(len(content) + 1)
        return content[:at] + text(draw) + content[at:]

    return fuzz


def _swap_columns(line: bytes, _draw: random.Random) -> bytes:
    words = line.split(b" ")
    return b" ".join([*words[:-2], *reversed(words[-2:])])


def _number(line: bytes, draw: random.Random) -> bytes:
    numbers = (b"-1", b"-0", b"1e3", b"007", b"0x1", b"1.0", b"99999", b"1000000000", b"9" * 17, b"9" * 18, b"9" * 19)
    return b" ".join([*line.split(b" ")[:-1], draw.choice((*numbers, b"9" * 400, "３".encode(), b"nan"))])


CONTROLS = (b"\x1b[31m", b"\x1b]0;owned\x07", b"\x07", b"\x08" * 5, b"\x00", b"\x0b", b"\x0c", b"\x1a", b"\x7f")
UNICODE = tuple(map(str.encode, ("\u2028", "\u0085", "\u202e", "\u200b", "\u00a0", "\u3000", "\U0001f600", "\ufeff")))

FUZZES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "bits flipped": _flip,
    "columns of a line swapped": _one(_swap_columns),
    "columns of all lines swapped": _each_line(lambda lines, draw: [_swap_columns(line, draw) for line in lines]),
    "cut short": lambda content, draw: content[: draw.randrange(len(content) + 1)],
    "control characters": _insert(lambda draw: draw.choice(CONTROLS)),
    "odd Unicode": _insert(lambda draw: draw.choice(UNICODE)),
    "not UTF-8": _insert(lambda draw: draw.choice((b"\xff", b"\xe9", b"\xc3", b"\xed\xa0\x80"))),
    "an odd number": _one(_number),
    "CRLF": lambda content, _: content.replace(b"\n", b"\r\n"),
    "CR alone": lambda content, _: content.replace(b"\n", b"\r"),
    "mixed line ends": lambda content, draw: LINE_ENDS.sub(lambda _: draw.choice((b"\n", b"\r\n", b"\r")), content),
    "byte order mark": lambda content, _: b"\xef\xbb\xbf" + content,
    "UTF-16": lambda content, draw: content.decode(errors="replace").encode(draw.choice(("utf-16", "utf-16-le"))),
    "Latin-1": lambda content, _: content.decode(errors="replace").encode("latin-1", "replace"),
    "tabs": lambda content, _: content.replace(b" ", b"\t"),
    "commas": lambda content, _: content.replace(b" ", b","),
    "quotes": _one(lambda line, _: b'"' + line + b'"'),
    "spaces doubled": lambda content, _: content.replace(b" ", b"  "),
    "spaces around": _one(lambda line, _: b"  " + line + b" \t"),
    "blank lines": _insert(lambda _: b"\n \n\n"),
    "a line twice": _each_line(lambda lines, draw: [*lines, draw.choice(lines)]),
    "a line less": _each_line(lambda lines, draw: draw.sample(lines, len(lines) - 1) if len(lines) > 1 else lines),
    "a comment": _insert(lambda _: b"\n# a comment 1 2\n"),
    "a line without numbers": _one(lambda line, _: line.split(b" ")[0]),
    "a very long line": _one(lambda line, _: b"x" * 100_000 + line),
    "a path that leads out": _one(lambda line, _: b"../" * 30 + b"etc/passwd 0 24" if line else line),
    "no last line end": lambda content, _: content[:-1],
}
