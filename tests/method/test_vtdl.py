"""Oracle of the numbers: `Reference`, one step in NumPy after method/README, its gradient by finite differences."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.method.linear_encoder import DIM, LinearEncoder
from vtdl_cli.method.encoders import EncoderPair
from vtdl_cli.method.memory import KeyQueue, VideoBank
from vtdl_cli.method.tca import TemporalConsistentAugmentation
from vtdl_cli.method.vtdl import VTDL

BATCH, QUEUE = 3, 7  # the queue is no multiple of the batch
TEMPERATURE, MOMENTUM, RATE = 0.07, 0.9, 0.1
VIDEOS = ([0, 1, 2], [2, 3, 4], [0, 2, 1], [4, 1, 0])  # of the steps


class NormedEncoder(LinearEncoder):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm3d(2)

    def forward(self, clips: Tensor) -> Tensor:
        return super().forward(self.norm(clips))


class MappedEncoder(LinearEncoder):
    """With a backbone, whose map has the clips' own shape."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Conv3d(2, 2, 1)

    def forward(self, clips: Tensor) -> Tensor:
        return super().forward(self.backbone(clips))


class Reversed(nn.Module):
    def forward(self, clips: Tensor) -> Tensor:
        return clips.flip(2)


class RecordedTca(TemporalConsistentAugmentation):
    """Remembers what went in and what came out."""

    def forward(self, clips: Tensor) -> Tensor:
        self.seen, self.mixed = clips, super().forward(clips)
        return self.mixed


def make_method(
    encoder: nn.Module, *, alpha: float = 0.5, intra_video_negative: bool = True, mask_own_video: bool = True
) -> VTDL:
    return VTDL(
        EncoderPair(encoder, MOMENTUM),
        KeyQueue(QUEUE, DIM),
        temperature=TEMPERATURE,
        anchor_augmentation=RecordedTca(alpha, per_sample=True),
        intra_video_negative=intra_video_negative,
        mask_own_video=mask_own_video,
    )


def queue_of(method: VTDL) -> KeyQueue:
    assert isinstance(method.memory, KeyQueue)
    return method.memory


