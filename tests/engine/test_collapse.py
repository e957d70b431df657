import math
from pathlib import Path

import pytest

from tests.toy import Toy, rows, succeed
from vtdl_cli.config import load_config
from vtdl_cli.engine.build import build_method
from vtdl_cli.engine.collapse import signs_of_collapse

HEALTHY = {"epoch": 5.0, "spread": 0.8, "loss": 1.0}
ROOM = {"own_video_share": 0.0}


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
    assert signs_of_collapse(HEALTHY | readings, 258).keys() == signs


def test_signs__chance_by_hand_of_few_videos_with_their_own_keys_masked() -> None:
    """Oracle: by hand: 16 keys of 12 videos; 1/12 of them is a query's own. Chance is ln(2 + 16 - 4/3) = 2.813."""
    choices = 2 + 16 * (1 - 1 / 12)
    assert signs_of_collapse(HEALTHY | {"loss": 2.813}, choices).keys() == {"loss"}
    (text,) = signs_of_collapse(HEALTHY | {"loss": 3.9}, choices).values()
    assert "the loss is 3.90, at or above chance, which is 2.81." in text


def test_signs__one_clip_has_no_spread() -> None:
    readings = {name: value for name, value in HEALTHY.items() if name != "spread"}
    assert signs_of_collapse(readings, 258) == {}


def test_signs__of_another_loss_there_is_no_chance() -> None:
    assert signs_of_collapse(HEALTHY | {"loss": 99.0}, None) == {}


@pytest.mark.parametrize(
    ("assignments", "choices"),
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
def test_num_choices__by_hand(assignments: list[str], choices: int | None) -> None:
    """Oracle: by hand: the positive, the 256 keys of that preset, own and strong negative; the orders of three blocks; the clusters."""
    config = load_config("demo", assignments)
    assert build_method(config, num_videos=300).num_choices(ROOM) == choices


def test_pretrain__warns_once_of_a_run_that_learns_nothing(toy: Toy, tmp_path: Path) -> None:
    """A temperature at which all choices look alike: the loss stays at chance, and one warning of five epochs says so."""
    blind = ["pretrain.epochs=5", "method.temperature=1e6"]  # own keys are masked: with 12 videos and 16 keys it counts
    result = succeed(*toy.pretrain(tmp_path / "run", *(word for text in blind for word in ("--set", text))))
    (warning,) = [line for line in result.stderr.splitlines() if "at or above chance" in line]
    assert warning.startswith("warning: after ")


def test_pretrain__of_one_clip_a_batch_no_collapse_is_told(toy: Toy, tmp_path: Path) -> None:
    one = ["pretrain.epochs=1", "pretrain.batch_size=1"]
    result = succeed(*toy.pretrain(tmp_path / "run", *(word for text in one for word in ("--set", text))))
    assert "collapsed" not in result.stderr
    assert "spread" not in rows(tmp_path / "run")[0]
