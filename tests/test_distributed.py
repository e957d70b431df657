"""Distributed runs through the command line: two processes on the CPU, which meet as under torchrun."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.engine.train.test_training import in_mid_epoch
from tests.every_length import LENGTHS, extract_and_evaluate
from tests.processes import ENVIRONMENT
from tests.toy import (
    RUN_FILES,
    Toy,
    differences,
    ends,
    files_in,
    load,
    refuse,
    rows,
    start_processes,
    step_of,
    stop_when,
    succeed,
    without_times,
)
from vtdl_cli.data.hdf5.feature_parts import FeatureParts
from vtdl_cli.errors import VtdlError

EVERY_STEP = (
    "--set",
    "pretrain.checkpoint_minutes=1e-6",
    "--set",
    "pretrain.epochs=6",
    "--set",
    "pretrain.knn_every=3",
)


def both(*arguments: str) -> tuple[str, str]:
    """Run a command that has to succeed in two processes; returns what the first said: stdout and stderr."""
    (code, stdout, stderr), (other, *said) = ends(start_processes(2, "-m", "vtdl_cli", *arguments))
    assert (code, other) == (0, 0), stderr
    assert said == ["", ""]
    return stdout, stderr


@pytest.fixture(scope="module")
def uninterrupted(toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six epochs of pretraining in two processes."""
    out = tmp_path_factory.mktemp("parallel") / "run"
    both(*toy.pretrain(out, *EVERY_STEP))
    return out


def test_pretrain__in_two_processes_leaves_one_run(uninterrupted: Path) -> None:
    assert files_in(uninterrupted) == RUN_FILES
    table = rows(uninterrupted)
    assert [row["step"] for row in table] == [3, 6, 9, 12, 15, 18]
    content = load(uninterrupted / "checkpoints/last.pt")
    assert len(content["random_of_others"]) == 1
    assert differences([content["random"]], content["random_of_others"])  # each draws for itself
    videos, next_slot = content["model"]["memory.videos"], int(content["model"]["memory.pointer"])
    assert sorted(videos.roll(-next_slot)[-12:].tolist()) == list(range(12))  # the keys of an epoch, of both processes


def test_pretrain__stopped_in_two_processes_ends_the_same(toy: Toy, uninterrupted: Path, tmp_path: Path) -> None:
    """Parameters bit for bit; running statistics, which are averaged whenever a checkpoint is saved, to rounding."""
    run = tmp_path / "run"
    first, second = start_processes(2, "-m", "vtdl_cli", *toy.pretrain(run, *EVERY_STEP))
    code, stderr = stop_when(first, in_mid_epoch(run), signal.SIGTERM)  # the other learns it from the first
    assert code == 75, stderr
    assert "error: SIGTERM after step " in stderr
    assert ends([second]) == [(75, "", "")]
    both(*toy.pretrain(run, *EVERY_STEP), "--resume")
    ours, theirs = (load(folder / "checkpoints/last.pt") for folder in (run, uninterrupted))
    changed = differences(ours, theirs)
    assert all(name.endswith(("running_mean", "running_var")) for name in changed), changed
    for name in theirs["model"]:
        np.testing.assert_allclose(ours["model"][name], theirs["model"][name], rtol=1e-5, atol=1e-6)
    for row, expected in zip(without_times(rows(run)), without_times(rows(uninterrupted)), strict=True):
        assert row == pytest.approx(expected, rel=1e-5)


def test_pretrain__reports_that_another_process_died(toy: Toy, tmp_path: Path) -> None:
    """The second is killed, as by a machine that runs out of memory; what was saved is kept."""
    run = tmp_path / "run"
    first, second = start_processes(2, "-m", "vtdl_cli", *toy.pretrain(run, *EVERY_STEP))
    stop_when(second, in_mid_epoch(run), signal.SIGKILL)
    [(code, _, stderr)] = ends([first])
    assert code == 1
    expected = "error: another of 2 processes has ended: its own message says why. Resume with --resume"
    assert stderr.splitlines()[-1] == expected
    assert step_of(run / "checkpoints/last.pt") > 6


@pytest.mark.slow
def test_pretrain__resumes_in_one_process(toy: Toy, uninterrupted: Path, tmp_path: Path) -> None:
    """By torchrun itself, which starts the two."""
    run = tmp_path / "run"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, "-m", "vtdl_cli", *toy.pretrain(run, "--set", "pretrain.epochs=1", "--json")]
    said = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=120)
    assert said.returncode == 0, said.stderr
    assert json.loads(said.stdout)["machine"] == "cpu, float32, 0 workers in each of 2 processes"
    loss = json.loads(said.stdout)["metrics"]["loss"]
    assert loss == pytest.approx(rows(uninterrupted)[0]["loss"])  # the same seed and list
    succeed(*toy.pretrain(run, "--resume"))
    assert [row["epoch"] for row in rows(run)] == [1, 2]


