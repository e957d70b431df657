"""Two files of features: what is known, and what is asked about."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vtdl_cli.data.hdf5.features import Features, network_of, read_features, values_of
from vtdl_cli.data.lists.label_sets import compare_classes
from vtdl_cli.data.lists.video_list import UNKNOWN_CLASS
from vtdl_cli.errors import UsageError
from vtdl_cli.runtime import Reporter


def read_pair(known: Path, unknown: Path, reporter: Reporter) -> tuple[Features, Features]:
    """Read two files whose videos are to be compared: by one network, of different videos, with the same classes.

    Args:
        known: features to learn from, or to search in.
        unknown: those to test on, or to search for.
        reporter: is warned where classes can be compared by number alone, or damage would not be noticed.

    Raises:
        UsageError: a file holds no features, is damaged, or the two do not belong together.
    """
    pair = read_features(known, reporter.warn), read_features(unknown, reporter.warn)
    for features in pair:
        check_classes(features)
    check_pair(*pair)
    remedy = "Extract both from lists that go by one classes.txt"
    if warning := compare_classes(pair[0].label_set, pair[1].label_set, remedy):
        reporter.warn(warning)
    return pair


def check_classes(features: Features) -> None:
    """Nothing can be learnt from, or tested on, a video whose class is not known.

    Raises:
        UsageError: there is one.
    """
    unknown = features.labels == UNKNOWN_CLASS
    if unknown.any():
        raise UsageError(
            f"features '{features.path}' have {unknown.sum()} videos of no known class, "
            f"'{features.paths[int(unknown.argmax())]}' to begin with. Extract those of a list, which gives classes"
        )


def check_pair(known: Features, unknown: Features) -> None:
    """Two files must come from one network and hold different videos.

    Raises:
        UsageError: they do not.
    """
    ours, theirs = network_of(known.attributes), network_of(unknown.attributes)
    for name in ours:
        if ours[name] != theirs[name]:
            raise UsageError(
                f"features '{unknown.path}' have another {name} than '{known.path}': '{theirs[name]}' against "
                f"'{ours[name]}'. Extract both with the same --weights and --layer"
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


def recorded_in(features: Features) -> str:
    """The regex of the recordings that a file's videos are cut from; empty where it has none, or several by merging."""
    recorded = values_of(features.attributes.get("group_by", ""))
    return recorded[0] if len(recorded) == 1 else ""


def _shared_videos(known: Features, unknown: Features) -> Iterator[str]:
    """Paths that are one video in both files: below two roots, two videos can have one name."""
    rows = {path: row for row, path in enumerate(known.paths)}
    comparable = known.attributes.get("protocol") == unknown.attributes.get("protocol")
    for path, theirs in zip(unknown.paths, unknown.values, strict=True):
        if path in rows and (not comparable or np.allclose(known.values[rows[path]], theirs, rtol=1e-2, atol=1e-3)):
            yield path
