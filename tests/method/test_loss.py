import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from vtdl_cli.method.loss import NoiseContrastiveLoss, health, info_nce, triplet_logits

TEMPERATURE = 0.07
VIDEOS, QUEUE_VIDEOS = [4, 9, 2], [9, -1, 4, 9, 7]  # the third query's video has no key in the queue


def unit(rows: int, seed: int, dim: int = 6) -> Tensor:
    return F.normalize(torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed)))


def intra_video(negative: Tensor | None) -> dict[str, Tensor]:
    """The video's intra-video negatives by name."""
    return {} if negative is None else {"intra_video_negative": negative}


NAMES = ("intra_video_negative",)
OTHER_VIDEO = torch.zeros(1, 1, dtype=torch.bool)  # no key is from a query's video


def same_video() -> Tensor:
    return torch.tensor(VIDEOS)[:, None] == torch.tensor(QUEUE_VIDEOS)


def slow_logits(
    q: np.ndarray, k: np.ndarray, m: np.ndarray, n: np.ndarray | None, masked: np.ndarray | None
) -> list[list[float]]:
    """method/README number by number: [q·k | q·m_1..q·m_K | q·n] / τ, masked keys at minus infinity."""
    rows = []
    for i in range(len(q)):
        row = [float(np.dot(q[i], k[i]))]
        for j in range(len(m)):
            row.append(-math.inf if masked is not None and masked[i, j] else float(np.dot(q[i], m[j])))
        if n is not None:
            row.append(float(np.dot(q[i], n[i])))
        rows.append([value / TEMPERATURE for value in row])
    return rows


def slow_loss(logits: list[list[float]]) -> float:
    losses = [-math.log(math.exp(row[0]) / sum(math.exp(value) for value in row)) for row in logits]
    return sum(losses) / len(losses)


@pytest.mark.parametrize("with_mask", [False, True])
@pytest.mark.parametrize("with_negative", [False, True])
def test_triplet_logits__equal_the_slow_loop(with_negative: bool, with_mask: bool) -> None:
    """Oracle: `slow_logits` and `slow_loss`, written from method/README; K = 5 gives 7 columns, or 6 without q·n."""
    q, k, m, n = unit(3, 0), unit(3, 1), unit(5, 2), unit(3, 3)
    negative, masked = n if with_negative else None, same_video() if with_mask else None
    expected = slow_logits(
        q.double().numpy(),
        k.double().numpy(),
        m.double().numpy(),
        n.double().numpy() if with_negative else None,
        same_video().numpy() if with_mask else None,
    )
    logits = triplet_logits(q, k, m, intra_video(negative), masked, TEMPERATURE)
    assert logits.shape == (3, 7 if with_negative else 6)
    np.testing.assert_allclose(logits.numpy(), expected, rtol=1e-5, atol=1e-5)
    assert float(info_nce(logits)) == pytest.approx(slow_loss(expected), rel=1e-5)


def test_triplet_logits__the_mask_takes_a_videos_stale_keys_out_of_the_loss() -> None:
    """Oracle: the loss of each query alone, against a queue from which its own keys were deleted."""
    q, k, m, n = unit(3, 0), unit(3, 1), unit(5, 2), unit(3, 3)
    masked = triplet_logits(q, k, m, intra_video(n), same_video(), TEMPERATURE)
    for i, kept in enumerate(([0, 1, 3, 4], [1, 2, 4], [0, 1, 2, 3, 4])):
        alone = triplet_logits(q[i : i + 1], k[i : i + 1], m[kept], intra_video(n[i : i + 1]), None, TEMPERATURE)
        torch.testing.assert_close(info_nce(masked[i : i + 1]), info_nce(alone))
    assert masked[2].isfinite().all()


def test_triplet_logits__a_masked_key_gives_no_gradient() -> None:
    """Oracle: by hand: a queue of nothing but own keys leaves the positive alone, with loss 0 and gradient 0."""
    q = unit(1, 0).requires_grad_()
    loss = info_nce(triplet_logits(q, unit(1, 1), unit(5, 2), {}, torch.ones(1, 5, dtype=torch.bool), TEMPERATURE))
    loss.backward()
    assert q.grad is not None
    assert (float(loss.detach()), float(q.grad.abs().max())) == (0, 0)


