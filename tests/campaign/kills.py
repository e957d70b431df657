"""Commands that are killed, interrupted and asked to stop, and resumed: to the same end as if nothing had happened."""

import random
import re
import shutil
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.campaign.command import Shot
from tests.campaign.content import NOTES, compare
from tests.campaign.process import Ended
from tests.campaign.stage import OUT, SCENARIOS, Scenario, Stage
from tests.campaign.trial import Trial

SHARES = {
    "pretrain": 75,
    "finetune": 75,
    "evaluate": 25,
    "extract": 45,
    "prepare-lists": 25,
    "compress": 30,
    "extract-frames": 25,
}
"""How often each command is tried."""

SIGNALS = {"SIGKILL": 50, "SIGTERM": 20, "SIGINT": 10, "two SIGINT": 15, "SIGUSR1": 5}
WITH_WORKERS = {"SIGKILL": 30, "two SIGINT": 40}
"""Of those that start workers anew: who stops them, and in what order, is the hard part."""

EARLY = {"SIGKILL": 80, "SIGTERM": 20}
"""Where a run is resumed otherwise: what is there decides, so the moments between two files are what counts."""

VARIANTS = {"plain": 60, "killed twice": 10, "over an older run": 14, "resumed with other options": 16}
FINETUNING = {"resumed with other options": 40, "its weights deleted": 12, "its classes reversed": 8}
SECONDS_PAST_END = 1.05  # of an undisturbed run: some signals come too late
RESULTS = (".pt", ".mp4", ".jpg", ".h5")
"""What a user has once a run has written it: nothing but --overwrite may replace it by something else."""


@dataclass
class Attempt:
    """A trial of this part."""

    trial: Trial
    stage: Stage
    scenario: Scenario
    workers: int
    variant: str

    @property
    def out(self) -> Path:
        """The output."""
        return self.trial.work / OUT

    def line(self, *more: str) -> tuple[str, ...]:
        """The command, with more options."""
        return (*self.scenario.line, "--workers", str(self.workers), *more)

    def compare(self, how: str, *, other: bool = False) -> None:
        """Find where the output, made `how`, is not that of an uninterrupted run."""
        for difference in compare(self.out, self.stage.reference(self.scenario, other=other).out):
            self.trial.lost(f"{self.scenario.name}, {how}: {difference}")


def attempt(trial: Trial, stage: Stage) -> None:
    """Kill a command once or twice, resume it, and compare."""
    one = _choose(trial, stage)
    stage.lay_out(trial)
    older = one.variant == "over an older run"
    if older:
        shutil.copytree(stage.reference(one.scenario, other=True).out, one.out)
        (one.out / NOTES).write_text("mine")
    first = one.line("--overwrite") if older else one.line()
    shots = draw_shots(one)
    trial.name = f"{one.scenario.name}, {one.workers} workers, {one.variant}: {' and '.join(map(str, shots))}"
    trial.run(first, shots=shots)
    if one.variant == "killed twice":
        trial.run(one.line(*one.scenario.again), shots=draw_shots(one))
    CHANGES.get(one.variant, go_on)(one)
    if older and not (one.out / NOTES).exists():
        trial.lost(f"a file of the user's in the output folder of {one.scenario.name} is gone")


def _choose(trial: Trial, stage: Stage) -> Attempt:
    (scenario,) = trial.draw.choices(SCENARIOS, [SHARES[each.name] for each in SCENARIOS])
    variants = VARIANTS | (FINETUNING if scenario.name == "finetune" else {})
    if scenario.name in ("compress", "extract-frames"):  # refuse another form whatever was asked for
        variants = {name: share for name, share in variants.items() if name != "over an older run"}
    (variant,) = trial.draw.choices([*variants], [*variants.values()])
    workers = 2 if trial.draw.random() < (0.5 if scenario.spawns else 0.25) else 0
    return Attempt(trial, stage, scenario, workers, variant)


