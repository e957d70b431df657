"""Features that other programs computed, as a file that can be probed beside ours."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vtdl_cli.data.hdf5.feature_tables import check_is_hdf5
from vtdl_cli.data.hdf5.features import FEATURE_BLOCK_BYTES, FEATURE_LAYOUT, FeatureRows, write_features
from vtdl_cli.data.hdf5.foreign_features import ForeignFeatures, read_foreign_features
from vtdl_cli.data.hdf5.layout import INTERVAL_COLUMNS, interval_columns
from vtdl_cli.data.hdf5.layout_checks import check_finite_rows
from vtdl_cli.data.lists.video_list import VideoList
from vtdl_cli.data.video.timeline import name_sample
from vtdl_cli.engine.lists.groups import recorded_regex
from vtdl_cli.engine.request import ListSource
from vtdl_cli.errors import UsageError
from vtdl_cli.locks import lock_file, releasing_locks
from vtdl_cli.runtime import Reporter, check_new_file, file_sha256
from vtdl_cli.text import counted

IMPORTED = "imported"
"""Layer and protocol of features whose own are unknown."""


@releasing_locks
def import_features(
    path: Path, videos_list: ListSource, out: Path, network: str, reporter: Reporter, *, overwrite: bool = False
) -> dict[str, Any]:
    """Write features of another program as `vtdl extract` writes them.

    Args:
        path: .npy, .npz, .csv or .parquet.
        videos_list: the list of the videos, which need not be on this disk.
        out: HDF5 file.
        network: names what computed the features; files of different networks are not compared.
        reporter: warns of rows that are left out.
        overwrite: replace an existing `out`.

    Returns:
        The new file's path, shape, and how rows were matched to videos.

    Raises:
        UsageError, ListError: file and list cannot be read, or do not fit together. Nothing is written.
    """
    check_is_hdf5(out)
    lock_file(out, reporter)
    check_new_file(out, "--out", overwrite=overwrite, sources=[path, videos_list.path])
    videos, foreign = videos_list.parse(), read_foreign_features(path)
    rows = match_rows(foreign, videos, reporter)
    shape = (len(rows), *foreign.values.shape[1:])
    attributes = _describe_provenance(path, videos, network) | {"group_by": recorded_regex(videos_list.path)}
    if videos_list.root is not None:  # else it says nothing: the videos need not be on this disk
        attributes["root"] = str(videos.root.absolute())
    optional = () if videos.intervals is None else tuple(INTERVAL_COLUMNS)
    write_features(out, shape, _blocks(foreign, rows, videos), attributes, optional=optional)
    matched_by = "order" if foreign.names is None else "path"
    return {"out": str(out), "network": network, "shape": list(shape), "matched_by": matched_by}


def match_rows(foreign: ForeignFeatures, videos: VideoList, reporter: Reporter) -> np.ndarray:
    """Return the row of each video of a list: by path, as listed or with its root, or else by order.

    Rows of other videos are left out, with a warning: one file may serve several lists.

    Raises:
        UsageError: a video has no row or several, or by order their numbers differ.
    """
    if foreign.names is None:
        if len(foreign.values) != len(videos):
            raise UsageError(
                f"features '{foreign.path}' have {counted(len(foreign.values), 'row')}, but list '{videos.source}' has "
                f"{counted(len(videos), 'video')}. Name the list that they were computed from, or add a column of paths"
            )
        return np.arange(len(videos))
    places = {name: row for row, name in enumerate(foreign.names)}
    if len(places) < len(foreign.names):
        twice = next(name for row, name in enumerate(foreign.names) if places[name] != row)
        raise UsageError(f"features '{foreign.path}' have several rows of '{twice}'. Leave one for each video")
    found = [_find(index, videos, places) for index in range(len(videos))]
    if missing := [index for index, row in enumerate(found) if row is None]:
        lacking = (
            f"features '{foreign.path}' have no row for {len(missing)} of {len(videos)} videos of list "
            f"'{videos.source}', the first is '{videos.sample_name(missing[0])}'"
        )
        if len(missing) < len(videos):
            raise UsageError(f"{lacking}. Add their rows, or take these videos out of the list")
        raise UsageError(
            f"{lacking}; their own first row is of '{foreign.names[0]}'. Write paths as in the list, or below --root"
        )
    if others := len(foreign.names) - len(set(found)):
        reporter.warn(
            f"features '{foreign.path}': {others} of {len(foreign.names)} rows left out, of videos that list "
            f"'{videos.source}' does not have"
        )
    return np.array(found)


def _find(index: int, videos: VideoList, places: dict[str, int]) -> int | None:
    below_root = name_sample(str(videos.path(index)), videos.interval(index))
    return places.get(videos.sample_name(index), places.get(below_root))


def _blocks(foreign: ForeignFeatures, rows: np.ndarray, videos: VideoList) -> Iterator[FeatureRows]:
    """Yield the rows of the file, some megabytes at a time.

    Raises:
        UsageError: a value is not finite.
    """
    at_a_time = max(1, FEATURE_BLOCK_BYTES // max(1, foreign.values[0].size * 4))
    for start in range(0, len(rows), at_a_time):
        chosen = np.arange(start, min(start + at_a_time, len(rows)))
        with np.errstate(over="ignore"):  # what exceeds float32 becomes infinite
            values = foreign.values[rows[chosen]].astype(np.float32)
        paths = [videos.name(index) for index in chosen]
        check_finite_rows(values, paths, foreign.path, FEATURE_LAYOUT, "Compute them again, or leave that video out")
        columns = {"labels": videos.labels[chosen], "num_frames": videos.frames[chosen], "paths": paths}
        intervals = None if videos.intervals is None else videos.intervals[chosen]
        yield {"features": values, **columns, **interval_columns(intervals)}


def _describe_provenance(path: Path, videos: VideoList, network: str) -> dict[str, str]:
    return {
        "backbone": network,
        "layer": IMPORTED,
        "protocol": IMPORTED,
        "imported_from": str(path),
        "imported_sha256": file_sha256(path),
        "list_sha256": videos.sha256,
        **({"classes": json.dumps(videos.classes)} if videos.classes else {}),
        "skipped": "[]",
    }
