"""The files of a prediction, by suffix: rows as JSON lines or CSV, a figure of a timeline, a video with labels."""

import csv
import io
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, NamedTuple

import numpy as np

from vtdl_cli.analysis.label import draw_label, lay_label
from vtdl_cli.analysis.timeline import draw_timeline, nearest_edges
from vtdl_cli.data.video.decoding import open_sequential
from vtdl_cli.data.video.timeline import Interval, sampled_frames
from vtdl_cli.data.video.whole_video import choose_encoder, encode_video, encoding_rate, whole_video
from vtdl_cli.engine.evaluate.predictions import Prediction
from vtdl_cli.errors import UsageError
from vtdl_cli.runtime import Reporter, atomic_write, check_new_file, nearest_existing_folder, write_error

LABEL_CLASSES = 3  # most probable ones, on a video: more would hide it

AddRow = Callable[[Prediction], None]


@dataclass(frozen=True)
class Described:
    """What the writers need to know.

    Attributes:
        classes: K names.
        top_k: classes in a row, at most.
        timed: rows have starts and ends.
        windowed: rows are of windows.
        reporter: shows progress.
    """

    classes: Sequence[str]
    top_k: int
    timed: bool
    windowed: bool
    reporter: Reporter


@contextmanager
def _spooled_text(path: Path) -> Iterator[Callable[[str], None]]:
    """Yield what adds text to a temporary file, which is copied to `path` if the block succeeds.

    Errors of the block itself, which computes for hours, are thus not taken for errors of writing.

    Raises:
        VtdlError: the disk is full, or the folder cannot be written.
    """
    folder = nearest_existing_folder(path.parent)
    spool = TemporaryFile("w+", encoding="utf-8", newline="", dir=folder)  # noqa: SIM115  # closed below
    try:

        def add(text: str) -> None:
            try:
                spool.write(text)
            except OSError as error:
                raise write_error(path, error) from error

        yield add
        with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            spool.seek(0)
            shutil.copyfileobj(spool, file)
    finally:
        with suppress(OSError):  # closing tries once more to write what a full disk had no room for
            spool.close()


@contextmanager
def _write_json_lines(path: Path, described: Described) -> Iterator[AddRow]:
    with _spooled_text(path) as write:

        def add(row: Prediction) -> None:
            content = row.describe(described.classes, described.top_k, timed=described.timed)
            write(json.dumps(content, ensure_ascii=False) + "\n")

        yield add


@contextmanager
def _write_csv(path: Path, described: Described) -> Iterator[AddRow]:
    """Write a column for each class in turn; videos that cannot be read have an error in the last one."""
    count = min(described.top_k, len(described.classes))
    classes = [f"{kind}_{place}" for place in range(1, count + 1) for kind in ("class", "probability")]
    times = ["start", "end"] * described.timed + ["start_frame", "end_frame"] * described.windowed
    with _spooled_text(path) as write:

        def add_cells(cells: Sequence[Any]) -> None:
            line = io.StringIO()
            csv.writer(line, lineterminator="\n").writerow(cells)
            write(line.getvalue())

        def add(row: Prediction) -> None:
            content = row.describe(described.classes, count, timed=described.timed)
            top = [value for each in content.get("top", []) for value in each.values()] or [""] * len(classes)
            add_cells([row.path, *(content.get(name) for name in times), *top, row.error])

        add_cells(["path", *times, *classes, "error"])
        yield add


@contextmanager
def _write_figure(path: Path, described: Described) -> Iterator[AddRow]:
    rows: list[Prediction] = []
    yield rows.append
    if not (known := [row for row in rows if not row.error]):
        return
    seconds = [row.seconds() for row in known]
    unit = "frames" if seconds[0][0] is None else "s"
    spans = np.array([_frame_span(row) for row in known] if unit == "frames" else seconds, np.float64)
    probabilities = np.stack([row.probabilities for row in known])
    with atomic_write(path) as temporary:
        title = Path(known[0].path).name
        draw_timeline(spans, probabilities, described.classes, temporary, unit=unit, title=title)


