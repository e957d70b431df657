"""Early stopping, through the command; the accuracies of each validation are given, and so is where it has to stop."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.toy import Toy, error_lines, load, refuse, rows, succeed, vtdl
from vtdl_cli.engine.train import finetune as finetuning
from vtdl_cli.engine.train.training import Training

Script = Callable[..., None]


def settings(*assignments: str) -> list[str]:
    return [word for each in assignments for word in ("--set", f"finetune.{each}")]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    """Let validation find these values of a metric, by epoch; the others do not change."""

    def follow(values: Sequence[float], metric: str = "val_top1") -> None:
        def validate(training: Training, *_: object) -> dict[str, float]:
            fixed = {"val_top1": 50.0, "val_mean_class": 50.0, "val_macro_f1": 50.0}
            return fixed | {metric: values[training.state.epoch - 1]}

        monkeypatch.setattr(finetuning, "validate", validate)

    return follow


@pytest.mark.parametrize(
    ("values", "every", "epochs", "best"),
    [
        ([10, 30, 20, 30, 40], 1, 4, 2),  # an equal value is no improvement
        ([10, 30, 20, 40, 30, 40, 50], 1, 6, 4),  # the count starts anew with a better one
        ([10, 10, 30, 10, 10, 10, 10, 10], 2, 4, 2),  # validated after epochs 2, 4, 6 and 8
        ([10, 20, 30, 40, 50, 50, 50, 50], 1, 7, 5),
    ],
)
def test_patience__of_two_epochs(
    toy: Toy, tmp_path: Path, script: Script, values: list[float], every: int, epochs: int, best: int
) -> None:
    """Oracle: by hand, from the values."""
    script(values)
    line = toy.finetune(tmp_path / "run", *settings("epochs=8", "patience=2", f"validate_every={every}"))
    result = succeed(*line, "--json")
    answer = json.loads(result.stdout)
    assert (answer["best"]["epoch"], answer["stopped_early"], answer["epochs"]) == (best, epochs, 8)
    assert [row["epoch"] for row in rows(tmp_path / "run")] == list(range(1, epochs + 1))
    assert f"stopped early after epoch {epochs} of 8: no val_top1 above the {values[best - 1]}" in result.stderr
    assert load(tmp_path / "run/checkpoints/last.pt")["epoch"] == epochs
    assert load(tmp_path / "run/checkpoints/best.pt")["epoch"] == best


def test_patience__finished_run_resumes_only_with_more(toy: Toy, tmp_path: Path, script: Script) -> None:
    """Also with more epochs it is finished; with more patience it trains on, and ends as the run that had it before."""
    values = [30, 10, 10, 10, 40, 10, 10, 10]
    script(values)
    line = toy.finetune(tmp_path / "run", *settings("epochs=8"))
    succeed(*line, *settings("patience=2"))
    for more in ((), settings("epochs=9")):
        result = succeed(*line, *settings("patience=2"), *more, "--resume", "--json")
        assert (
            f"is finished at epoch 3.00 of {9 if more else 8}, stopped early by finetune.patience 2: " in result.stderr
        )
        assert json.loads(result.stdout)["stopped_early"] == 3
    result = succeed(*line, *settings("patience=3"), "--resume", "--json")
    assert json.loads(result.stdout)["stopped_early"] == 4
    result = succeed(*line, *settings("patience=0"), "--resume", "--json")
    answer = json.loads(result.stdout)
    assert (answer["best"]["epoch"], answer["stopped_early"]) == (5, None)
    assert [row["epoch"] for row in rows(tmp_path / "run")] == list(range(1, 9))
    assert "is finished at epoch 8.00 of 8: nothing to do" in succeed(*line, "--resume").stderr


def test_patience__stops_workers_that_are_still_loading(toy: Toy, tmp_path: Path, script: Script) -> None:
    script([30, 10, 10])
    line = toy.finetune(tmp_path / "run", *settings("epochs=50", "patience=1"), "--workers", "1")
    assert "stopped early after epoch 2 of 50" in succeed(*line).stderr


@pytest.mark.parametrize("metric", ["mean_class", "macro_f1"])
def test_best_by__another_metric(toy: Toy, tmp_path: Path, script: Script, metric: str) -> None:
    """Oracle: by hand: top-1 is the same throughout. The epoch's line shows the metric that chooses."""
    script([20, 30, 10, 10], f"val_{metric}")
    line = toy.finetune(tmp_path / "run", *settings("epochs=4", f"best_by={metric}"))
    result = succeed(*line, "--json")
    assert json.loads(result.stdout)["best"]["epoch"] == 2
    assert f"val_{metric} 30" in result.stderr
    best = load(tmp_path / "run/checkpoints/best.pt")
    assert (best["epoch"], best["selection"]["metric"]) == (2, f"val_{metric}")
    refuse(*line, "--set", "finetune.best_by=top1", "--resume", "--quiet", code=1, says=("finetune.best_by was",))


def test_patience__needs_validation(toy: Toy, tmp_path: Path) -> None:
    line = toy.finetune(tmp_path / "run", *settings("patience=2"))
    place = line.index("--val-list")
    says = ("finetune.patience '2' needs videos to validate on. Give --val-list, or --set finetune.patience=0",)
    refuse(*line[:place], *line[place + 2 :], code=2, says=says)
    (text,) = error_lines(vtdl(*line, *settings("validate_every=0")))
    assert "patience 2 needs validated epochs" in text
    (text,) = error_lines(vtdl(*toy.finetune(tmp_path / "run", *settings("validate_every=0", "best_by=macro_f1"))))
    assert "has no effect where finetune.validate_every is 0" in text
    says = ("--set 'finetune.best_by=macro_f1' has no effect where there is no --val-list. Leave it out",)
    line = toy.finetune(tmp_path / "run", *settings("best_by=macro_f1"))
    refuse(*line[:place], *line[place + 2 :], code=2, says=says)
    assert list(tmp_path.iterdir()) == []
