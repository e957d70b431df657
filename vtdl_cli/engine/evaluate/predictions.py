"""The rows of a prediction: a video or a window of it, and the probabilities of the classes.

Shapes: K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vtdl_cli.data.clips.windows import Window
from vtdl_cli.data.video.timeline import Interval

DIGITS = 6  # after the point: a float32 between 0 and 1 has about 7
NO_SCORES = np.empty(0, np.float32)


@dataclass(frozen=True)
class Prediction:
    """One row.

    Attributes:
        path: of the video.
        probabilities: float32 (K,); empty if the video cannot be read.
        interval: the part of the video that its list names; None: all of it.
        window: of the video, without its frames; None: the row is of the whole video or interval.
        error: why the video cannot be read, or no further than the rows before.
    """

    path: str
    probabilities: np.ndarray
    interval: Interval | None = None
    window: Window | None = None
    error: str = ""

    def top(self, k: int) -> list[tuple[int, float]]:
        """Return the k most probable classes, or all, with their probabilities; of equal ones the first."""
        order = np.argsort(-self.probabilities, kind="stable")[:k]
        return [(int(number), float(self.probabilities[number])) for number in order]

    def seconds(self) -> tuple[float | None, float | None]:
        """Return when the window or interval starts and ends in the video; None if unknown, or for a whole video."""
        if self.window is None:
            return self.interval or (None, None)
        start, end = self.window.start_seconds, self.window.end_seconds
        return (None, None) if np.isnan(start) else (start, end)

    def describe(self, classes: Sequence[str], top_k: int, *, timed: bool) -> dict[str, Any]:
        """Return the row for JSON.

        Args:
            classes: K names.
            top_k: number of classes to list, at most.
            timed: with start and end, in seconds.
        """
        row: dict[str, Any] = {"path": self.path}
        if timed:
            start, end = self.seconds()
            row |= {"start": _rounded(start), "end": _rounded(end)}
        if self.window is not None:
            row |= {"start_frame": self.window.start_frame, "end_frame": self.window.end_frame}
        if self.error:
            return {**row, "error": self.error}
        top = self.top(top_k)
        return {
            **row,
            "top": [{"class": classes[number], "probability": round(value, DIGITS)} for number, value in top],
        }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, DIGITS)
