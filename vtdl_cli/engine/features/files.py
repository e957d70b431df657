"""Feature files that exist: looked at, put together, written for other programs."""

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
    rows_at_a_time,
    values_of,
    write_features,
)
from vtdl_cli.data.hdf5.layout import class_names_in
from vtdl_cli.data.lists.label_sets import LabelSet, compare_classes, label_set
from vtdl_cli.data.lists.video_list import UNKNOWN_CLASS
from vtdl_cli.errors import UsageError
from vtdl_cli.locks import lock_file, releasing_locks
from vtdl_cli.runtime import Reporter, Warn, atomic_write, check_new_file, ignore_warning

OWN = ("schema", "skipped", "classes")
"""Attributes that do not say where features came from."""


@dataclass(frozen=True)
class FeatureFile:
    """What a file says of its features: shape (N, ..., D), labels (N,), attributes, and whether it has checksums."""

    path: Path
    shape: tuple[int, ...]
    labels: np.ndarray
    attributes: dict[str, Any]
    has_checksums: bool

    @property
    def label_set(self) -> LabelSet:
        """What its labels stand for."""
        return label_set(f"features '{self.path}'", class_names_in(self.attributes), self.labels)

    @property
    def skipped(self) -> list[dict[str, str]]:
        """Path and reason of each video that could not be read."""
        found: list[dict[str, str]] = json.loads(self.attributes.get("skipped", "[]"))
        return found


def look_at(path: Path, warn: Warn = ignore_warning) -> FeatureFile:
    """Read all but the features themselves.

    Raises:
        UsageError: `path` is no file of features.
    """
    with open_features(path, warn) as file:
        shape, labels = file.shape("features"), file.read("labels")
        return FeatureFile(path, shape, labels, file.attributes, file.checksums is not None)


def describe_features(paths: Sequence[Path], reporter: Reporter) -> dict[str, dict[str, Any]]:
    """What each file holds and where that came from, by the file's path; all of it is read, to find damage.

    Raises:
        UsageError: one of them is no whole file of features.
    """
    return {str(path): _describe(look_at(path, reporter.warn)) for path in paths}


def _describe(file: FeatureFile) -> dict[str, Any]:
    with open_features(file.path) as rows:
        rows.verify(rows_at_a_time(rows))
    known = file.labels[file.labels != UNKNOWN_CLASS]
    classes, counts = np.unique(known, return_counts=True)
    return {
        "shape": list(file.shape),
        "schema": int(file.attributes.get("schema", FEATURE_SCHEMA)),
        **{name: _told(value) for name, value in sorted(file.attributes.items()) if name not in OWN},
        "classes": {
            "names": class_names_in(file.attributes),
            "seen": len(classes),
            "highest": int(classes[-1]) if len(classes) else None,
            "fewest_videos": int(counts.min()) if len(counts) else None,
            "most_videos": int(counts.max()) if len(counts) else None,
        },
        "videos_without_class": len(file.labels) - len(known),
        "checksums": "match" if file.has_checksums else "none",
        "skipped": file.skipped,
    }


def _told(value: Any) -> Any:
    """An attribute in plain types: of files put together it may be a list."""
    told = values_of(value)
    return told[0] if len(told) == 1 else told


@releasing_locks
def merge_features(paths: Sequence[Path], out: Path, reporter: Reporter, *, overwrite: bool = False) -> dict[str, Any]:
    """Put files of one network and different videos together, in the order given.

    An attribute that differs, as that of the list does, becomes a JSON list of its values. Classes keep their names
    where all files with labels have them.

    Returns:
        The new file's path, shape and the videos skipped.

    Raises:
        UsageError: a file is no whole file of features, they do not belong together, or the output is in the way.
    """
    if len(paths) < 2:
        raise UsageError(f"merge '{paths[0]}' with what? Name two files or more")
    lock_file(out, reporter)
    check_new_file(out, "--out", overwrite=overwrite, sources=paths)
    files = [look_at(path, reporter.warn) for path in paths]
    for file in files[1:]:
        _check_same(files[0], file)
    _check_distinct(paths)
    names = _common_names(files, reporter)
    shape = (sum(file.shape[0] for file in files), *files[0].shape[1:])
    write_features(out, shape, _blocks(paths), _join(files) | names)
    skipped = [video for file in files for video in file.skipped]
    return {"out": str(out), "files": len(files), "shape": list(shape), "skipped": skipped}


