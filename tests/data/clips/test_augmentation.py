"""Oracles of the numbers: torchvision.transforms.v2.functional on whole frames in [0, 1], given the same draws, and
`slow_augmentation`."""

import colorsys
import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from tests.data.clips.slow_augmentation import slow_clips
from vtdl_cli.data.clips import augmentation
from vtdl_cli.data.clips import rotation as rotation_module
from vtdl_cli.data.clips.augmentation import rotate_vectors, to_clips
from vtdl_cli.data.clips.colours import brightness, contrast, hue, jitter, saturation
from vtdl_cli.data.clips.fused import to_clips_fused
from vtdl_cli.data.clips.rotation import rotated_crops, sample_grid, sampling_positions
from vtdl_cli.data.clips.views import NO_OPERATION, RandomViews

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # method/README, step 5
STRENGTHS = (0.5, 0.5, 0.25, 0.5)
ORDERS = list(itertools.permutations(range(4)))
GREY = 1e-3  # torchvision rounds the luma's red to .2989, we take BT.601's .299
ADJUST: list[Callable[[Tensor, float], Tensor]] = [
    tv.adjust_brightness,
    tv.adjust_contrast,
    tv.adjust_saturation,
    tv.adjust_hue,
]


def random_frames(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(256, size=(*shape, 3), dtype=np.uint8)


def unit_clips(seed: int, num_clips: int) -> Tensor:
    """(N, T, 3, H, W) in [0, 1]: noise, with greys, pure colours, black and white among it."""
    clips = torch.from_numpy(random_frames(seed, num_clips, 2, 6, 7)).permute(0, 1, 4, 2, 3).float() / 255
    clips[..., 0, :] = clips[:, :, :1, 0, :]
    clips[..., 1, :] = clips[..., 1, :].round()
    return clips


def replay_corners(seed: int, views: RandomViews, num_clips: int, height: int, width: int) -> list[tuple[int, int]]:
    """The corners (x, y) that `views` draws: angles first, then a corner for each clip."""
    generator = np.random.default_rng(seed)
    generator.uniform(-views.rotation_degrees, views.rotation_degrees, num_clips)
    size = np.array([width, height]) - views.crop_size + 1
    return [tuple(generator.integers(size).tolist()) for _ in range(num_clips)]


@pytest.mark.parametrize(
    ("height", "width", "crop_size", "degrees"),
    [
        (22, 31, 16, 10.0),
        (31, 22, 16, 10.0),
        (17, 24, 16, 10.0),  # two rows of places: every crop at an edge
        (16, 16, 16, 10.0),  # one place: every corner is black
        (23, 30, 15, 45.0),
        (20, 25, 12, 0.0),
    ],
)
def test_rotate_and_crop__equals_turning_the_whole_frame_and_cropping(
    height: int, width: int, crop_size: int, degrees: float
) -> None:
    """Oracle: torchvision: rotate (bilinear, no expansion, black corners), then crop at the drawn corner."""
    views = RandomViews(crop_size, degrees, STRENGTHS)
    clips = np.array([[0, 1], [2, 0]])
    at_edge = 0
    for seed in range(40):
        frames = random_frames(seed, 3, height, width)
        windows, draws = views(frames, clips, np.random.default_rng(seed))
        rotation, shift = torch.from_numpy(draws["rotation"]), torch.from_numpy(draws["shift"])
        cropped = torch.cat(
            [crops for _, crops in rotated_crops(torch.from_numpy(windows), crop_size, rotation, shift)]
        )
        positions = sampling_positions(windows.shape[2], crop_size, rotation, shift)
        images = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
        for view, (x, y) in enumerate(replay_corners(seed, views, 2, height, width)):
            angle = float(np.degrees(draws["rotation"][view]))
            turned = tv.rotate(images[clips[view]], angle, InterpolationMode.BILINEAR)
            expected = tv.crop(turned, y, x, crop_size, crop_size)
            torch.testing.assert_close(cropped[view] / 255, expected, rtol=0, atol=1e-4)
            at_edge += x in (0, width - crop_size) or y in (0, height - crop_size)
        on_gpu = sample_grid(torch.from_numpy(windows), positions)
        torch.testing.assert_close(on_gpu, cropped, rtol=0, atol=0.01)  # of 255: grid_sample's positions are rounded
    assert at_edge >= 10


@pytest.mark.parametrize("factor", [0.5, 0.83, 1.0, 1.21, 1.5])
@pytest.mark.parametrize(
    ("ours", "theirs", "tolerance"),
    [
        (brightness, tv.adjust_brightness, 1e-6),
        (contrast, tv.adjust_contrast, GREY),
        (saturation, tv.adjust_saturation, GREY),
        (lambda clips, turns: hue(clips, turns - 1), lambda clips, turns: tv.adjust_hue(clips, turns - 1), 1e-5),
    ],
    ids=["brightness", "contrast", "saturation", "hue"],
)
def test_adjustments__equal_torchvision(
    ours: Callable[[Tensor, Tensor], Tensor],
    theirs: Callable[[Tensor, float], Tensor],
    tolerance: float,
    factor: float,
) -> None:
    """Oracle: torchvision; the hue's shift is the factor minus 1, over the whole range from -.5 to .5."""
    clips = unit_clips(0, 3)
    pixels = 255 * clips
    adjusted = ours(pixels, torch.full((3, 1, 1, 1, 1), factor))
    torch.testing.assert_close(adjusted / 255, theirs(clips, factor), rtol=0, atol=tolerance)
    assert adjusted is pixels


def test_adjustments__contrast_and_saturation_by_hand() -> None:
    """Oracle: BT.601 by hand: luma .299 R + .587 G + .114 B, a frame's mean for contrast; factor 0 leaves grey."""
    clip = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]).view(1, 1, 3, 1, 2)  # a red and a blue pixel
    nothing = torch.zeros(1, 1, 1, 1, 1)
    torch.testing.assert_close(saturation(255 * clip, nothing)[0, 0], 255 * torch.tensor([[[0.299, 0.114]]] * 3))
    torch.testing.assert_close(contrast(255 * clip, nothing), torch.full_like(clip, 255 * (0.299 + 0.114) / 2))


