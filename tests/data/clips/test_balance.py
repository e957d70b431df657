from collections import Counter

import numpy as np
import pytest

from vtdl_cli.data.clips.balance import balanced_order, count_repeats
from vtdl_cli.data.clips.epoch_batches import EpochBatches

UNEVEN = np.array([4, 0, 0, 2, 0, 0, 0, 0, 0, 0, 2, 0])
"""Nine videos of class 0, two of class 2, one of class 4: twelve places, four for each class."""


def test_balanced_order__by_hand() -> None:
    """Oracle: by hand: four of nine videos, each of two twice, one four times."""
    order = balanced_order(UNEVEN, np.random.default_rng(0))
    assert Counter(UNEVEN[order].tolist()) == {0: 4, 2: 4, 4: 4}
    counts = Counter(order.tolist())
    assert sorted(counts.values()) == [1, 1, 1, 1, 2, 2, 4]
    assert (counts[3], counts[10], counts[0]) == (2, 2, 4)
    assert order.tolist() != sorted(order.tolist())


def test_balanced_order__that_does_not_divide_evenly() -> None:
    """Oracle: by hand: eleven places for three classes are 4, 4 and 3; over many epochs each class has the 3 at times,
    and each video comes up.
    """
    labels = UNEVEN[:-1]
    orders = [balanced_order(labels, np.random.default_rng((7, epoch))) for epoch in range(40)]
    counts = [Counter(labels[order].tolist()) for order in orders]
    assert {tuple(sorted(each.values())) for each in counts} == {(3, 4, 4)}
    assert {min(each, key=each.__getitem__) for each in counts} == {0, 2, 4}
    assert set(np.concatenate(orders).tolist()) == set(range(11))


def test_balanced_order__of_an_even_list_has_each_video_once() -> None:
    labels = np.arange(12) % 3
    assert sorted(balanced_order(labels, np.random.default_rng(3)).tolist()) == list(range(12))


def test_count_repeats__by_hand() -> None:
    assert count_repeats(np.array([5, 2, 5, 5, 2, 0])).tolist() == [0, 0, 1, 2, 1, 0]


def balanced(rank: int = 0, world_size: int = 1) -> EpochBatches:
    return EpochBatches(12, 5, epochs=3, seed=9, shuffle=True, balanced_labels=UNEVEN, rank=rank, world_size=world_size)


def test_epoch_batches__balanced_has_as_many_samples_and_no_key_twice() -> None:
    """Oracle: by definition. The first time a video comes its key, and so its sample, is that of a shuffled epoch."""
    order = balanced()
    batches = list(order)
    assert (order.steps_per_epoch, [len(batch) for batch in batches]) == (3, [5, 5, 2] * 3)
    keys = [key for batch in batches for key in batch]
    assert len(set(keys)) == len(keys)
    first_epoch = [key for key in keys if key[0] == 0]
    assert [key for key in first_epoch if key[1] == 0] == [(0, 0), (0, 0, 1), (0, 0, 2), (0, 0, 3)]


@pytest.mark.parametrize("step", range(10))
def test_epoch_batches__balanced_resumes_and_is_shared_by_ranks(step: int) -> None:
    """Oracle: the stream that was never stopped, of one rank."""
    full, resumed = list(balanced()), balanced()
    resumed.start_step = step
    assert list(resumed) == full[step:]
    parts = [list(balanced(rank=rank, world_size=2)) for rank in range(2)]
    assert [[*one, *other] for one, other in zip(*parts, strict=True)] == full