def test_finetune__in_two_processes_leaves_out_a_batch_of_one(toy: Toy, pretrained: Path, tmp_path: Path) -> None:
    """Eleven videos in batches of five: the last one has nobody for the second process."""
    few = tmp_path / "eleven.txt"
    few.write_text("".join(toy.train_list.read_text().splitlines(keepends=True)[:11]))
    few.with_name("classes.txt").write_text(toy.train_list.with_name("classes.txt").read_text())
    run = tmp_path / "run"
    arguments = toy.finetune(run, "--weights", str(pretrained), "--train-list", str(few))
    _, stderr = both(*arguments)
    warning = "warning: step 2: 1 video is too few for 2 processes: step skipped, as others like it will be"
    assert [line for line in stderr.splitlines() if line.startswith("warning")] == [warning]
    assert [row["step"] for row in rows(run)] == [3, 6]
    assert (run / "checkpoints/best.pt").exists()


@pytest.mark.slow
def test_finetune__in_two_processes_stops_early_in_both(toy: Toy, pretrained: Path, tmp_path: Path) -> None:
    """Oracle: by hand: a probe whose lr is next to nothing is as good after epoch 1 as ever, and patience is two more."""
    still = ("optimizer={name: sgd, lr: 1.0e-12, weight_decay: 0}", "epochs=9", "patience=2", "sampling=balanced")
    words = [word for each in still for word in ("--set", f"finetune.{each}")]
    arguments = toy.finetune(tmp_path / "run", "--linear-probe", "--weights", str(pretrained), *words)
    stdout, _ = both(*arguments, "--json")
    assert json.loads(stdout)["stopped_early"] == 3
    assert [row["epoch"] for row in rows(tmp_path / "run")] == [1, 2, 3]
    _, stderr = both(*arguments, "--resume")
    assert "is finished at epoch 3.00 of 9, stopped early by finetune.patience 2" in stderr


def test_evaluate__in_two_processes_finds_what_one_does(toy: Toy, finetuned: Path, tmp_path: Path) -> None:
    """Oracle: one process, on a list with a broken video in its middle."""
    lines = toy.val_list.read_text().splitlines()
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    mixed = tmp_path / "mixed.txt"
    mixed.write_text("\n".join([*lines[:3], f"{tmp_path / 'broken.mp4'} 1 24", *lines[3:]]) + "\n")
    alone, together = tmp_path / "alone", tmp_path / "together"
    succeed(*toy.evaluate(finetuned, alone, test_list=mixed))
    both(*toy.evaluate(finetuned, together, test_list=mixed))
    assert files_in(together) == files_in(alone)
    ours, theirs = (json.loads((folder / "metrics.json").read_text()) for folder in (together, alone))
    assert len(ours["skipped"]) == 1
    assert {**ours, "seconds": 0} == {**theirs, "seconds": 0}
    with h5py.File(together / "scores.h5") as mine, h5py.File(alone / "scores.h5") as expected:
        assert list(mine["paths"]) == list(expected["paths"])
        for name in ("scores", "clip_logits", "labels"):
            np.testing.assert_allclose(mine[name][:], expected[name][:], rtol=1e-4, atol=1e-5)


