"""Feature files: described and merged."""

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vtdl_cli.data.hdf5.feature_tables import check_is_hdf5
from vtdl_cli.data.hdf5.features import (
    FEATURE_SCHEMA,
    OFFSETS,
    OPTIONAL_COLUMNS,
    TIME_COLUMNS,
    FeatureRows,
    is_ragged,
    join_values,
    network_of,
    open_features,
    read_blocks,
    read_vectors,
    read_videos,
    values_of,
    write_features,
)
from vtdl_cli.data.hdf5.layout import INTERVAL_COLUMNS, class_names_in, intervals_in
from vtdl_cli.data.hdf5.rows import RowsFile
from vtdl_cli.data.lists.label_sets import LabelSet, compare_classes, label_set
from vtdl_cli.data.lists.rows import UNKNOWN_CLASS
from vtdl_cli.data.video.decoding import same_frames
from vtdl_cli.data.video.timeline import name_samples
from vtdl_cli.engine.features.places import find_root, place_videos
from vtdl_cli.errors import UsageError
from vtdl_cli.locks import lock_file, releasing_locks
from vtdl_cli.runtime import Reporter, Warn, check_new_file, ignore_warning

NOT_PROVENANCE = ("schema", "skipped", "classes")
"""Attributes that say nothing about where features come from."""


@dataclass(frozen=True)
class FeatureFile:
    """A file without its features.

    Attributes:
        path: of the file.
        shape: of the features, (N, ..., D), or (W, D) of a ragged file.
        labels: (N,).
        attributes: of the file.
        has_checksums: whether it has checksums.
        optional: the names of its optional columns.
    """

    path: Path
    shape: tuple[int, ...]
    labels: np.ndarray
    attributes: dict[str, Any]
    has_checksums: bool
    optional: set[str]

    @property
    def label_set(self) -> LabelSet:
        """The classes of its labels."""
        return label_set(f"features '{self.path}'", class_names_in(self.attributes), self.labels)

    @property
    def skipped(self) -> list[dict[str, str]]:
        """Path and reason of each video that could not be read."""
        found: list[dict[str, str]] = json.loads(self.attributes.get("skipped", "[]"))
        return found


def inspect_features(path: Path, warn: Warn = ignore_warning, *, verify: bool = False) -> FeatureFile:
    """Read everything but the features.

    Args:
        path: the file.
        warn: called where the file has no checksums.
        verify: read the features, too, and compare all checksums.

    Raises:
        UsageError: `path` is no feature file.
        DamagedFile: it is damaged, as far as it was read.
    """
    with open_features(path, warn) as file:
        labels = _verify(file) if verify else file.read("labels")
        optional = {name for name in OPTIONAL_COLUMNS if name in file.columns}
        return FeatureFile(path, file.shape("features"), labels, file.attributes, file.checksums is not None, optional)


def _verify(file: RowsFile) -> np.ndarray:
    """Read each column once, and return the labels."""
    if not is_ragged(file):
        return np.concatenate([rows["labels"] for rows in read_blocks(file)])
    for _ in read_vectors(file):
        pass
    labels: np.ndarray = read_videos(file)["labels"]
    return labels


def describe_features(paths: Sequence[Path], reporter: Reporter) -> dict[str, dict[str, Any]]:
    """Return content and provenance of each file, by its path; files are read whole, to find damage.

    Raises:
        UsageError: one of them is no feature file, or damaged.
    """
    return {str(path): _describe(inspect_features(path, reporter.warn, verify=True)) for path in paths}


def _describe(file: FeatureFile) -> dict[str, Any]:
    known = file.labels[file.labels != UNKNOWN_CLASS]
    classes, counts = np.unique(known, return_counts=True)
    return {
        "shape": list(file.shape),
        "schema": int(file.attributes.get("schema", FEATURE_SCHEMA)),
        **{name: _plain(value) for name, value in sorted(file.attributes.items()) if name not in NOT_PROVENANCE},
        "classes": {
            "names": class_names_in(file.attributes),
            "seen": len(classes),
            "highest": int(classes[-1]) if len(classes) else None,
            "fewest_videos": int(counts.min()) if len(counts) else None,
            "most_videos": int(counts.max()) if len(counts) else None,
        },
        "videos": len(file.labels),
        "videos_without_class": len(file.labels) - len(known),
        "intervals": not file.optional.isdisjoint(INTERVAL_COLUMNS),
        "times": not file.optional.isdisjoint(TIME_COLUMNS),
        "checksums": "match" if file.has_checksums else "none",
        "skipped": file.skipped,
    }


def _plain(attribute: Any) -> Any:
    """Return an attribute's value; in a merged file it may be a list."""
    values = values_of(attribute)
    return values[0] if len(values) == 1 else values


