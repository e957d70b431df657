import numpy as np
import pytest
import torch

from vtdl_cli.method.transforms import TRANSFORMS, count_transforms, transform

FLIPS: tuple[tuple[int, ...], ...] = ((), (3,), (1,), (3, 1))  # none, left and right, time, both, of (C, T, R, R)


def test_transform__is_numpys_for_each_clip() -> None:
    """Oracle: NumPy's flip, then rot90; a batch holds a clip for each transform, out of order."""
    clips = torch.rand(16, 2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    number = torch.randperm(16, generator=torch.Generator().manual_seed(1))
    result = transform(clips, number).numpy()
    for clip, each, found in zip(clips.numpy(), number.tolist(), result, strict=True):
        assert np.array_equal(found, np.rot90(np.flip(clip, FLIPS[each // 4]), each % 4, (2, 3)))


def test_transform__sixteen_different_permutations() -> None:
    """Oracle: no value changes, and no two results are equal; the authors' code has 4 different ones."""
    clip = torch.arange(3.0 * 4 * 4).reshape(1, 1, 3, 4, 4)
    found = transform(clip.repeat(16, 1, 1, 1, 1), torch.arange(16))
    assert all(torch.equal(each.flatten().sort().values, clip.flatten()) for each in found)
    assert len({each.numpy().tobytes() for each in found}) == 16


@pytest.mark.parametrize(("name", "moves_time"), [("rotations", False), ("spatial", False), ("all", True)])
def test_transforms__only_all_of_them_flip_time(name: str, moves_time: bool) -> None:
    clip = torch.arange(3.0).view(1, 1, 3, 1, 1).expand(TRANSFORMS[name], 1, 3, 2, 2)
    assert (transform(clip, torch.arange(len(clip))) != clip).any().item() == moves_time


def test_transform__keeps_channels_last() -> None:
    """In another layout a convolution takes several times as long on a CPU."""
    clips = torch.rand(16, 3, 2, 4, 4).contiguous(memory_format=torch.channels_last_3d)
    assert transform(clips, torch.arange(16)).is_contiguous(memory_format=torch.channels_last_3d)


def test_count_transforms__unknown() -> None:
    with pytest.raises(ValueError, match="transforms 'some' is not one of rotations, spatial, all"):
        count_transforms("some")
