import numpy as np
import pytest
import torch
from torch import Tensor

from tests.method.linear_encoder import LinearEncoder
from vtdl_cli.method.triplet_margin import TripletMargin

MARGIN = 0.4
VIDEOS = [4, 7, 7]  # a video may come twice: it is no negative to itself


def clips(seed: int) -> Tensor:
    return torch.randn(3, 2, 3, 2, 2, generator=torch.Generator().manual_seed(seed))


def slow_losses(q: np.ndarray, k: np.ndarray, n: np.ndarray | None, is_other: list[bool]) -> list[float]:
    """The terms that count, number by number: for clip i the positive of clip i - 1, and its own negative."""
    terms: list[float] = []
    for i, video in enumerate(VIDEOS):
        nearer = float(np.linalg.norm(q[i] - k[i]))
        if VIDEOS[i - 1] != video:
            terms.append(max(0.0, nearer - float(np.linalg.norm(q[i] - k[i - 1])) + MARGIN))
        if n is not None and is_other[i]:
            terms.append(max(0.0, nearer - float(np.linalg.norm(q[i] - n[i])) + MARGIN))
    return terms


@pytest.mark.parametrize("interval", [True, False])
def test_triplet_margin__equals_the_slow_sum(interval: bool) -> None:
    """Oracle: NumPy, number by number, with one interval masked, and no video its own negative."""
    torch.manual_seed(0)
    task, is_other = TripletMargin(LinearEncoder(), MARGIN, mixup_alpha=0.0), [True, False, True]
    negative = [clips(2), torch.tensor(is_other)] if interval else []
    step = task(clips(0), clips(1), *negative, torch.tensor(VIDEOS))
    q, k, n = (task.encoder(clips(seed)).detach().double().numpy() for seed in range(3))
    terms = slow_losses(q, k, n if interval else None, is_other)
    assert len(terms) == (4 if interval else 2)
    assert step.loss.item() == pytest.approx(np.mean(terms), rel=1e-4)
    assert step.metrics["triplet_top1"].item() == pytest.approx(100 * np.mean([term < MARGIN for term in terms]))
    step.loss.backward()
    assert all(parameter.grad is not None for parameter in task.trained_parameters())


def test_triplet_margin__of_collapsed_embeddings_is_chance() -> None:
    """Oracle: by hand: all distances are 0, and the margin is left."""
    task, same = TripletMargin(LinearEncoder(), MARGIN), torch.ones(3, 2, 3, 2, 2)
    step = task(same, same, torch.arange(3))
    assert step.loss.item() == pytest.approx(MARGIN, rel=1e-5)
    assert step.metrics["chance_loss"].item() == pytest.approx(MARGIN)


def test_triplet_margin__one_clip_without_another_video_has_no_loss() -> None:
    one = clips(0)[:1]
    step = TripletMargin(LinearEncoder())(one, one, torch.tensor([3]))
    assert (step.loss.item(), step.metrics["triplet_top1"].item()) == (0, 0)
