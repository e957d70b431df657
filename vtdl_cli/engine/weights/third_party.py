"""Third-party weights: read without running anything, found in the file, and renamed to ours."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vtdl_cli.engine.networks.tensor_file import read_tensors
from vtdl_cli.engine.weights.author_names import rename_author
from vtdl_cli.errors import CheckpointError, UsageError
from vtdl_cli.runtime import Warn, ignore_warning

WRAPPERS = ("module.", "base_model.", "backbone.")  # torch's DataParallel, the authors' trainer, other code's name
STATE_KEYS = ("model", "state_dict")  # where training scripts keep the weights, the authors' first
AUTHORS_KEY_ENCODER = "model_ema"
HEADS = (
    "fc.",
    "head.",
    "linear.",
    "cp.",
    "conv3d_0c_1x1",
    *("id_head.", "cls_head.", "feature_head."),  # of the authors' pretraining
    *("G_stream.", "P_stream.", "base_stream.", "base_G_stream.", "conv.", "projection.", "feature_embedding."),
)
"""Prefixes of the names of heads; the last line is of the authors' other pretext tasks (`src/model/model.py`)."""

CLASSIFIERS = {"conv3d_0c_1x1_custom.": "", "fc.": "linear.", "linear.": "linear.", "cp.": "conv3d."}
"""Prefixes of a classifier's names -> prefix in our head: the authors' I3D, torchvision's, their others, their R3D."""

EMBEDDING = "id_head.2."  # the authors': average, flatten, linear, L2 norm, of which the third has weights


@dataclass(frozen=True)
class ThirdParty:
    """Weights that vtdl has not written.

    Attributes:
        path: the file.
        content: all that is in it.
        origin: where it came from, for the checkpoint.
        classes: names of its classifier's classes, where they are known.
    """

    path: Path
    content: Mapping[str, Any]
    origin: Mapping[str, str]
    classes: list[str] | None = None


def read_third_party(path: Path, warn: Warn = ignore_warning) -> dict[str, Any]:
    """Read a file of tensors and plain types; of classes, only the authors' `argparse.Namespace` is allowed.

    Args:
        path: the file.
        warn: called where damage in it would not be noticed.

    Raises:
        CheckpointError: it is something else, or carries code; none of it was run.
    """
    content = read_tensors(path, [argparse.Namespace], warn)
    if not isinstance(content, dict):
        raise CheckpointError(f"weights '{path}' hold a {type(content).__name__}, not weights by name")
    return content


def pick_weights(source: ThirdParty, *, key_encoder: bool) -> dict[str, Tensor]:
    """Find the tensors by name, wherever in the file they are.

    Raises:
        CheckpointError: there are none.
    """
    content, path = source.content, source.path
    if key_encoder and AUTHORS_KEY_ENCODER not in content:
        raise CheckpointError(f"weights '{path}' have no '{AUTHORS_KEY_ENCODER}'. Leave out --key-encoder")
    places = [content[AUTHORS_KEY_ENCODER]] if key_encoder else [*map(content.get, STATE_KEYS), content]
    tensors = next(filter(None, map(_tensors_of, places)), None)
    if tensors is None:
        where = f"in {AUTHORS_KEY_ENCODER}" if key_encoder else f"at the top or in {', '.join(STATE_KEYS)}"
        raise CheckpointError(f"weights '{path}' hold no tensors by name, {where}")
    return tensors


def _tensors_of(place: Any) -> dict[str, Tensor]:
    items = place.items() if isinstance(place, Mapping) else ()
    return {name: tensor for name, tensor in items if isinstance(name, str) and isinstance(tensor, Tensor)}


def name_as_ours(tensors: Mapping[str, Tensor], rename: Sequence[str], path: Path, backbone: str) -> dict[str, Tensor]:
    """Remove wrappers from the names, replace their prefixes, then the authors' names by ours.

    Args:
        tensors: by the names in the file.
        rename: `OLD=NEW`, in order.
        path: the file.
        backbone: `model.name` of the network that they are of.

    Raises:
        UsageError: a rename is malformed, or matches no name.
        CheckpointError: two names become one.
    """
    named = {source: _unwrap(source) for source in tensors}
    for text in rename:
        old, equals, new = text.partition("=")
        if not equals or not old:
            raise UsageError(f"--rename '{text}' is not of the form OLD=NEW. For example: --rename encoder.=")
        if not any(name.startswith(old) for name in named.values()):
            raise UsageError(
                f"--rename '{text}' matches no name of '{path}'. They are taken without {', '.join(WRAPPERS)} "
                f"in front, such as '{next(iter(named.values()))}'"
            )
        named = {source: new + name[len(old) :] if name.startswith(old) else name for source, name in named.items()}
    ours: dict[str, Tensor] = {}
    for source, renamed in named.items():
        name = rename_author(renamed, backbone)
        if name in ours:
            raise CheckpointError(
                f"weights have two tensors for '{name}', of '{source}' the second. --rename keeps them apart"
            )
        ours[name] = tensors[source]
    return ours


def _unwrap(name: str) -> str:
    for wrapper in WRAPPERS:
        name = name.removeprefix(wrapper)
    return name


def split_heads(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Split into the backbone's tensors and those of the heads on it."""
    heads = {name: tensor for name, tensor in tensors.items() if name.startswith(HEADS)}
    return {name: tensor for name, tensor in tensors.items() if name not in heads}, heads


def find_classifier(heads: Mapping[str, Tensor]) -> dict[str, str]:
    """Names in our head -> theirs, of the one classifier that may be ours, whatever its shapes. Empty: none."""
    found = (_find_head(heads, theirs, ours) for theirs, ours in CLASSIFIERS.items())
    return next(filter(None, found), {})


def find_embedding(heads: Mapping[str, Tensor]) -> dict[str, str]:
    """Names in our embedding head -> theirs, whatever their shapes. Empty: none."""
    return _find_head(heads, EMBEDDING, "linear.")


def _find_head(heads: Mapping[str, Tensor], theirs: str, ours: str) -> dict[str, str]:
    return {ours + name.removeprefix(theirs): name for name in heads if name.startswith(theirs)}


def check_finite_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Refuse weights that would make every output NaN.

    Raises:
        CheckpointError: naming the first of them.
    """
    if broken := [name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())]:
        more = f" and {len(broken) - 1} more" if len(broken) > 1 else ""
        raise CheckpointError(
            f"weights '{path}' have values that are infinite or NaN, in tensor '{broken[0]}'{more}. "
            "Take a checkpoint from before its training diverged"
        )