def draw_shots(one: Attempt) -> list[Shot]:
    """A signal at a random moment, or right before a random change of a file; or two."""
    draw = one.trial.draw
    early = one.variant in CHANGES
    shares = EARLY if early else SIGNALS | (WITH_WORKERS if one.scenario.spawns and one.workers else {})
    (name,) = draw.choices([*shares], [*shares.values()])
    number = signal.Signals[name.split()[-1]]
    known = one.stage.reference(one.scenario, workers=one.workers)
    target = draw.choice(("process", "group")) if number != signal.SIGINT else "group"  # a terminal tells them all
    if known.events and draw.random() < (0.9 if early else 0.5):
        event = draw_event(known.events, draw)
        return [Shot(number, target, event=event + more) for more in range(2 if name == "two SIGINT" else 1)]
    if one.workers and number == signal.SIGKILL and draw.random() < 0.3:
        target = "worker"
    seconds = draw.uniform(0, SECONDS_PAST_END * known.seconds)
    shots = [Shot(number, target, seconds)]
    return shots + ([Shot(number, target, seconds + draw.uniform(0, 0.3))] if name == "two SIGINT" else [])


def draw_event(events: Sequence[str], draw: random.Random) -> int:
    """The number of a change of a file: each kind as often as another, though some come once and others all the time."""
    kinds: dict[str, list[int]] = {}
    for number, event in enumerate(events):
        kinds.setdefault(re.sub(r"\d+", "#", event), []).append(number)
    return draw.choice(draw.choice([*kinds.values()]))


def go_on(one: Attempt) -> None:
    """Resume as the tool says, and compare with an uninterrupted run."""
    ended = resume(one)
    if ended.code:
        if not ended.hung:
            one.trial.lost(f"{one.scenario.name} cannot be resumed: {ended.errors}")
        return
    one.compare("resumed")


def resume(one: Attempt) -> Ended:
    """Resume; over an older run, or where a command knows no --resume, a refusal is answered by --overwrite."""
    ended = one.trial.run(one.line(*one.scenario.again))
    if ended.code in (1, 2) and (one.variant == "over an older run" or not one.scenario.again):
        ended = one.trial.run(one.line("--overwrite"))
    return ended


def change_options(one: Attempt) -> None:
    """Resume with other options: refused, and resumed as before; or a result of the other options throughout."""
    before = results_in(one.out)
    ended = one.trial.run(one.line(*one.scenario.again, *one.scenario.other))
    if ended.code:
        return go_on(one)
    how = f"resumed with {' '.join(one.scenario.other)}"
    after = results_in(one.out)
    if "--resume" in one.scenario.again:
        for path in sorted(path for path, content in before.items() if after.get(path) != content)[:1]:
            one.trial.lost(f"{one.scenario.name}, {how}: '{path}' was replaced")
    return one.compare(how, other=True)


def results_in(out: Path) -> dict[str, bytes]:
    """Results that are there, whole."""
    files = (
        path for path in out.rglob("*") if path.suffix in RESULTS and not path.relative_to(out).name.startswith(".")
    )
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files if ".part/" not in path.as_posix()}


def delete_weights(one: Attempt) -> None:
    """Resume where the weights that it began from are gone: its checkpoint holds everything."""
    weights = one.trial.work / "pretrained"
    weights.unlink()
    begun = (one.out / "checkpoints/last.pt").exists()
    ended = one.trial.run(one.line(*one.scenario.again))
    if begun and ended.code:
        one.trial.lost(f"{one.scenario.name} cannot be resumed without the weights that it began from: {ended.errors}")
    weights.symlink_to(one.stage.inputs / "pretrained")
    go_on(one)


def reverse_classes(one: Attempt) -> None:
    """Resume where numbers of classes have come to mean others: refused once there is a checkpoint."""
    classes = one.trial.work / "lists/classes.txt"
    names = classes.read_text()
    begun = (one.out / "checkpoints/last.pt").exists()
    classes.write_text("".join(reversed(names.splitlines(keepends=True))))
    accepted = begun and not one.trial.run(one.line(*one.scenario.again)).code
    classes.write_text(names)
    if accepted:
        return one.trial.silent(f"{one.scenario.name} is resumed with its classes in another order")
    return go_on(one)


CHANGES: dict[str, Any] = {
    "resumed with other options": change_options,
    "its weights deleted": delete_weights,
    "its classes reversed": reverse_classes,
}
