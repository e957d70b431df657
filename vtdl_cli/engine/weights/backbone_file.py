"""The bare backbone of a run as a file of torch's: a plain state dict, for code that has the network."""

from pathlib import Path
from typing import Any

import torch

from vtdl_cli.engine.networks.build import CHANNELS, build_backbone
from vtdl_cli.engine.networks.trained import Source
from vtdl_cli.engine.weights.converted import Converted
from vtdl_cli.errors import CheckpointError
from vtdl_cli.models.encoder import PooledFeatures
from vtdl_cli.runtime import atomic_write


def write_backbone(converted: Converted, out: Path) -> dict[str, Any]:
    """Write tensors by name that share no memory; they are read again and have to give the same features.

    Raises:
        CheckpointError: the file gives other features.
    """
    backbone, (_, source) = converted.backbone, converted.trained
    clips = random_clips(source)
    with atomic_write(out) as temporary, torch.inference_mode():
        torch.save({name: tensor.clone().contiguous() for name, tensor in backbone.state_dict().items()}, temporary)
        read_again = build_backbone(source.config).eval()
        read_again.load_state_dict(torch.load(temporary, weights_only=True))
        difference = largest_difference(PooledFeatures(backbone)(clips), PooledFeatures(read_again)(clips), out)
    return {
        "tensors": len(backbone.state_dict()),
        "feature_dim": backbone.feature_dim,
        "clips": list(clips.shape[1:]),
        "largest_difference": difference,
    }


SAME_OUTPUTS = 1e-3  # of the largest: another library adds up in another order


def random_clips(source: Source) -> torch.Tensor:
    """Return two clips (2, C, T, R, R) of noise, as normalised ones of pretraining."""
    size, length = source.config.data.crop_size, source.config.pretrain.clip_len_frames
    return torch.randn(2, CHANNELS[source.config.data.modality], length, size, size)


def largest_difference(expected: torch.Tensor, found: torch.Tensor, out: Path) -> float:
    """Return the largest difference of outputs, as a share of the largest output.

    Raises:
        CheckpointError: it is too large.
    """
    difference = float((expected - found).abs().max() / expected.abs().max())
    if not difference < SAME_OUTPUTS:
        raise CheckpointError(f"outputs of '{out}' differ by {difference:.1%} from the run's: it is not written")
    return difference