def test_hue__every_colour_of_a_coarse_cube_by_every_shift() -> None:
    """Oracle: colorsys of Python's standard library: HSV in float64, on 6 x 6 x 6 colours and 25 shifts to a turn."""
    levels = np.linspace(0, 1, 6)
    cube = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(-1, 3)
    for turns in np.linspace(-1, 1, 25):
        clips = torch.from_numpy(255 * cube.T.reshape(1, 1, 3, 12, 18)).float()
        shifted = hue(clips, torch.full((1, 1, 1, 1, 1), turns, dtype=torch.float32))
        colours = [colorsys.rgb_to_hsv(*colour) for colour in cube.tolist()]
        expected = [colorsys.hsv_to_rgb((h + turns) % 1, s, v) for h, s, v in colours]
        np.testing.assert_allclose(shifted.view(3, -1).T.numpy() / 255, expected, rtol=0, atol=1e-6)


def test_jitter__each_clip_in_its_own_order_with_its_own_factors() -> None:
    """Oracle: torchvision's four adjustments one after the other, for each of the 24 orders; all in one batch, so that
    a clip that got another's order or factor would show."""
    clips = unit_clips(1, len(ORDERS))
    low, high = [0.5, 0.5, 0.75, -0.5], [1.5, 1.5, 1.25, 0.5]
    factor = np.random.default_rng(0).uniform(low, high, (len(ORDERS), 4)).astype(np.float32)
    expected = []
    for clip, factors, order in zip(clips.clone(), factor.tolist(), ORDERS, strict=True):
        for operation in order:
            clip = ADJUST[operation](clip, factors[operation])
        expected.append(clip)
    pixels = 255 * clips
    jitter(pixels, torch.from_numpy(factor), torch.tensor(ORDERS))
    torch.testing.assert_close(pixels / 255, torch.stack(expected), rtol=0, atol=5 * GREY)


def test_to_clips__whole_augmentation_of_a_batch() -> None:
    """Oracle: method/README with torchvision: rotate, crop, jitter in the drawn order, normalise; 8 clips of 4 videos."""
    views, clips = RandomViews(16, 10.0, STRENGTHS), np.array([[0, 2, 1], [1, 1, 0]])
    windows, draws, expected = [], [], []
    for seed in range(4):
        frames = random_frames(seed, 3, 20, 27)
        window, draw = views(frames, clips, np.random.default_rng(seed))
        windows.append(window)
        draws.append(draw)
        images = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
        for view, (x, y) in enumerate(replay_corners(seed, views, 2, 20, 27)):
            angle = float(np.degrees(draw["rotation"][view]))
            clip = tv.rotate(images[clips[view]], angle, InterpolationMode.BILINEAR)
            clip = tv.crop(clip, y, x, 16, 16)
            for operation in draw["order"][view]:
                clip = ADJUST[operation](clip, float(draw["factor"][view, operation]))
            expected.append(tv.normalize(clip, list(MEAN), list(STD)).transpose(0, 1))
    joined = {name: torch.from_numpy(np.concatenate([draw[name] for draw in draws])) for name in draws[0]}
    result = to_clips(torch.from_numpy(np.concatenate(windows)), 16, joined)
    assert (result.shape, result.dtype) == ((8, 3, 3, 16, 16), torch.float32)
    torch.testing.assert_close(result, torch.stack(expected), rtol=0, atol=5 * GREY / min(STD))


