"""A run's folder: configuration, metrics, curves and checkpoints.

Nothing is created before there is something to keep, so that a refused or failed start leaves nothing behind. Rank 0
writes.

An epoch counts once last.pt holds it. Its lines for the logs are kept in a pending file before that is written, and
logged after it, or when the run resumes: a kill at any moment costs no file and no line.
"""

import csv
import filecmp
import io
import json
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from vtdl_cli import ranks
from vtdl_cli.analysis.curves import draw_curves
from vtdl_cli.engine.networks.checkpoint import CHECKPOINTS, Stage
from vtdl_cli.engine.train.meter import rename_metrics
from vtdl_cli.engine.train.trackers import IDS, Trackers
from vtdl_cli.errors import UsageError, VtdlError
from vtdl_cli.locks import FOLDER_LOCK, lock_folder
from vtdl_cli.runtime import Reporter, atomic_write, check_writable, write_text

CURVES_EVERY_SECONDS = (
    30.0  # or less often; drawing takes about half a second: too much after each of many short epochs
)
CURVES_SHARE = 0.005  # of a run's time, at most: of many epochs, or on a busy machine, drawing takes seconds

CONFIG, METRICS, GRADIENTS = "config.yaml", "metrics.jsonl", "gradients.jsonl"
PENDING = ".epochs.json"  # the lines of epochs for the logs, until last.pt is written and they are logged
REPLACING = ".replacing.yaml"  # the configuration of a run that is to replace the one here, until it is first saved

EpochMetrics = dict[str, float]
"""One line of metrics.jsonl."""

Gradients = dict[str, Any]
"""One line of gradients.jsonl; see `health.gradient_metrics`."""


def refuse_used_folder(path: Path, what: str, *, resume: bool, overwrite: bool) -> None:
    """Refuse at the start an output folder that cannot be written, or is not empty.

    Args:
        path: the folder.
        what: names it in the message.
        resume, overwrite: either permits a folder that is not empty.

    Raises:
        UsageError: the folder cannot be used.
    """
    check_writable(path)
    if is_in_use(path) and not (resume or overwrite):
        raise UsageError(
            f"{what} '{path}' is not empty. Use --resume to continue, --overwrite to start over, or another --out"
        )


def is_in_use(path: Path) -> bool:
    """Whether a folder holds anything but a lock."""
    return path.is_dir() and any(entry.name != FOLDER_LOCK for entry in path.iterdir())


def has_text(path: Path, text: str) -> bool:
    """Whether a file exists and holds this text."""
    return path.exists() and path.read_text(encoding="utf-8", errors="replace") == text


def written_files(folder: Path) -> list[Path]:
    """Return the files of a run except its configuration; last.pt first."""
    logs = [folder / name for name in (METRICS, "metrics.csv", GRADIENTS, "curves.png", IDS)]
    there = [path for path in (*written_checkpoints(folder), *logs) if path.is_file()]
    return [*there, *sorted(folder.glob("events.out.tfevents.*"))]


