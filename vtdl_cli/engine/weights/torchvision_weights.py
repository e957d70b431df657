"""torchvision's video weights by name: found, downloaded, verified, and adapted to our normalisation.

torchvision is imported on first use: it takes a second, and only these names need it.
"""

import contextlib
import io
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vtdl_cli.data.clips.augmentation import MEAN, STD
from vtdl_cli.engine.networks import TORCHVISION
from vtdl_cli.engine.weights.third_party import ThirdParty, read_third_party
from vtdl_cli.errors import CheckpointError, UsageError, VtdlError
from vtdl_cli.runtime import Reporter, file_sha256

PRESETS = {"r3d_18": "kinetics400/r3d", "r2plus1d_18": "kinetics400/r2p1d"}
"""torchvision's networks that are ours as well -> the preset of their input size. Not: mc3_18, mvit, s3d, swin3d."""

PROTOCOL = ("finetune.clip_len_frames=16", "finetune.stride_frames=2", "extract.stride_frames=2", "evaluate.clips=5")
"""Clips as torchvision evaluates these weights (their `meta`): 5 of 16 frames at 15 a second; Kinetics has 25 to 30."""


@dataclass(frozen=True)
class Release:
    """Published weights.

    Attributes:
        network: torchvision's name of it.
        entry: a member of the network's enum of weights.
    """

    network: str
    entry: Any

    @property
    def name(self) -> str:
        """As it may be typed: `torchvision:R3D_18_Weights.KINETICS400_V1`."""
        return f"{TORCHVISION}{self.entry}"

    @property
    def path(self) -> Path:
        """The file in torch's cache; TORCH_HOME moves it."""
        return Path(torch.hub.get_dir(), "checkpoints", self.entry.url.rpartition("/")[2])

    @property
    def preset(self) -> str:
        """The preset that fits."""
        return PRESETS[self.network]

    @property
    def settings(self) -> tuple[str, ...]:
        """Assignments on top of that preset, `section.key=value`."""
        return PROTOCOL


def find_release(weights: str) -> Release:
    """Find the published weights of `torchvision:NAME`, where NAME is a network or a member of its enum of weights.

    Raises:
        UsageError: there are none of that name; the message lists those there are.
        VtdlError: torchvision cannot be imported.
    """
    try:
        from torchvision.models import get_model_weights
    except (ImportError, RuntimeError) as error:  # RuntimeError: built for another torch than is installed
        reason = " ".join(str(error).split())
        raise VtdlError(
            f"weights '{weights}' need torchvision, which cannot be imported ({reason}). Install the version that "
            f"belongs to torch {torch.__version__}"
        ) from error
    releases: dict[str, Release] = {}
    for network in PRESETS:
        entries = get_model_weights(network)
        releases |= {
            network: Release(network, entries.DEFAULT),
            f"{entries.__name__}.DEFAULT": Release(network, entries.DEFAULT),
        }
        releases |= {str(entry): Release(network, entry) for entry in entries}
    if release := releases.get(weights.removeprefix(TORCHVISION)):
        return release
    choices = " or ".join(f"{TORCHVISION}{network} ({releases[network].entry})" for network in PRESETS)
    raise UsageError(f"weights '{weights}' name no network that vtdl and torchvision both have. Choose {choices}")


def fetch(release: Release, reporter: Reporter) -> ThirdParty:
    """Read published weights, downloaded where they are not there yet, for clips as we normalise them.

    Raises:
        CheckpointError: they cannot be downloaded, or the file is another.
    """
    if not release.path.is_file():
        _download(release, reporter)
    sha256, expected = file_sha256(release.path), release.path.stem.rpartition("-")[2]  # torch checks downloads alone
    if not sha256.startswith(expected):
        raise CheckpointError(
            f"weights '{release.path}' are damaged, cut short or others: their SHA-256 begins with "
            f"{sha256[: len(expected)]}, not with {expected}. Delete the file, and start again"
        )
    theirs = release.entry.transforms()
    content = fold_normalisation(read_third_party(release.path), theirs.mean, theirs.std)
    origin = {
        "converted_from": release.name,
        "url": release.entry.url,
        "sha256": sha256,
        "normalisation": f"folded into stem: mean {theirs.mean}, std {theirs.std}; padding is at vtdl's mean",
    }
    return ThirdParty(release.path, content, origin, list(release.entry.meta["categories"]))


def _download(release: Release, reporter: Reporter) -> None:
    """Let torchvision put the file where torch keeps such files."""
    url, path = release.entry.url, release.path
    reporter.line(f"downloading {release.entry.meta['_file_size']:.0f} MB from {url} to '{path}'")
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # torch prints the same there, where our results go
            release.entry.get_state_dict(progress=False, check_hash=True, weights_only=True, map_location="cpu")
    except (OSError, HTTPException, RuntimeError) as error:
        raise CheckpointError(
            f"weights '{release.name}' cannot be downloaded from {url} ({_reason(error)}). Where another machine can: "
            f"put the file at '{path}', and start again"
        ) from error


def _reason(error: Exception) -> str:
    """Return why a download failed, in a few words."""
    cause = getattr(error, "reason", error)  # urllib wraps what the system says
    return getattr(cause, "strerror", None) or " ".join(str(cause).split()) or type(cause).__name__


def fold_normalisation(state: dict[str, Any], mean: list[float], std: list[float]) -> dict[str, Any]:
    """Adapt a network's stem, a convolution without bias and a batch norm, to clips that we have normalised.

    A channel of theirs is a * ours + b, with a = STD / std and b = (MEAN - mean) / std: a goes into the weights, and
    the constant that b adds to every output into the batch norm's running mean. That is exact where the convolution
    sees no padding. Its zeros are grey at MEAN to us and at `mean` to them, 0.03 to 0.06 of 1 apart: with random
    weights and 112 pixels the logits move by 3% (r3d_18) and 1.4% (r2plus1d_18) of their deviation, and would move by
    15% and 6% if nothing were folded.

    Args:
        state: tensors by torchvision's names.
        mean, std: of red, green and blue from 0 to 1, that its network was trained with.

    Returns:
        The same with two tensors replaced.
    """
    weight: Tensor = state["stem.0.weight"].double()  # (out, 3, t, h, w)
    ours, theirs = (
        torch.tensor(values, dtype=torch.float64).view(2, 3, 1, 1, 1) for values in ((MEAN, STD), (mean, std))
    )
    scale, offset = ours[1] / theirs[1], (ours[0] - theirs[0]) / theirs[1]
    folded = {
        "stem.0.weight": weight * scale,
        "stem.1.running_mean": state["stem.1.running_mean"] - (weight * offset).sum((1, 2, 3, 4)),
    }
    return state | {name: tensor.to(state[name].dtype) for name, tensor in folded.items()}