def draw_batch(num_clips: int, num_frames: int, crop_size: int) -> tuple[Tensor, dict[str, Tensor]]:
    """Windows (N, T, S, S, 3) of frames of noise, blocks of 3 x 3 pixels, and the draws of basic augmentation."""
    views, windows, draws = RandomViews(crop_size, 10.0, STRENGTHS), [], []
    for seed in range(num_clips):
        frames = random_frames(seed, num_frames, crop_size, crop_size).repeat(3, axis=1).repeat(3, axis=2)
        window, draw = views(frames, np.arange(num_frames)[None], np.random.default_rng(seed))
        windows.append(torch.from_numpy(window))
        draws.append(draw)
    return torch.cat(windows), {name: torch.from_numpy(np.concatenate([d[name] for d in draws])) for name in draws[0]}


def assert_equals_slow(result: Tensor, windows: Tensor, draws: dict[str, Tensor]) -> None:
    """Oracle: `slow_augmentation`, to 1e-3 grey levels of 255 in the mean of normalised values and 0.02 at worst (where
    a position next to a pixel falls on its other side)."""
    off = (result - slow_clips(windows, result.shape[-1], draws)).abs() * min(STD) * 255
    assert float(off.mean()) < 1e-3
    assert float(off.max()) < 0.02
    assert result.is_contiguous(memory_format=torch.channels_last_3d)


def test_to_clips_fused__equals_the_slow_implementation() -> None:
    """Oracle: see `assert_equals_slow`."""
    windows, draws = draw_batch(24, 5, 20)
    result = to_clips_fused(windows, 20, draws)
    assert_equals_slow(result, windows, draws)


def test_to_clips_fused__of_one_operation_or_none() -> None:
    """Oracle: `to_clips`, which the next test holds to a slow one."""
    windows, draws = draw_batch(5, 2, 20)
    draws["order"][0] = NO_OPERATION
    draws["order"][1:, 1:] = NO_OPERATION
    torch.testing.assert_close(to_clips_fused(windows, 20, draws), to_clips(windows, 20, draws), rtol=0, atol=1e-4)


@pytest.mark.parametrize("block_pixels", [2**18, 700, 1])
def test_to_clips__equals_the_slow_implementation(monkeypatch: pytest.MonkeyPatch, block_pixels: int) -> None:
    """Oracle: see `assert_equals_slow`; whole clips, some frames of them, or one frame at a time."""
    monkeypatch.setattr(rotation_module, "BLOCK_PIXELS", block_pixels)
    windows, draws = draw_batch(24, 5, 20)
    result = to_clips(windows, 20, draws)
    assert_equals_slow(result, windows, draws)


def test_to_clips__blocks_and_batches_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: the clips one by one: a resumed run, or one with other videos beside, sees the same clips."""
    windows, draws = draw_batch(6, 5, 20)
    together = to_clips(windows, 20, draws)
    monkeypatch.setattr(rotation_module, "BLOCK_PIXELS", 700)
    for number in range(6):
        own = slice(number, number + 1)
        alone = to_clips(windows[own], 20, {name: values[own] for name, values in draws.items()})
        assert torch.equal(alone[0], together[number])


def test_to_clips__on_a_gpu_is_as_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: the CPU's. What GPUs run, all clips as one block sampled by one kernel, gives it to 0.02 grey levels."""
    windows, draws = draw_batch(24, 5, 20)
    expected = to_clips(windows, 20, draws)

    def whole(windows: Tensor, crop_size: int, rotation: Tensor, shift: Tensor) -> list[tuple[object, Tensor]]:
        positions = sampling_positions(windows.shape[2], crop_size, rotation, shift)
        return [((slice(None), slice(None)), sample_grid(windows, positions))]

    monkeypatch.setattr(augmentation, "rotated_crops", whole)
    off = (to_clips(windows, 20, draws) - expected).abs() * min(STD) * 255
    assert float(off.max()) < 0.02


