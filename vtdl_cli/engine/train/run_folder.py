"""A run's folder: configuration, metrics, curves and checkpoints.

Nothing is created before there is something to keep, so that a refused or failed start leaves nothing behind. Of
several processes the first writes.

An epoch counts once last.pt has been written. Its lines for the logs are put aside before that; these and whatever else
it leaves are written after it, and when a run resumes: a kill at any moment costs no file and no line.
"""

import csv
import filecmp
import io
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vtdl_cli import ranks
from vtdl_cli.analysis.curves import draw_curves
from vtdl_cli.engine.train.meter import rename_metrics
from vtdl_cli.errors import UsageError, VtdlError
from vtdl_cli.locks import FOLDER_LOCK, lock_folder
from vtdl_cli.runtime import Reporter, atomic_write, check_writable

CURVES_EVERY_SECONDS = 30.0  # drawing takes about half a second: too much after each of many short epochs

CONFIG, METRICS, GRADIENTS = "config.yaml", "metrics.jsonl", "gradients.jsonl"
PENDING = ".epoch.json"  # an epoch's lines for the logs, until last.pt is written and they are logged

Row = dict[str, float]


def refuse_used_folder(path: Path, what: str, *, resume: bool, overwrite: bool) -> None:
    """Refuse at the start an output folder that cannot be written, or that holds something nobody gave up.

    Raises:
        UsageError: so it is; `what` names the folder in the message.
    """
    check_writable(path)
    in_use = path.is_dir() and any(entry.name != FOLDER_LOCK for entry in path.iterdir())
    if in_use and not (resume or overwrite):
        raise UsageError(
            f"{what} '{path}' is not empty. Use --resume to go on, --overwrite to start anew, or another --out"
        )


def read_log(path: Path) -> list[dict[str, Any]]:
    """The epochs of a log of one JSON object a line; none where it is not there.

    Raises:
        VtdlError: a line is something else.
    """
    rows = []
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict) or not {"epoch", "step"} <= row.keys():
            raise VtdlError(f"log '{path}' is damaged: line {number} is not an epoch. Remove that line")
        rows.append(rename_metrics(row))
    return rows


