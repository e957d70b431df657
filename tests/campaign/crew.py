"""Trials side by side: a few single-threaded processes, forked from the warm one, each with a trial at a time."""

import json
import os
import random
import shutil
import struct
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.campaign.stage import Stage
from tests.campaign.trial import Finding, Trial

NUMBER = struct.Struct("i")


@dataclass(frozen=True)
class Part:
    """A part of the campaign.

    Attributes:
        name: of --only.
        attempt: does a trial.
        stage: what trials start from.
        folder: for them; those in which something was found stay there.
        seed: with the name and a trial's number it decides all that is drawn.
    """

    name: str
    attempt: Callable[[Trial, Stage], None]
    stage: Stage
    folder: Path
    seed: int

    @property
    def log(self) -> Path:
        """A line for each trial that is done, in the order of their ends."""
        return self.folder / f"{self.name}.jsonl"


@dataclass(frozen=True)
class Done:
    """What came of a trial."""

    index: int
    name: str
    findings: list[Finding]
    seconds: float


def run_trials(part: Part, indices: list[int], jobs: int) -> list[Done]:
    """Run trials by their numbers, so many at a time."""
    waiting, put = os.pipe()
    os.write(put, b"".join(map(NUMBER.pack, indices)))  # some hundred numbers: less than a pipe holds
    os.close(put)
    crew = [_start_worker(part, waiting) for _ in range(jobs)]
    os.close(waiting)
    for pid in crew:
        os.waitpid(pid, 0)
    done = [_read(line) for line in part.log.read_text().splitlines()] if part.log.exists() else []
    missing = sorted({*indices} - {each.index for each in done})
    return done + [Done(index, "", [Finding("lost", "the trial itself ended early")], 0.0) for index in missing]


def _start_worker(part: Part, waiting: int) -> int:
    """Fork a process that takes the next number until there is none."""
    pid = os.fork()
    if pid:
        return pid
    try:
        while number := os.read(waiting, NUMBER.size):
            _run_one(part, NUMBER.unpack(number)[0])
    finally:
        os._exit(0)


def _run_one(part: Part, index: int) -> None:
    draw = random.Random(f"{part.seed} {part.name} {index}")
    trial = Trial(part.name, index, part.folder / f"{part.name}-{index}", draw)
    trial.folder.mkdir()
    began = time.monotonic()
    try:
        part.attempt(trial, part.stage)
    except Exception:  # a bug of the campaign's own, or a state of the output that it did not think of
        trial.lost(f"the trial itself failed: {traceback.format_exc().splitlines()[-1]}")
        trial.lines.append(traceback.format_exc())
    row = {"index": index, "name": trial.name, "findings": [asdict(each) for each in trial.findings]}
    with part.log.open("a") as file:
        file.write(json.dumps({**row, "seconds": time.monotonic() - began}) + "\n")
    if trial.findings:
        _keep(trial, f"python -m tests.campaign --seed {part.seed} --only {part.name} --trial {index}")
    else:
        shutil.rmtree(trial.folder)
    sys.stderr.write("x" if trial.findings else ".")


def _keep(trial: Trial, repeat: str) -> None:
    """Say in a trial's folder what was found in it, by what commands, and how to see it again."""
    found = [f"{finding.kind}: {finding.what}" for finding in trial.findings]
    text = "\n".join([trial.name, *found, "", *trial.lines, "", f"Repeat with: {repeat}"])
    (trial.folder / "found.txt").write_text(text + "\n")


def _read(line: str) -> Done:
    row: dict[str, Any] = json.loads(line)
    return Done(row["index"], row["name"], [Finding(**each) for each in row["findings"]], row["seconds"])
