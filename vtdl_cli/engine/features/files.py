"""Feature files: described, merged, and exported for other programs."""

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vtdl_cli.data.hdf5.feature_tables import ARRAY, writer_for
from vtdl_cli.data.hdf5.features import (
    FEATURE_SCHEMA,
    FeatureRows,
    join_values,
    network_of,
    open_features,
    read_blocks,
    values_of,
    write_features,
)
from vtdl_cli.data.hdf5.layout import INTERVAL_COLUMNS, class_names_in, intervals_in
from vtdl_cli.data.lists.label_sets import LabelSet, compare_classes, label_set
from vtdl_cli.data.lists.rows import UNKNOWN_CLASS
from vtdl_cli.data.video.decoding import same_frames
from vtdl_cli.data.video.timeline import name_samples
from vtdl_cli.errors import UsageError
from vtdl_cli.locks import lock_file, releasing_locks
from vtdl_cli.runtime import Reporter, Warn, atomic_write, check_new_file, ignore_warning

NOT_PROVENANCE = ("schema", "skipped", "classes")
"""Attributes that say nothing about where features come from."""


@dataclass(frozen=True)
class FeatureFile:
    """A file without its features: their shape (N, ..., D), labels (N,), attributes, whether it has checksums, and
    whether it has intervals of videos."""

    path: Path
    shape: tuple[int, ...]
    labels: np.ndarray
    attributes: dict[str, Any]
    has_checksums: bool
    has_intervals: bool

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
        labels = np.concatenate([rows["labels"] for rows in read_blocks(file)]) if verify else file.read("labels")
        has_intervals = not INTERVAL_COLUMNS.keys() - file.columns
        return FeatureFile(
            path, file.shape("features"), labels, file.attributes, file.checksums is not None, has_intervals
        )


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
        "videos_without_class": len(file.labels) - len(known),
        "intervals": file.has_intervals,
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

    An attribute that differs, such as the list's, becomes a JSON list of its values. Classes keep their names where all
    files with labels have names.

    Returns:
        The new file's path and shape, and the skipped videos.

    Raises:
        UsageError: a file is no feature file or damaged, files do not belong together, or the output exists.
    """
    if len(paths) < 2:
        raise UsageError(f"file '{paths[0]}' is the only one to merge. Name two files or more")
    lock_file(out, reporter)
    check_new_file(out, "--out", overwrite=overwrite, sources=paths)
    files = [inspect_features(path, reporter.warn) for path in paths]
    for file in files[1:]:
        _check_same_network(files[0], file)
    _check_distinct_videos(paths)
    names = _common_names(files, reporter)
    shape = (sum(file.shape[0] for file in files), *files[0].shape[1:])
    has_intervals = any(file.has_intervals for file in files)
    write_features(out, shape, _read_all(paths), _join_attributes(files) | names, has_intervals=has_intervals)
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
    sampling = {name: str(file.attributes.get(name, "")) for name in ("protocol", "decoder")}
    return network_of(file.attributes) | sampling | {"dims": dims}


def _have_same_frames(ours: str, theirs: str) -> bool:
    """Whether decoders, several of a merged file, return the same frames."""
    return all(same_frames(*pair) for pair in itertools.product(values_of(ours), values_of(theirs)))


def _check_distinct_videos(paths: Sequence[Path]) -> None:
    seen: dict[str, Path] = {}
    for path in paths:
        with open_features(path) as file:
            columns = {name: file.read(name) for name in file.columns if name in ("paths", *INTERVAL_COLUMNS)}
            for video in name_samples(columns["paths"], intervals_in(columns)):
                if video in seen:
                    raise UsageError(
                        f"features of video '{video}' are in '{seen[video]}' and again in '{path}'. "
                        "Leave one of the files out, or extract lists that share no video"
                    )
                seen[video] = path


def _read_all(paths: Sequence[Path]) -> Iterator[FeatureRows]:
    for path in paths:
        with open_features(path) as file:
            yield from read_blocks(file)


def _join_attributes(files: Sequence[FeatureFile]) -> dict[str, str]:
    """Return the attributes of all files: one value where they agree, else a JSON list."""
    joined = {"skipped": json.dumps([video for file in files for video in file.skipped])}
    for name in dict.fromkeys(name for file in files for name in file.attributes if name not in NOT_PROVENANCE):
        values = [value for file in files for value in values_of(file.attributes.get(name, ""))]
        joined[name] = join_values(values)
    return joined


@releasing_locks
def export_features(
    path: Path, out: Path, reporter: Reporter, *, average: bool = False, overwrite: bool = False
) -> dict[str, Any]:
    """Write features as an array or a table.

    Args:
        path: the HDF5 file.
        out: .npy, .csv or .parquet.
        reporter: warns where `out` cannot be locked.
        average: over the clips of a video and their time positions, where the file has several.
        overwrite: replace an existing `out`.

    Returns:
        The new file's path and the shape of its features.

    Raises:
        UsageError: `path` is no feature file or damaged, or `out` exists or cannot hold features of this shape.
    """
    writer_for(out)
    lock_file(out, reporter)
    check_new_file(out, "--out", overwrite=overwrite, sources=[path])
    return {"out": str(out), "shape": list(write_table(path, out, reporter.warn, average=average))}


def write_table(path: Path, out: Path, warn: Warn = ignore_warning, *, average: bool = False) -> tuple[int, ...]:
    """Write features as `export_features` does, without checking `out`; return their shape.

    Raises:
        UsageError: `path` is no feature file or damaged, or `out` cannot hold features of this shape.
    """
    write = writer_for(out)
    with open_features(path, warn) as file:
        whole = file.shape("features")
        shape = (whole[0], whole[-1]) if average else whole
        if len(shape) > 2 and out.suffix != ARRAY:
            raise UsageError(
                f"features '{path}' have {' x '.join(map(str, shape[1:]))} values per video, too many for a table. "
                f"Add --average, or choose {ARRAY}"
            )
        with atomic_write(out) as temporary:
            write(temporary, shape, read_blocks(file, average=average), class_names_in(file.attributes))
    return shape
