import numpy as np
import pytest
import torch
from torch import Tensor

from vtdl_cli.method.consistency import ConsistencyLoss, map_distance
from vtdl_cli.method.transforms import transform


def random_clips(seed: int = 0) -> Tensor:
    return torch.rand(2, 3, 4, 5, 5, generator=torch.Generator().manual_seed(seed))


def slow_loss(expected: np.ndarray, found: np.ndarray) -> float:
    """method/README: maps, maxima of channels, and ten times the mean over channels."""
    maxima = ((expected.max((2, 3, 4)) - found.max((2, 3, 4))) ** 2).mean()
    means = ((expected.mean(1) - found.mean(1)) ** 2).mean()
    return float(((expected - found) ** 2).mean() + maxima + 10 * means)


@pytest.mark.parametrize(("transforms", "number"), [("spatial", 8), ("all", 16)])
def test_consistency__equals_the_slow_sum(transforms: str, number: int) -> None:
    """Oracle: `slow_loss` of what went through the network, in one batch, the clean clips first."""
    seen: list[Tensor] = []
    weight = torch.randn(6, 3, generator=torch.Generator().manual_seed(1))

    def feature_map(clips: Tensor) -> Tensor:
        seen.append(clips)
        return torch.einsum("dc,ncthw->ndthw", weight, clips)

    torch.manual_seed(3)
    loss = ConsistencyLoss(transforms)(feature_map, random_clips(), random_clips(1))
    torch.manual_seed(3)
    drawn = torch.randint(number, (2,))
    clean, noisy = torch.einsum("dc,ncthw->ndthw", weight, seen[0]).chunk(2)
    assert torch.equal(seen[0][:2], random_clips())
    assert loss.item() == pytest.approx(slow_loss(transform(clean, drawn).numpy(), noisy.numpy()), rel=1e-5)
    assert loss.item() > 0


def test_map_distance__by_hand() -> None:
    """Oracle: by hand: maps of ones and zeros in 2 channels differ by 1, their maxima by 1, ten times their means by 10."""
    ones = torch.ones(3, 2, 2, 4, 4)
    assert map_distance(ones, torch.zeros_like(ones)).item() == pytest.approx(12)
    one_channel = torch.cat([ones[:, :1], torch.zeros_like(ones[:, 1:])], 1)
    assert map_distance(one_channel, torch.zeros_like(ones)).item() == pytest.approx(0.5 + 0.5 + 10 * 0.25)


@pytest.mark.parametrize(("transforms", "number"), [("rotations", 4), ("spatial", 8), ("all", 16)])
def test_consistency__draws_every_transform_of_its_set_and_no_other(transforms: str, number: int) -> None:
    """Oracle: method/README: 4 rotations, 2 flips x 4 rotations in space, or all 4 x 4; without mixup what goes in is
    one of them, drawn for each clip."""
    loss, clips, seen, together = (
        ConsistencyLoss(transforms, mixup_alpha=0.0),
        random_clips(),
        set[int](),
        set[tuple[int, ...]](),
    )
    expected = [transform(clips, torch.full((2,), each)) for each in range(number)]

    def remember(both: Tensor) -> Tensor:
        found = [next(i for i, each in enumerate(expected) if torch.equal(each[row], both[2 + row])) for row in (0, 1)]
        seen.update(found)
        together.add(tuple(found))
        return both

    torch.manual_seed(0)
    for _ in range(150):
        loss(remember, clips, clips)
    assert seen == set(range(number))
    assert any(first != second for first, second in together)


def test_consistency__an_equivariant_network_without_mixup_has_none() -> None:
    """Oracle: by hand: a network of pixels alone turns with its input."""
    loss = ConsistencyLoss("all", mixup_alpha=0.0)
    assert float(loss(torch.tanh, random_clips(), random_clips())) == pytest.approx(0, abs=1e-12)
