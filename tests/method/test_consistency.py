import numpy as np
import pytest
import torch
from torch import Tensor

from vtdl_cli.method.consistency import FLIPS, ConsistencyLoss, transform


def random_clips(seed: int = 0) -> Tensor:
    return torch.rand(2, 3, 4, 5, 5, generator=torch.Generator().manual_seed(seed))


def test_transform__sixteen_different_ones() -> None:
    """Oracle: NumPy's flip and rot90. The authors' code gives 4 different results for its 16 labels."""
    clips = random_clips()
    found = set()
    for flip in range(4):
        for turns in range(4):
            expected = np.rot90(np.flip(clips.numpy(), FLIPS[flip]), turns, (3, 4))
            result = transform(clips, flip, turns).numpy()
            assert np.array_equal(result, expected)
            found.add(result.tobytes())
    assert len(found) == 16


def slow_loss(expected: np.ndarray, found: np.ndarray) -> float:
    """README, Method: maps, maxima of channels, and ten times the mean over channels."""
    maxima = ((expected.max((2, 3, 4)) - found.max((2, 3, 4))) ** 2).mean()
    means = ((expected.mean(1) - found.mean(1)) ** 2).mean()
    return float(((expected - found) ** 2).mean() + maxima + 10 * means)


@pytest.mark.parametrize(("transforms", "flips"), [("spatial", 2), ("all", 4)])
def test_consistency__equals_the_slow_sum(transforms: str, flips: int) -> None:
    """Oracle: `slow_loss` of what went through the network."""
    seen: list[Tensor] = []
    weight = torch.randn(6, 3, generator=torch.Generator().manual_seed(1))

    def feature_map(clips: Tensor) -> Tensor:
        seen.append(clips)
        return torch.einsum("dc,ncthw->ndthw", weight, clips)

    torch.manual_seed(3)
    loss = ConsistencyLoss(transforms)(feature_map, random_clips())
    torch.manual_seed(3)
    flip, turns = int(torch.randint(flips, ())), int(torch.randint(4, ()))
    maps = [torch.einsum("dc,ncthw->ndthw", weight, clips) for clips in seen]
    expected = slow_loss(transform(maps[0], flip, turns).numpy(), maps[1].numpy())
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    assert loss.item() > 0


@pytest.mark.parametrize(("transforms", "number"), [("spatial", 8), ("all", 16)])
def test_consistency__draws_every_transform_of_its_set_and_no_other(transforms: str, number: int) -> None:
    """Oracle: README, Method: 2 flips x 4 rotations in space, or all 4 x 4; without mixup what goes in is one of them."""
    loss, clips, seen = ConsistencyLoss(transforms), random_clips(), set[bytes]()
    loss.mixup.alpha = 0.0

    def remember(each: Tensor) -> Tensor:
        seen.add(each.numpy().tobytes())
        return each

    torch.manual_seed(0)
    for _ in range(200):
        loss(remember, clips)
    expected = {transform(clips, flip, turns).numpy().tobytes() for flip in range(number // 4) for turns in range(4)}
    assert len(expected) == number
    assert seen == expected


def test_consistency__an_equivariant_network_without_mixup_has_none() -> None:
    """Oracle: by hand: a network of pixels alone turns with its input."""
    loss = ConsistencyLoss()
    loss.mixup.alpha = 0.0
    assert float(loss(torch.tanh, random_clips())) == pytest.approx(0, abs=1e-12)
