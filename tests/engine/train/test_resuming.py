"""Runs that are resumed: from every state that a kill may leave, under other settings, without what they began from.

A kill leaves the folder as it is at that moment: copies taken whenever a file is about to take its name are what kills
would have left, at the price of one run.
"""

import csv
import json
import math
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.toy import Toy, differences, files_in, load, refuse, rows, succeed, vtdl, without_times
from vtdl_cli.data.clips.datasets import Batch
from vtdl_cli.engine.networks.machine import device_clips
from vtdl_cli.engine.train import checkpointing, step
from vtdl_cli.engine.train.rank_batches import RankReport
from vtdl_cli.engine.train.run_folder import PENDING
from vtdl_cli.engine.train.training import Training
from vtdl_cli.runtime import file_sha256

EVERYTHING = ("keep_every=1", "log_gradients=true")
IMPROVING = ("--seed", "6")
"""Of a finetuning whose second epoch is better than its first."""

STAGES = ("pretrain", "finetune")


def settings(stage: str, *assignments: str) -> list[str]:
    return [word for each in assignments for word in ("--set", f"{stage}.{each}")]


@pytest.fixture
def moments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Copies of `run`, made before each file in it takes its name, by which file that is."""
    replace, copies = Path.replace, list[Path]()

    def broadcast(self: Path, target: Path) -> Path:
        copies.append(tmp_path / "moments" / f"{len(copies):02d}-{Path(target).name}" / "run")
        shutil.copytree(tmp_path / "run", copies[-1])
        return replace(self, target)

    def watch(line: list[str]) -> list[Path]:
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", broadcast)
            succeed(*line)
        return copies

    return watch


def scalars(run: Path) -> dict[int, float]:
    """What TensorBoard shows of the loss."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(run))
    events.Reload()
    return {event.step: event.value for event in events.Scalars("loss")}


def assert_same_run(run: Path, whole: Path) -> None:
    """All files of a run, except times."""
    assert files_in(run) == files_in(whole)
    for path in whole.glob("checkpoints/*.pt"):
        assert differences(load(run / "checkpoints" / path.name), load(path)) == [], path.name
    assert without_times(rows(run)) == without_times(rows(whole))
    assert (run / "gradients.jsonl").read_text() == (whole / "gradients.jsonl").read_text()
    with (run / "metrics.csv").open() as file:
        table = [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]
    assert table == rows(run)
    assert scalars(run) == pytest.approx({row["step"]: row["loss"] for row in rows(run)})


# ---- killed at any moment


@pytest.mark.parametrize(("stage", "epochs"), [("pretrain", 1), pytest.param("finetune", 2, marks=pytest.mark.slow)])
def test_resume__from_whatever_a_kill_leaves(toy: Toy, tmp_path: Path, moments: Any, stage: str, epochs: int) -> None:
    """Oracle: the run that was not killed: each of its files is there in the end, with the same content."""
    line = getattr(toy, stage)
    more = (*settings(stage, *EVERYTHING, f"epochs={epochs}"), *IMPROVING)
    copies = moments(line(tmp_path / "run", *more))
    names = [copy.parent.name[3:] for copy in copies]
    assert names.count("last.pt") == names.count("metrics.jsonl") == names.count("gradients.jsonl") == epochs
    assert names.count("best.pt") == (epochs if stage == "finetune" else 0)
    for copy in copies:
        succeed(*line(copy, *more, "--resume", "--quiet"))
        assert_same_run(copy, tmp_path / "run")


def test_resume__after_a_kill_in_the_first_step(toy: Toy, pretrained: Path, tmp_path: Path) -> None:
    """The process dies before anything was saved, and once more after the first step; then it comes to the end."""
    line = toy.pretrain(tmp_path / "run", *settings("pretrain", "checkpoint_minutes=1e-6"))
    for steps in (1, 2):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(step, "device_clips", die_at(steps, device_clips))
            assert in_another_process(*line, "--resume") == signal.SIGKILL
        assert (tmp_path / "run/checkpoints/last.pt").exists() == (steps == 2)
    assert "resumes at epoch 0.33 of 2" in succeed(*line, "--resume").stderr
    ours, theirs = (load(run / "checkpoints/last.pt") for run in (tmp_path / "run", pretrained))
    assert differences(ours["model"], theirs["model"]) == []
    assert [row["loss"] for row in rows(tmp_path / "run")] == [row["loss"] for row in rows(pretrained)]


