"""Max pooling of space and then of time, which a GPU does; its arithmetic is the CPU's, and so can be tested there."""

import pytest
import torch

from vtdl_cli.models.convolution import Triple
from vtdl_cli.models.i3d import SamePool, pad_same
from vtdl_cli.models.pooling import MaxPool3d

POOLS = [
    MaxPool3d((3, 3, 3), (1, 1, 1), (1, 1, 1)),
    MaxPool3d((1, 2, 2), (1, 2, 2)),
    MaxPool3d((2, 2, 2), (2, 2, 2)),
    MaxPool3d((3, 3, 3), (2, 2, 2), (1, 1, 1)),
    MaxPool3d((3, 1, 1), (2, 1, 1)),
    MaxPool3d((3, 3, 3), (2, 2, 2), ceil_mode=True),
]


@pytest.mark.parametrize("pool", POOLS, ids=str)
@pytest.mark.parametrize("shape", [(2, 5, 4, 6, 8), (1, 3, 5, 7, 3)])
def test_max_pool__apart_equals_torch(pool: MaxPool3d, shape: tuple[int, ...]) -> None:
    """Oracle: torch's max_pool3d: maxima to the bit, with ties too, and the gradient to float64's rounding.

    Clips are of few whole numbers, as most windows then hold their maximum several times: both pass the gradient to the
    first, counted by time, row and column.
    """
    torch.manual_seed(0)
    clips = torch.randint(0, 4, shape).double().to(memory_format=torch.channels_last_3d).requires_grad_()
    expected = torch.nn.functional.max_pool3d(
        clips, pool.kernel_size, pool.stride, pool.padding, ceil_mode=pool.ceil_mode
    )
    actual = pool.pool_apart(clips)
    assert torch.equal(actual, expected)
    assert torch.equal(pool(clips), expected)  # on a CPU, torch's own
    assert (
        actual.is_contiguous(memory_format=torch.channels_last_3d) or shape[0] == 1
    )  # of one clip torch tells no layout
    upstream = torch.randn_like(expected)
    gradients = (torch.autograd.grad(each, clips, upstream)[0] for each in (actual, expected))
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize(("kernel", "stride"), [((1, 3, 3), (1, 2, 2)), ((3, 3, 3), (2, 2, 2)), ((2, 2, 2), (2, 2, 2))])
@pytest.mark.parametrize("shape", [(1, 2, 4, 8, 6), (1, 2, 5, 7, 8)])
def test_same_pool__pads_only_where_it_changes_something(
    kernel: Triple, stride: Triple, shape: tuple[int, ...]
) -> None:
    """Oracle: zeros always padded, as the PyTorch ports do."""
    clips = torch.rand(shape)
    expected = torch.nn.functional.max_pool3d(pad_same(clips, kernel, stride), kernel, stride, ceil_mode=True)
    assert torch.equal(SamePool(kernel, stride)(clips), expected)
