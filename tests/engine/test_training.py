"""Nothing lost: runs that are killed or asked to stop, and go on to the same end, bit for bit.

The command runs in a process of its own with one thread. It saves after every step, so that the moment it is stopped
at, whatever that is, lies between two steps or in one, and in the middle of an epoch of three steps.
"""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.toy import Toy, differences, files_in, load, rows, start, step_of, stop_when, without_times

EPOCHS, STEPS_PER_EPOCH = 8, 3
EVERY_STEP = ("--set", "pretrain.checkpoint_minutes=1e-6", "--set", "finetune.checkpoint_minutes=1e-6")
Command = Callable[[Path], list[str]]


def run_whole(*arguments: str) -> str:
    """Run a command to its end in a process of its own; returns stderr."""
    process = start(*arguments)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    return stderr


def in_mid_epoch(run: Path) -> Callable[[], bool]:
    """True once a checkpoint from the middle of the third epoch or a later one lies in the run."""

    def ready() -> bool:
        step = step_of(run / "checkpoints/last.pt")
        return step > 2 * STEPS_PER_EPOCH and step % STEPS_PER_EPOCH != 0

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
    more = ("--set", f"pretrain.epochs={EPOCHS}", "--set", "pretrain.knn_every=3", *EVERY_STEP)
    return lambda out: toy.pretrain(out, *more)


@pytest.fixture(scope="module")
def finetuning(toy: Toy, pretrained: Path) -> Command:
    more = ("--weights", str(pretrained), "--set", f"finetune.epochs={EPOCHS}", *EVERY_STEP)
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
        ready = in_mid_epoch(run)
        before = step_of(run / "checkpoints/last.pt")

        def go(ready: Callable[[], bool] = ready, before: int = before, delay: float = delay) -> bool:
            if not ready() or step_of(run / "checkpoints/last.pt") <= before:
                return False
            time.sleep(delay)
            return True

        code, _ = stop_when(start(*pretraining(run), "--resume"), go, signal.SIGKILL)
        assert code == -signal.SIGKILL
        assert step_of(run / "checkpoints/last.pt") < EPOCHS * STEPS_PER_EPOCH
    assert "goes on at epoch " in run_whole(*pretraining(run), "--resume")
    model = load(run / "checkpoints/last.pt")["model"]
    for part in ("encoders.query.", "encoders.key.", "queue.keys", "queue.videos", "queue.pointer"):
        assert any(name.startswith(part) for name in model)
    assert_same_end(run, uninterrupted)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_signal__saves_exits_75_and_goes_on(
    number: signal.Signals, pretraining: Command, uninterrupted: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    code, stderr = stop_when(start(*pretraining(run)), in_mid_epoch(run), number)
    assert code == 75, stderr
    step = step_of(run / "checkpoints/last.pt")
    last_line = f"error: {number.name} after step {step} of {EPOCHS * STEPS_PER_EPOCH}: saved. Go on with --resume"
    assert stderr.splitlines()[-1] == last_line
    assert "Traceback" not in stderr
    assert not list(run.rglob("*.part"))
    run_whole(*pretraining(run), "--resume")
    assert_same_end(run, uninterrupted)


def test_signal__with_workers_that_decode(pretraining: Command, uninterrupted: Path, tmp_path: Path) -> None:
    """Ctrl-C goes to the whole process group: the workers leave it to the parent."""
    run = tmp_path / "run"
    process = start(*pretraining(run), "--workers", "2")
    code, stderr = stop_when(process, in_mid_epoch(run), signal.SIGINT, group=True)
    assert code == 75, stderr
    assert "Traceback" not in stderr
    run_whole(*pretraining(run), "--resume", "--workers", "1")
    assert_same_end(run, uninterrupted)


def test_finetune__stopped_run_ends_the_same(finetuning: Command, tmp_path: Path) -> None:
    """Dropout draws from the random state that the checkpoint holds."""
    run, reference = tmp_path / "run", tmp_path / "reference"
    code, stderr = stop_when(start(*finetuning(run)), in_mid_epoch(run), signal.SIGTERM)
    assert code == 75, stderr
    run_whole(*finetuning(run), "--resume")
    run_whole(*finetuning(reference))
    assert_same_end(run, reference)
    best, expected = (load(folder / "checkpoints/best.pt") for folder in (run, reference))
    assert differences(best, expected) == []
