"""The authors' C3D, R3D and R(2+1)D: random weights by the names of their code, and what their code computes of them.

Written from their `src/model/c3d.py`, `r3d.py` and `r2p1d.py` with torch's functions alone. `blocks` are those of each
of the four stages: (1, 1, 1, 1) at depth 10, (2, 2, 2, 2) at depth 18.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

State = dict[str, Tensor]
NUM_TENSORS = {"c3d": 48, "r3d-author": 100, "r2p1d-author": 200}
"""Of a backbone at depth 18, batch norm's counters left out; by hand: a convolution has one (in C3D two), a norm four."""


def norm_state(name: str, channels: int) -> State:
    return {
        f"{name}.weight": 0.75 + 0.5 * torch.rand(channels),
        f"{name}.bias": 0.1 * torch.randn(channels),
        f"{name}.running_mean": 0.1 * torch.randn(channels),
        f"{name}.running_var": 0.5 + torch.rand(channels),
        f"{name}.num_batches_tracked": torch.tensor(7),
    }


def convolution_state(name: str, channels: int, out_channels: int, *kernel: int) -> State:
    weight = torch.randn(out_channels, channels, *kernel)
    return {f"{name}.weight": weight / weight[0].numel() ** 0.5}


def norm(state: State, name: str, x: Tensor) -> Tensor:
    mean, variance, scale, shift = (
        state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
    )
    return F.batch_norm(x, mean, variance, scale, shift)


# ---- C3D

C3D_LAYERS = {
    "1": (0, 1),
    "2": (1, 2),
    "3a": (2, 4),
    "3b": (4, 4),
    "4a": (4, 8),
    "4b": (8, 8),
    "5a": (8, 8),
    "5b": (8, 8),
}
"""By the end of their names: channels in and out, as multiples of the width; 0: the clip's 3."""


def c3d_state(width: int) -> State:
    state: State = {}
    for end, (before, after) in C3D_LAYERS.items():
        state |= convolution_state(f"conv{end}", before * width or 3, after * width, 3, 3, 3)
        state |= {f"conv{end}.bias": 0.1 * torch.randn(after * width)} | norm_state(f"bn{end}", after * width)
    return state


def c3d_map(state: State, x: Tensor) -> Tensor:
    for end in C3D_LAYERS:
        x = F.conv3d(x, state[f"conv{end}.weight"], state[f"conv{end}.bias"], padding=1)
        x = norm(state, f"bn{end}", x).relu()
        if end in ("1", "2", "3b", "4b"):
            x = F.max_pool3d(x, (1, 2, 2) if end == "1" else 2)
    return x


# ---- R3D


def r3d_state(width: int, blocks: Sequence[int]) -> State:
    state = convolution_state("conv1", 3, width, 7, 7, 7) | norm_state("bn1", width)
    channels = width
    for stage, number in enumerate(blocks):
        out_channels = width * 2**stage
        for block in range(number):
            name = f"layer{stage + 1}.{block}"
            state |= convolution_state(f"{name}.conv1", channels, out_channels, 3, 3, 3)
            state |= convolution_state(f"{name}.conv2", out_channels, out_channels, 3, 3, 3)
            state |= norm_state(f"{name}.bn1", out_channels) | norm_state(f"{name}.bn2", out_channels)
            if channels != out_channels:
                state |= convolution_state(f"{name}.downsample.0", channels, out_channels, 1, 1, 1)
                state |= norm_state(f"{name}.downsample.1", out_channels)
            channels = out_channels
    return state


def r3d_map(state: State, x: Tensor) -> Tensor:
    x = norm(state, "bn1", F.conv3d(x, state["conv1.weight"], stride=(1, 2, 2), padding=3)).relu()
    x = F.max_pool3d(x, 3, stride=2, padding=1)
    for name in dict.fromkeys(".".join(key.split(".")[:2]) for key in state if key.startswith("layer")):
        stride = 1 if name.endswith(".1") or name == "layer1.0" else 2
        y = norm(state, f"{name}.bn1", F.conv3d(x, state[f"{name}.conv1.weight"], stride=stride, padding=1)).relu()
        y = norm(state, f"{name}.bn2", F.conv3d(y, state[f"{name}.conv2.weight"], padding=1))
        if stride == 2:
            x = F.conv3d(x, state[f"{name}.downsample.0.weight"], stride=2)
            x = norm(state, f"{name}.downsample.1", x)
        x = (x + y).relu()
    return x


def r3d_logits(feature_map: Tensor, weight: Tensor) -> Tensor:
    """Their classifier at 224 pixels."""
    return F.conv3d(F.avg_pool3d(feature_map, (1, 7, 7), stride=1), weight).squeeze(3).squeeze(3).mean(2)


# ---- R(2+1)D


def factored_state(name: str, channels: int, out_channels: int, time: int, space: int) -> State:
    mid = int(time * space * space * channels * out_channels / (space * space * channels + time * out_channels))
    return {
        **convolution_state(f"{name}.spatial_conv", channels, mid, 1, space, space),
        **norm_state(f"{name}.bn", mid),
        **convolution_state(f"{name}.temporal_conv", mid, out_channels, time, 1, 1),
    }


def factored(state: State, name: str, x: Tensor, time_stride: int, space_stride: int) -> Tensor:
    spatial, temporal = state[f"{name}.spatial_conv.weight"], state[f"{name}.temporal_conv.weight"]
    space, time = spatial.shape[3] // 2, temporal.shape[2] // 2
    x = F.conv3d(x, spatial, stride=(1, space_stride, space_stride), padding=(0, space, space))
    return F.conv3d(norm(state, f"{name}.bn", x).relu(), temporal, stride=(time_stride, 1, 1), padding=(time, 0, 0))


def r2p1d_state(width: int, blocks: Sequence[int]) -> State:
    state = factored_state("conv1", 3, width, 3, 7) | norm_state("bn1", width)
    channels = width
    for stage, number in enumerate(blocks):
        out_channels = width * 2**stage
        for name in [f"conv{stage + 2}.block1", *(f"conv{stage + 2}.blocks.{index}" for index in range(number - 1))]:
            if channels != out_channels:
                state |= factored_state(f"{name}.downsampleconv", channels, out_channels, 1, 1)
                state |= norm_state(f"{name}.downsamplebn", out_channels)
            for part in (1, 2):
                state |= factored_state(f"{name}.conv{part}", channels, out_channels, 3, 3)
                state |= norm_state(f"{name}.bn{part}", out_channels)
                channels = out_channels
    return state


def r2p1d_map(state: State, x: Tensor) -> Tensor:
    x = norm(state, "bn1", factored(state, "conv1", x, 1, 2)).relu()
    names = [key.split(".conv1.")[0] for key in state if key.endswith(".conv1.spatial_conv.weight")]
    for name in names:
        stride = 2 if f"{name}.downsamplebn.weight" in state else 1
        y = norm(state, f"{name}.bn1", factored(state, f"{name}.conv1", x, stride, stride)).relu()
        y = norm(state, f"{name}.bn2", factored(state, f"{name}.conv2", y, 1, 1))
        if stride == 2:
            x = norm(state, f"{name}.downsamplebn", factored(state, f"{name}.downsampleconv", x, 2, 2))
        x = (x + y).relu()
    return x
