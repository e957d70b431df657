"""Clips whose frame t shows t, so that a clip tells the order of its frames."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vtdl_cli.method.frames import BlockShuffle, Cut, FrameShuffle, MotionEnhancement, TemporalDropout

NUM_FRAMES = 8


def numbered(num_clips: int, num_frames: int = NUM_FRAMES) -> Tensor:
    return torch.arange(float(num_frames)).view(1, 1, -1, 1, 1).repeat(num_clips, 2, 1, 3, 3)


def orders(augmentation: nn.Module, num_clips: int = 500, num_frames: int = NUM_FRAMES) -> np.ndarray:
    """What order the frames of each clip come out in, (N, T)."""
    torch.manual_seed(0)
    clips = numbered(num_clips, num_frames)
    before = clips.clone()
    changed = augmentation(clips)
    assert torch.equal(clips, before)
    assert (changed == changed[:, :1, :, :1, :1]).all()  # whole frames move
    order: np.ndarray = changed[:, 0, :, 0, 0].int().numpy()
    return order


@pytest.mark.parametrize("num_frames", [2, 3, NUM_FRAMES])
def test_frame_shuffle__every_order_but_the_right_one(num_frames: int) -> None:
    """Oracle: by definition; of 2 or 3 frames every other order occurs."""
    found = orders(FrameShuffle(), num_frames=num_frames)
    assert (np.sort(found, 1) == np.arange(num_frames)).all()
    assert (found != np.arange(num_frames)).any(1).all()
    assert len({tuple(order) for order in found.tolist()}) == {2: 1, 3: 5}.get(
        num_frames, len(np.unique(found, axis=0))
    )
    assert len(np.unique(found, axis=0)) > 400 or num_frames < 4


@pytest.mark.parametrize(("num_frames", "lengths"), [(8, [2, 2, 2, 2]), (10, [3, 2, 3, 2]), (3, [1, 1, 1])])
def test_block_shuffle__keeps_the_order_within_blocks(num_frames: int, lengths: list[int]) -> None:
    """Oracle: by hand: frame t belongs to block 4 t // T; each found order is a permutation of these blocks."""
    found = orders(BlockShuffle(4), num_frames=num_frames)
    blocks = np.split(np.arange(num_frames), np.cumsum(lengths)[:-1])
    allowed = set()
    for permutation in np.array(np.meshgrid(*[range(len(blocks))] * len(blocks))).reshape(len(blocks), -1).T:
        if sorted(permutation) == list(range(len(blocks))):
            allowed.add(tuple(np.concatenate([blocks[number] for number in permutation]).tolist()))
    allowed.remove(tuple(range(num_frames)))
    assert {tuple(order) for order in found.tolist()} == allowed


def test_temporal_dropout__repeats_the_frame_before() -> None:
    """Oracle: by hand: a lost frame shows the last that was kept; a tenth of all but the first is lost."""
    found = orders(TemporalDropout(0.1), num_clips=2000)
    frames = np.arange(NUM_FRAMES)
    lost = found != frames
    assert (found[:, 0] == 0).all()
    assert np.array_equal(found, np.maximum.accumulate(np.where(lost, 0, frames), axis=1))
    assert lost[:, 1:].mean() == pytest.approx(0.1, abs=5 * 0.3 / np.sqrt(14000))


def test_motion_enhancement__grows_every_derivative_and_keeps_the_mean() -> None:
    """Oracle: method/README: derivatives by 1 / (1 - λ); the mean over time stays."""
    torch.manual_seed(0)
    clips = torch.rand(6, 2, NUM_FRAMES, 3, 3, dtype=torch.float64)
    enhanced = MotionEnhancement(0.5)(clips)
    factor = (enhanced.diff(dim=2) / clips.diff(dim=2)).numpy()
    assert (factor.std((1, 2, 3, 4)) < 1e-9).all()
    assert ((factor > 1) & (factor < 2)).all()
    assert len(np.unique(factor[:, 0, 0, 0, 0].round(6))) == 6
    np.testing.assert_allclose(enhanced.mean(2), clips.mean(2), atol=1e-12)


def test_cut__one_square_for_all_frames_and_channels() -> None:
    """Oracle: by hand: half of 6 rows and of the same number of columns; every place occurs."""
    torch.manual_seed(0)
    cut = Cut(0.5)(torch.ones(200, 2, 3, 6, 9)) == 0
    assert (cut == cut[:, :1, :1]).all()
    rows, columns = cut[:, 0, 0].any(2).int(), cut[:, 0, 0].any(1).int()
    assert set(cut[:, 0, 0].sum((1, 2)).tolist()) == {9}
    assert set(rows.argmax(1).tolist()) == {0, 1, 2, 3}
    assert set(columns.argmax(1).tolist()) == set(range(7))
