"""The whole campaign: its parts one after another, and the table of what they found."""

import re
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.campaign import damage, kills, lists, ranks, together
from tests.campaign.command import warm_up
from tests.campaign.crew import Done, Part, run_trials
from tests.campaign.stage import Stage, set_up
from tests.campaign.trial import KINDS

PARTS = {
    "kills": kills.attempt,
    "checkpoints": damage.attempt_checkpoint,
    "hdf5": damage.attempt_hdf5,
    "lists": lists.attempt,
    "ranks": ranks.attempt,
    "together": together.attempt,
}
HEADINGS = {"lost": "lost", "silent": "silent", "traceback": "tracebacks", "hang": "hangs"}


def run_campaign(trials: Mapping[str, list[int]], folder: Path, *, seed: int, jobs: int) -> int:
    """Run trials, print what was found, and return the exit code.

    Args:
        trials: numbers of the trials by part.
        folder: for everything; what it holds is removed first, and at the end where nothing was found.
        seed: of all draws.
        jobs: trials at a time.
    """
    began = time.monotonic()
    stage = prepare(folder)
    print(f"inputs and uninterrupted runs: {time.monotonic() - began:.0f} s", flush=True)
    found: dict[str, list[Done]] = {}
    for name, indices in trials.items():
        began_part = time.monotonic()
        found[name] = run_trials(Part(name, PARTS[name], stage, folder, seed), indices, jobs)
        print(f"\n{name}: {figures(found[name])} in {time.monotonic() - began_part:.0f} s", flush=True)
    print("\n".join(["", *table(found), *listed(found), "", f"{time.monotonic() - began:.0f} s in all"]))
    if not any(each.findings for done in found.values() for each in done):
        shutil.rmtree(folder)
        return 0
    print(f"Kept: {folder}/*/found.txt say what was found in each trial, by which commands, and how to repeat it")
    return 1


def prepare(folder: Path) -> Stage:
    """Everything that trials start from and are compared with."""
    warm_up()
    shutil.rmtree(folder, ignore_errors=True)
    stage = set_up(folder / "stage")
    damage.fill_shelf(stage)
    ranks.make_whole(stage)
    return stage


def count_kinds(done: list[Done]) -> list[int]:
    """In how many trials each kind was found."""
    kinds = Counter(kind for each in done for kind in {finding.kind for finding in each.findings})
    return [kinds[kind] for kind in KINDS]


def figures(done: list[Done]) -> str:
    """One line for a part."""
    found = (f"{number} {HEADINGS[kind]}" for kind, number in zip(KINDS, count_kinds(done), strict=True))
    return ", ".join([f"{len(done)} trials", *found])


def table(found: Mapping[str, list[Done]]) -> Iterator[str]:
    """A row for each part."""
    yield f"{'part':12} {'trials':>6} {'lost':>6} {'silent':>6} {'tracebacks':>10} {'hangs':>6} {'seconds':>8}"
    for part, done in found.items():
        lost, silent, tracebacks, hangs = count_kinds(done)
        seconds = sum(each.seconds for each in done)
        yield f"{part:12} {len(done):6} {lost:6} {silent:6} {tracebacks:10} {hangs:6} {seconds:8.0f}"


def listed(found: Mapping[str, list[Done]]) -> Iterator[str]:
    """What was found, the most frequent of a part first; findings that differ in numbers alone count as one."""
    known: dict[tuple[str, str, str], set[int]] = {}
    for part, done in found.items():
        for each in done:
            for finding in each.findings:
                text = re.sub(r"\d+", "#", finding.what)
                known.setdefault((part, finding.kind, text), set()).add(each.index)
    for (part, kind, text), indices in sorted(known.items(), key=lambda item: (item[0][0], -len(item[1]))):
        yield f"{len(indices):4}x {part}, {kind}, such as trial {min(indices)}: {text}"