def test_triplet_logits__bf16_embeddings_are_multiplied_in_float32_under_autocast_too() -> None:
    """Oracle: the slow loop in float64 on the same bf16 numbers; a product in bf16 would be off by up to 0.05."""
    q, k, m, n = (unit(rows, seed).bfloat16() for seed, rows in enumerate((3, 3, 5, 3)))
    exact = [values.double().numpy() for values in (q, k, m, n)]
    expected = slow_logits(exact[0], exact[1], exact[2], exact[3], None)
    with torch.autocast("cpu", torch.bfloat16):
        logits = triplet_logits(q, k, m.float(), intra_video(n), None, TEMPERATURE)
    assert logits.dtype == torch.float32
    np.testing.assert_allclose(logits.numpy(), expected, rtol=1e-5, atol=1e-5)


def test_info_nce__collapsed_embeddings_give_the_chance_loss() -> None:
    """Oracle: method/README: K + 2 equal logits give ln(K + 2), 8.18 for K = 3569."""
    q = unit(1, 0).expand(4, -1)
    loss = float(info_nce(triplet_logits(q, q, q[:1].expand(3569, -1), intra_video(q), None, TEMPERATURE)))
    assert loss == pytest.approx(math.log(3571), abs=1e-4)
    assert loss == pytest.approx(8.18, abs=0.005)


def test_info_nce__random_embeddings_give_little_more_than_the_chance_loss() -> None:
    """Oracle: cosines of random directions are near normal with variance 1/D, so the logsumexp of K + 2 of them is
    ln(K + 2) + 1 / (2 D τ²) and the positive's mean is 0: 8.18 + 0.80 for D = 128; 4 standard errors."""
    q, k, m, n = (unit(rows, seed, 128) for seed, rows in enumerate((1000, 1000, 3569, 1000)))
    loss = float(info_nce(triplet_logits(q, k, m, intra_video(n), None, TEMPERATURE)))
    assert loss == pytest.approx(math.log(3571) + 1 / (2 * 128 * TEMPERATURE**2), abs=0.16)


def test_health__metrics_by_hand() -> None:
    """Oracle: by hand, from exp(logits) = [6, 2, 1, 1] / 10 and [4, masked, 2, 2] / 8."""
    logits = torch.tensor([[6.0, 2, 1, 1], [4, 0, 2, 2]]).log()
    from_same_video = torch.tensor([[False, False], [True, False]])
    metrics = {name: float(value) for name, value in health(logits, unit(2, 0), NAMES, from_same_video).items()}
    metrics.pop("spread")
    assert metrics == pytest.approx(
        {
            "positive_logit": (math.log(6) + math.log(4)) / 2,
            "queue_logit": (math.log(2) + math.log(1) + math.log(2)) / 3,
            "intra_video_negative_logit": (math.log(1) + math.log(2)) / 2,
            "positive_probability": (0.6 + 0.5) / 2,
            "queue_probability": (0.3 + 0.25) / 2,
            "intra_video_negative_probability": (0.1 + 0.25) / 2,
            "own_video_share": 1 / 4,
        }
    )


def test_health__without_intra_video_negative_the_last_column_belongs_to_the_queue() -> None:
    """Oracle: by hand, from exp(logits) = [5, 3, 2] / 10."""
    metrics = health(torch.tensor([[5.0, 3, 2]]).log(), unit(1, 0), (), OTHER_VIDEO)
    assert "intra_video_negative_logit" not in metrics
    assert float(metrics["queue_probability"]) == pytest.approx(0.5)
    assert float(metrics["queue_logit"]) == pytest.approx((math.log(3) + math.log(2)) / 2)


def test_health__a_queue_masked_in_full_is_no_division_by_zero() -> None:
    logits = torch.tensor([[1.0, -math.inf, -math.inf, 1.0]])
    metrics = health(logits, unit(1, 0), NAMES, torch.ones(1, 2, dtype=torch.bool))
    assert all(value.isfinite() for value in metrics.values())
    assert (float(metrics["own_video_share"]), float(metrics["queue_logit"])) == (1, 0)


@pytest.mark.parametrize(
    ("embeddings", "spread"),
    [
        ([[1, 0], [0, 1], [-1, 0], [0, -1]], 1.0),  # variance 1/2 in both coordinates
        ([[1, 0], [-1, 0]], math.sqrt(2) / 2),  # deviations 1 and 0
        ([[0.6, 0.8], [0.6, 0.8]], 0.0),
    ],
)
def test_health__spread_tells_a_full_sphere_from_a_point(embeddings: list[list[float]], spread: float) -> None:
    """Oracle: by hand: sqrt(D) times the mean of the coordinates' standard deviations."""
    metric = health(torch.zeros(len(embeddings), 3), torch.tensor(embeddings), NAMES, OTHER_VIDEO)["spread"]
    assert float(metric) == pytest.approx(spread, abs=1e-6)