@releasing_locks
def merge_features(paths: Sequence[Path], out: Path, reporter: Reporter, *, overwrite: bool = False) -> dict[str, Any]:
    """Concatenate files of one network and different videos, in the order given.

    Where files have several roots, the paths of their videos become whole: equal ones may be of different videos.
    An attribute that differs, such as the list's, becomes a JSON list of its values. Classes keep their names where all
    files with labels have names.

    Returns:
        The new file's path and shape, and the skipped videos.

    Raises:
        UsageError: a file is no feature file or damaged, files do not belong together, or the output exists.
    """
    if len(paths) < 2:
        raise UsageError(f"file '{paths[0]}' is the only one to merge. Name two files or more")
    check_is_hdf5(out)
    lock_file(out, reporter)
    check_new_file(out, "--out", overwrite=overwrite, sources=paths)
    files = [inspect_features(path, reporter.warn) for path in paths]
    for file in files[1:]:
        _check_same_network(files[0], file)
    if whole_paths := _check_distinct_videos(files):
        reporter.line("videos lie below several roots: the merged file has their whole paths")
    names = _common_names(files, reporter)
    shape = (sum(file.shape[0] for file in files), *files[0].shape[1:])
    optional = set().union(*(file.optional for file in files))
    number = sum(len(file.labels) for file in files) if OFFSETS in optional else None
    rows, attributes = _read_all(paths, whole_paths=whole_paths), _join_attributes(files) | names
    write_features(out, shape, rows, attributes, optional=optional, num_videos=number)
    skipped = [video for file in files for video in file.skipped]
    return {"out": str(out), "files": len(files), "shape": list(shape), "skipped": skipped}


def _check_same_network(first: FeatureFile, other: FeatureFile) -> None:
    ours, theirs = (_identify(file) for file in (first, other))
    differing = [name for name in ours if ours[name] != theirs[name]]
    if "decoder" in differing and _have_same_frames(ours["decoder"], theirs["decoder"]):
        differing.remove("decoder")
    if differing:
        name = differing[0]
        raise UsageError(
            f"features '{other.path}' differ from '{first.path}' in {', '.join(differing)}: '{theirs[name]}' against "
            f"'{ours[name]}'. Extract both with the same options"
        )


def _common_names(files: Sequence[FeatureFile], reporter: Reporter) -> dict[str, str]:
    """Return the attribute that names the classes of all files; empty where a file has labels without names."""
    labelled = [file.label_set for file in files if len(file.label_set.occurring)]
    labelled.sort(key=lambda labels: labels.names is None)  # one with names first, as the reference
    for labels in labelled[1:]:
        if warning := compare_classes(labelled[0], labels, "Extract both from lists with the same classes.txt"):
            reporter.warn(f"{warning}; the merged file has no names")
    has_names = bool(labelled) and all(labels.names for labels in labelled)
    return {"classes": json.dumps(labelled[0].names)} if has_names else {}


def _identify(file: FeatureFile) -> dict[str, str]:
    """Return what all rows of a merged file must have in common."""
    dims = " x ".join(map(str, file.shape[1:]))
    sampling = {name: str(file.attributes.get(name, "")) for name in ("protocol", "decoder", "frame_rate")}
    times = "ragged" if OFFSETS in file.optional else "with" if "fps" in file.optional else "without"
    return network_of(file.attributes) | sampling | {"dims": dims, "times": times}


def _have_same_frames(ours: str, theirs: str) -> bool:
    """Whether decoders, several of a merged file, return the same frames."""
    return all(same_frames(*pair) for pair in itertools.product(values_of(ours), values_of(theirs)))


def _check_distinct_videos(files: Sequence[FeatureFile]) -> bool:
    """Check that no video is in two files, and return whether they lie below several roots.

    Raises:
        UsageError: one is.
    """
    columns = [_read_names(file) for file in files]
    named = [(file.attributes, each["paths"]) for file, each in zip(files, columns, strict=True)]
    listed = [paths for _, paths in named]
    places = place_videos(named) or listed
    seen: dict[str, Path] = {}
    for file, each, placed in zip(files, columns, places, strict=True):
        intervals = intervals_in(each)
        for video, place in zip(name_samples(each["paths"], intervals), name_samples(placed, intervals), strict=True):
            if place in seen:
                raise UsageError(
                    f"features of video '{video}' are in '{seen[place]}' and again in '{file.path}'. "
                    "Leave one of the files out, or extract lists that share no video"
                )
            seen[place] = file.path
    return places != listed


def _read_names(file: FeatureFile) -> dict[str, Any]:
    """Read what identifies the videos of a file."""
    with open_features(file.path) as opened:
        return {name: opened.read(name) for name in opened.columns if name in ("paths", *INTERVAL_COLUMNS)}


def _read_all(paths: Sequence[Path], *, whole_paths: bool) -> Iterator[FeatureRows]:
    """Yield the rows of all files; of ragged ones the columns of videos and those of vectors apart.

    Args:
        paths: of the files.
        whole_paths: put the root before the path of each video.
    """
    last = 0
    for path in paths:
        with open_features(path) as file:
            root = find_root(file.attributes, file.read("paths")) if whole_paths else None
            if not is_ragged(file):
                yield from (_place(rows, root) for rows in read_blocks(file))
                continue
            videos = read_videos(file)
            edges = videos[OFFSETS] + last
            yield {**_place(videos, root), OFFSETS: edges[1:] if last else edges}
            yield from read_vectors(file)
            last = edges[-1]


def _place(rows: FeatureRows, root: Path | None) -> FeatureRows:
    """Put a root, if any, before the paths."""
    if root is None:
        return rows
    return {**rows, "paths": [(root / path).absolute().as_posix() for path in rows["paths"]]}


def _join_attributes(files: Sequence[FeatureFile]) -> dict[str, str]:
    """Return the attributes of all files: one value where they agree, else a JSON list."""
    joined = {"skipped": json.dumps([video for file in files for video in file.skipped])}
    for name in dict.fromkeys(name for file in files for name in file.attributes if name not in NOT_PROVENANCE):
        values = [value for file in files for value in values_of(file.attributes.get(name, ""))]
        joined[name] = join_values(values)
    return joined
