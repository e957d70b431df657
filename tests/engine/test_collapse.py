import math
from pathlib import Path

import pytest

from tests.toy import Toy, succeed
from vtdl_cli.config import load_config
from vtdl_cli.engine.collapse import chance_loss, signs_of_collapse

HEALTHY = {"epoch": 5.0, "spread": 0.8, "loss": 1.0}


@pytest.mark.parametrize(
    ("readings", "signs"),
    [
        ({}, set()),
        ({"spread": 0.05}, {"spread"}),
        ({"loss": math.log(258)}, {"loss"}),
        ({"loss": math.log(258), "epoch": 2.0}, set()),  # too early to tell
        ({"loss": 9.0, "spread": 0.0}, {"loss", "spread"}),
    ],
)
def test_signs__by_hand(readings: dict[str, float], signs: set[str]) -> None:
    """Oracle: by hand: chance of 256 keys, the positive and the own negative is ln 258."""
    config = load_config("demo", ["method.queue.size=256"])
    assert signs_of_collapse(HEALTHY | readings, config).keys() == signs


@pytest.mark.parametrize(
    ("assignments", "columns"),
    [
        ([], 258),
        (["method.own_negative=false"], 257),
        (["method.strong_negative=true", "method.negative_augmentation=shuffle"], 259),
        (["method.loss=nce"], None),
        (["method.name=instance_discrimination"], 257),
        (["method.name=clip_order"], 6),
        (["method.name=pseudo_labels", "method.clusters=10"], 10),
    ],
)
def test_chance_loss__counts_the_columns(assignments: list[str], columns: int | None) -> None:
    loss = chance_loss(load_config("demo", ["method.queue.size=256", *assignments]))
    assert loss == (columns and pytest.approx(math.log(columns)))


def test_pretrain__warns_once_of_a_run_that_learns_nothing(toy: Toy, tmp_path: Path) -> None:
    """A rate of next to nothing, five epochs: the loss stays above chance, and one warning says so."""
    slow = ("--set", "pretrain.epochs=5", "--set", "pretrain.optimizer.learning_rate=1e-9")
    result = succeed(*toy.pretrain(tmp_path / "run", *slow))
    (warning,) = [line for line in result.stderr.splitlines() if "at chance" in line]
    assert warning.startswith("warning: after ")
