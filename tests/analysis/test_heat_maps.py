import numpy as np
import pytest
import torch
from torch import nn

from vtdl_cli.analysis.heat_maps import Scale, energy, gradcam, maps_of_frames, scale_of, similarity

SHAPE = (2, 5, 3, 4, 4)  # (N, D, t, h, w)


def features(seed: int = 0) -> torch.Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))


def test_energy__is_the_norm_over_channels() -> None:
    """Oracle: NumPy."""
    expected = np.sqrt((features().numpy() ** 2).sum(1))
    assert energy(features()).numpy() == pytest.approx(expected, rel=1e-5)


def test_similarity__is_the_cosine_to_the_mean() -> None:
    """Oracle: NumPy, place by place."""
    values = features().numpy()
    heat = similarity(features()).numpy()
    for clip, place in ((0, (0, 0, 0)), (1, (2, 3, 1))):
        mean, vector = values[clip].mean((1, 2, 3)), values[clip][:, *place]
        expected = mean @ vector / np.linalg.norm(mean) / np.linalg.norm(vector)
        assert heat[(clip, *place)] == pytest.approx(expected, abs=1e-5)


def test_gradcam__of_a_linear_classifier_is_its_class_activation_map() -> None:
    """Oracle: Zhou et al.'s CAM, arXiv 1512.04150: after a global average, relu(sum_k w_k A_k) / (t h w)."""
    maps, linear = features().requires_grad_(), nn.Linear(5, 7)
    logits = linear(maps.mean((2, 3, 4)))
    (gradients,) = torch.autograd.grad(logits[:, 3].sum(), maps)
    by_hand = np.einsum("k,nkthw->nthw", linear.weight[3].detach().numpy(), maps.detach().numpy()) / (3 * 4 * 4)
    heat = gradcam(maps.detach(), gradients).numpy()
    assert heat == pytest.approx(by_hand.clip(0), abs=1e-6)
    assert 0 < (heat == 0).mean() < 1


def test_scale__is_percentiles_of_all_clips_together() -> None:
    """Oracle: of 0, 1, ..., 100 the percentiles 1 and 99 are 1 and 99."""
    scale = scale_of(torch.arange(101.0).view(1, 1, 101))
    assert scale == (1, 99)
    assert scale.apply(torch.tensor([0.0, 1, 50, 99, 100])).tolist() == [0, 0, 0.5, 1, 1]


def test_scale__of_heat_without_contrast() -> None:
    assert scale_of(torch.full((2, 3), 5.0)).apply(torch.full((4,), 5.0)).tolist() == [0] * 4
    one_place = torch.zeros(1000)
    one_place[7] = 2  # above percentile 99, which is 0
    assert scale_of(one_place) == Scale(0, 2)


def frames_of(heat: list[list[float]], indices: list[list[int]], num_frames: int) -> list[float]:
    maps = maps_of_frames(torch.tensor(heat)[:, :, None, None], torch.tensor(indices), num_frames)
    return [round(float(each), 4) for each in maps]


@pytest.mark.parametrize(
    ("heat", "indices", "num_frames", "expected"),
    [
        ([[1.0, 2, 4]], [[0, 1, 2]], 3, [1, 2, 4]),
        ([[0.0, 4]], [[0, 1, 2, 3]], 4, [0, 1, 3, 4]),  # two in four: centres at frames 0.5 and 2.5
        ([[1.0, 3]], [[0, 4]], 6, [1, 1.5, 2, 2.5, 3, 3]),  # between two shown ones, and after the last
        ([[1.0, 3], [5, 9]], [[0, 2], [2, 4]], 5, [1, 2.5, 4, 6.5, 9]),  # frame 2 is in both: (3 + 5) / 2
        ([[1.0, 2, 3, 4]], [[0, 1, 2, 0]], 3, [2.5, 2, 3]),  # a clip that loops
        ([[7.0]], [[0, 0]], 1, [7]),
    ],
)
def test_maps_of_frames__every_frame_has_one(
    heat: list[list[float]], indices: list[list[int]], num_frames: int, expected: list[float]
) -> None:
    """Oracle: by hand."""
    assert frames_of(heat, indices, num_frames) == expected
