"""Signs that nothing is learned, and the sizes of gradients."""

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.toy import Toy, rows, succeed
from vtdl_cli.engine.networks.methods import build_method
from vtdl_cli.engine.train.health import gradient_metrics, signs_of_failure
from vtdl_cli.settings import load_config

HEALTHY = {"epoch": 5.0, "spread": 0.8, "loss": 1.0, "chance_loss": math.log(258)}


@pytest.mark.parametrize(
    ("metrics", "signs"),
    [
        ({}, set()),
        ({"spread": 0.05}, {"spread"}),
        ({"loss": math.log(258)}, {"loss"}),
        ({"loss": math.log(258), "epoch": 2.0}, set()),  # too early
        ({"loss": 9.0, "spread": 0.0}, {"loss", "spread"}),
        ({"masked_negative_share": 0.4}, set()),
        ({"masked_negative_share": 0.9}, {"masked_negative_share"}),
    ],
)
def test_signs__by_hand(metrics: dict[str, float], signs: set[str]) -> None:
    """Oracle: by hand: chance of 256 keys, the positive and the intra-video negative is ln 258."""
    assert signs_of_failure(HEALTHY | metrics).keys() == signs


def test_signs__name_the_chance_loss() -> None:
    (text,) = signs_of_failure(HEALTHY | {"loss": 5.9}).values()
    assert "the loss is 5.90, at or above chance, which is 5.55. Raise" in text


@pytest.mark.parametrize("name", ["spread", "chance_loss", "loss"])
def test_signs__absent_metric_is_none(name: str) -> None:
    """Of one clip there is no spread, of other losses and in earlier versions no chance; of no step there is no loss."""
    metrics = HEALTHY | {"loss": 5.0, name: 99.0}
    del metrics[name]
    assert signs_of_failure(metrics) == {}


@pytest.mark.parametrize(
    ("assignments", "choices"),
    [
        ([], 258),
        (["method.intra_video_negative=false"], 257),
        (["method.strong_negative=true", "method.negative_augmentation=shuffle"], 259),
        (["method.loss=nce"], None),
        (["method.margin_weight=0.5"], None),
        (["method.consistency_weight=0.5"], None),
        (["method.name=instance_discrimination", "method.loss=nce"], None),
        (["method.name=instance_discrimination"], 257),
        (["method.name=clip_order"], 6),
        (["method.name=pseudo_labels", "method.clusters=10"], 10),
        (["method.name=transform_prediction"], 16),
        (["method.name=transform_prediction", "method.options.transforms=spatial"], 8),
        (["method.name=mutual_learning"], 4),
        (["method.name=speed"], 8),
    ],
)
def test_chance__by_hand(assignments: list[str], choices: int | None) -> None:
    """Oracle: by hand: the positive, the 256 keys of that preset, intra-video and strong negative; the orders of three blocks; the clusters; the transforms; the speeds."""
    config = load_config("demo", [*assignments, "model.width=4"])
    views = {"vtdl": 3, "transform_prediction": 2}.get(config.method.name, 1)
    clips = [*torch.rand(views, 2, 3, 8, 32, 32), *([torch.tensor([1, 8])] if config.method.name == "speed" else [])]
    torch.manual_seed(0)
    metrics = build_method(config, num_videos=10**5)(*clips, torch.tensor([7, 8])).metrics  # of which no key is drawn
    assert metrics.get("chance_loss", torch.tensor(0.0)).item() == pytest.approx(math.log(choices or 1))


def test_pretrain__warns_once_of_a_loss_at_chance(toy: Toy, tmp_path: Path) -> None:
    """A temperature at which all choices look alike: the loss stays at chance, and there is one warning in five epochs.

    Of 12 videos and 16 keys so many are masked that chance is well below the logarithm of all 18 columns.
    """
    blind = ["pretrain.epochs=5", "method.temperature=1e6"]
    result = succeed(*toy.pretrain(tmp_path / "run", *(word for text in blind for word in ("--set", text))))
    (warning,) = [line for line in result.stderr.splitlines() if "at or above chance" in line]
    assert warning.startswith("warning: after ")
    last = rows(tmp_path / "run")[-1]
    assert last["loss"] == pytest.approx(last["chance_loss"], abs=1e-4)
    assert last["chance_loss"] < 0.99 * math.log(18)


def test_pretrain__of_one_clip_a_batch_warns_of_no_collapse(toy: Toy, tmp_path: Path) -> None:
    one = ["pretrain.epochs=1", "pretrain.batch_size=1"]
    result = succeed(*toy.pretrain(tmp_path / "run", *(word for text in one for word in ("--set", text))))
    assert "collapsed" not in result.stderr
    assert "spread" not in rows(tmp_path / "run")[0]


def test_gradient_metrics__by_hand() -> None:
    """Oracle: by hand. Of 3a - 1b the gradient is (3, -1): mean of the sizes 2, largest 3; of what rests, nothing."""
    network = nn.Sequential(nn.Linear(2, 1), nn.Linear(2, 1))
    network[0](torch.tensor([3.0, -1.0])).backward()
    assert gradient_metrics(network) == {"mean": {"0.weight": 2.0}, "largest": {"0.weight": 3.0}}


def test_gradient_metrics__not_finite_is_none() -> None:
    network = nn.Linear(1, 1)
    network(torch.tensor([float("inf")])).backward()
    assert gradient_metrics(network) == {"mean": {"weight": None}, "largest": {"weight": None}}


def test_gradient_metrics__without_gradients() -> None:
    assert gradient_metrics(nn.Linear(1, 1)) == {"mean": {}, "largest": {}}
