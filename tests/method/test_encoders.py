import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vtdl_cli.method.encoders import EncoderPair


class TinyEncoder(nn.Module):
    """Batch norm comes first, so that its statistics are those of the clips themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.head = nn.BatchNorm3d(3), nn.Linear(3 * 2 * 2 * 2, 4)

    def forward(self, clips: Tensor) -> Tensor:
        return F.normalize(self.head(self.norm(clips).flatten(1)))


@pytest.fixture
def pair() -> EncoderPair:
    torch.manual_seed(0)
    return EncoderPair(TinyEncoder(), momentum=0.75)


def random_clips(seed: int) -> Tensor:
    return torch.rand(5, 3, 2, 2, 2, generator=torch.Generator().manual_seed(seed)) * (seed + 1)


def scramble(module: nn.Module) -> None:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_()


def test_encoder_pair__equal_at_first_and_apart(pair: EncoderPair) -> None:
    """Oracle: method/README, the key encoder is a copy; of the numbers, not of the memory."""
    queries, keys = pair.query.state_dict(), pair.key.state_dict()
    assert queries.keys() == keys.keys()
    assert all(torch.equal(queries[name], keys[name]) for name in queries)
    scramble(pair.query)
    assert not any(torch.equal(a, b) for a, b in zip(pair.query.parameters(), pair.key.parameters(), strict=True))


def test_update_key__is_the_momentum_rule_for_every_parameter_and_no_buffer(pair: EncoderPair) -> None:
    """Oracle: method/README: θ_key <- m θ_key + (1 - m) θ_query, parameters only; computed in NumPy, m = 0.75."""
    scramble(pair.query)
    scramble(pair.key)
    pair.query(random_clips(1))  # statistics that the key encoder must not take over
    queries, keys = copy.deepcopy(pair.query.state_dict()), copy.deepcopy(pair.key.state_dict())
    pair.update_key()
    trained = dict(pair.query.named_parameters())
    assert len(trained) == 4
    for name, after in pair.key.state_dict().items():
        if name in trained:
            expected = 0.75 * keys[name].numpy() + 0.25 * queries[name].numpy()
            np.testing.assert_allclose(after.numpy(), expected, rtol=1e-6, atol=1e-7)
        else:
            assert torch.equal(after, keys[name])
        assert torch.equal(pair.query.state_dict()[name], queries[name])
    assert not torch.equal(queries["norm.running_mean"], keys["norm.running_mean"])


def test_embed_key__autograd_and_the_optimiser_leave_the_key_encoder_alone(pair: EncoderPair) -> None:
    """Oracle: method/README, "EMA untouched by autograd"; here even an optimiser that was given every parameter."""
    keys = copy.deepcopy(list(pair.key.parameters()))
    queries = copy.deepcopy(list(pair.query.parameters()))
    optimizer = torch.optim.SGD(pair.parameters(), lr=1.0, weight_decay=0.1)
    embedded = pair.embed_key(random_clips(2))
    (pair.query(random_clips(1)) * embedded).sum().backward()
    optimizer.step()
    assert not embedded.requires_grad
    assert all(parameter.grad is None for parameter in pair.key.parameters())
    assert all(torch.equal(a, b) for a, b in zip(keys, pair.key.parameters(), strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(queries, pair.query.parameters(), strict=True))


def test_embed_key__batch_norm_uses_the_batch_and_keeps_statistics_of_its_own(pair: EncoderPair) -> None:
    """Oracle: NumPy: in training mode the running mean moves a tenth of the way to the mean of what came by (torch's
    default momentum), and what comes out is normalised by the batch."""
    pair.train()
    queries, keys = random_clips(1), random_clips(4)
    pair.query(queries)
    embedded = pair.embed_key(keys).numpy()
    for norm, clips in ((pair.query.norm, queries), (pair.key.norm, keys)):
        assert isinstance(norm, nn.BatchNorm3d)
        assert norm.running_mean is not None
        np.testing.assert_allclose(norm.running_mean.numpy(), 0.1 * clips.numpy().mean((0, 2, 3, 4)), rtol=1e-5)
    batch, head = keys.numpy(), pair.key.head
    assert isinstance(head, nn.Linear)
    mean, variance = (take(batch, axis=(0, 2, 3, 4), keepdims=True) for take in (np.mean, np.var))
    flat = ((batch - mean) / np.sqrt(variance + 1e-5)).reshape(5, -1)
    expected = flat @ head.weight.numpy().T + head.bias.numpy()
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(embedded, expected, atol=1e-5)


def test_running_statistics__keys_go_by_what_the_query_encoder_gathered() -> None:
    """Oracle: by hand: a key does not depend on its batch, and the statistics are the query encoder's after a step."""
    torch.manual_seed(0)
    pair = EncoderPair(TinyEncoder(), momentum=0.75, key_statistics="running").train()
    assert (pair.query.training, pair.key.training) == (True, False)
    clips = random_clips(2)
    torch.testing.assert_close(pair.embed_key(clips)[:2], pair.embed_key(clips[:2]))
    before, gathered = (dict(each.named_buffers())["norm.running_mean"] for each in (pair.key, pair.query))
    pair.query(clips)
    assert not torch.equal(before, gathered)
    pair.update_key()
    assert torch.equal(before, gathered)


def test_key_splits__each_part_is_a_batch_of_its_own() -> None:
    """Oracle: the parts one by one, in the order that torch's generator deals them."""
    torch.manual_seed(0)
    pair = EncoderPair(TinyEncoder(), momentum=0.75, key_splits=2)
    clips = random_clips(1)
    torch.manual_seed(5)
    order = torch.randperm(5)
    expected = torch.empty(5, 4)
    for part in order.tensor_split(2):
        expected[part] = copy.deepcopy(pair).key(clips[part]).detach()
    torch.manual_seed(5)
    torch.testing.assert_close(pair.embed_key(clips), expected)
