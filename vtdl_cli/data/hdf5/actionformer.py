"""Export dense features for ActionFormer and the detectors that share its data sets (OpenTAD, TriDet).

They read one array (T, D) for each video, and find a moment of a video on its grid of features by (libs/datasets/
thumos14.py:182): (seconds * fps - 0.5 * num_frames) / feat_stride. So feature i stands for the `num_frames` frames from
frame i * feat_stride on. Both numbers are the same for all videos; `fps` is that of the video.
"""

import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from vtdl_cli.data.hdf5.feature_arrays import write_array
from vtdl_cli.data.hdf5.features import FEATURE_LAYOUT, OFFSETS, is_ragged, read_vectors, read_videos
from vtdl_cli.data.hdf5.layout import intervals_in
from vtdl_cli.data.hdf5.rows import RowsFile
from vtdl_cli.data.video.disk import is_named_as_video
from vtdl_cli.errors import UsageError

CONFIG_FILE, DATABASE_FILE = "actionformer.yaml", "database.json"
ONE_STRIDE = "and ActionFormer has one stride in frames for all. Extract with --hop 8, or with --set data.frame_rate=25"
CONFIG = """# For the `dataset` section of ActionFormer's configuration; {database} has fps and duration of each video.
dataset:
  feat_folder: {folder}
  file_prefix: null
  file_ext: .npy
  input_dim: {dim}
  feat_stride: {stride:.12g}
  num_frames: {num_frames}
  default_fps: {fps}
"""


class Grid(NamedTuple):
    """Where features lie in time.

    Attributes:
        stride: frames from one feature to the next.
        num_frames: that a feature stands for.
        fps: (N,), frames a second of each video.
    """

    stride: float
    num_frames: int
    fps: np.ndarray


def name_videos(names: Sequence[str], intervals: np.ndarray | None, owner: str) -> list[str]:
    """Return the names by which ActionFormer finds the videos: their paths without suffixes, below one folder.

    Args:
        names: paths of the videos as in the list.
        intervals: of the list, see `VideoList`.
        owner: of the videos, for messages.

    Raises:
        UsageError: videos are intervals of others, or two would have the same name.
    """
    if intervals is not None and not np.isnan(intervals).all():
        raise UsageError(
            f"{owner} has intervals of videos, and ActionFormer counts time from the start of a file. "
            "Use a list of whole videos, or --format npz"
        )
    found: dict[str, str] = {}
    for name in names:
        path = PurePosixPath(name)
        inside = PurePosixPath(path.name) if path.is_absolute() or ".." in path.parts else path
        key = str(inside.with_suffix("") if is_named_as_video(inside.name) else inside)
        if key in found:
            raise UsageError(
                f"{owner} has '{found[key]}' and '{name}', which would both be '{key}.npy'. "
                "Use a list in which names differ, or --format npz"
            )
        found[key] = name
    return list(found)


def write_actionformer(folder: Path, file: RowsFile, path: Path, shown: Path) -> tuple[int, ...]:
    """Write the arrays, and what ActionFormer's configuration needs.

    Args:
        folder: an empty one.
        file: of dense features.
        path: of the file, for messages.
        shown: the folder's final path.

    Returns:
        The shape of the features.

    Raises:
        UsageError: they are not dense, or do not have one stride.
        DamagedFile: the file is damaged.
    """
    if not is_ragged(file):
        raise UsageError(
            f"features '{path}' are not of windows that slide over videos. Extract them with --hop, such as --hop 8"
        )
    videos = read_videos(file)
    names = name_videos(videos["paths"], intervals_in(videos), f"features '{path}'")
    grid = find_grid(file.attributes, videos["fps"], path)
    _write_arrays(folder, file, names, videos[OFFSETS])
    shared = np.unique(grid.fps)
    facts = {"folder": json.dumps(str(shown)), "database": DATABASE_FILE, "dim": file.shape("features")[-1]}
    fps = "null" if len(shared) > 1 or np.isnan(shared[0]) else f"{shared[0]:.12g}"
    config = CONFIG.format(**facts, stride=grid.stride, num_frames=grid.num_frames, fps=fps)
    (folder / CONFIG_FILE).write_text(config, encoding="utf-8")
    database = {
        name: {"fps": None, "duration": None} if np.isnan(fps) else {"fps": fps, "duration": num_frames / fps}
        for name, fps, num_frames in zip(names, grid.fps.tolist(), videos["num_frames"].tolist(), strict=True)
    }
    (folder / DATABASE_FILE).write_text(json.dumps({"database": database}, indent=2) + "\n", encoding="utf-8")
    return file.shape("features")


def find_grid(attributes: dict[str, Any], fps: np.ndarray, path: Path) -> Grid:
    """Return the grid of dense features.

    Windows are so many frames apart, or seconds; with `data.frame_rate` frames are those of that rate.

    Args:
        attributes: of the file.
        fps: (N,), of the video files.
        path: of the file, for messages.

    Raises:
        UsageError: the stride in frames differs between videos, or the attributes do not say.
    """
    try:
        distance, unit = str(attributes["hop"]).split()
        num_frames, hop, rate = int(attributes["window_frames"]), float(distance), str(attributes["frame_rate"])
        fps = np.full(len(fps), float(rate)) if rate else fps
    except (KeyError, ValueError):
        raise FEATURE_LAYOUT.refusal(path, "do not say which windows they are of. Extract them again") from None
    if unit == "frames":
        return Grid(hop, num_frames, fps)
    if reason := why_no_stride(hop, fps):
        raise FEATURE_LAYOUT.refusal(path, reason)
    return Grid(hop * float(fps[0]), num_frames, fps)


def why_no_stride(hop_seconds: float, fps: np.ndarray) -> str:
    """Return why windows so many seconds apart have no one stride in frames; empty if they have.

    Args:
        hop_seconds: from a window to the next.
        fps: (N,), frames a second of the videos, at least one; NaN if unknown.
    """
    if np.isnan(fps).any():
        return f"slide every {hop_seconds:g} s over a video of unknown fps, {ONE_STRIDE}"
    if fps.max() - fps.min() <= 1e-6 * fps.max():
        return ""
    return f"slide every {hop_seconds:g} s over videos of {fps.min():.4g} to {fps.max():.4g} fps, {ONE_STRIDE}"


def _write_arrays(folder: Path, file: RowsFile, names: Sequence[str], offsets: np.ndarray) -> None:
    """Write the array of each video, which may be in several blocks."""
    dim, first, video = file.shape("features")[-1], 0, 0
    for block in read_vectors(file):
        values = block["features"]
        last = first + len(values)
        while video < len(names) and offsets[video] < last:
            start, end = max(int(offsets[video]), first), min(int(offsets[video + 1]), last)
            target = folder / f"{names[video]}.npy"
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb" if start == offsets[video] else "ab") as array:
                if start == offsets[video]:
                    write_array(array, "<f4", (int(offsets[video + 1] - offsets[video]), dim), ())
                array.write(values[start - first : end - first].astype("<f4").tobytes())
            if end < offsets[video + 1]:
                break
            video += 1
        first = last
