"""Nothing lost: runs that are killed or asked to stop, and resume to the same end, bit for bit.

The command runs in a process of its own with one thread. It saves after every step, so that the moment it is stopped
at, whatever that is, lies between two steps or in one, and in the middle of an epoch of three steps.
"""

import math
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.toy import (
    Toy,
    differences,
    files_in,
    load,
    rows,
    small_files,
    start,
    step_of,
    stop_when,
    succeed,
    vtdl,
    without_times,
)
from vtdl_cli.engine.train import checkpointing, run_folder, trackers
from vtdl_cli.engine.train.checkpointing import Checkpointing
from vtdl_cli.engine.train.run_folder import RunFolder
from vtdl_cli.engine.train.tracker_libraries import TRACKERS

EPOCHS, STEPS_PER_EPOCH = 10, 3


def every_step(stage: str) -> tuple[str, str]:
    return "--set", f"{stage}.checkpoint_minutes=1e-6"


Command = Callable[[Path], list[str]]


def run_whole(*arguments: str) -> str:
    """Run a command to its end in a process of its own; returns stderr."""
    process = start(*arguments)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    return stderr


def in_mid_epoch(run: Path, delay: float = 0.0) -> Callable[[], bool]:
    """True once the run has a new checkpoint, from the middle of the third epoch or a later one; after `delay` s."""
    before = step_of(run / "checkpoints/last.pt")

    def ready() -> bool:
        step = step_of(run / "checkpoints/last.pt")
        if step <= max(before, 2 * STEPS_PER_EPOCH) or step % STEPS_PER_EPOCH == 0:
            return False
        time.sleep(delay)
        return True

    return ready


def assert_same_end(run: Path, reference: Path) -> None:
    """Everything in the last checkpoint and in the metrics, but for times."""
    ours, theirs = (load(folder / "checkpoints/last.pt") for folder in (run, reference))
    assert theirs["step"] == EPOCHS * STEPS_PER_EPOCH
    assert differences(ours, theirs) == []
    assert without_times(rows(run)) == without_times(rows(reference))
    assert files_in(run) == files_in(reference)


@pytest.fixture(scope="module")
def pretraining(toy: Toy) -> Command:
    more = ("--set", f"pretrain.epochs={EPOCHS}", "--set", "pretrain.knn_every=3", *every_step("pretrain"))
    return lambda out: toy.pretrain(out, *more)


@pytest.fixture(scope="module")
def finetuning(toy: Toy, pretrained: Path) -> Command:
    more = ("--weights", str(pretrained), "--set", f"finetune.epochs={EPOCHS}", *every_step("finetune"))
    return lambda out: toy.finetune(out, *more)