class RunFolder:
    """The output of one training.

    Args:
        path: the folder.
        resume: whether what it holds is to be continued.
        overwrite: whether what it holds may be deleted.

    Raises:
        UsageError: the folder holds something and neither is set, or it cannot be written.

    Attributes:
        resumes: whether there is a last.pt to go on from, and that was asked for.
    """

    def __init__(self, path: Path, *, resume: bool, overwrite: bool) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.last, self.best = self.checkpoints / "last.pt", self.checkpoints / "best.pt"
        self.resume, self.overwrite = resume, overwrite and not resume
        self.resumes = resume and self.last.exists()
        self._curves_drawn = time.monotonic()
        self._tensorboard: Any = None
        self._opened = False
        refuse_used_folder(path, "run folder", resume=resume, overwrite=overwrite)

    def claim(self, reporter: Reporter) -> None:
        """Become the only one who writes into it: before anything in it is read that is to be continued.

        Raises:
            VtdlError: another process writes into it.
            UsageError: another one has, since this one looked.
        """
        lock_folder(self.path, reporter)
        refuse_used_folder(self.path, "run folder", resume=self.resume, overwrite=self.overwrite)
        self.resumes = self.resume and self.last.exists()

    def refuse_to_replace(self, config_yaml: str) -> None:
        """Let a run that is to resume start from the beginning only where that costs nothing that is there.

        Raises:
            UsageError: the folder holds what a run would replace, other than the configuration that this one has.
        """
        config, written = self.path / CONFIG, self._written()
        if config.exists() and config.read_text(encoding="utf-8", errors="replace") != config_yaml:
            written.append(config)
        if left := [str(path.relative_to(self.path)) for path in written]:
            more = f" and {len(left) - 1} more" if len(left) > 1 else ""
            raise UsageError(
                f"run folder '{self.path}' holds {left[0]}{more}, but no checkpoints/last.pt to resume from. "
                "Use --overwrite to start anew, or another --out"
            )

    def _written(self) -> list[Path]:
        """What an earlier run left, its configuration aside; last.pt first."""
        logs = [self.path / name for name in (METRICS, "metrics.csv", GRADIENTS, "curves.png")]
        checkpoints = [self.last, *sorted(self.checkpoints.glob("[!.]*"))]
        there = [path for path in (*checkpoints, *logs) if path.is_file()]
        return list(dict.fromkeys([*there, *sorted(self.path.glob("events.out.tfevents.*"))]))

    @ranks.on_rank_0
    def open(self, config_yaml: Callable[[], str]) -> None:
        """Make the folder, emptied first where overwriting was asked for, and keep the configuration in it; once."""
        if self._opened:
            return
        self._opened = True
        if self.overwrite:
            self._remove_old_run()
        with atomic_write(self.path / CONFIG) as temporary:
            temporary.write_text(config_yaml(), encoding="utf-8")

    def _remove_old_run(self) -> None:
        """Delete what a run writes, last.pt first, as nobody may go on from half a run, and nothing put beside it."""
        for path in self._written():
            path.unlink()
        shutil.rmtree(self.checkpoints, ignore_errors=True)

    @ranks.on_rank_0
    def put_aside(self, row: Row, gradients: dict[str, Any]) -> None:
        """Keep an epoch's line of metrics.jsonl, and that of gradients.jsonl unless it is empty, for `log`."""
        with atomic_write(self.path / PENDING) as temporary:
            temporary.write_text(json.dumps([row, gradients]), encoding="utf-8")

    @ranks.on_rank_0
    def log(self, step: int) -> None:
        """Log what was put aside of the epoch that ends with `step`, where last.pt stands; forget it of another one.

        metrics.jsonl comes last: an epoch that it has is in TensorBoard and gradients.jsonl, too.
        """
        if not (self.path / PENDING).exists():
            return
        row, gradients = json.loads((self.path / PENDING).read_text(encoding="utf-8"))
        before = self.rows()
        if row["step"] == step and step not in [each["step"] for each in before]:
            self._log_tensorboard(row)
            if gradients:
                earlier = [each for each in read_log(self.path / GRADIENTS) if each["step"] != step]
                self._write_lines(GRADIENTS, [*earlier, gradients])
            self._write([*before, row])
        (self.path / PENDING).unlink()
        if time.monotonic() - self._curves_drawn > CURVES_EVERY_SECONDS:
            self.draw()

    @ranks.on_rank_0
    def keep(self, copy: Path) -> None:
        """Copy last.pt to where it stays; what is there already is left."""
        if not copy.exists() or not filecmp.cmp(self.last, copy, shallow=False):
            with atomic_write(copy) as temporary:
                shutil.copyfile(self.last, temporary)

    @ranks.on_rank_0
    def draw(self) -> None:
        """Write curves.png."""
        if rows := self.rows():
            with atomic_write(self.path / "curves.png") as temporary:
                draw_curves({self.path.name: rows}, temporary)
        self._curves_drawn = time.monotonic()

    def rows(self) -> list[Row]:
        """All epochs logged so far."""
        return read_log(self.path / METRICS)

    @ranks.on_rank_0
    def rewind(self, step: int) -> None:
        """Forget the epochs after `step`: a resumed run goes through them again."""
        self._write([row for row in self.rows() if row["step"] <= step])
        if gradients := read_log(self.path / GRADIENTS):
            self._write_lines(GRADIENTS, [row for row in gradients if row["step"] <= step])

    def _write_lines(self, name: str, rows: list[dict[str, Any]]) -> None:
        """A log anew and whole, so that a kill or a full disk never leaves half a line."""
        with atomic_write(self.path / name) as temporary:
            temporary.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    def _write(self, rows: list[Row]) -> None:
        self._write_lines(METRICS, rows)
        names = list(dict.fromkeys(name for row in rows for name in row))  # an epoch without kNN has no such column
        table = io.StringIO()
        writer = csv.DictWriter(table, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        with atomic_write(self.path / "metrics.csv") as temporary:
            temporary.write_text(table.getvalue(), encoding="utf-8")

    def _log_tensorboard(self, row: Row) -> None:
        if self._tensorboard is None:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:  # an extra: pip install 'vtdl[tensorboard]'
                self._tensorboard = False
            else:
                self._tensorboard = SummaryWriter(str(self.path), purge_step=int(row["step"]))
        if self._tensorboard:
            for name, value in row.items():
                self._tensorboard.add_scalar(name, value, int(row["step"]))
            self._tensorboard.flush()

    def close(self) -> None:
        """Draw the last curves and end the TensorBoard file."""
        self.draw()
        if self._tensorboard:
            self._tensorboard.close()
