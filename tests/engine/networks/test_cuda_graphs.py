"""Backbones that are recorded and replayed, on tapes in place of CUDA graphs: see `tests.tape`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from tests.tape import Tape
from vtdl_cli.engine.networks.cuda_graphs import GRAPHS, MOST_RECORDINGS, WARM_CALLS, replay_backbones
from vtdl_cli.method.encoders import EncoderPair
from vtdl_cli.models.encoder import Backbone, Encoder
from vtdl_cli.models.heads import EmbeddingHead
from vtdl_cli.models.zoo import BACKBONES, create_backbone

CPU = torch.device("cpu")
STEPS = WARM_CALLS + 3


@pytest.fixture(autouse=True)
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tape, "replays", 0)
    monkeypatch.setitem(GRAPHS, "cpu", Tape)


def backbone(name: str = "r3d") -> Backbone:
    torch.manual_seed(0)
    return create_backbone(name, depth=next(iter(BACKBONES[name].depths), None), width=2)


def clips(seed: int, number: int = 2, frames: int = 2) -> Tensor:
    return torch.randn(number, 3, frames, 16, 16, generator=torch.Generator().manual_seed(seed))


def train(pair: EncoderPair, *, bf16: bool, accumulated: int) -> list[Tensor]:
    """Losses of a few steps as VTDL makes them, two passes with gradients and one without, then the state."""
    optimizer = torch.optim.SGD(pair.query.parameters(), lr=0.1, momentum=0.9)
    found = []
    for step in range(STEPS):
        optimizer.zero_grad()
        for batch in range(accumulated):
            anchor, positive, negative = (clips(100 * step + 10 * batch + view) for view in range(3))
            with torch.autocast("cpu", torch.bfloat16, bf16, cache_enabled=False):
                query, key, intra = pair.query(anchor), pair.embed_key(positive), pair.query(negative)
            loss = (query - key).square().sum() + (query * intra).sum()
            loss.backward()
            found.append(loss.detach())
        optimizer.step()
        pair.update_key()
    return found + [each.detach() for each in pair.state_dict().values()]


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("accumulated", [1, 2])
def test_replayed__trains_to_the_same_bits(bf16: bool, accumulated: int) -> None:
    """Oracle: the same steps unrecorded: losses, weights and statistics of both encoders. Autocast's cache is off: with it
    the gradients of two passes are added up in bf16."""
    found = []
    for replays in (False, True):
        network = backbone()
        pair = EncoderPair(Encoder(network, EmbeddingHead(network.feature_dim, 4)), momentum=0.9).train()
        if replays:
            replay_backbones(pair, CPU, pytest.fail)
        found.append(train(pair, bf16=bf16, accumulated=accumulated))
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=0)
    batches = STEPS * accumulated
    key, query = batches - WARM_CALLS, 2 * batches - WARM_CALLS
    assert Tape.replays == key + 2 * query  # of the query encoder, backward passes too


@pytest.mark.parametrize("name", [name for name in BACKBONES if not name.startswith("r")])
def test_replayed__other_backbones(name: str) -> None:
    """Oracle: the gradients of the same clips unrecorded."""
    size = {"number": 2, "frames": 16} if name == "c3d" else {"number": 2, "frames": 8}
    big = torch.nn.functional.interpolate(clips(1, **size), scale_factor=(1, 2, 2))
    network, found = backbone(name), []
    replay_backbones(network, CPU, pytest.fail)
    for _ in range(WARM_CALLS + 2):
        network.zero_grad()
        network(big).square().sum().backward()
        found.append([each.grad for each in network.parameters()])
    assert Tape.replays == 4
    torch.testing.assert_close(found[-1], found[0])


def warm(network: Backbone, number: int = 2) -> None:
    for seed in range(WARM_CALLS):
        network(clips(seed, number))


def test_replayed__a_pass_waits_for_its_gradients() -> None:
    """Oracle: by hand: passes whose backward is to come keep theirs, a dropped one does not."""
    network = backbone()
    replay_backbones(network, CPU, pytest.fail)
    warm(network)
    recorded: Any = network.forward
    kept = [network(clips(1)), network(clips(2))]
    (recordings,) = recorded._recordings.values()
    assert [each.is_free for each in recordings] == [False, False]
    kept[0].sum().backward()
    assert [each.is_free for each in recordings] == [True, False]
    kept[1] = network(clips(3))
    assert [each.is_free for each in recordings] == [False, True]


def test_replayed__recording_leaves_the_weights_alone() -> None:
    """A GPU refuses to record gradients that flow to leaves which another stream has used: a replayed pass whose backward is
    to come has used the weights, and DistributedDataParallel's hooks hold on to them."""
    network, reached = backbone(), list[str]()
    replay_backbones(network, CPU, pytest.fail)
    for name, weight in network.named_parameters():
        weight.register_hook(lambda _, name=name: reached.append(name))
    warm(network)
    outputs = [network(clips(1)), network(clips(2))]  # both recorded, each with its backward pass
    assert not reached
    (outputs[0] + outputs[1]).sum().backward()
    assert {*reached} == {*dict(network.named_parameters())}


def test_replayed__refuses_a_second_backward_pass() -> None:
    network = backbone()
    replay_backbones(network, CPU, pytest.fail)
    warm(network)
    output = network(clips(1)).sum()
    output.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="runs only once"):
        output.backward()


def test_replayed__what_is_not_recorded() -> None:
    """Inference, operations that are counted, clips with a gradient, and shapes beyond the first."""
    network = backbone()
    replay_backbones(network, CPU, pytest.fail)
    warm(network)
    with torch.inference_mode():
        network(clips(1))
    with FlopCounterMode(display=False) as counter:
        network(clips(1))
    assert counter.get_total_flops() > 0
    network(clips(1).requires_grad_()).sum().backward()
    assert Tape.replays == 0
    for number in range(3, MOST_RECORDINGS + 5):
        warm(network, number)
        network(clips(1, number))
    assert Tape.replays == MOST_RECORDINGS


def test_replayed__that_cannot_be_recorded_runs_and_says_why_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing(Tape):
        @contextmanager
        def recording(self) -> Iterator[None]:
            yield
            raise RuntimeError("operation not permitted\nmore")

    monkeypatch.setitem(GRAPHS, "cpu", Failing)
    network, warnings = backbone(), list[str]()
    replay_backbones(network, CPU, warnings.append)
    for seed in range(WARM_CALLS + 3):
        network(clips(seed)).sum().backward()
    assert warnings == ["ResNet3D cannot be recorded as a CUDA graph, and runs without: operation not permitted"]