def test_extract__in_two_processes_writes_what_one_does(toy: Toy, pretrained: Path, tmp_path: Path) -> None:
    """Oracle: one process; every video once and in the list's order, though two processes make batches of eight."""
    alone, together = tmp_path / "alone.h5", tmp_path / "together.h5"
    succeed(*toy.extract(pretrained, alone, "--list", str(toy.train_list)))
    both(*toy.extract(pretrained, together, "--list", str(toy.train_list), "--npy"))
    with h5py.File(together) as mine, h5py.File(alone) as expected:
        assert list(mine["paths"]) == list(expected["paths"])
        assert dict(mine.attrs) == dict(expected.attrs)
        np.testing.assert_allclose(mine["features"][:], expected["features"][:], rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(np.load(together.with_suffix(".npy")), mine["features"][:])
    assert not list(tmp_path.glob(".*"))


LATE = """
import time
from vtdl_cli import ranks
from vtdl_cli.data.hdf5.feature_parts import FeatureParts
from vtdl_cli.__main__ import main
resume_parts = FeatureParts._resume
def wait_and_resume(parts, resume):
    time.sleep(ranks.rank())
    resume_parts(parts, resume)
FeatureParts._resume = wait_and_resume
main()
"""
"""Rank 1 looks for parts a second later."""


def test_predict__in_two_processes_writes_what_one_does(toy: Toy, finetuned: Path, tmp_path: Path) -> None:
    """The first video cannot be read; the rows are in the order of the arguments all the same."""
    line = ["predict", "--weights", str(finetuned), str(tmp_path / "none.mp4"), str(toy.root), "--device", "cpu"]
    line += ["--workers", "0", "--quiet", "--out"]
    both(*line, str(tmp_path / "two.jsonl"))
    succeed(*line, str(tmp_path / "one.jsonl"))
    two, one = (
        [json.loads(row) for row in (tmp_path / name).read_text().splitlines()] for name in ("two.jsonl", "one.jsonl")
    )
    assert [row["path"] for row in two] == [row["path"] for row in one]
    assert two[0] == one[0]
    for ours, theirs in zip(two[1:], one[1:], strict=True):
        assert [each["class"] for each in ours["top"]] == [each["class"] for each in theirs["top"]]
        np.testing.assert_allclose(
            [each["probability"] for each in ours["top"]], [each["probability"] for each in theirs["top"]], atol=3e-6
        )


def test_extract__rank_0_removes_no_part_before_all_have_seen_it(
    toy: Toy, pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is left to compute when the two resume, and so nothing that they would do together."""

    def fail(*_: object) -> None:
        raise VtdlError("file 'f.h5' could not be written (No space left on device)")

    line = toy.extract(pretrained, tmp_path / "f.h5")
    with monkeypatch.context() as patch:
        patch.setattr(FeatureParts, "finish", fail)
        refuse(*line, "--quiet", code=1, says=("No space left on device",))
    for code, _, stderr in ends(start_processes(2, "-c", LATE, *line, "--resume", "--npy")):
        assert code == 0, stderr
    assert files_in(tmp_path) == {"f.h5", "f.npy"}


@pytest.fixture(scope="module")
def of_every_length(toy: Toy, pretrained: Path, finetuned: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lists of LENGTHS videos, the last but one of them broken, and `1`, what one process makes of them."""
    folder = tmp_path_factory.mktemp("lengths")
    (folder / "broken.mp4").write_bytes(b"no video")
    (folder / "lists").mkdir()
    shutil.copy(toy.train_list.with_name("classes.txt"), folder / "lists")
    good = [*toy.train_list.read_text().splitlines(), *toy.val_list.read_text().splitlines()]
    for length in LENGTHS:
        lines = good[:length]
        if length > 2:
            lines[-2] = f"{folder / 'broken.mp4'} 1 24"
        (folder / "lists" / f"{length}.txt").write_text("".join(f"{line}\n" for line in lines))
    extract_and_evaluate(folder / "1", folder / "lists", str(toy.root), str(pretrained), str(finetuned))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("number", [2, 3])
def test_rows__of_any_number_of_videos_and_processes_are_those_of_one(
    toy: Toy, pretrained: Path, finetuned: Path, of_every_length: Path, number: int
) -> None:
    """Oracle: one process, whose rows and skipped videos are those of the list, each once and in order."""
    out, weights = of_every_length / str(number), (str(pretrained), str(finetuned))
    script = ("-m", "tests.every_length", str(out), str(of_every_length / "lists"), str(toy.root), *weights)
    for code, _, stderr in ends(start_processes(number, *script)):
        assert code == 0, stderr
    for length in LENGTHS:
        names = [line.rsplit(" ", 2)[0] for line in (of_every_length / f"lists/{length}.txt").read_text().splitlines()]
        good = [name for name in names if not name.endswith("broken.mp4")]
        for name, values in ((f"{length}.h5", "features"), (f"{length}/scores.h5", "scores")):
            with h5py.File(out / name) as mine, h5py.File(of_every_length / "1" / name) as one:
                assert mine["paths"].asstr()[:].tolist() == good == one["paths"].asstr()[:].tolist()
                np.testing.assert_allclose(mine[values][:], one[values][:], rtol=1e-4, atol=1e-5)
                assert mine.attrs["skipped"] == one.attrs["skipped"]
                assert len(json.loads(str(mine.attrs["skipped"]))) == len(names) - len(good)


def test_evaluate__error_is_printed_once(toy: Toy, tmp_path: Path) -> None:
    first, second = ends(start_processes(2, "-m", "vtdl_cli", *toy.evaluate(tmp_path / "none", tmp_path / "out")))
    assert first[0] == second[0] == 1
    assert first[2].startswith("error: weights '")
    assert first[2].count("\n") == 1
    assert second[1:] == ("", "")


def test_key_shuffle__is_refused_where_it_has_no_effect(toy: Toy, tmp_path: Path) -> None:
    shuffled = ("--set", "method.key_shuffle=devices")
    words = ("method.key_shuffle 'devices' shuffles keys among processes, and there is one", "method.key_splits=2")
    refuse(*toy.pretrain(tmp_path / "run", *shuffled), code=2, says=words)
    running = (*shuffled, "--set", "method.key_statistics=running")
    refuse(*toy.pretrain(tmp_path / "run", *running), code=2, says=("method.key_shuffle has no effect where",))
    assert not (tmp_path / "run").exists()


def test_several_processes__are_refused_by_commands_for_one(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "6", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "6"}.items():
        monkeypatch.setenv(name, value)
    small = (
        "finetune.batch_size 5 is that of all 6 processes: under one video each",
        "finetune.batch_size=6 or",
    )
    refuse(*toy.finetune(tmp_path / "run"), code=2, says=small)
    monkeypatch.setenv("WORLD_SIZE", "2")
    refuse("demo", "--out", str(tmp_path / "demo"), code=2, says=("command 'demo' runs in one process",))
    split = ("--set", "method.key_splits=2")
    says = ("method.key_splits 2 splits the keys of one process, and there are 2",)
    refuse(*toy.pretrain(tmp_path / "run", *split), code=2, says=says)
