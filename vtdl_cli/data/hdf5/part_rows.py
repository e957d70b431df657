"""The rows in the parts of an extraction: checked when read, and joined to the columns of the whole file.

A part has a row for each of its videos; with `counts`, videos have runs of vectors instead: the next ones of a video,
of which other parts may have the rest.

Shapes: `m` videos of a part, `n` vectors: of runs their sum, else m.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vtdl_cli.data.hdf5.features import OFFSETS, TIME_COLUMNS, FeatureRows
from vtdl_cli.data.hdf5.layout import INTERVAL_COLUMNS, interval_columns

PART_COLUMNS = ("features", "labels", "num_frames", "positions")
"""Columns of a part that has any rows; positions are those of the videos in the list."""
RUN_COLUMNS = ("counts", "num_windows")
"""Of a part with runs of vectors: those in the part, and those of the whole video, (m,)."""
OF_VECTORS = ("features", *(name for name, column in TIME_COLUMNS.items() if column.per == "vector"))

Part = Mapping[str, np.ndarray]


def read_part(part: Part) -> dict[str, np.ndarray]:
    """Return the columns of a part; none if it has no rows."""
    rows = {name: part[name] for name in (*PART_COLUMNS, *TIME_COLUMNS, *RUN_COLUMNS) if name in part}
    return rows if len(rows.get("labels", ())) else {}


def count_rows(part: Part, done: int, windows: int) -> int:
    """Count the videos of a part that it ends; raises ValueError or LookupError if its columns are inconsistent.

    Args:
        part: its columns.
        done: videos of the list that were processed up to the end of the part.
        windows: of the next video, as far as it was processed.
    """
    rows = read_part(part)
    if not rows:
        return 0
    if set(PART_COLUMNS) - rows.keys() or any(column.dtype.kind not in "fiu" for column in rows.values()):
        raise ValueError
    positions = rows["positions"].tolist()
    lengths = {name: len(column) for name, column in rows.items()}
    if "counts" in rows and sum(rows["counts"].tolist()) == lengths["features"]:
        lengths = {name: length for name, length in lengths.items() if name not in OF_VECTORS}
    last = done if windows else done - 1
    if set(lengths.values()) != {len(positions)} or any(not 0 <= position <= last for position in positions):
        raise ValueError
    return len(positions)


@dataclass(frozen=True)
class JoinedRows:
    """The rows of all parts, for `write_features`.

    Attributes:
        positions: of the videos that they are of, (N,).
        shape: of the features.
        blocks: of rows.
        optional: names of the optional columns.
        num_videos: N of a ragged file, else None.
    """

    positions: NDArray[np.int64]
    shape: tuple[int, ...]
    blocks: Iterator[FeatureRows]
    optional: set[str]
    num_videos: int | None


def join_parts(
    read: Callable[[], Iterable[Part]], name_of: Callable[[int], str], intervals: np.ndarray | None
) -> JoinedRows | None:
    """Join the rows of all parts; None if there are none.

    Args:
        read: returns the parts that have rows, in order; called twice, so that one part is in memory at a time.
        name_of: returns the path of the video at a position of the list.
        intervals: of the list, (N, 2) seconds, NaN for a whole video; None: all are whole.
    """
    small, shapes = list[Part](), list[tuple[int, ...]]()
    for part in read():
        small.append({name: values for name, values in part.items() if name not in OF_VECTORS})
        shapes.append(part["features"].shape)
    if not small:
        return None
    optional = set(small[0]) | (set(OF_VECTORS) if "fps" in small[0] else set())
    optional |= set() if intervals is None else set(INTERVAL_COLUMNS)
    videos = {name: np.concatenate([part[name] for part in small]) for name in small[0]}
    if "counts" not in videos:
        shape = (len(videos["positions"]), *shapes[0][1:])
        rows = (_named(part, name_of, intervals) for part in read())
        return JoinedRows(videos["positions"], shape, rows, optional, None)
    complete = _join_runs(videos)
    number = len(complete["positions"])
    shape = (int(complete["counts"].sum()), *shapes[0][1:])
    blocks = _ragged_blocks(read, complete, _named(complete, name_of, intervals))
    return JoinedRows(complete["positions"], shape, blocks, optional | {OFFSETS}, number)


def _join_runs(runs: Part) -> dict[str, np.ndarray]:
    """Return the videos whose runs are complete; one that turned out to be damaged half way is not."""
    positions, first, of_run = np.unique(runs["positions"], return_index=True, return_inverse=True)
    counts = np.zeros(len(positions), np.int64)
    np.add.at(counts, of_run, runs["counts"])
    complete = counts == runs["num_windows"][first]
    videos = {name: values[first][complete] for name, values in runs.items()}
    return videos | {"counts": counts[complete]}


def _ragged_blocks(read: Callable[[], Iterable[Part]], complete: Part, videos: FeatureRows) -> Iterator[FeatureRows]:
    yield {**videos, OFFSETS: np.concatenate([[0], np.cumsum(complete["counts"])])}
    for part in read():
        kept = np.repeat(np.isin(part["positions"], complete["positions"]), part["counts"])
        yield {name: part[name][kept] for name in OF_VECTORS}


def _named(part: Part, name_of: Callable[[int], str], intervals: np.ndarray | None) -> FeatureRows:
    """Return rows with paths and intervals in place of positions in the list."""
    columns: dict[str, Any] = {name: values for name, values in part.items() if name != "positions"}
    columns["paths"] = [name_of(int(position)) for position in part["positions"]]
    return columns | interval_columns(None if intervals is None else intervals[part["positions"]])
