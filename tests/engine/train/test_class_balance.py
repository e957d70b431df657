"""Uneven training lists, through the command: nine videos of one class, two of another, one of a third."""

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from tests.toy import (
    CLASSES,
    Toy,
    differences,
    error_lines,
    load,
    read_list,
    refuse,
    rows,
    succeed,
    vtdl,
    without_times,
)
from vtdl_cli.config import Finetune
from vtdl_cli.data.clips.datasets import Batch
from vtdl_cli.engine.train import finetune as finetuning
from vtdl_cli.engine.train.class_balance import balanced_weights, build_loss
from vtdl_cli.engine.train.rank_batches import RankReport
from vtdl_cli.engine.train.training import Training
from vtdl_cli.settings import load_config

BALANCED = ("--set", "finetune.sampling=balanced")
WEIGHTED = ("--set", "finetune.class_weights=balanced")


def write_uneven(folder: Path, blue: int = 9, names: tuple[str, ...] = CLASSES) -> Path:
    """A list of so many blue videos, of which there are four, two green ones and a red one."""
    folder.mkdir(parents=True)
    lines = [f"blue/blue_{number % 4}.mp4 0 24" for number in range(blue)]
    lines += ["green/green_0.mp4 1 24", "green/green_1.mp4 1 24", "red/red_0.mp4 2 24"]
    (folder / "train.txt").write_text("\n".join(lines) + "\n")
    (folder / "classes.txt").write_text("\n".join(names) + "\n")
    return folder / "train.txt"


@pytest.fixture
def uneven(tmp_path: Path) -> Path:
    return write_uneven(tmp_path / "lists")


def options(toy: Toy, *assignments: str) -> Finetune:
    return load_config(str(toy.preset), [f"finetune.{each}" for each in assignments]).finetune


# ---- loss


def test_balanced_weights__equal_scikit_learn() -> None:
    """Oracle: scikit-learn for the classes that occur; a class without videos weighs nothing. They average to 1."""
    labels = np.array([0] * 9 + [2] * 2 + [3])
    ours = balanced_weights(labels, 5)
    theirs = compute_class_weight("balanced", classes=np.array([0, 2, 3]), y=labels)
    assert ours[[0, 2, 3]] == pytest.approx(theirs)
    assert ours[[1, 4]].tolist() == [0, 0]
    assert ours[labels].mean() == pytest.approx(1)


def test_loss__weighted_and_smoothed_by_hand(toy: Toy, uneven: Path) -> None:
    """Oracle: by hand, video by video: 12 / (3 * 9), 12 / (3 * 2) and 12 / 3 times the cross-entropy with 0.7 of the
    true class and 0.1 of each of three; without weights, torch's.
    """
    videos = read_list(uneven, root=toy.root)
    logits, label = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 0.0], [1.0, 3.0, 0.0]]), torch.tensor([0, 1, 2])
    loss = build_loss(options(toy, "label_smoothing=0.3", "class_weights=balanced"), videos, torch.device("cpu"))
    expected = 0.0
    for row, true, weight in zip(logits.tolist(), label.tolist(), (4 / 9, 2.0, 4.0), strict=True):
        log_sum = math.log(sum(map(math.exp, row)))
        targets = [0.1 + 0.7 * (number == true) for number in range(3)]
        expected += weight * sum(share * (log_sum - logit) for share, logit in zip(targets, row, strict=True)) / 3
    assert float(loss(logits, label)) == pytest.approx(expected)
    plain = build_loss(options(toy), videos, torch.device("cpu"))
    assert torch.equal(plain(logits, label), torch.nn.functional.cross_entropy(logits, label))


