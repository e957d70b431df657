"""Two files of features: what is known, and what is asked about."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vtdl_cli.data.features import Features, read_features
from vtdl_cli.errors import UsageError

SAME = ("backbone", "layer", "modality", "weights_sha256", "fresh weights")
"""Attributes in which two files must agree."""


def read_pair(known: Path, unknown: Path) -> tuple[Features, Features]:
    """Read two files whose videos are to be compared: by one network, of different videos with known classes.

    Raises:
        UsageError: a file holds no features, or the two do not belong together.
    """
    pair = read_features(known), read_features(unknown)
    for features in pair:
        if (features.labels < 0).any():
            raise UsageError(
                f"features '{features.path}' have {(features.labels < 0).sum()} videos of unknown class (-1), "
                "which cannot be right or wrong. Extract from a list with classes"
            )
    check_pair(*pair)
    return pair


def check_pair(known: Features, unknown: Features) -> None:
    """Two files must come from one network and hold different videos.

    Raises:
        UsageError: they do not.
    """
    for name in SAME:
        ours, theirs = (_identity(features.attributes).get(name, "") for features in (known, unknown))
        if ours != theirs:
            raise UsageError(
                f"features '{unknown.path}' have another {name} than '{known.path}': '{theirs}' against '{ours}'. "
                "Extract both with the same --weights"
            )
    if known.values.shape[1] != unknown.values.shape[1]:
        raise UsageError(
            f"features '{unknown.path}' have {unknown.values.shape[1]} numbers a video, '{known.path}' has "
            f"{known.values.shape[1]}. Extract both with the same --weights"
        )
    if shared := sorted(_shared_videos(known, unknown)):
        raise UsageError(
            f"features '{unknown.path}' share {len(shared)} videos with '{known.path}', '{shared[0]}' among them: "
            "a video would be found by itself. Use lists that share none"
        )


def _identity(attributes: Mapping[str, Any]) -> dict[str, str]:
    """What tells networks apart; fresh weights have no hash, and their seed instead."""
    fresh = "" if attributes.get("weights_sha256") else attributes.get("weights", "")
    return {**{name: str(value) for name, value in attributes.items()}, "fresh weights": str(fresh)}


def _shared_videos(known: Features, unknown: Features) -> Iterator[str]:
    """Paths that are one video in both files: below two roots, two videos can have one name."""
    rows = {path: row for row, path in enumerate(known.paths)}
    for path, theirs in zip(unknown.paths, unknown.values, strict=True):
        if path in rows and np.allclose(known.values[rows[path]], theirs, rtol=1e-2, atol=1e-3):
            yield path