def test_to_clips__without_draws_only_normalises() -> None:
    """Oracle: (pixel / 255 - mean) / std in NumPy float64 with the constants of method/README."""
    windows = random_frames(0, 2, 3, 5, 5)
    before = torch.from_numpy(windows.copy())
    result = to_clips(before, 5, {})
    expected = ((windows / 255 - np.array(MEAN)) / np.array(STD)).transpose(0, 4, 1, 2, 3)
    np.testing.assert_allclose(result.numpy(), expected, atol=1e-5)
    assert np.array_equal(before.numpy(), windows)


def test_to_clips__one_draw_for_all_frames_of_a_clip() -> None:
    """Oracle: method/README, "BA identical over frames": a still video is still afterwards, and its two clips differ."""
    frames = random_frames(0, 1, 20, 27).repeat(4, axis=0)
    windows, draws = RandomViews(16, 10.0, STRENGTHS)(frames, np.array([[0, 1, 2, 3]] * 2), np.random.default_rng(0))
    result = to_clips(torch.from_numpy(windows), 16, {name: torch.from_numpy(draws[name]) for name in draws})
    assert torch.equal(result, result[:, :, :1].expand_as(result))
    assert float((result[0] - result[1]).abs().mean()) > 0.1


def test_to_clips__flow_without_draws() -> None:
    """Oracle: by hand: 128 stands still; 255 * 0.226 greys are 1 after normalisation."""
    windows = torch.full((1, 2, 4, 4, 2), 128, dtype=torch.uint8)
    windows[0, 1, 2, 3] = torch.tensor([128 + 58, 128 - 58], dtype=torch.uint8)
    clips = to_clips(windows, 4, {})
    assert clips.shape == (1, 2, 2, 4, 4)
    assert clips[0, :, 1, 2, 3].tolist() == pytest.approx([58 / 57.63, -58 / 57.63])
    assert clips.count_nonzero() == 2


def test_rotate_vectors__by_hand() -> None:
    """Oracle: by hand. Right (1, 0) turned counter-clockwise by a quarter is up, (0, -1), with y down."""
    flow = torch.tensor([1.0, 0.0]).view(1, 1, 2, 1, 1).repeat(3, 1, 1, 1, 1)
    turned = rotate_vectors(flow + 128, torch.tensor([0.0, math.pi / 2, math.radians(10)])) - 128
    assert turned[:, 0, :, 0, 0].flatten().tolist() == pytest.approx(
        [1, 0, 0, -1, math.cos(math.radians(10)), -math.sin(math.radians(10))], abs=1e-5
    )


def test_to_clips__turned_flow_is_the_flow_of_the_turned_motion() -> None:
    """Oracle: a field that rotates round the centre is the same however the camera is turned (corners left out)."""
    side, crop = 41, 24
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    field = np.stack([-2 * y, 2 * x], -1).round() + 128
    windows = torch.from_numpy(field.astype(np.uint8)).expand(1, 1, side, side, 2)
    draws = {"rotation": torch.tensor([0.3]), "shift": torch.zeros(1, 2)}
    still = {"rotation": torch.zeros(1), "shift": torch.zeros(1, 2)}
    assert torch.allclose(to_clips(windows, crop, draws), to_clips(windows, crop, still), atol=1 / 57.63)


def test_random_views__flow_has_no_jitter_and_does_not_move_outside() -> None:
    views = RandomViews(16, 10.0, None)
    frames = np.full((2, 16, 16, 2), 7, np.uint8)
    windows, draws = views(frames, np.array([[0, 1]]), np.random.default_rng(0))
    assert sorted(draws) == ["rotation", "shift"]
    assert windows[0, 0, 0, 0].tolist() == [128, 128]


def test_jitter__a_single_operation_for_each_clip() -> None:
    """Oracle: the operation by itself: the authors' loop keeps the last of four (method/README)."""
    views = RandomViews(16, 0.0, STRENGTHS, single_operation=True)
    frames = random_frames(0, 2, 16, 16)
    _, draws = views(frames, np.zeros((40, 2), int), np.random.default_rng(0))
    assert set(draws["order"][:, 0].tolist()) == {0, 1, 2, 3}
    clips, factor, order = 255 * unit_clips(1, 40), torch.from_numpy(draws["factor"]), torch.from_numpy(draws["order"])
    jittered = clips.clone()
    jitter(jittered, factor, order)
    for number, operation in enumerate(order[:, 0].tolist()):
        adjust = (brightness, contrast, saturation, hue)[operation]
        expected = adjust(clips[number : number + 1].clone(), factor[number, operation].view(1, 1, 1, 1, 1))
        assert torch.equal(jittered[number], expected[0])