def die_at(call: int, function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, but for its call of that number, counted from 1, in which the process is killed."""
    calls = []

    def counted(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)

    return counted


def in_another_process(*arguments: str) -> int:
    """Run a command in a copy of this process, patches and all; returns the signal that killed it, or 0."""
    child = os.fork()
    if not child:
        vtdl(*arguments)
        os._exit(0)
    return os.WTERMSIG(os.waitpid(child, 0)[1])


def test_signal__before_the_first_step_leaves_nothing(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    epochs_left = Training._epochs_left

    def interrupted(training: Training) -> Any:
        for epoch in epochs_left(training):
            os.kill(os.getpid(), signal.SIGTERM)
            yield epoch

    with monkeypatch.context() as patch:
        patch.setattr(Training, "_epochs_left", interrupted)
        result = vtdl(*toy.pretrain(tmp_path / "run"))
    said = "error: SIGTERM after step 0 of 6: there is nothing to save yet. Resume with --resume"
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (75, said)
    assert not (tmp_path / "run").exists()
    assert (
        "has no checkpoint yet: starting from the beginning"
        in succeed(*toy.pretrain(tmp_path / "run", "--resume")).stderr
    )


def test_signal__after_new_labels_were_drawn_does_not_draw_them_twice(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: the run that was not stopped. Pseudo-labels begin each epoch with a new classifier."""
    words = [word for each in ("name=pseudo_labels", "clusters=3") for word in ("--set", f"method.{each}")]
    succeed(*toy.pretrain(tmp_path / "whole", *words))
    report = Training._report

    def stop_at_the_second_epoch(training: Training, batch: Batch) -> RankReport:
        return report(training, batch)._replace(signal="SIGTERM" if training.state.step == 3 else "")

    with monkeypatch.context() as patch:
        patch.setattr(Training, "_report", stop_at_the_second_epoch)
        assert "SIGTERM after step 3 of 6: saved" in vtdl(*toy.pretrain(tmp_path / "run", *words)).stderr
    succeed(*toy.pretrain(tmp_path / "run", *words, "--resume"))
    ours, theirs = (load(tmp_path / name / "checkpoints/last.pt") for name in ("run", "whole"))
    assert differences(ours, theirs) == []


# ---- finished runs, and other lengths


@pytest.mark.parametrize("name", ["curves.png", "metrics.csv", "checkpoints/best.pt", "checkpoints/epoch_0002.pt"])
def test_resume__of_a_finished_run_makes_what_is_missing(toy: Toy, tmp_path: Path, name: str, whole: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    (run / name).unlink()
    line = toy.finetune(run, *settings("finetune", *EVERYTHING), *IMPROVING, "--resume")
    for _ in range(2):
        assert "is finished at epoch 2.00 of 2: nothing to do" in succeed(*line).stderr
        assert_same_run(run, whole)


@pytest.fixture(scope="module")
def whole(toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finetuning of two epochs whose second is the best, with all that it may log; not to be changed."""
    run = tmp_path_factory.mktemp("whole") / "run"
    succeed(*toy.finetune(run, *settings("finetune", *EVERYTHING), *IMPROVING))
    assert load(run / "checkpoints/last.pt")["best"]["epoch"] == 2
    return run


def test_resume__with_fewer_epochs_than_it_has(toy: Toy, tmp_path: Path, whole: Path) -> None:
    """Nothing is taken back, and it is said; a third epoch after that is the third of a longer run."""
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    before = {path: path.read_bytes() for path in run.rglob("*.pt")}
    stderr = succeed(*toy.finetune(run, *settings("finetune", *EVERYTHING, "epochs=1"), *IMPROVING, "--resume")).stderr
    assert "is finished at epoch 2.00 of 1: nothing to do" in stderr
    assert "warning: finetune.epochs 1 is less than the 2.00 epochs already trained, and has no effect" in stderr
    assert before == {path: path.read_bytes() for path in run.rglob("*.pt")}
    succeed(*toy.finetune(run, *settings("finetune", *EVERYTHING, "epochs=3"), *IMPROVING, "--resume"))
    succeed(*toy.finetune(tmp_path / "long", *settings("finetune", *EVERYTHING, "epochs=3"), *IMPROVING))
    ours, theirs = (load(folder / "checkpoints/last.pt") for folder in (run, tmp_path / "long"))
    assert differences(ours, theirs) == []
    assert without_times(rows(run)) == without_times(rows(tmp_path / "long"))


def test_resume__ends_where_no_epoch_was_validated(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Validation comes after the third epoch; the run is at two, and is asked to end there."""
    line = toy.finetune(tmp_path / "run", *settings("finetune", "validate_every=3"), "--json")
    monkeypatch.setattr(Training, "close_epoch", die_at(3, Training.close_epoch))
    monkeypatch.setattr(checkpointing, "SAVING_SHARE", math.inf)  # as if epochs were long
    assert in_another_process(*line, *settings("finetune", "epochs=3")) == signal.SIGKILL
    monkeypatch.undo()
    answer = json.loads(succeed(*line, "--resume", *settings("finetune", "epochs=2")).stdout)
    assert (answer["best"], answer["last"]) == ({}, {})


def test_resume__of_another_length_warns_of_the_cosine(toy: Toy, tmp_path: Path) -> None:
    """Oracle: by hand: after 1 of 2 epochs half of 1e-3; after 1 of 4 the cosine of 45 degrees, (1 + .7071) / 2."""
    cosine = ("--set", "pretrain.schedule.name=cosine")
    succeed(*toy.pretrain(tmp_path / "run", *cosine, *settings("pretrain", "epochs=1")))
    stderr = succeed(*toy.pretrain(tmp_path / "run", *cosine, "--resume")).stderr
    words = "warning: pretrain.epochs was 1 and is 2 now, and the schedule with it"
    assert f"{words}: the lr resumes at 0.0005 instead of 0" in stderr
    assert "the schedule with it" not in succeed(*toy.pretrain(tmp_path / "run", *cosine, "--resume")).stderr


def test_resume__with_another_number_of_threads_says_so(toy: Toy, tmp_path: Path) -> None:
    """Oracle: by hand; tests compute with one thread."""
    succeed(*toy.pretrain(tmp_path / "run", *settings("pretrain", "epochs=1")))
    torch.set_num_threads(2)
    try:
        stderr = succeed(*toy.pretrain(tmp_path / "run", "--resume")).stderr
        assert "warning: the run was saved with 1 CPU thread and resumes with 2" in stderr
        assert "set OMP_NUM_THREADS=1" in stderr
    finally:
        torch.set_num_threads(1)
    assert "CPU thread" not in succeed(*toy.pretrain(tmp_path / "run", "--resume")).stderr  # it is finished


# ---- dry runs


@pytest.mark.parametrize("stage", STAGES)
def test_dry_run__checks_what_it_would_resume_from(
    toy: Toy, pretrained: Path, whole: Path, tmp_path: Path, stage: str
) -> None:
    there = {"pretrain": pretrained, "finetune": whole}[stage]
    run = tmp_path / "run"
    shutil.copytree(there, run)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    more = settings(stage, *(EVERYTHING if stage == "finetune" else ("knn_every=2", "keep_every=2")))
    line = [*getattr(toy, stage)(run, *more, "--resume", "--dry-run"), *(IMPROVING if stage == "finetune" else ())]
    assert f"run '{run}' resumes at epoch 2.00 of 3" in succeed(*line, *settings(stage, "epochs=3")).stderr
    says = (f"run '{run}' cannot resume: {stage}.batch_size was",)
    refuse(*line, "--quiet", *settings(stage, "batch_size=3"), code=1, says=says)
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


def test_dry_run__of_nothing_to_resume(toy: Toy, tmp_path: Path) -> None:
    run = tmp_path / "run"
    says = f"run folder '{run}' has no checkpoint yet: starting from the beginning"
    assert says in succeed(*toy.pretrain(run, "--resume", "--dry-run")).stderr
    assert list(tmp_path.iterdir()) == []
    (run / "checkpoints").mkdir(parents=True)
    (run / "checkpoints/best.pt").touch()
    says = f"run folder '{run}' holds checkpoints/best.pt, but no checkpoints/last.pt"
    refuse(*toy.pretrain(run, "--resume", "--dry-run", "--quiet"), code=2, says=(says,))


# ---- without last.pt


@pytest.mark.parametrize(
    "name", ["checkpoints/best.pt", "checkpoints/epoch_0001.pt", "metrics.jsonl", "gradients.jsonl", "curves.png"]
)
def test_resume__without_last_pt_replaces_nothing(toy: Toy, tmp_path: Path, whole: Path, name: str) -> None:
    """Whatever an earlier run left, also one of another seed; what others left does not matter."""
    run = tmp_path / "run"
    (run / name).parent.mkdir(parents=True)
    shutil.copy(whole / name, run / name)
    shutil.copy(whole / "config.yaml", run)
    (run / "notes.txt").write_text("mine")
    before = (run / name).read_bytes()
    says = (
        f"run folder '{run}' holds {name}, but no checkpoints/last.pt to resume from. Use --overwrite to start over",
    )
    same = settings("finetune", *EVERYTHING)
    refuse(*toy.finetune(run, *same, "--resume", "--seed", "1"), code=2, says=says)
    assert files_in(run) == {name, "config.yaml", "notes.txt"}
    assert (run / name).read_bytes() == before
    succeed(*toy.finetune(run, "--overwrite", *settings("finetune", "epochs=1")))


def test_resume__without_last_pt_begins_where_only_its_own_configuration_is(toy: Toy, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    shutil.copy(toy.preset, run / "config.yaml")
    refuse(*toy.pretrain(run, "--resume"), code=2, says=(f"run folder '{run}' holds config.yaml, but no",))
    assert (run / "config.yaml").read_bytes() == toy.preset.read_bytes()
    succeed(*toy.pretrain(tmp_path / "other"))
    shutil.copy(tmp_path / "other" / "config.yaml", run / "config.yaml")
    succeed(*toy.pretrain(run, "--resume"))


# ---- what a run began from


@pytest.mark.parametrize("stage", STAGES)
def test_resume__without_the_weights_it_began_from(toy: Toy, pretrained: Path, tmp_path: Path, stage: str) -> None:
    """Gone, moved, or replaced by others: the run holds all it needs, and only other weights are another run."""
    first, run = tmp_path / "first", tmp_path / "run"
    shutil.copytree(pretrained, first)
    line = getattr(toy, stage)(run, "--resume", "--quiet")
    succeed(*line, "--weights", str(first), *settings(stage, "epochs=1"))
    succeed(*getattr(toy, stage)(tmp_path / "whole", "--weights", str(first)))
    first.rename(tmp_path / "moved")
    refuse(*line, code=1, says=(f"cannot resume: weights was '{first}', now it is 'None'",))
    refuse(*line, "--weights", str(run), code=1, says=(f"cannot resume: weights was '{first}', now it is '{run}'",))
    succeed(*line, "--weights", str(tmp_path / "moved"), *settings(stage, "epochs=1"))
    assert "warning" not in succeed(*line, "--weights", str(first)).stderr
    ours, theirs = (load(folder / "checkpoints/last.pt") for folder in (run, tmp_path / "whole"))
    assert ours["origin"]["weights_sha256"] == file_sha256(pretrained / "checkpoints/last.pt")
    assert differences(ours, theirs) == []
    shutil.copytree(tmp_path / "whole", first)
    warning = f"warning: weights '{first}' have changed since the run began from them: it keeps its own"
    assert succeed(*line, "--weights", str(first)).stderr.splitlines() == [warning]


def test_resume__of_a_run_that_kept_no_checksum(toy: Toy, pretrained: Path, tmp_path: Path) -> None:
    """As runs of before: by the path alone."""
    line = toy.finetune(tmp_path / "run", "--weights", str(pretrained), "--quiet")
    succeed(*line, *settings("finetune", "epochs=1"))
    last = tmp_path / "run/checkpoints/last.pt"
    content = load(last)
    del content["origin"]["weights_sha256"]
    torch.save(content, last)
    shutil.copytree(pretrained, tmp_path / "copy")
    refuse(*line, "--resume", "--weights", str(tmp_path / "copy"), code=1, says=("cannot resume: weights was",))
    assert "warning" not in succeed(*line, "--resume").stderr


NAMES = [
    ("red\ngreen\nblue\n", 2, "class 0 is 'red' here and 'blue' there"),
    ("blue\ngreen\nred\nwhite\n", 1, "cannot resume: num_classes was '3', now it is '4'"),
    (None, 1, "by number only. Put back the classes.txt beside the list"),
]
"""Of the classes, in the order of their numbers, and what is said of them."""


@pytest.mark.parametrize(("names", "code", "says"), NAMES)
def test_resume__of_other_classes_is_refused(toy: Toy, tmp_path: Path, names: str | None, code: int, says: str) -> None:
    """The lists are the same, byte for byte; their classes.txt is not. Pretraining does not learn from classes."""
    lists = tmp_path / "lists"
    shutil.copytree(toy.train_list.parent, lists)
    given = ["--train-list", str(lists / "train.txt"), "--list-columns", "path class frames", "--quiet"]
    finetuning = toy.finetune(tmp_path / "finetuned", *settings("finetune", "epochs=1"), *given)
    finetuning += ["--val-list", str(lists / "val.txt")]
    pretraining = toy.pretrain(tmp_path / "pretrained", *settings("pretrain", "epochs=1"), *given)
    succeed(*finetuning)
    succeed(*pretraining)
    (lists / "classes.txt").unlink()
    if names is not None:
        (lists / "classes.txt").write_text(names)
    refuse(*finetuning, "--resume", code=code, says=(says,))
    succeed(*pretraining, "--resume", *settings("pretrain", "epochs=2"))


def test_resume__with_names_of_classes_that_had_none(toy: Toy, tmp_path: Path) -> None:
    lists = tmp_path / "lists"
    shutil.copytree(toy.train_list.parent, lists)
    names = (lists / "classes.txt").rename(tmp_path / "classes.txt")
    line = toy.finetune(tmp_path / "run", "--train-list", str(lists / "train.txt"), *settings("finetune", "epochs=1"))
    line += ["--val-list", str(lists / "val.txt"), "--list-columns", "path class frames", "--quiet"]
    succeed(*line)
    names.rename(lists / "classes.txt")
    says = ("by number only. Remove the classes.txt, which was not there before, beside the list",)
    refuse(*line, "--resume", code=1, says=says)


@pytest.mark.parametrize("content", ["[[{", "{}", "[1]", "[[{}, {}]]"])
def test_resume__names_pending_epochs_that_are_damaged(
    toy: Toy, pretrained: Path, tmp_path: Path, content: str
) -> None:
    run = tmp_path / "run"
    shutil.copytree(pretrained, run)
    (run / PENDING).write_text(content)
    line = toy.pretrain(run, *settings("pretrain", "epochs=3", "knn_every=0"), "--resume", "--quiet")
    refuse(*line, code=1, says=(f"file '{run / PENDING}' is damaged: it does not hold epochs. Remove it",))
    (run / PENDING).unlink()
    succeed(*line)


def test_resume__from_an_older_checkpoint_warns_of_lines_it_removes(toy: Toy, tmp_path: Path, whole: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    shutil.copy(run / "checkpoints/epoch_0001.pt", run / "checkpoints/last.pt")
    stderr = succeed(*toy.finetune(run, *settings("finetune", *EVERYTHING), *IMPROVING, "--resume")).stderr
    assert "warning: 1 epoch was logged after the last checkpoint, and removed from the log" in stderr
    assert_same_run(run, whole)


def test_pretrain__resume_of_a_finished_run_whose_log_is_gone(toy: Toy, pretrained: Path, tmp_path: Path) -> None:
    """The checkpoint is whole; there is no last epoch to report."""
    shutil.copytree(pretrained, tmp_path / "run")
    (tmp_path / "run/metrics.jsonl").unlink()
    more = ("--set", "pretrain.knn_every=2", "--set", "pretrain.keep_every=2")
    result = succeed(*toy.pretrain(tmp_path / "run", *more, "--resume", "--json"))
    assert json.loads(result.stdout)["metrics"] == {}


# ---- stopped while it replaces an earlier run


OTHER_LENGTH = settings("pretrain", "epochs=1")


@pytest.fixture
def replaced(toy: Toy, pretrained: Path, tmp_path: Path) -> Path:
    """A finished run that another, of one epoch, was to replace and, killed in its first step, has not yet."""
    run = tmp_path / "run"
    shutil.copytree(pretrained, run)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step, "device_clips", die_at(1, device_clips))
        assert in_another_process(*toy.pretrain(run, "--overwrite", *OTHER_LENGTH)) == signal.SIGKILL
    return run


def test_overwrite__killed_before_the_first_save_begins_anew(
    toy: Toy, pretrained: Path, tmp_path: Path, replaced: Path
) -> None:
    """Oracle: the run that had nothing to replace. Until the first save, the earlier one can be used."""
    weights = [run / "checkpoints/last.pt" for run in (replaced, pretrained)]
    assert file_sha256(weights[0]) == file_sha256(weights[1])
    succeed(*toy.extract(replaced, tmp_path / "features.h5"))
    stderr = succeed(*toy.pretrain(replaced, "--resume", *OTHER_LENGTH)).stderr
    words = "has no checkpoint of the run that is to replace the one in it yet: starting from the beginning"
    assert f"run folder '{replaced}' {words}" in stderr
    succeed(*toy.pretrain(tmp_path / "whole", *OTHER_LENGTH))
    assert files_in(replaced) == files_in(tmp_path / "whole")
    ours, theirs = (load(run / "checkpoints/last.pt") for run in (replaced, tmp_path / "whole"))
    assert differences(ours, theirs) == []
    assert "is finished at epoch 1.00 of 1" in succeed(*toy.pretrain(replaced, "--resume", *OTHER_LENGTH)).stderr


def test_overwrite__killed_before_the_first_save_loses_nothing(toy: Toy, pretrained: Path, replaced: Path) -> None:
    """Whoever resumes with other settings, which may be the earlier run's, is told of both runs."""
    words = "was to be overwritten by a run of another configuration"
    refuse(*toy.pretrain(replaced, "--resume"), code=2, says=(f"run folder '{replaced}' {words}",))
    refuse(*toy.pretrain(replaced), code=2, says=(f"run folder '{replaced}' is not empty",))
    (replaced / ".replacing.yaml").unlink()
    more = ("--set", "pretrain.knn_every=2", "--set", "pretrain.keep_every=2")
    assert "is finished at epoch 2.00 of 2" in succeed(*toy.pretrain(replaced, "--resume", *more)).stderr
    assert files_in(replaced) == files_in(pretrained)


def test_overwrite__killed_before_the_first_save_may_be_typed_again(toy: Toy, replaced: Path) -> None:
    succeed(*toy.pretrain(replaced, "--overwrite", *settings("pretrain", "epochs=3")))
    assert "epoch 3.00 of 3" in succeed(*toy.pretrain(replaced, "--resume", *settings("pretrain", "epochs=3"))).stderr


def test_overwrite__killed_as_it_removes_the_earlier_run(
    toy: Toy, tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old last.pt goes first: nobody resumes from what is left of the old run, and the new one begins anew."""
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", die_at(3, Path.unlink))  # the first is of the new run's configuration
        assert in_another_process(*toy.finetune(run, "--overwrite")) == signal.SIGKILL
    assert files_in(whole) - files_in(run) == {"checkpoints/last.pt"}
    says = ("but no checkpoints/last.pt to resume from",)
    refuse(*toy.finetune(run, "--resume", *settings("finetune", "epochs=3")), code=2, says=says)
    assert "starting from the beginning" in succeed(*toy.finetune(run, "--resume")).stderr
    assert files_in(run) == files_in(whole) - {
        "gradients.jsonl", "checkpoints/epoch_0001.pt", "checkpoints/epoch_0002.pt"
    }  # fmt: skip