@pytest.fixture(scope="module")
def uninterrupted(pretraining: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that the others have to equal."""
    out = tmp_path_factory.mktemp("uninterrupted") / "run"
    run_whole(*pretraining(out))
    return out


def test_kill_9__resumed_run_ends_the_same(pretraining: Command, uninterrupted: Path, tmp_path: Path) -> None:
    """Killed twice, each time a little later after a checkpoint: in a step, or while the next one is written."""
    run = tmp_path / "run"
    for delay in (0.0, 0.017):
        code, _ = stop_when(start(*pretraining(run), "--resume"), in_mid_epoch(run, delay), signal.SIGKILL)
        assert code == -signal.SIGKILL
        assert step_of(run / "checkpoints/last.pt") < EPOCHS * STEPS_PER_EPOCH
    assert "resumes at epoch " in run_whole(*pretraining(run), "--resume")
    model = load(run / "checkpoints/last.pt")["model"]
    for part in ("encoders.query.", "encoders.key.", "memory.keys", "memory.videos", "memory.pointer"):
        assert any(name.startswith(part) for name in model)
    assert_same_end(run, uninterrupted)


def test_signals__save_exit_75_and_resume(pretraining: Command, uninterrupted: Path, tmp_path: Path) -> None:
    """One run, asked to stop three times; the last time as by a terminal, which asks the decoding workers as well."""
    run = tmp_path / "run"
    for number, workers in ((signal.SIGTERM, "0"), (signal.SIGUSR1, "0"), (signal.SIGINT, "2")):
        process = start(*pretraining(run), "--resume", "--workers", workers)
        code, stderr = stop_when(process, in_mid_epoch(run), number, group=workers != "0")
        assert code == 75, stderr
        step = step_of(run / "checkpoints/last.pt")
        last_line = f"error: {number.name} after step {step} of {EPOCHS * STEPS_PER_EPOCH}: saved. Resume with --resume"
        assert stderr.splitlines()[-1] == last_line
        assert "Traceback" not in stderr
        assert not list(run.rglob("*.part"))
    succeed(*pretraining(run), "--resume")
    assert_same_end(run, uninterrupted)


@pytest.mark.slow
def test_finetune__stopped_run_ends_the_same(finetuning: Command, tmp_path: Path) -> None:
    """Dropout draws from the random state that the checkpoint holds."""
    run, reference = tmp_path / "run", tmp_path / "reference"
    code, stderr = stop_when(start(*finetuning(run)), in_mid_epoch(run), signal.SIGTERM)
    assert code == 75, stderr
    succeed(*finetuning(run), "--resume")
    succeed(*finetuning(reference))
    assert_same_end(run, reference)
    best, expected = (load(folder / "checkpoints/best.pt") for folder in (run, reference))
    assert differences(best, expected) == []


def test_seconds__of_all_epochs_are_the_trainings(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: the clock: saving takes at least 0.3 s here, and belongs to the epoch after it."""
    save = Checkpointing.save

    def save_slowly(self: Checkpointing) -> None:
        time.sleep(0.3)
        save(self)

    monkeypatch.setattr(Checkpointing, "save", save_slowly)
    monkeypatch.setattr(checkpointing, "SAVING_SHARE", math.inf)  # as if epochs were long
    succeed(*toy.finetune(tmp_path / "run", "--set", "finetune.epochs=3"))
    seconds = [row["seconds"] for row in rows(tmp_path / "run")]
    assert min(seconds[1:]) > 0.3


def test_curves__are_drawn_for_half_a_percent_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: by hand, on a clock of epochs of 10 s and drawings of 2 s: first after 30 s, then 400 s after the last."""
    now, drawn = [0.0], list[float]()

    def draw(_runs: object, path: Path) -> None:
        drawn.append(now[0])
        now[0] += 2
        path.touch()

    monkeypatch.setattr(run_folder, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(run_folder, "draw_curves", draw)
    run = RunFolder(tmp_path / "run", resume=False, overwrite=False, trackers=[])
    for epoch in range(1, 50):
        now[0] += 10
        run.write_pending([({"epoch": epoch, "step": epoch}, {})])
        run.log_pending(epoch)
        run.draw_when_due()
    assert drawn == [40, 452]


def test_log_pending__epochs_after_last_pt_are_trained_again(tmp_path: Path) -> None:
    """Oracle: by hand: three epochs of 2 steps pend, last.pt holds step 4; the first has been logged before."""
    run = RunFolder(tmp_path / "run", resume=False, overwrite=False)
    epochs: list[tuple[dict[str, float], dict[str, Any]]] = [
        ({"epoch": epoch, "step": 2 * epoch}, {"epoch": epoch, "step": 2 * epoch}) for epoch in (1, 2, 3)
    ]
    run.write_pending(epochs[:1])
    run.log_pending(2)
    run.write_pending(epochs)
    run.log_pending(4)
    assert [row["epoch"] for row in run.rows()] == [1, 2]
    assert [row["epoch"] for row in run_folder.read_log(run.path / "gradients.jsonl")] == [1, 2]
    assert not (run.path / run_folder.PENDING).exists()


def test_end_epoch__short_epochs_are_saved_together_and_none_is_lost(
    toy: Toy, uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: the run that saves every step. Here a save seems to take for ever: of one run only the first epoch is
    saved, the epochs before a signal, with the signal, and the last one. Both end the same."""
    more = ["--set", f"pretrain.epochs={EPOCHS}", "--set", "pretrain.knn_every=3", "--workers", "0"]
    saves = list[int]()
    save, end_epoch = Checkpointing.save, Checkpointing.end_epoch

    def slow_save(self: Checkpointing) -> None:
        saves.append(self.state.epoch)
        save(self)
        self._saving_seconds = 1e9

    def interrupted_end(self: Checkpointing, *args: Any) -> None:
        end_epoch(self, *args)
        if self.state.epoch == 6 and len(saves) == 1:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Checkpointing, "save", slow_save)
    monkeypatch.setattr(Checkpointing, "end_epoch", interrupted_end)
    run = tmp_path / "run"
    assert vtdl(*toy.pretrain(run, *more)).exit_code == 75
    assert saves == [1, 6]
    assert [row["epoch"] for row in rows(run)] == [1, 2, 3, 4, 5, 6]
    succeed(*toy.pretrain(run, *more, "--resume"))
    assert saves[2:] == [7, EPOCHS]
    assert without_times(rows(run)) == without_times(rows(uninterrupted))
    ours, theirs = (load(folder / "checkpoints/last.pt") for folder in (run, uninterrupted))
    assert [line for line in differences(ours, theirs) if not line.startswith(".config")] == []


