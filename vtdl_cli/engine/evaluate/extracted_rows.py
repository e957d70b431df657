"""The rows of an extraction on their way from the network to the disk.

Shapes: B videos with V clips of T frames, t time positions of a feature map, D channels.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vtdl_cli.data.clips.datasets import Batch, Unreadable
from vtdl_cli.data.hdf5.feature_parts import FeatureParts
from vtdl_cli.engine.networks.bad_videos import BadVideos
from vtdl_cli.engine.networks.inference import VideoOutputs
from vtdl_cli.errors import Interrupted
from vtdl_cli.runtime import Reporter, StopRequest
from vtdl_cli.text import counted

KEEP_EVERY_SECONDS = 20.0  # the most work that an interruption costs


@dataclass(frozen=True)
class ExtractedRows:
    """What a batch adds to the file.

    Attributes:
        columns: of the rows, see `data.hdf5.part_rows`; empty if there are none.
        done: videos of the list processed, up to and including this batch.
        windows: of the next video, processed so far.
        unreadable: videos of this batch that could not be read.
    """

    columns: dict[str, np.ndarray]
    done: int
    windows: int = 0
    unreadable: list[Unreadable] = field(default_factory=list)


def video_rows(outputs: Iterator[VideoOutputs], done: int, keep: str) -> Iterator[ExtractedRows]:
    """Yield the rows of batches of whole videos.

    Args:
        outputs: features (B, V, D) or (B, V, t, D) of batches, in the order of the list.
        done: videos of the list before them.
        keep: `video`, `clip` or `time`, see `FeatureSpec`.
    """
    for batch, values in outputs:
        done += len(batch) + len(batch.unreadable)
        yield ExtractedRows(_columns(batch, values, keep) if len(batch) else {}, done, unreadable=batch.unreadable)


def _columns(batch: Batch, values: np.ndarray, keep: str) -> dict[str, np.ndarray]:
    """Return the rows of a batch. Copies: a worker's tensors each hold a file open, and its frames fill the memory."""
    columns = {"labels": batch.label, "num_frames": batch.num_frames, "positions": batch.index}
    copied = {name: column.numpy().copy() for name, column in columns.items()}
    if keep == "video":
        return {"features": values.mean(1), **copied}
    times = times_of_positions(batch.times.numpy(), values.shape[2] if keep == "time" else None)
    return {"features": values, **copied, **times, "fps": batch.fps.numpy().copy()}


def times_of_positions(times: np.ndarray, number: int | None) -> dict[str, np.ndarray]:
    """Return the time of each clip, or of each time position of its feature map.

    Of T frames, position j of t stands for those from T j / t to T (j + 1) / t, although the network sees more of them
    there. A clip that continues at the beginning of a short video is from its earliest frame to its latest.

    Args:
        times: (B, V, T, 4), see `Batch`.
        number: t; None: of the whole clip.

    Returns:
        Columns of `data.hdf5.features.TIME_COLUMNS`, (B, V, t), or (B, V) of whole clips.
    """
    length, parts = times.shape[2], number or 1
    spans = [times[:, :, part * length // parts : -(-(part + 1) * length // parts)] for part in range(parts)]
    first = np.stack([span[..., [0, 2]].min(2) for span in spans], 2)  # (B, V, t, 2): frame, seconds
    last = np.stack([span[..., [1, 3]].max(2) for span in spans], 2)
    if number is None:
        first, last = first[:, :, 0], last[:, :, 0]
    frames = {"start_frames": first[..., 0].astype(np.int64), "end_frames": last[..., 0].astype(np.int64)}
    return {"starts": first[..., 1], "ends": last[..., 1], **frames}


def keep_rows(
    extracted: Iterator[ExtractedRows], parts: FeatureParts, bad_videos: BadVideos, reporter: Reporter
) -> None:
    """Run through the batches; save their rows every few seconds, on a signal and at the end."""
    parts.begin()
    pending = list[ExtractedRows]()
    total, done, vectors, kept_at = bad_videos.num_videos, parts.done, 0, time.monotonic()
    with StopRequest() as stop, reporter.progress(total, "features", start=done) as bar:
        for rows in extracted:
            bad_videos.add(rows.unreadable, reporter)
            pending.append(rows)
            vectors += len(rows.columns.get("counts", ())) and len(rows.columns["features"])
            bar.advance(rows.done - done, **({"windows": str(vectors)} if vectors else {}))
            done, signal = rows.done, stop.received()
            if signal or done == total or time.monotonic() - kept_at > KEEP_EVERY_SECONDS:
                _save(parts, pending)
                pending, kept_at = [], time.monotonic()
            if signal:
                window = f" and {counted(rows.windows, 'window')} of the next" if rows.windows else ""
                raise Interrupted(f"{signal} after {done} of {total} videos{window}: saved. Resume with --resume")


def _save(parts: FeatureParts, pending: list[ExtractedRows]) -> None:
    skipped = [{"path": bad.path, "reason": bad.reason} for rows in pending for bad in rows.unreadable]
    columns = [rows.columns for rows in pending if rows.columns]
    joined: dict[str, Any] = {name: np.concatenate([each[name] for each in columns]) for name in (columns or [{}])[0]}
    parts.add(pending[-1].done, skipped, joined, pending[-1].windows)
