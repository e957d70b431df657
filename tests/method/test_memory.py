import numpy as np
import pytest
import torch
from torch import Tensor

from vtdl_cli.method.memory import KeyQueue, VideoBank

SIZE, DIM = 7, 3
BATCHES = (3, 3, 3, 5, 1, 7, 4, 2, 6, 7, 7, 1, 3, 5, 5, 2)  # none but 1 and 7 divide the size; they wrap round 9 times


def make_batch(number: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(number)
    size = BATCHES[number % len(BATCHES)]
    return torch.randn(size, DIM, generator=generator), torch.randint(50, (size,), generator=generator)


def test_push__is_first_in_first_out_over_many_wraps() -> None:
    """Oracle: method/README, written as a slow ring of Python lists; every slot compared after every batch."""
    queue = KeyQueue(SIZE, DIM)
    slots = [(key, -1) for key in queue.keys.tolist()]
    following = 0
    for number in range(len(BATCHES)):
        keys, videos = make_batch(number)
        queue.enqueue(keys, videos)
        for key, video in zip(keys.tolist(), videos.tolist(), strict=True):
            slots[following] = (key, video)
            following = (following + 1) % SIZE
        assert queue.keys.tolist() == [key for key, _ in slots]
        assert queue.videos.tolist() == [video for _, video in slots]
        assert int(queue.pointer) == following


def test_push__keeps_the_latest_keys() -> None:
    """Oracle: by definition the queue holds the last 7 keys pushed, the oldest at the pointer."""
    queue = KeyQueue(SIZE, DIM)
    batches = [make_batch(number) for number in range(len(BATCHES))]
    for keys, videos in batches:
        queue.enqueue(keys, videos)
    oldest_first = torch.roll(queue.keys, -int(queue.pointer), 0)
    assert torch.equal(oldest_first, torch.cat([keys for keys, _ in batches])[-SIZE:])


def test_state_dict__a_restored_queue_goes_on_as_if_nothing_had_happened() -> None:
    """Oracle: the queue that was never stopped."""
    queue = KeyQueue(SIZE, DIM)
    for number in range(5):
        queue.enqueue(*make_batch(number))
    restored = KeyQueue(SIZE, DIM)
    restored.load_state_dict(queue.state_dict())
    for number in range(5, 12):
        queue.enqueue(*make_batch(number))
        restored.enqueue(*make_batch(number))
    for name, values in queue.state_dict().items():
        assert torch.equal(restored.state_dict()[name], values), name
    assert set(queue.state_dict()) == {"keys", "videos", "pointer", "ages"}


def test_queue__begins_with_random_keys_of_norm_near_1_and_of_no_video() -> None:
    """Oracle: method/README: uniform in ±1/sqrt(128/3) = ±0.1531, whose square has the mean 1/128."""
    torch.manual_seed(0)
    queue = KeyQueue(4096, 128)
    norms = queue.keys.norm(dim=1)
    assert abs(float(norms.square().mean()) - 1) < 0.01
    assert float(norms.std()) < 0.1
    assert float(queue.keys.abs().max()) == pytest.approx(0.1531, abs=1e-4)
    assert abs(float(queue.keys.mean())) < 1e-3
    assert queue.videos.unique().tolist() == [-1]


def test_push__refuses_a_batch_that_does_not_fit_and_takes_one_that_just_does() -> None:
    queue = KeyQueue(SIZE, DIM)
    queue.enqueue(*make_batch(0))
    before = {name: values.clone() for name, values in queue.state_dict().items()}
    with pytest.raises(ValueError, match="8 keys do not fit a queue of 7"):
        queue.enqueue(torch.zeros(8, DIM), torch.zeros(8, dtype=torch.long))
    assert all(torch.equal(values, before[name]) for name, values in queue.state_dict().items())
    queue.enqueue(torch.ones(SIZE, DIM), torch.arange(SIZE))
    assert queue.keys.unique().tolist() == [1]
    assert torch.roll(queue.videos, -3).tolist() == list(range(SIZE))


def test_push__keeps_float32_and_no_graph() -> None:
    queue = KeyQueue(SIZE, DIM)
    keys = torch.randn(2, DIM, requires_grad=True)
    queue.enqueue(keys.to(torch.bfloat16), torch.arange(2))
    assert queue.keys.dtype == torch.float32
    assert not queue.keys.requires_grad
    np.testing.assert_array_equal(queue.keys[:2].numpy(), keys.detach().to(torch.bfloat16).float().numpy())


def test_queue__age_counts_batches() -> None:
    """Oracle: by hand: of 7 keys 4 came with this batch and 2 of the one before are left (the third was overwritten)."""
    queue = KeyQueue(SIZE, DIM)
    for size in (3, 4, 1):
        queue.enqueue(torch.zeros(size, DIM), torch.zeros(size, dtype=torch.long))
    assert queue.ages.tolist() == [0, 2, 2, 1, 1, 1, 1]
    assert queue.age().item() == pytest.approx(8 / 7)


def test_queue__what_was_read_stays() -> None:
    queue = KeyQueue(SIZE, DIM)
    keys, videos = queue.read()
    queue.enqueue(torch.zeros(2, DIM), torch.tensor([5, 6]))
    assert (videos == -1).all()
    assert (keys != 0).any(1).all()


def test_bank__a_videos_key_follows_its_new_ones() -> None:
    """Oracle: by hand: (old + 3 new) / 4, at length 1, for momentum 1/4; others stay."""
    bank = VideoBank(4, 3, DIM, momentum=0.25)
    old = bank.keys.clone().numpy()
    assert np.linalg.norm(old, axis=1) == pytest.approx(np.ones(4), abs=1e-6)
    new = torch.nn.functional.normalize(torch.randn(2, DIM))
    bank.enqueue(new, torch.tensor([3, 1]))
    for video, key in ((3, new[0].numpy()), (1, new[1].numpy())):
        expected = 0.25 * old[video] + 0.75 * key
        np.testing.assert_allclose(bank.keys[video].numpy(), expected / np.linalg.norm(expected), atol=1e-6)
    assert np.array_equal(bank.keys[[0, 2]].numpy(), old[[0, 2]])
    assert bank.ages.tolist() == [1, 0, 1, 0]


def test_bank__draws_every_video() -> None:
    torch.manual_seed(0)
    bank = VideoBank(4, 3, DIM)
    drawn = [bank.read() for _ in range(50)]
    assert all(torch.equal(keys, bank.keys[videos]) for keys, videos in drawn)
    assert set(torch.cat([videos for _, videos in drawn]).tolist()) == {0, 1, 2, 3}
