"""One trial: a folder of its own, the commands that are run in it, and what is found wrong."""

import json
import random
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.campaign.command import Shot
from tests.campaign.process import Ended, Running
from tests.toy import files_in

KINDS = ("lost", "silent", "traceback", "hang")
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""What a terminal does not print but act upon, tabs and the tool's own line breaks left out; directions of text, too."""


@dataclass(frozen=True)
class Finding:
    """What is wrong.

    Attributes:
        kind: `lost`: after resuming, a result differs from an uninterrupted run's, or something is missing or left
            over; `silent`: other numbers, or fewer rows, than the input has, exit 0 and no word; `traceback`: also
            every other output that is no line of the tool's; `hang`.
        what: in words.
    """

    kind: str
    what: str


@dataclass
class Trial:
    """What a part's function fills.

    Attributes:
        part, index: which trial it is; with the seed they decide all that is drawn.
        folder: of this trial alone; commands run in `work` below it.
        draw: where everything random comes from.
        name: what is tried, in words.
        findings: what is wrong.
        lines: the commands so far, as typed, with what came of them.
    """

    part: str
    index: int
    folder: Path
    draw: random.Random
    name: str = ""
    findings: list[Finding] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    @property
    def work(self) -> Path:
        """Where commands run."""
        return self.folder / "work"

    def run(self, line: Sequence[str], **options: Any) -> Ended:
        """Run a command to its end, and find whatever is wrong with how it ended."""
        return self.end(self.start(line, **options))

    def start(self, line: Sequence[str], **options: Any) -> Running:
        """Start a command."""
        logs = self.folder / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        number = len(list(logs.glob("*.out")))
        return Running(line, self.work, logs / f"{number:02d}", **options)

    def end(self, running: Running, limit_seconds: float | None = None) -> Ended:
        """Wait for a command that was started, and find whatever is wrong with how it ended."""
        ended = running.ends(*([limit_seconds] if limit_seconds else []))
        shots = "".join(f" [{shot}]" for shot in running.shots)
        said = f": {ended.errors}" if ended.errors else ""
        self.lines.append(f"vtdl {shlex.join(ended.line)}{shots} -> {ended.code}, {ended.seconds:.2f} s{said}")
        self.findings += flaws(ended, running.shots)
        return ended

    def lost(self, what: str) -> None:
        """Note that something is lost."""
        self.findings.append(Finding("lost", what))

    def silent(self, what: str) -> None:
        """Note that something false was reported, or something left out, without a word."""
        self.findings.append(Finding("silent", what))

    def check_refusal(self, ended: Ended, before: set[str]) -> None:
        """A refusal is an error line, and leaves no files but those of before."""
        if ended.code < 0:  # killed: no refusal, and found by other rules
            return
        if not ended.errors:
            self.findings.append(Finding("traceback", f"vtdl {ended.line[0]} failed without an error line"))
        if left := sorted(files_in(self.work) - before):
            self.lost(f"vtdl {ended.line[0]} was refused and left '{left[0]}': {ended.errors[:100]}")

    def kinds(self) -> set[str]:
        """The kinds of what was found."""
        return {finding.kind for finding in self.findings}


def flaws(ended: Ended, shots: Sequence[Shot] = ()) -> list[Finding]:
    """What is wrong with how a command ended, whatever it was."""
    found = []
    if ended.hung:
        found.append(Finding("hang", f"vtdl {ended.line[0]} did not end"))
    if ended.left_behind:
        names = ", ".join(sorted({*ended.left_behind}))
        found.append(Finding("lost", f"vtdl {ended.line[0]} left processes behind: {names}"))
    killed = ended.code < 0 and -ended.code not in {shot.number for shot in shots}
    if killed and not ended.hung:
        found.append(Finding("traceback", f"vtdl {ended.line[0]} died of signal {-ended.code}"))
    if strange := strange_output(ended):
        found.append(Finding("traceback", f"vtdl {ended.line[0]} said: {strange}"))
    return found


def strange_output(ended: Ended) -> str:
    """The first piece of output that no tool's line should have; empty where there is none."""
    for line in ended.stderr.split("\n"):
        if "Traceback" in line or "unexpected " in line:
            return _last_words(ended.stderr) if line.startswith("Traceback") else line[:200]
        if line and not line.startswith(("error: ", "warning: ")):
            return line[:200]
        if CONTROL.search(line):
            return f"control characters: {line[:200]!r}"
    if ended.stdout and not _is_json(ended.stdout):
        return f"no JSON: {ended.stdout[:200]!r}"
    return ""


def _last_words(stderr: str) -> str:
    """What a traceback ends in."""
    after = stderr[stderr.index("Traceback") :].split("\n")[1:]
    return f"Traceback ... {next((line for line in after if line and not line.startswith(' ')), '')[:180]}"


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
