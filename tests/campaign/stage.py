"""What all trials start from: toy videos, lists, trained runs, and what uninterrupted runs make of them."""

import os
import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests.campaign.process import Ended
from tests.campaign.trial import Trial
from tests.toy import CLASSES, Toy, make_toy, write_video

TOY = Toy(Path("videos"), Path("lists/train.txt"), Path("lists/val.txt"), Path("tiny.yaml"))
"""By relative paths: every trial's folder looks alike, so that its results can be compared byte by byte."""

OUT = Path("out")
QUIET = ("--quiet", "--json")
LONG_FRAMES, LONG_HEIGHT, LONG_WIDTH = 120, 96, 128
NUM_LISTED = 13
"""Videos of lists/all.txt."""

ODD_NAMES = (
    "blue/blue_0.mp4",
    "blue/blue 1 2.mp4",
    "blue/blå 7.mp4",
    "green/green_0.mp4",
    "green/green_1.mp4",
    "green/2.mp4",
    "red/red_0.mp4",
    "red/red 0",
    "red/-1.mp4",
)
"""Below the folder `named`: with spaces and numbers, which a list's columns are, too."""


def _set(*assignments: str) -> tuple[str, ...]:
    return tuple(word for assignment in assignments for word in ("--set", assignment))


@dataclass(frozen=True)
class Scenario:
    """A command whose results are known.

    Attributes:
        line: what is typed.
        again: what is added to resume after an interruption.
        other: options that make another result.
        spawns: whether workers are started anew, which takes seconds, and write the files themselves.
    """

    line: tuple[str, ...]
    again: tuple[str, ...]
    other: tuple[str, ...]
    spawns: bool = False

    @property
    def name(self) -> str:
        """Of the command."""
        return self.line[0]


_EVERY_STEP = "pretrain.checkpoint_minutes=1e-9"
"""When pretraining saves; finetuning does so after an epoch."""


PRETRAIN = Scenario(
    (
        *TOY.pretrain(OUT),
        *_set("pretrain.epochs=3", "pretrain.keep_every=1", "pretrain.knn_every=2", "pretrain.log_gradients=true"),
        *_set(_EVERY_STEP),
        *QUIET,
    ),
    ("--resume",),
    ("--seed", "1"),
)
FINETUNE = Scenario(
    (
        *TOY.finetune(OUT, "--weights", "pretrained"),
        *_set("finetune.epochs=3", "finetune.keep_every=1", "finetune.log_gradients=true"),
        *QUIET,
    ),
    ("--resume",),
    ("--seed", "1"),
)
EVALUATE = Scenario((*TOY.evaluate(Path("finetuned"), OUT), *QUIET), ("--overwrite",), ("--clips", "3"))
EXTRACT = Scenario(
    (
        *TOY.extract("pretrained", OUT / "features.h5", "--list", "lists/all.txt", "--npy"),
        *_set("extract.batch_clips=2"),  # a video at a time
        *QUIET,
    ),
    ("--resume",),
    ("--clips", "1"),
)
PREPARE = Scenario(
    ("prepare-lists", "folder", "--root", "videos", "--out", "out", "--verify", "--workers", "0", *QUIET),
    (),
    ("--seed", "1"),
    spawns=True,
)
_TRANSCODED = ("lists/long.txt", "--root", "long", "--out", "out", "--short-side", "32", "--workers", "0", *QUIET)
COMPRESS = Scenario(("compress", *_TRANSCODED), ("--resume",), ("--crf", "30"), spawns=True)
FRAMES = Scenario(("extract-frames", *_TRANSCODED), ("--resume",), ("--quality", "50"), spawns=True)
SCENARIOS = (PRETRAIN, FINETUNE, EVALUATE, EXTRACT, PREPARE, COMPRESS, FRAMES)


@dataclass(frozen=True)
class Reference:
    """An uninterrupted run: its output folder, its duration, and the files that it changed, in order."""

    out: Path
    seconds: float
    events: list[str]