def test_health__one_embedding_has_no_spread() -> None:
    """It is a point by definition, and says nothing of a collapse."""
    assert "spread" not in health(torch.zeros(1, 3), unit(1, 0), NAMES, OTHER_VIDEO)


def slow_nce(logits: np.ndarray, normaliser: float, num_videos: int) -> float:
    """arXiv 1805.01978, equations 6 and 7, number by number: noise is uniform, m the negatives that are not masked."""
    total = 0.0
    for row in logits:
        negatives = [value for value in row[1:] if np.isfinite(value)]
        noise = len(negatives) / num_videos
        probability = [math.exp(value) / normaliser for value in (row[0], *negatives)]
        total -= math.log(probability[0] / (probability[0] + noise))
        total -= sum(math.log(noise / (value + noise)) for value in probability[1:])
    return total / len(logits)


@pytest.mark.parametrize("temperature", [0.5, 0.01])
def test_nce__equals_the_slow_sum_with_the_first_batchs_normaliser(temperature: float) -> None:
    """Oracle: `slow_nce` in float64; Z is 20 videos times the mean of exp(logit) of the first batch, and stays. At the
    lower temperature exp(logit) reaches 1e42 and more, which float32 does not hold."""
    loss, masked = NoiseContrastiveLoss(20), same_video()
    query = unit(3, 0)
    positive = F.normalize(query + 0.1 * unit(3, 1))
    first, second = (
        triplet_logits(query, positive, unit(5, s + 2), intra_video(unit(3, 9)), masked, temperature) for s in (0, 4)
    )
    finite = first[first.isfinite()].double().exp()
    normaliser = 20 * float(finite.mean())
    for logits in (first, second):
        expected = slow_nce(logits.double().numpy(), normaliser, 20)
        assert float(loss(logits)) == pytest.approx(expected, rel=1e-5)
    assert float(loss.log_normaliser) == pytest.approx(math.log(normaliser), rel=1e-5)


@pytest.mark.parametrize("temperature", [TEMPERATURE, 0.005])
def test_nce__gradient_is_that_of_the_slow_sum_beside_masked_keys(temperature: float) -> None:
    """Oracle: differences of `slow_nce` in float64, with the normaliser held."""
    logits = triplet_logits(unit(3, 0), unit(3, 1), unit(5, 2), {}, same_video(), temperature).requires_grad_()
    loss = NoiseContrastiveLoss(20)
    loss(logits).backward()
    values, normaliser = logits.detach().double().numpy(), math.exp(float(loss.log_normaliser))
    expected = np.zeros_like(values)
    for place in zip(*np.isfinite(values).nonzero(), strict=True):
        nudge = np.zeros_like(values)
        nudge[place] = 1e-4
        ahead, behind = (slow_nce(values + sign * nudge, normaliser, 20) for sign in (1, -1))
        expected[place] = (ahead - behind) / 2e-4
    assert logits.grad is not None
    np.testing.assert_allclose(logits.grad.numpy(), expected, atol=1e-5)
    assert np.abs(expected).max() > 0.01


def test_nce__a_query_whose_keys_are_all_masked_has_no_noise_to_be_told_from() -> None:
    """Oracle: the limit of equations 6 and 7 for no noise: P / (P + 0) = 1, loss 0 and gradient 0."""
    q = unit(1, 0).requires_grad_()
    masked = torch.ones(1, 5, dtype=torch.bool)
    loss = NoiseContrastiveLoss(20)(triplet_logits(q, unit(1, 1), unit(5, 2), {}, masked, TEMPERATURE))
    loss.backward()
    assert q.grad is not None
    assert (float(loss.detach()), float(q.grad.abs().max())) == (0, 0)


def test_nce__embeddings_that_are_no_numbers_are_not_taken_for_masked_ones() -> None:
    """A run that has come apart must show it."""
    q = torch.full((3, 6), math.nan)
    assert NoiseContrastiveLoss(20)(triplet_logits(q, unit(3, 1), unit(5, 2), {}, None, TEMPERATURE)).isnan()