@contextmanager
def _write_labelled_video(path: Path, described: Described) -> Iterator[AddRow]:
    """Write the video with its classes, or on each frame those of the window whose centre is nearest."""
    rows: list[Prediction] = []
    yield rows.append
    if not (known := [row for row in rows if not row.error]):
        return
    video, interval = Path(known[0].path), known[0].interval
    scan = open_sequential(video).scan
    numbers = sampled_frames(video, scan, interval, None)
    frames = _labelled(video, interval, known, numbers, described)
    with atomic_write(path) as temporary:
        encode_video(temporary, frames, encoding_rate(scan), *choose_encoder())


def _labelled(
    video: Path, interval: Interval | None, rows: Sequence[Prediction], numbers: np.ndarray, described: Described
) -> Iterator[np.ndarray]:
    """Yield all frames of a video with their labels; `numbers` are theirs in the file."""
    begins = nearest_edges(np.array([_frame_span(row) for row in rows]))[1:-1] if len(rows) > 1 else np.empty(0)
    chosen = np.searchsorted(begins, numbers, side="right").tolist()
    drawn, label = -1, np.empty(0)
    with described.reporter.progress(len(numbers), "frames") as bar:
        for place, frame in zip(chosen, whole_video(video, interval), strict=True):
            if place != drawn:
                top = rows[place].top(min(LABEL_CLASSES, described.top_k))
                texts = [f"{described.classes[number]} {probability:.2f}" for number, probability in top]
                drawn, label = place, draw_label(texts, *frame.shape[:2])
            yield lay_label(frame, label)
            bar.advance()


def _frame_span(row: Prediction) -> tuple[int, int]:
    assert row.window is not None
    return row.window.start_frame, row.window.end_frame


class FileKind(NamedTuple):
    """What a suffix stands for.

    Attributes:
        write: opens a file, and yields what adds a row; the file is written when the context ends without an error,
            and if it shows a video, that could be read.
        holds_rows: whether all rows can be read from it.
        one_video: it shows one video.
        needs_timeline: it shows windows.
    """

    write: Callable[[Path, Described], AbstractContextManager[AddRow]]
    holds_rows: bool = False
    one_video: bool = False
    needs_timeline: bool = False


FILE_KINDS = {
    ".jsonl": FileKind(_write_json_lines, holds_rows=True),
    ".csv": FileKind(_write_csv, holds_rows=True),
    ".png": FileKind(_write_figure, one_video=True, needs_timeline=True),
    ".mp4": FileKind(_write_labelled_video, one_video=True),
}


def kind_of(path: Path) -> FileKind:
    """Return what a file's suffix stands for.

    Raises:
        UsageError: it is not one of FILE_KINDS.
    """
    if (suffix := path.suffix.lower()) not in FILE_KINDS:
        raise UsageError(f"output '{path}' does not end in {', '.join(FILE_KINDS)}. Change --out")
    return FILE_KINDS[suffix]


def check_outputs(outs: Sequence[Path], *, timeline: bool, overwrite: bool, sources: Sequence[Path]) -> None:
    """Check at the start that the files can be written.

    Raises:
        UsageError: a suffix is unknown or needs a timeline, a file is named twice, or cannot be written.
    """
    for place, out in enumerate(outs):
        if kind_of(out).needs_timeline and not timeline:
            raise UsageError(f"output '{out}' shows a timeline. Add --timeline, or name a file that ends in .csv")
        if out.absolute() in [other.absolute() for other in outs[:place]]:
            raise UsageError(f"output '{out}' is named twice. Leave one out")
        check_new_file(out, "--out", overwrite=overwrite, sources=sources)


def check_one_video(outs: Sequence[Path], num_videos: int, *, flow: bool) -> None:
    """Check the files that show one video.

    Raises:
        UsageError: there are several, or optical flow would be shown as a video.
    """
    for out in outs:
        if kind_of(out).one_video and num_videos > 1:
            raise UsageError(f"output '{out}' shows one video, and there are {num_videos}. Name one, or --out rows.csv")
        if flow and out.suffix.lower() == ".mp4":
            raise UsageError(f"output '{out}' shows frames, and the network takes optical flow. Use --out rows.csv")
