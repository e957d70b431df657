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
    return PseudoLabels(Encoder(), 5, 3)


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
    assert step.metrics["cluster_top1"].item() == pytest.approx(100 / 2)  # of those in a cluster
    assert step.metrics["chance_loss"].item() == pytest.approx(math.log(3))


def test_forward__where_no_video_is_in_a_cluster_there_is_nothing_to_learn() -> None:
    """Oracle: by hand: of no label the loss is 0 and so is the gradient; of half of them it is that of the others."""
    task = make_task()
    clips, videos = torch.rand(2, 2, 2, 3, 3), torch.tensor([1, 2])
    step = task(clips, videos)
    step.loss.backward()
    assert step.loss.item() == 0
    assert step.metrics["cluster_top1"].item() == 0
    assert all(not weight.grad.any() for weight in task.encoder.parameters() if weight.grad is not None)
    task.relabel(videos[:1], torch.tensor([2]))
    assert task(clips, videos).loss.item() == pytest.approx(task(clips[:1], videos[:1]).loss.item())