def make_triplets(step: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    clips = torch.randn(3, BATCH, 2, 3, 2, 2, generator=torch.Generator().manual_seed(step))
    return clips[0], clips[1], clips[2], torch.tensor(VIDEOS[step])


def embed(weights: np.ndarray, clips: Tensor) -> np.ndarray:
    embedded = clips.double().numpy().reshape(len(clips), -1) @ weights.T
    return embedded / np.linalg.norm(embedded, axis=1, keepdims=True)  # type: ignore[no-any-return]


@dataclass
class Reference:
    """Weights of both encoders, and the queue as a list of (key, video) whose slots fill in turn."""

    query: np.ndarray
    key: np.ndarray
    queue: list[tuple[np.ndarray, int]]
    intra_video_negative: bool
    mask: bool
    following: int = 0

    def loss(self, query: np.ndarray, mixed: Tensor, k: np.ndarray, negative: Tensor, videos: list[int]) -> float:
        q, n = embed(query, mixed), embed(query, negative)
        total = 0.0
        for i, video in enumerate(videos):
            others = [key for key, origin in self.queue if not (self.mask and origin == video)]
            columns = [k[i], *others] + ([n[i]] if self.intra_video_negative else [])
            terms = [math.exp(float(q[i] @ column) / TEMPERATURE) for column in columns]
            total -= math.log(terms[0] / sum(terms)) / len(videos)
        return total

    def step(self, mixed: Tensor, positive: Tensor, negative: Tensor, videos: list[int]) -> float:
        """Loss before the step; then the queue takes k, the query descends, and the key encoder follows."""
        k = embed(self.key, positive)
        loss = self.loss(self.query, mixed, k, negative, videos)
        gradient = np.zeros_like(self.query)
        for place in np.ndindex(*self.query.shape):
            nudge = np.zeros_like(self.query)
            nudge[place] = 1e-5
            ahead, behind = (self.loss(self.query + s * nudge, mixed, k, negative, videos) for s in (1, -1))
            gradient[place] = (ahead - behind) / 2e-5
        for key, video in zip(k, videos, strict=True):
            self.queue[self.following] = (key, video)
            self.following = (self.following + 1) % len(self.queue)
        self.query = self.query - RATE * gradient
        self.key = MOMENTUM * self.key + (1 - MOMENTUM) * self.query
        return loss


@pytest.mark.parametrize(("intra_video_negative", "mask"), [(True, True), (True, False), (False, True)])
def test_vtdl__four_training_steps(intra_video_negative: bool, mask: bool) -> None:
    """Oracle: `Reference`: loss, both encoders and the queue after every step. A later step meets the keys of earlier
    ones, some of them of its own videos, and from the third step on the queue wraps round; were a batch's keys in the
    queue too early, or did gradients miss q or n, or reach k, the numbers would part."""
    torch.manual_seed(0)
    method = make_method(LinearEncoder(), intra_video_negative=intra_video_negative, mask_own_video=mask)
    query, key = (encoder.get_submodule("head").weight for encoder in (method.encoders.query, method.encoders.key))
    assert isinstance(query, Tensor)
    assert isinstance(key, Tensor)
    keys = queue_of(method).keys.double().numpy().copy()
    start = query.detach().double().numpy().copy()
    reference = Reference(start, start, [(row, -1) for row in keys], intra_video_negative, mask)
    optimizer = torch.optim.SGD(method.encoders.query.parameters(), RATE)
    for number in range(len(VIDEOS)):
        anchor, positive, negative, video = make_triplets(number)
        loss = method(anchor, positive, negative, video).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        method.encoders.update_key()
        assert isinstance(method.anchor_augmentation, RecordedTca)
        assert torch.equal(method.anchor_augmentation.seen, anchor)
        expected = reference.step(method.anchor_augmentation.mixed, positive, negative, video.tolist())
        assert loss.item() == pytest.approx(expected, rel=1e-5)
        np.testing.assert_allclose(query.detach().numpy(), reference.query, atol=2e-5)
        np.testing.assert_allclose(key.numpy(), reference.key, atol=2e-5)
        np.testing.assert_allclose(queue_of(method).keys.numpy(), np.stack([k for k, _ in reference.queue]), atol=1e-5)
        assert queue_of(method).videos.tolist() == [origin for _, origin in reference.queue]
        assert key.grad is None


def test_forward__the_logits_do_not_see_the_batchs_own_keys() -> None:
    """Oracle: the same batch without a mask after its keys went in: its loss cannot be below ln 2, as a queue column
    then equals the positive one. The key encoder is the same both times."""
    torch.manual_seed(0)
    method = make_method(LinearEncoder(), alpha=0.0, intra_video_negative=False, mask_own_video=False)
    anchor, _, negative, video = make_triplets(0)
    before, after = (method(anchor, anchor, negative, video) for _ in range(2))
    assert before.metrics["positive_logit"] == pytest.approx(1 / TEMPERATURE)
    assert before.loss.item() < math.log(2)
    assert after.loss.item() >= math.log(2)


def test_forward__gradient_reaches_anchor_and_negative_and_not_the_positive() -> None:
    """Oracle: method/README: q and n come from the query encoder with gradient, k without."""
    method = make_method(LinearEncoder())
    anchor, positive, negative, video = make_triplets(0)
    for clips in (anchor, positive, negative):
        clips.requires_grad_()
    method(anchor, positive, negative, video).loss.backward()
    assert anchor.grad is not None
    assert negative.grad is not None
    assert (bool(anchor.grad.abs().sum() > 0), bool(negative.grad.abs().sum() > 0)) == (True, True)
    assert positive.grad is None


@pytest.mark.parametrize("intra_video_negative", [True, False])
def test_forward__anchor_and_negative_are_batches_of_their_own_to_batch_norm(intra_video_negative: bool) -> None:
    """Oracle: method/README, "separate forward/BN batch"; torch counts the batches that pass a batch norm."""
    method = make_method(NormedEncoder(), intra_video_negative=intra_video_negative).train()
    method(*make_triplets(0))
    encoders = method.encoders.query, method.encoders.key
    counts = [int(encoder.state_dict()["norm.num_batches_tracked"]) for encoder in encoders]
    assert counts == [2 if intra_video_negative else 1, 1]


def test_forward__metrics_carry_no_graph_and_tell_of_the_intra_video_negative() -> None:
    method = make_method(LinearEncoder())
    step = method(*make_triplets(0))
    assert step.loss.requires_grad
    assert not any(metric.requires_grad for metric in step.metrics.values())
    assert all(metric.ndim == 0 for metric in step.metrics.values())
    total = sum(float(step.metrics[f"{part}_probability"]) for part in ("positive", "queue", "intra_video_negative"))
    assert total == pytest.approx(1)


@pytest.mark.parametrize("mask_own_video", [True, False])
def test_forward__tells_the_share_of_own_video_keys_whether_or_not_they_are_masked(mask_own_video: bool) -> None:
    """Oracle: by hand: the queue's seven slots hold videos 0, 1 and 2 when 2, 3 and 4 ask: 1 of 21 is its own."""
    method = make_method(LinearEncoder(), mask_own_video=mask_own_video)
    shares = [method(*make_triplets(step)).metrics["own_video_share"].item() for step in (0, 1)]
    assert shares == pytest.approx([0, 1 / 21])


@pytest.mark.parametrize(("mask_own_video", "kept"), [(True, (QUEUE - 1, QUEUE, QUEUE)), (False, (QUEUE,))])
def test_forward__chance_counts_the_columns_that_are_not_masked(mask_own_video: bool, kept: tuple[int, ...]) -> None:
    """Oracle: by hand: of the second batch one query has a key of its own; the positive and the intra-video negative beside."""
    method = make_method(LinearEncoder(), mask_own_video=mask_own_video)
    _, second = [method(*make_triplets(step)).metrics["chance_loss"].item() for step in (0, 1)]
    assert second == pytest.approx(np.mean([math.log(2 + keys) for keys in kept]))


def test_state_dict__a_restored_method_goes_on_identically() -> None:
    """Oracle: the method that was never stopped."""
    method = make_method(NormedEncoder())
    for number in range(2):
        method(*make_triplets(number))
    restored = make_method(NormedEncoder())
    restored.load_state_dict(method.state_dict())
    losses = []
    for each in (method, restored):
        torch.manual_seed(1)  # of TCA's draws
        losses.append([each(*make_triplets(number)).loss.item() for number in (2, 3)])
    assert losses[0] == losses[1]


# ---- options


def make_variant(encoder: type[nn.Module], **options: Any) -> VTDL:
    torch.manual_seed(0)
    tca = TemporalConsistentAugmentation(0.0, per_sample=False)
    pair = EncoderPair(encoder(), MOMENTUM)
    return VTDL(pair, KeyQueue(QUEUE, DIM), temperature=TEMPERATURE, anchor_augmentation=tca, **options)


def test_intra_video_negative_gradient__off_the_negative_is_only_pushed_away_from() -> None:
    """Oracle: the same loss, to the bit; the negative's clips get no gradient."""
    losses = []
    for gradient in (True, False):
        method = make_variant(LinearEncoder, intra_video_negative_gradient=gradient)
        anchor, positive, negative, video = make_triplets(0)
        negative.requires_grad_()
        loss = method(anchor, positive, negative, video).loss
        loss.backward()
        assert (negative.grad is not None) == gradient
        losses.append(loss.item())
    assert losses[0] == losses[1]


def test_strong_negative__is_the_positive_with_its_frames_in_another_order() -> None:
    """Oracle: by hand: its column is q·f(shuffled positive) / τ, beside the intra-video negative's."""
    method = make_variant(LinearEncoder, strong_negative=True, negative_augmentation=Reversed())
    anchor, positive, negative, video = make_triplets(0)
    step = method(anchor, positive, negative, video)
    q, strong, intra_video = (method.encoders.query(each) for each in (anchor, positive.flip(2), negative.flip(2)))
    expected = {"strong_negative_logit": strong, "intra_video_negative_logit": intra_video}
    for name, embedding in expected.items():
        assert step.metrics[name].item() == pytest.approx((q * embedding).sum(1).mean().item() / TEMPERATURE, rel=1e-5)


def test_positive_augmentation__changes_the_key() -> None:
    """Oracle: by hand: the queue takes f(reversed positive)."""
    method = make_variant(LinearEncoder, positive_augmentation=Reversed())
    anchor, positive, negative, video = make_triplets(0)
    keys = method.encoders.key(positive.flip(2))
    method(anchor, positive, negative, video)
    torch.testing.assert_close(queue_of(method).keys[:BATCH], keys)


def test_margin__is_added_with_its_weight() -> None:
    """Oracle: by hand: mean of max(|q - k| - |q - n| + 1, 0), beside the contrast of the same seed."""
    triplets = make_triplets(0)
    plain = make_variant(LinearEncoder)(*triplets).loss.item()
    method = make_variant(LinearEncoder, margin_weight=0.5)
    q, k, n = (method.encoders.query(clips).detach().numpy() for clips in triplets[:3])  # the key encoder is equal yet
    distances = np.linalg.norm(q - k, axis=1) - np.linalg.norm(q - n, axis=1) + 1
    assert method(*triplets).loss.item() == pytest.approx(plain + 0.5 * distances.clip(0).mean(), rel=1e-4)


def test_consistency__is_added_with_its_weight() -> None:
    """Oracle: the contrast of the same seed is less; with weight 0 it is the same to the bit."""
    triplets = make_triplets(0)
    losses = [make_variant(MappedEncoder, consistency_weight=weight)(*triplets).loss.item() for weight in (0, 0, 2.0)]
    assert losses[0] == losses[1] < losses[2]


def test_bank__serves_as_memory() -> None:
    torch.manual_seed(0)
    bank = VideoBank(5, QUEUE, DIM)
    tca = TemporalConsistentAugmentation(0.0, per_sample=False)
    pair = EncoderPair(LinearEncoder(), MOMENTUM)
    method = VTDL(pair, bank, temperature=TEMPERATURE, anchor_augmentation=tca)
    before = bank.keys.clone()
    step = method(*make_triplets(0))  # videos 0, 1 and 2
    assert torch.isfinite(step.loss)
    assert (bank.keys != before).any(1).tolist() == [True, True, True, False, False]


def test_same_frames__a_masked_negative_is_as_good_as_none() -> None:
    """Oracle: the loss of the same queries without an intra-video negative, for the masked ones; with it, for others."""
    anchor, positive, negative, video = make_triplets(0)
    with_it, without = (make_variant(LinearEncoder, intra_video_negative=own) for own in (True, False))
    is_other = torch.tensor([True, False, True])
    logits = []
    for method in (with_it, without):
        method.criterion = lambda each: logits.append(each) or each.sum() * 0  # type: ignore[func-returns-value]
        step = method(anchor, positive, *([negative, is_other] if method is with_it else []), video)
    torch.testing.assert_close(logits[0][:, :-1], logits[1])
    assert logits[0][:, -1].isfinite().tolist() == is_other.tolist()
    masked_loss, loss = (F.cross_entropy(each[1], torch.tensor(0)) for each in logits)
    assert masked_loss == loss
    assert "masked_negative_share" not in step.metrics


@pytest.mark.parametrize("is_other", [[True, False, False], [False] * 3])
def test_same_frames__masked_negatives_take_no_part_in_loss_or_metrics(is_other: list[bool]) -> None:
    """Oracle: gradients of the masked clips are 0; the margin loss is that of the others' by hand, or 0."""
    method = make_variant(LinearEncoder, margin_weight=1.0, criterion=lambda logits: logits[:, 0].sum() * 0)
    anchor, positive, negative, video = make_triplets(0)
    negative.requires_grad_()
    step = method(anchor, positive, negative, torch.tensor(is_other), video)
    q, k, n = method.encoders.query(anchor), method.encoders.embed_key(positive), method.encoders.query(negative)
    margins = ((q - k + 1e-6).norm(dim=1) - (q - n + 1e-6).norm(dim=1) + 1).clamp(min=0)
    assert float(step.metrics["masked_negative_share"]) == pytest.approx(is_other.count(False) / 3)
    if any(is_other):
        assert step.loss.item() == pytest.approx(margins[0].item(), rel=1e-4)
        step.loss.backward()
        assert negative.grad is not None
        assert negative.grad.abs().flatten(1).sum(1).bool().tolist() == is_other
        assert step.metrics["intra_video_negative_logit"].item() == pytest.approx((q[0] @ n[0]).item() / TEMPERATURE)
    assert all(metric.isfinite() for metric in step.metrics.values())
