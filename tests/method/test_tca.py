import numpy as np
import pytest
import torch
from torch import Tensor

from vtdl_cli.method.tca import TemporalConsistentAugmentation, mix_still_frame

NUM_FRAMES = 8


def random_clips(num_clips: int = 3) -> Tensor:
    """(N, 2, 8, 3, 4), away from each other in every pixel."""
    return torch.rand(num_clips, 2, NUM_FRAMES, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def read_draws(num_clips: int, alpha: float, per_sample: bool) -> tuple[np.ndarray, np.ndarray]:
    """The s and λ of one batch, solved from its result: frames V_t = t give Ṽ_1 - Ṽ_0 = 1 - λ and Ṽ_0 = λ s."""
    clips = torch.arange(float(NUM_FRAMES)).view(1, 1, -1, 1, 1).repeat(num_clips, 1, 1, 1, 1)
    mixed = TemporalConsistentAugmentation(alpha, per_sample)(clips).double().numpy()[:, 0, :, 0, 0]
    weight = 1 - (mixed[:, 1] - mixed[:, 0])
    return mixed[:, 0] / weight, weight


@pytest.mark.parametrize("order", range(1, NUM_FRAMES))
def test_mix_still_frame__every_derivative_shrinks_by_one_factor(order: int) -> None:
    """Oracle: the law of method/README for finite differences (numpy.diff), at every order a clip has."""
    clips, weight = random_clips(), torch.tensor([0.0, 0.3, 0.9], dtype=torch.float64)
    mixed = mix_still_frame(clips, torch.tensor([0, 3, 7]), weight)
    expected = (1 - weight.numpy()[:, None, None, None, None]) * np.diff(clips.numpy(), n=order, axis=2)
    np.testing.assert_allclose(np.diff(mixed.numpy(), n=order, axis=2), expected, atol=1e-12)


@pytest.mark.parametrize("weight", [[0.5, 0.1, 0.8], [0.25]])
def test_mix_still_frame__adds_the_clips_own_frame(weight: list[float]) -> None:
    """Oracle: Ṽ_t = (1 - λ) V_t + λ V_s in NumPy, clip by clip and frame by frame; the argument stays as it was."""
    clips, still = random_clips(), [7, 0, 4]
    before = clips.clone()
    mixed = mix_still_frame(clips, torch.tensor(still), torch.tensor(weight, dtype=torch.float64)).numpy()
    assert torch.equal(clips, before)
    for number, clip in enumerate(before.numpy()):
        share = weight[number % len(weight)]
        for t in range(NUM_FRAMES):
            expected = (1 - share) * clip[:, t] + share * clip[:, still[number]]
            np.testing.assert_allclose(mixed[number, :, t], expected, atol=1e-12)


def test_mix_still_frame__commutes_with_normalisation() -> None:
    """Oracle: the weights sum to 1 (method/README), so it matters not which comes first."""
    clips, still, weight = random_clips(), torch.tensor([1, 6, 2]), torch.tensor([0.5, 0.1, 0.9]).double()
    mean, std = torch.tensor([0.5, 0.4]).view(2, 1, 1, 1), torch.tensor([0.2, 0.3]).view(2, 1, 1, 1)
    after = mix_still_frame((clips - mean) / std, still, weight)
    before = (mix_still_frame(clips, still, weight) - mean) / std
    torch.testing.assert_close(after, before, rtol=0, atol=1e-12)


def test_mix_still_frame__gradient_reaches_every_frame() -> None:
    """Oracle: by hand, the sum of 2 frames mixed with frame 0 at λ = 1/4 is V_0 (3/4 + 2/4) + V_1 3/4."""
    clips = torch.zeros(1, 1, 2, 1, 1, requires_grad=True)
    mix_still_frame(clips, torch.tensor([0]), torch.tensor([0.25])).sum().backward()
    assert clips.grad is not None
    assert clips.grad.flatten().tolist() == [1.25, 0.75]


def test_tca__one_weight_for_the_batch_and_a_still_frame_for_each_clip() -> None:
    """Oracle: method/README: λ per batch, s per sample; the draws are solved from the result."""
    torch.manual_seed(0)
    still, weight = read_draws(16, alpha=0.5, per_sample=False)
    assert np.ptp(weight) < 1e-5
    assert len(set(still.round())) > 3


def test_tca__weights_are_uniform_below_alpha_and_every_frame_is_drawn() -> None:
    """Oracle: method/README: s ~ U{0, .., T - 1}, λ ~ U[0, α), whose mean is α/2; 5 standard errors of the mean."""
    torch.manual_seed(0)
    still, weight = read_draws(2000, alpha=0.5, per_sample=True)
    assert weight.min() > -1e-5
    assert weight.max() < 0.5 + 1e-5
    assert (weight.min() < 0.01, weight.max() > 0.49) == (True, True)
    assert abs(weight.mean() - 0.25) < 5 * 0.5 / np.sqrt(12 * 2000)
    solvable = weight > 0.01
    counts = np.bincount(still[solvable].round().astype(int), minlength=NUM_FRAMES)
    assert len(counts) == NUM_FRAMES
    assert counts.min() > 170


def test_tca__draws_follow_torchs_seed() -> None:
    clips, tca = random_clips().float(), TemporalConsistentAugmentation(0.5, per_sample=True)
    torch.manual_seed(7)
    first, second = tca(clips), tca(clips)
    torch.manual_seed(7)
    assert torch.equal(tca(clips), first)
    assert not torch.equal(first, second)


def test_tca__out_of_place() -> None:
    clips = random_clips().float()
    before = clips.clone()
    mixed = TemporalConsistentAugmentation(0.5, per_sample=True)(clips)
    assert torch.equal(clips, before)
    assert not torch.equal(mixed, before)


def test_tca__alpha_0_returns_its_input() -> None:
    clips = random_clips()
    assert TemporalConsistentAugmentation(0.0, per_sample=False)(clips) is clips


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("per_sample", [True, False])
@pytest.mark.parametrize("order", range(1, NUM_FRAMES))
def test_tca__every_version_keeps_every_derivative(version: int, per_sample: bool, order: int) -> None:
    """Oracle: the law of method/README by numpy.diff: the added frame stands still, whoever's it is. The factor is
    solved from the first difference of each clip."""
    torch.manual_seed(order)
    clips = random_clips(5)
    mixed = TemporalConsistentAugmentation(0.5, per_sample, version)(clips).numpy()
    factor = np.diff(mixed, axis=2)[:, :1, :1, :1, :1] / np.diff(clips.numpy(), axis=2)[:, :1, :1, :1, :1]
    assert ((factor > 0.5) & (factor <= 1)).all()
    assert (np.ptp(factor) < 1e-12) == (not per_sample)
    np.testing.assert_allclose(
        np.diff(mixed, n=order, axis=2), factor * np.diff(clips.numpy(), n=order, axis=2), atol=1e-12
    )


@pytest.mark.parametrize("version", [1, 2, 3])
def test_tca__whose_frame_is_mixed_in(version: int) -> None:
    """Oracle: by hand: clip i shows i everywhere, so the donor is what mixing with a known weight brings in; it is
    read from the clips as they were: the authors' version 3 may read clips that are mixed already."""
    torch.manual_seed(0)
    clips = torch.arange(6.0).view(6, 1, 1, 1, 1).repeat(1, 1, 4, 2, 2) ** 2
    tca = TemporalConsistentAugmentation(0.9, per_sample=False, version=version)
    donors = set()
    for _ in range(40):
        before = torch.get_rng_state()
        mixed = tca(clips)[:, 0, 0, 0, 0]
        torch.set_rng_state(before)
        torch.randint(4, (6,))
        weight = 0.9 * torch.rand(1)
        squares = ((mixed - (1 - weight) * clips[:, 0, 0, 0, 0]) / weight).clamp(min=0)
        donors.add(tuple(squares.sqrt().round().int().tolist()))
    others = np.array(sorted(donors))
    if version == 3:
        assert len(donors) > 20
        assert (others != np.arange(6)).all()
        assert [len(set(column)) for column in others.T] == [5] * 6
    else:
        assert donors == {(1, 2, 3, 4, 5, 0) if version == 1 else (0, 1, 2, 3, 4, 5)}


def test_tca__a_batch_of_one_has_no_other_clip() -> None:
    clips = random_clips(1)
    assert TemporalConsistentAugmentation(0.5, per_sample=True, version=3)(clips).shape == clips.shape
