"""Several processes at one list: as many rows as it has videos, and the same ones as a single process makes."""

import json
import socket
from pathlib import Path

import h5py
import numpy as np

from tests.campaign.process import Ended
from tests.campaign.stage import EVALUATE, EXTRACT, NUM_LISTED, OUT, QUIET, TOY, Scenario, Stage
from tests.campaign.trial import Trial

MOST_PROCESSES = 3
GRID = [
    (scenario, processes, videos)
    for scenario in (EXTRACT, EVALUATE)
    for processes in range(1, MOST_PROCESSES + 1)
    for videos in range(1, NUM_LISTED + 1)
]
"""Every trial but for the number of clips and a video that cannot be read, which are drawn."""

STRIDE = 31
"""From one trial to the next, so that the first few are not all of one process."""

CLIPS = (2, 8)
"""Of a video; 8 go through a network together: four videos for each process and batch, or one."""

RELATIVE, ABSOLUTE = 1e-4, 1e-5
"""How far numbers may differ: batches of other sizes are computed in other orders."""

FILES = {EXTRACT: ("features.h5", "features"), EVALUATE: ("scores.h5", "scores")}


def attempt(trial: Trial, stage: Stage) -> None:
    """Extract or evaluate by so many processes, and compare with what one made of the whole list."""
    scenario, processes, videos = GRID[STRIDE * trial.index % len(GRID)]
    clips = trial.draw.choice(CLIPS)
    stage.lay_out(trial)
    lines = (trial.work / "lists/all.txt").read_text().splitlines()[:videos]
    broken = trial.draw.randrange(videos) if videos > 1 and trial.draw.random() < 0.3 else None
    if broken is not None:
        lines[broken] = "../tiny.yaml 0 24"
    (trial.work / "lists/some.txt").write_text("".join(f"{line}\n" for line in lines))
    trial.name = f"{scenario.name}, {processes} processes, {videos} videos of {clips} clips, broken: {broken}"
    all_ended = start(trial, command(scenario, "lists/some.txt", clips, OUT), processes)
    if any(ended.code for ended in all_ended):
        said = next(filter(None, (ended.errors for ended in all_ended)), "nothing")
        return trial.lost(f"{scenario.name} in {processes} processes of {videos} videos fails: {said[:80]}")
    name = FILES[scenario][0]
    expected = [number for number in range(videos) if number != broken]
    check_rows(trial, trial.work / OUT / name, whole(stage.inputs, scenario, clips) / name, scenario, expected)
    if count_skipped(trial, scenario) != videos - len(expected):
        trial.silent(f"{scenario.name} in {processes} processes does not report the video that cannot be read")
    return None


def command(scenario: Scenario, videos: str, clips: int, out: Path) -> tuple[str, ...]:
    """What every process is asked to do."""
    more = ("--clips", str(clips), *QUIET)
    if scenario is EVALUATE:
        return (*TOY.evaluate(Path("finetuned"), out, *more, test_list=Path(videos)),)
    return (*TOY.extract("pretrained", out / "features.h5", "--list", videos, *more),)


def start(trial: Trial, line: tuple[str, ...], processes: int) -> list[Ended]:
    """Run a command in several processes, with torchrun's environment."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    known = {"WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    ranks = ({**known, "RANK": rank, "LOCAL_RANK": rank} for rank in range(processes))
    running = [trial.start(line, environment={name: str(value) for name, value in rank.items()}) for rank in ranks]
    return [trial.end(each) for each in running]


def check_rows(trial: Trial, ours: Path, theirs: Path, scenario: Scenario, expected: list[int]) -> None:
    """Whether the rows of a file are the `expected` ones of another."""
    values = FILES[scenario][1]
    with h5py.File(ours) as one, h5py.File(theirs) as other:
        paths, known = one["paths"][:].tolist(), other["paths"][:].tolist()
        if paths != [known[number] for number in expected]:
            return trial.silent(f"{scenario.name} leaves out rows: {len(paths)} of {len(expected)}")
        same = np.allclose(one[values], other[values][:][expected], RELATIVE, ABSOLUTE)
        if not same or one["labels"][:].tolist() != other["labels"][:][expected].tolist():
            trial.silent(f"{scenario.name} has other numbers in its rows")
    return None


def count_skipped(trial: Trial, scenario: Scenario) -> int:
    """Videos that the output names as left out."""
    if scenario is EVALUATE:
        return len(json.loads((trial.work / OUT / "metrics.json").read_text())["skipped"])
    with h5py.File(trial.work / OUT / "features.h5") as file:
        return len(json.loads(file.attrs["skipped"]))


def whole(inputs: Path, scenario: Scenario, clips: int) -> Path:
    """The output of one process for the whole list."""
    return inputs / "whole" / f"{scenario.name}-{clips}"


def make_whole(stage: Stage) -> None:
    """Let one process do everything once."""
    for scenario in (EXTRACT, EVALUATE):
        for clips in CLIPS:
            out = whole(Path(), scenario, clips)
            stage.add_input(command(scenario, "lists/all.txt", clips, out))