@dataclass
class Stage:
    """The inputs, and what is known of them.

    Attributes:
        folder: where all of it lies.
        references: uninterrupted runs by scenario, whether made with its other options, and workers.
        whole: by reader, its warnings and its results of files that are not damaged.
    """

    folder: Path
    references: dict[tuple[Scenario, bool, int], Reference] = field(default_factory=dict)
    whole: dict[Any, tuple[set[str], dict[str, Any]]] = field(default_factory=dict)

    @property
    def inputs(self) -> Path:
        """What every trial's folder shows."""
        return self.folder / "inputs"

    def lay_out(self, trial: Trial) -> None:
        """Give a trial its own lists and preset, and sight of the videos and runs."""
        trial.work.mkdir(parents=True)
        for source in self.inputs.iterdir():
            if source.name in ("lists", "tiny.yaml"):
                (shutil.copytree if source.is_dir() else shutil.copy)(source, trial.work / source.name)
            else:
                (trial.work / source.name).symlink_to(source)

    def rehearsal(self, name: str) -> Trial:
        """A trial before all trials, laid out, from which a reference or an input is taken."""
        trial = Trial("stage", 0, self.folder / name, random.Random(0))
        self.lay_out(trial)
        return trial

    def add_input(self, line: Sequence[str]) -> None:
        """Make one more thing that every trial's folder shows, by a command that writes below the inputs.

        Raises:
            RuntimeError: it fails.
        """
        trial = Trial("stage", 0, self.folder / f"input-{len([*self.folder.glob('input-*')])}", random.Random(0))
        trial.folder.mkdir()
        trial.work.symlink_to(self.inputs)
        succeed(trial, (*line, *QUIET))

    def add_references(self) -> None:
        """Run every scenario without interruption, as it is, with workers, and with its other options."""
        for scenario in SCENARIOS:
            for other, workers in ((False, 0), (False, 2), (True, 0)):
                trial = self.rehearsal(f"{scenario.name}-{other}-{workers}")
                line = (*scenario.line, *(scenario.other if other else ()), "--workers", str(workers))
                ended = succeed(trial, line)
                known = Reference(trial.work / OUT, ended.seconds, ended.events)
                self.references[scenario, other, workers] = known

    def reference(self, scenario: Scenario, *, other: bool = False, workers: int = 0) -> Reference:
        """What an uninterrupted run makes of a scenario."""
        return self.references[scenario, other, workers]


def set_up(folder: Path) -> Stage:
    """Make videos, lists, a pretrained and a finetuned run, and the references.

    Raises:
        RuntimeError: one of these uninterrupted runs fails.
    """
    stage = Stage(folder)
    folder.mkdir(parents=True)
    _in_fork(lambda: _make_inputs(stage.inputs))
    stage.add_input(TOY.pretrain(Path("pretrained")))
    stage.add_input(TOY.finetune(Path("finetuned"), "--weights", "pretrained", "--set", "finetune.epochs=6"))
    stage.add_references()
    return stage


def succeed(trial: Trial, line: Sequence[str]) -> Ended:
    """Run a command that has to succeed, or there is no campaign.

    Raises:
        RuntimeError: it fails.
    """
    ended = trial.run(line)
    if ended.code or trial.findings:
        raise RuntimeError(f"an uninterrupted run fails: {trial.lines[-1]} {trial.findings}\n{ended.stderr}")
    return ended


def _make_inputs(inputs: Path) -> None:
    make_toy(inputs)
    rows = [line for name in ("train", "val") for line in (inputs / f"lists/{name}.txt").read_text().splitlines()]
    (inputs / "lists/all.txt").write_text("".join(f"{row}\n" for row in rows[:NUM_LISTED]))
    make_long(inputs)
    make_named(inputs)


def make_long(inputs: Path) -> None:
    """Videos that take some time to read and write, each another one."""
    draw = np.random.default_rng(0)
    names = [f"{name}/{name}_{number}.mp4" for name in CLASSES for number in range(2)]
    for name in names:
        shift = np.cumsum(draw.integers(-2, 3, (LONG_FRAMES, 2)), axis=0)
        picture = draw.integers(0, 255, (LONG_HEIGHT, LONG_WIDTH, 3)).astype(np.uint8)
        write_video(inputs / "long" / name, np.stack([np.roll(picture, (x, y), (0, 1)) for x, y in shift]))
    rows = [f"{name} {CLASSES.index(name.split('/')[0])} {LONG_FRAMES}\n" for name in names]
    (inputs / "lists/long.txt").write_text("".join(rows))


def make_named(inputs: Path) -> None:
    """Give toy videos names that are hard to read in a list."""
    for name in ODD_NAMES:
        target = inputs / "named" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(inputs / "videos" / name.split("/")[0] / f"{name.split('/')[0]}_0.mp4", target)


def _in_fork(work: Callable[[], Any]) -> None:
    """Do what may start threads in a process of its own: from this one more are to be forked."""
    pid = os.fork()
    if not pid:
        try:
            work()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