def test_end_epoch__a_slow_tracker_does_not_put_off_saving(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: by hand, on a clock that only opening a tracker moves: by it no save takes any time, so all are made."""
    now, saves, save = [0.0], list[int](), Checkpointing.save

    class Late:
        run_id = ""

        def __init__(self, _run: object) -> None:
            now[0] += 30

        def log(self, _row: object) -> None: ...

        def close(self) -> None: ...

    def recorded(self: Checkpointing) -> None:
        saves.append(self.state.epoch)
        save(self)

    monkeypatch.setitem(TRACKERS, "wandb", Late)
    monkeypatch.setattr(trackers, "is_installed", lambda _: True)
    for module in (checkpointing, trackers):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(Checkpointing, "save", recorded)
    succeed(*toy.pretrain(tmp_path / "run", "--set", "pretrain.epochs=3", "--set", "pretrain.trackers=[wandb]"))
    assert saves == [1, 2, 3]


def test_overwrite__logs_no_epoch_of_the_run_before(toy: Toy, tmp_path: Path) -> None:
    """A run that was killed as it saved leaves epochs pending; the next is saved in the middle of its first epoch."""
    run = tmp_path / "run"
    succeed(*toy.pretrain(run, "--set", "pretrain.epochs=1"))
    (run / run_folder.PENDING).write_text('[[{"epoch": 1, "step": 1, "loss": 9.0}, {}]]')
    succeed(*toy.pretrain(run, "--set", "pretrain.epochs=1", *every_step("pretrain"), "--overwrite"))
    assert [row["step"] for row in rows(run)] == [STEPS_PER_EPOCH]


@pytest.mark.parametrize("most_bytes", [500, 10_000])
@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_save__a_first_one_that_fails_leaves_nothing(toy: Toy, tmp_path: Path, stage: str, most_bytes: int) -> None:
    """config.yaml is the first file, and last.pt the largest: the same command, typed again, begins anew."""
    line = getattr(toy, stage)(tmp_path / "run", "--set", f"{stage}.epochs=1")
    with small_files(most_bytes):
        result = vtdl(*line)
    name = "config.yaml" if most_bytes == 500 else "checkpoints/last.pt"
    assert f"error: file '{tmp_path / 'run' / name}' could not be written" in result.stderr
    assert (result.exit_code, list(tmp_path.iterdir())) == (1, [])
    succeed(*line)
