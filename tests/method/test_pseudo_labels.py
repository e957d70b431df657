import math

import pytest
import torch
from torch import Tensor, nn

from vtdl_cli.method.pseudo_labels import NO_CLUSTER, PseudoLabels


class Head(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 3)

    def forward(self, clips: Tensor) -> Tensor:
        logits: Tensor = self.linear(clips.mean((2, 3, 4)))
        return logits


def make_task() -> PseudoLabels:
    torch.manual_seed(0)
    return PseudoLabels(Encoder(), 5)


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = Head()

    def forward(self, clips: Tensor) -> Tensor:
        logits: Tensor = self.head(clips)
        return logits


def test_relabel__sets_labels_and_starts_the_classifier_anew() -> None:
    task = make_task()
    before = task.encoder.get_submodule("head.linear").state_dict()["weight"].clone()
    task.relabel(torch.tensor([4, 1]), torch.tensor([2, 0]))
    assert task.labels.tolist() == [NO_CLUSTER, 0, NO_CLUSTER, NO_CLUSTER, 2]
    assert not torch.equal(before, task.encoder.get_submodule("head.linear").state_dict()["weight"])


def test_forward__asks_for_the_cluster_of_the_video() -> None:
    """Oracle: by hand: logits (2, 0, 0) for every clip; video 1 is in cluster 0, video 4 in 2, video 2 in none."""
    task = make_task()
    task.relabel(torch.tensor([4, 1]), torch.tensor([2, 0]))
    with torch.no_grad():
        for name, values in task.encoder.named_parameters():
            values.copy_(torch.tensor([2.0, 0, 0]) if name.endswith("bias") else torch.zeros(3, 2))
    step = task(torch.rand(3, 2, 2, 3, 3), torch.tensor([1, 4, 2]))
    total = math.log(math.exp(2) + 2)
    assert step.loss.item() == pytest.approx(((total - 2) + total) / 2)
    assert step.readings["cluster_top1"].item() == pytest.approx(100 / 3)
    assert step.readings["chance_loss"].item() == pytest.approx(math.log(3))
