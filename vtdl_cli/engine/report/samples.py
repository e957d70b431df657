"""Test videos to look at: a few that were classified rightly, a few wrongly, each by a frame of its middle."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vtdl_cli.analysis.report.content import Note, Sample
from vtdl_cli.data.hdf5.scores import Scores
from vtdl_cli.data.video.decoding import read_middle_frame
from vtdl_cli.errors import UnreadableVideo, UsageError
from vtdl_cli.metrics import softmax

SHOWN = 6  # right ones, and as many wrong ones


def choose_rows(right: np.ndarray, number: int = SHOWN) -> Iterator[int]:
    """Rows of bool (N,), `number` right ones and then as many wrong ones, spread evenly over the list."""
    for outcome in (True, False):
        rows = np.flatnonzero(right == outcome)
        if len(rows):
            places = np.linspace(0, len(rows) - 1, min(number, len(rows))).round().astype(int)
            yield from rows[places].tolist()


def show_samples(scores: Scores, metrics: Mapping[str, Any]) -> tuple[list[Sample], list[Note]]:
    """The chosen videos, and what is to be said where they cannot be shown.

    Args:
        scores: of the evaluation.
        metrics: its metrics.json; `root` and `decoder` say where the videos lie and what opens them.
    """
    predicted = scores.values.argmax(1)
    chosen = list(choose_rows(predicted == scores.labels))
    is_logits = metrics.get("aggregate") == "logits"
    probabilities = softmax(scores.values) if is_logits else scores.values
    frames, reasons = read_frames([scores.paths[row] for row in chosen], metrics)
    samples = [
        Sample(
            scores.paths[row],
            scores.classes[scores.labels[row]],
            scores.classes[predicted[row]],
            float(probabilities[row, predicted[row]]),
            frame,
        )
        for row, frame in zip(chosen, frames, strict=True)
    ]
    if not reasons:
        return samples, []
    return samples, [Note(f"{len(reasons)} of {len(samples)} videos cannot be shown: {reasons[0]}.")]


def read_frames(paths: list[str], metrics: Mapping[str, Any]) -> tuple[list[np.ndarray | None], list[str]]:
    """The middle frame of each video, and the reasons where there is none."""
    if "root" not in metrics or "decoder" not in metrics:
        reason = "these results, of a fusion or an older version, do not say where they lie"
        return [None] * len(paths), [reason] * len(paths)
    frames: list[np.ndarray | None] = []
    reasons = []
    for path in paths:
        try:
            frames.append(read_middle_frame(Path(metrics["root"]) / path, metrics["decoder"]))
        except (UnreadableVideo, UsageError) as error:
            frames.append(None)
            reasons.append(str(error))
    return frames, reasons