def written_checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints of a run, last.pt first."""
    checkpoints = folder / CHECKPOINTS
    names = [checkpoints / "last.pt", checkpoints / "best.pt", *sorted(checkpoints.glob("epoch_*.pt"))]
    return [path for path in names if path.is_file()]


def name_files(paths: Sequence[Path], folder: Path) -> str:
    """Name the first of some files in a folder, and how many more there are."""
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return f"{paths[0].relative_to(folder)}{more}"


def read_log(path: Path) -> list[dict[str, Any]]:
    """Read a log of one JSON object per epoch and line; empty if there is no such file.

    Raises:
        VtdlError: a line is not an epoch.
    """
    rows = []
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    for number, line in enumerate(text.splitlines(), start=1):
        row = _parse(line)
        if not _is_epoch(row):
            raise VtdlError(f"log '{path}' is damaged: line {number} is not an epoch. Remove that line")
        rows.append(rename_metrics(row))
    return rows


def _parse(text: str) -> Any:
    """Parse JSON; None where it is damaged."""
    try:
        return json.loads(text)
    except ValueError:
        return None


def _is_epoch(row: Any) -> bool:
    return isinstance(row, dict) and {"epoch", "step"} <= row.keys()


def _is_pending(epoch: Any) -> bool:
    """Whether it is what `write_pending` writes of an epoch: a line of one log, and a line or nothing of another."""
    return isinstance(epoch, list) and len(epoch) == 2 and _is_epoch(epoch[0]) and isinstance(epoch[1], dict)


def stage_of(rows: Iterable[Mapping[str, Any]]) -> Stage:
    """Return the stage of a run by its metrics: only finetuning has a training accuracy."""
    return "finetune" if any("train_top1" in row for row in rows) else "pretrain"


class RunFolder:
    """The output of one training.

    Args:
        path: the folder.
        resume: whether to continue the run in it.
        overwrite: whether the run in it may be deleted.
        trackers: as in the configuration; none if the run is only read.

    Raises:
        UsageError: the folder is not empty and neither is set, or it cannot be written; a tracker is not installed.

    Attributes:
        resumes: whether the run continues from a last.pt that is its own.
    """

    def __init__(self, path: Path, *, resume: bool, overwrite: bool, trackers: Sequence[str] | None = ()) -> None:
        self.path = path
        self.checkpoints = path / CHECKPOINTS
        self.last, self.best = self.checkpoints / "last.pt", self.checkpoints / "best.pt"
        self.resume, self.overwrite = resume, overwrite and not resume
        self.resumes = self._can_resume
        self._curves_drawn, self._curves_wait = time.monotonic(), CURVES_EVERY_SECONDS
        self._trackers = Trackers(path, trackers)
        self._opened = self._announced = False
        refuse_used_folder(path, "run folder", resume=resume, overwrite=overwrite)

    @property
    def tracking_seconds(self) -> float:
        """What the trackers have taken so far."""
        return self._trackers.seconds

    @property
    def is_replaced(self) -> bool:
        """Whether a run has begun to replace the one in the folder, and was not saved yet."""
        return (self.path / REPLACING).exists()

    @property
    def _can_resume(self) -> bool:
        return self.resume and self.last.exists() and not self.is_replaced

    def claim(self, reporter: Reporter) -> None:
        """Lock the folder, before the run in it is read.

        Raises:
            VtdlError: another process holds the lock.
            UsageError: another process has written into it since the first check.
        """
        self._trackers.warn = reporter.warn
        lock_folder(self.path, reporter)
        refuse_used_folder(self.path, "run folder", resume=self.resume, overwrite=self.overwrite)
        self.resumes = self._can_resume

    @ranks.on_rank_0
    def announce(self, config_yaml: str) -> None:
        """Note that a run of this configuration is to replace what is in the folder: nobody resumes that by mistake."""
        if is_in_use(self.path):
            write_text(self.path / REPLACING, config_yaml)
            self._announced = True

    @ranks.on_rank_0
    def withdraw(self) -> None:
        """Take that back where the run failed before it was first saved: the one in the folder stays."""
        if self._announced and not self._opened:
            (self.path / REPLACING).unlink(missing_ok=True)

    def refuse_to_replace(self, config_yaml: str) -> None:
        """Refuse to start from the beginning, for lack of a last.pt, if that would replace files of another run.

        A run that has begun to replace them may do so.

        Raises:
            UsageError: the folder holds such files, or another configuration than this one.
        """
        replacing, config, written = self.path / REPLACING, self.path / CONFIG, written_files(self.path)
        if has_text(replacing, config_yaml):
            return
        if replacing.exists() and self.last.exists():
            raise UsageError(
                f"run folder '{self.path}' was to be overwritten by a run of another configuration, which was stopped "
                "before it was first saved. Use that configuration, --overwrite to start over, or remove "
                f"'{replacing}' to resume the earlier run"
            )
        if config.exists() and not has_text(config, config_yaml):
            written.append(config)
        if written:
            raise UsageError(
                f"run folder '{self.path}' holds {name_files(written, self.path)}, but no checkpoints/last.pt to "
                "resume from. Use --overwrite to start over, or another --out"
            )

    @ranks.on_rank_0
    def open(self, config_yaml: Callable[[], str]) -> None:
        """Create the folder, delete an old run if asked to, and write the configuration; on the first call only."""
        if self._opened:
            return
        self._opened = True
        if self.overwrite or self.is_replaced:
            self._remove_old_run()
        if not self.resumes:
            (self.path / PENDING).unlink(missing_ok=True)  # of a run that was killed before it logged them
        write_text(self.path / CONFIG, config_yaml())

    def _remove_old_run(self) -> None:
        """Delete the files of a run and no others; last.pt first, so that nobody can resume from half a run."""
        for path in [*written_files(self.path), *self.checkpoints.glob(".*.part")]:
            path.unlink()
        with suppress(OSError):  # it holds what others have put there, or there is none
            self.checkpoints.rmdir()
        (self.path / REPLACING).unlink(missing_ok=True)

    def abandon(self) -> None:
        """Remove what a first save has left that failed, so that the same command can be typed again."""
        if not self.last.exists():
            for name in (CONFIG, PENDING):
                (self.path / name).unlink(missing_ok=True)
            with suppress(OSError):  # it holds what others have put there, or there is none
                self.checkpoints.rmdir()

    @ranks.on_rank_0
    def write_pending(self, epochs: Sequence[tuple[EpochMetrics, Gradients]]) -> None:
        """Keep each epoch's line of metrics.jsonl, and of gradients.jsonl unless it is empty, for `log_pending`."""
        if epochs:
            write_text(self.path / PENDING, json.dumps(epochs))

    @ranks.on_rank_0
    def log_pending(self, step: int) -> None:
        """Log the pending epochs up to `step`, the step of last.pt; drop later ones, which are trained again.

        metrics.jsonl comes last: an epoch in it is also in gradients.jsonl and at the trackers.
        """
        if not (self.path / PENDING).exists():
            return
        before = self.rows()
        logged = {row["step"] for row in before}
        pending = [
            (rename_metrics(row), gradients)
            for row, gradients in self._read_pending()
            if row["step"] <= step and row["step"] not in logged
        ]
        for row, _ in pending:
            self._trackers.log(row, self._read_config)
        if new := [gradients for _, gradients in pending if gradients]:
            steps = {gradients["step"] for gradients in new}
            earlier = [each for each in read_log(self.path / GRADIENTS) if each["step"] not in steps]
            self._write_lines(GRADIENTS, [*earlier, *new])
        if pending:
            self._write([*before, *(row for row, _ in pending)])
        (self.path / PENDING).unlink()

    def _read_pending(self) -> list[tuple[EpochMetrics, Gradients]]:
        path = self.path / PENDING
        epochs = _parse(path.read_text(encoding="utf-8", errors="replace"))
        if not isinstance(epochs, list) or not all(_is_pending(each) for each in epochs):
            raise VtdlError(f"file '{path}' is damaged: it does not hold epochs. Remove it: the log will lack them")
        return [(row, gradients) for row, gradients in epochs]

    @ranks.on_rank_0
    def copy_last(self, copy: Path) -> None:
        """Copy last.pt, unless the copy exists already."""
        if not copy.exists() or not filecmp.cmp(self.last, copy, shallow=False):
            with atomic_write(copy) as temporary:
                shutil.copyfile(self.last, temporary)

    @ranks.on_rank_0
    def draw_when_due(self) -> None:
        """Draw curves.png, unless that was done a short while ago."""
        if time.monotonic() - self._curves_drawn > self._curves_wait:
            self.draw()

    @ranks.on_rank_0
    def draw(self) -> None:
        """Draw curves.png."""
        began = time.monotonic()
        if rows := self.rows():
            with atomic_write(self.path / "curves.png") as temporary:
                draw_curves({self.path.name: rows}, temporary)
        self._curves_drawn = time.monotonic()
        self._curves_wait = max(CURVES_EVERY_SECONDS, (self._curves_drawn - began) / CURVES_SHARE)

    def rows(self) -> list[EpochMetrics]:
        """Read all epochs logged so far."""
        return read_log(self.path / METRICS)

    @ranks.on_rank_0
    def rewind(self, step: int) -> None:
        """Remove the epochs after `step` from the logs: a resumed run trains them again."""
        self._write([row for row in self.rows() if row["step"] <= step])
        if gradients := read_log(self.path / GRADIENTS):
            self._write_lines(GRADIENTS, [row for row in gradients if row["step"] <= step])

    def _read_config(self) -> dict[str, Any]:
        return dict(yaml.safe_load((self.path / CONFIG).read_text(encoding="utf-8")))

    def _write_lines(self, name: str, rows: list[dict[str, Any]]) -> None:
        """Replace a whole log, so that a kill or a full disk never leaves half a line."""
        write_text(self.path / name, "".join(json.dumps(row) + "\n" for row in rows))

    def _write(self, rows: list[EpochMetrics]) -> None:
        self._write_lines(METRICS, rows)
        names = list(dict.fromkeys(name for row in rows for name in row))  # an epoch without kNN has no such column
        table = io.StringIO()
        writer = csv.DictWriter(table, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.path / "metrics.csv", table.getvalue())

    def close(self) -> None:
        """Draw the curves and close the trackers."""
        self.draw()
        self._trackers.close()