def _check_same(first: FeatureFile, other: FeatureFile) -> None:
    ours, theirs = (_identity(file) for file in (first, other))
    if differing := [name for name in ours if ours[name] != theirs[name]]:
        name = differing[0]
        raise UsageError(
            f"features '{other.path}' have another {', '.join(differing)} than '{first.path}': '{theirs[name]}' "
            f"against '{ours[name]}'. Extract both alike"
        )


def _common_names(files: Sequence[FeatureFile], reporter: Reporter) -> dict[str, str]:
    """The attribute that names the classes of all files; empty where one of them has labels without names."""
    labelled = [file.label_set for file in files if len(file.label_set.occurring)]
    labelled.sort(key=lambda labels: labels.names is None)  # what all are held against has names, if any has
    for labels in labelled[1:]:
        if warning := compare_classes(labelled[0], labels, "Extract both from lists that go by one classes.txt"):
            reporter.warn(f"{warning}; the merged file has no names")
    has_names = bool(labelled) and all(labels.names for labels in labelled)
    return {"classes": json.dumps(labelled[0].names)} if has_names else {}


def _identity(file: FeatureFile) -> dict[str, str]:
    """What rows of one file have in common."""
    dims = " x ".join(map(str, file.shape[1:]))
    told = {name: str(file.attributes.get(name, "")) for name in ("protocol", "decoder")}
    return network_of(file.attributes) | told | {"dims": dims}


def _check_distinct(paths: Sequence[Path]) -> None:
    seen: dict[str, Path] = {}
    for path in paths:
        with open_features(path) as file:
            for video in file.read("paths"):
                if video in seen:
                    raise UsageError(
                        f"features of video '{video}' are in '{seen[video]}' and again in '{path}'. "
                        "Leave one of the files out, or extract lists that share no video"
                    )
                seen[video] = path


def _blocks(paths: Sequence[Path]) -> Iterator[FeatureRows]:
    for path in paths:
        with open_features(path) as file:
            yield from read_blocks(file)


def _join(files: Sequence[FeatureFile]) -> dict[str, str]:
    """The attributes of all: one value where they agree, else a JSON list."""
    joined = {"skipped": json.dumps([video for file in files for video in file.skipped])}
    for name in dict.fromkeys(name for file in files for name in file.attributes if name not in OWN):
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
        average: over the clips of a video and the times of a clip, where the file keeps them apart.
        overwrite: replace `out`.
        reporter: for a warning where `out` cannot be locked.

    Returns:
        The new file's path and the shape of the features in it.

    Raises:
        UsageError: `path` is no whole file of features, `out` is in the way, or cannot hold what `path` does.
    """
    writer_for(out)
    lock_file(out, reporter)
    check_new_file(out, "--out", overwrite=overwrite, sources=[path])
    return {"out": str(out), "shape": list(write_table(path, out, reporter.warn, average=average))}


def write_table(path: Path, out: Path, warn: Warn = ignore_warning, *, average: bool = False) -> tuple[int, ...]:
    """Write the features of a file as `export_features` does, and return their shape; `out` is the caller's to check.

    Raises:
        UsageError: `path` is no whole file of features, or `out` cannot hold what it does.
    """
    write = writer_for(out)
    with open_features(path, warn) as file:
        whole = file.shape("features")
        shape = (whole[0], whole[-1]) if average else whole
        if len(shape) > 2 and out.suffix != ARRAY:
            raise UsageError(
                f"features '{path}' have {' x '.join(map(str, shape[1:]))} numbers a video, and a table has one line. "
                f"Add --average, or choose {ARRAY}"
            )
        with atomic_write(out) as temporary:
            write(temporary, shape, read_blocks(file, average=average), class_names_in(file.attributes))
    return shape