def test_finetune__loss_of_each_step_is_weighted(
    toy: Toy, uneven: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: by hand, from the logits and labels of every step: the mean over the twelve videos, which the command logs."""
    seen = list[tuple[torch.Tensor, torch.Tensor]]()

    def watched(*arguments: Any) -> Any:
        loss = build_loss(*arguments)

        def keep(logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
            seen.append((logits.detach(), label))
            return loss(logits, label)

        return keep

    monkeypatch.setattr(finetuning, "build_loss", watched)
    line = toy.finetune(tmp_path / "run", "--train-list", str(uneven), *WEIGHTED, "--set", "finetune.epochs=1")
    plan = json.loads(succeed(*line, "--json").stdout)
    assert (plan["class_weights"], plan["sampling"]) == ("balanced", "shuffle")
    logits, label = (torch.cat(parts) for parts in zip(*seen, strict=True))
    weights = torch.tensor([4 / 9, 2.0, 4.0])[label]
    expected = weights * torch.nn.functional.cross_entropy(logits, label, reduction="none")
    assert sorted(label.tolist()) == [0] * 9 + [1, 1, 2]
    assert rows(tmp_path / "run")[0]["loss"] == pytest.approx(float(expected.mean()), rel=1e-5)


# ---- sampling


def test_finetune__balanced_sampling_shows_each_class_equally_often(
    toy: Toy, uneven: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: by hand: twelve samples an epoch, four of each class; the red video's four are not the same clip."""
    batches, report = list[Batch](), Training._report

    def keep(training: Training, batch: Batch) -> RankReport:
        batches.append(batch)
        return report(training, batch)

    monkeypatch.setattr(Training, "_report", keep)
    succeed(*toy.finetune(tmp_path / "run", "--train-list", str(uneven), *BALANCED))
    assert [len(batch) for batch in batches] == [5, 5, 2] * 2
    for epoch in (batches[:3], batches[3:]):
        assert Counter(label for batch in epoch for label in batch.label.tolist()) == {0: 4, 1: 4, 2: 4}
    red = [batch.windows[row] for batch in batches for row in torch.nonzero(batch.label == 2).flatten().tolist()]
    assert len({window.numpy().tobytes() for window in red}) > 4


def test_finetune__balanced_sampling_resumes_exactly_amid_an_epoch(
    toy: Toy, uneven: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: the run that was not stopped."""
    line = ["--train-list", str(uneven), *BALANCED, "--quiet"]
    succeed(*toy.finetune(tmp_path / "whole", *line))
    report = Training._report

    def stop_in_the_second_epoch(training: Training, batch: Batch) -> RankReport:
        return report(training, batch)._replace(signal="SIGTERM" if training.state.step == 4 else "")

    with monkeypatch.context() as patch:
        patch.setattr(Training, "_report", stop_in_the_second_epoch)
        assert "SIGTERM after step 4 of 6: saved" in vtdl(*toy.finetune(tmp_path / "run", *line)).stderr
    succeed(*toy.finetune(tmp_path / "run", *line, "--resume", "--workers", "1"))
    ours, theirs = (load(tmp_path / name / "checkpoints/last.pt") for name in ("run", "whole"))
    assert differences(ours, theirs) == []
    assert without_times(rows(tmp_path / "run")) == without_times(rows(tmp_path / "whole"))
    says = ("cannot resume: finetune.sampling was 'balanced', now it is 'shuffle'",)
    refuse(*toy.finetune(tmp_path / "run", "--train-list", str(uneven), "--resume", "--quiet"), code=1, says=says)


# ---- what is said


def test_finetune__uneven_list_gets_a_hint(toy: Toy, tmp_path: Path) -> None:
    """Oracle: by hand: eleven of one class and one of another are more than ten times as many, ten are not."""
    for blue, is_uneven in ((10, False), (11, True)):
        uneven = write_uneven(tmp_path / str(blue), blue)
        line = toy.finetune(tmp_path / "run", "--train-list", str(uneven), "--dry-run")
        hint = f"warning: list '{uneven}' is uneven: 11 videos of class 0 ('blue'), 1 of class 2 ('red')."
        assert (hint in succeed(*line).stderr) == is_uneven
        for balance in (BALANCED, WEIGHTED):
            assert "uneven" not in succeed(*line, *balance).stderr


def test_finetune__balancing_tells_of_classes_without_videos(toy: Toy, tmp_path: Path) -> None:
    uneven = write_uneven(tmp_path / "lists", names=(*CLASSES, "white", "black"))
    val = tmp_path / "lists/val.txt"
    val.write_bytes(toy.val_list.read_bytes())
    words = f"list '{uneven}' has no video of 2 of its 5 classes, the first is 3 ('white'): balancing leaves them out"
    for balance in (BALANCED, WEIGHTED):
        line = toy.finetune(tmp_path / "run", "--train-list", str(uneven), "--val-list", str(val), *balance)
        assert words in succeed(*line, "--dry-run").stderr
    assert "balancing" not in succeed(*line[: -len(WEIGHTED)], "--dry-run").stderr
    succeed(*line, "--set", "finetune.epochs=1")


def test_finetune__both_balances_are_refused(toy: Toy, tmp_path: Path) -> None:
    result = vtdl(*toy.finetune(tmp_path / "run", *BALANCED, *WEIGHTED))
    (line,) = error_lines(result)
    assert "class_weights and sampling are both 'balanced'" in line
    assert list(tmp_path.iterdir()) == []
