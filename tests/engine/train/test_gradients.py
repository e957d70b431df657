"""Metrics of gradients."""

import torch
from torch import nn

from vtdl_cli.engine.train.gradients import gradient_metrics


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
