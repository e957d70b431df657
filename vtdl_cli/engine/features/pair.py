"""Two feature files to compare: a reference (training videos, gallery), and the videos to test or to search for."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vtdl_cli.data.hdf5.features import Features, network_of, read_features, values_of
from vtdl_cli.data.lists.label_sets import compare_classes
from vtdl_cli.data.lists.rows import UNKNOWN_CLASS
from vtdl_cli.data.video.timeline import name_samples
from vtdl_cli.engine.features.places import place_videos
from vtdl_cli.errors import UsageError
from vtdl_cli.runtime import Reporter
from vtdl_cli.text import counted


def read_pair(reference: Path, query: Path, reporter: Reporter) -> tuple[Features, Features]:
    """Read the labelled videos in two files of one network and one set of classes, with different videos.

    Args:
        reference: features to learn from, or to search in.
        query: features to test on, or to search for.
        reporter: warns where videos have no class, classes are compared by number alone, or files have no checksums.

    Raises:
        UsageError: a file is no feature file or damaged, or the two do not belong together.
    """
    return match_pair(read_features(reference, reporter.warn), read_features(query, reporter.warn), reporter)


def match_pair(reference: Features, query: Features, reporter: Reporter) -> tuple[Features, Features]:
    """Return the labelled videos of two files; see `read_pair`."""
    pair = keep_labelled(reference, reporter), keep_labelled(query, reporter)
    check_pair(*pair)
    remedy = "Extract both from lists with the same classes.txt"
    if warning := describe_shared_files(*pair):
        reporter.warn(warning)
    if warning := compare_classes(pair[0].label_set, pair[1].label_set, remedy):
        reporter.warn(warning)
    return pair


def keep_labelled(features: Features, reporter: Reporter) -> Features:
    """Leave out videos without a class, and warn how many.

    Raises:
        UsageError: no video has a class.
    """
    is_known = features.labels != UNKNOWN_CLASS
    if not is_known.any():
        raise UsageError(
            f"features '{features.path}' hold {counted(len(is_known), 'video')} and no class. Extract from "
            "a list with classes"
        )
    if is_known.all():
        return features
    reporter.warn(
        f"features '{features.path}': {(~is_known).sum()} of {len(is_known)} videos left out, without a class"
    )
    return features.rows(is_known)


def check_pair(reference: Features, query: Features) -> None:
    """Check that two files come from one network and hold different videos.

    Raises:
        UsageError: they do not.
    """
    check_same_network(reference, query)
    if shared := sorted(name for name, row in zip(query.names, find_itself(reference, query), strict=True) if row >= 0):
        raise UsageError(
            f"features '{query.path}' share {counted(len(shared), 'video')} with '{reference.path}', the "
            f"first is '{shared[0]}': "
            "each would find itself. Use lists without common videos"
        )


def check_same_network(reference: Features, query: Features) -> None:
    """Raise UsageError where two files come from different networks."""
    ours, theirs = network_of(reference.attributes), network_of(query.attributes)
    ours["dims"], theirs["dims"] = (str(features.values.shape[1]) for features in (reference, query))
    for name in ours:
        if ours[name] != theirs[name]:
            raise UsageError(
                f"features '{query.path}' differ from '{reference.path}' in {name}: '{theirs[name]}' against "
                f"'{ours[name]}'. Extract both with the same --weights and --layer"
            )


def read_grouping(features: Features) -> str:
    """Return the regex of the file's recordings; empty where it has none, or several after merging."""
    recorded = values_of(features.attributes.get("group_by", ""))
    return recorded[0] if len(recorded) == 1 else ""


def find_itself(reference: Features, query: Features) -> np.ndarray:
    """Return the row of each query in the reference, int64 (Q,), -1 where it is not there.

    It is there if a video lies in the same place. Equal paths below two roots are one video if their features agree, as
    those of a copy do. Where a file does not name its root, equal paths are one video unless their features differ.
    """
    found = _find_rows(reference.names, query.names)
    places = place_videos([(side.attributes, side.paths) for side in (reference, query)])
    if reference.attributes.get("protocol") == query.attributes.get("protocol"):
        for number in np.flatnonzero(found >= 0):
            ours, theirs = reference.values[found[number]], query.values[number]
            if not np.allclose(ours, theirs, rtol=1e-2, atol=1e-3):
                found[number] = -1
    elif places is not None:
        found[:] = -1
    if places is None:
        return found
    in_place = _find_rows(name_samples(places[0], reference.intervals), name_samples(places[1], query.intervals))
    return np.where(in_place >= 0, in_place, found)


def _find_rows(reference: Sequence[str], query: Sequence[str]) -> np.ndarray:
    rows = {name: row for row, name in enumerate(reference)}
    return np.array([rows.get(name, -1) for name in query], np.int64)


def warn_of_intervals(features: Features, reporter: Reporter) -> None:
    """Warn if a file that is compared with itself has several intervals of one video."""
    if len(number_of := Counter(features.paths)) < len(features.paths):
        path, count = number_of.most_common(1)[0]
        shared = sum(number > 1 for number in number_of.values())
        reporter.warn(
            f"features '{features.path}' have several intervals of {counted(shared, 'video')}, of '{path}' {count}: "
            "intervals of one recording look alike, so metrics are optimistic. Search in features of other videos"
        )


def describe_shared_files(reference: Features, query: Features) -> str:
    """Return a warning if both files have intervals of one video, else an empty text."""
    if reference.intervals is None and query.intervals is None:
        return ""
    places = place_videos([(side.attributes, side.paths) for side in (reference, query)])
    ours, theirs = (reference.paths, query.paths) if places is None else places
    known = set(ours)
    if not (shared := sorted({path for path, place in zip(query.paths, theirs, strict=True) if place in known})):
        return ""
    return (
        f"{counted(len(shared), 'video has', 'videos have')} intervals in both '{query.path}' and "
        f"'{reference.path}', the first is "
        f"'{shared[0]}': intervals of one recording look alike, so metrics are optimistic. Keep each video in one list"
    )
