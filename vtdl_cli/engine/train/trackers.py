"""Experiment trackers: where the lines of metrics.jsonl go besides.

A tracker is opened when the first epoch is logged. Whatever fails in it is a warning: the run continues without it.
"""

import io
import json
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vtdl_cli.engine.train.tracker_libraries import TRACKERS, Row, TrackedRun, Tracker
from vtdl_cli.errors import UsageError, VtdlError
from vtdl_cli.runtime import Warn, ignore_warning, write_json

IDS = "trackers.json"
"""The file in a run folder with the id of the run at each tracker, so that a resumed run continues it there."""

DEFAULT = ("tensorboard",)
"""Used where it is installed, if the configuration names no trackers."""


def is_installed(library: str) -> bool:
    """Whether a library can be imported; a folder of its name, such as ./wandb with its files, does not count."""
    spec = find_spec(library)
    return spec is not None and spec.origin is not None


class Trackers:
    """The trackers of one run.

    Args:
        folder: of the run.
        names: keys of TRACKERS; None: those of DEFAULT that are installed.

    Attributes:
        warn: called once for each tracker that fails.
        seconds: that they have taken: a server may answer late, or never.

    Raises:
        UsageError: with a line for each that is not installed.
    """

    def __init__(self, folder: Path, names: Sequence[str] | None) -> None:
        absent = [name for name in (DEFAULT if names is None else names) if not is_installed(name)]
        if names is not None and absent:
            raise UsageError(
                *(f"tracker '{name}' is not installed. Type pip install {name}, or leave it out" for name in absent)
            )
        self.folder = folder
        self.warn: Warn = ignore_warning
        self._waiting = [name for name in dict.fromkeys(DEFAULT if names is None else names) if name not in absent]
        self._open: dict[str, Tracker] = {}
        self.seconds = 0.0

    def log(self, row: Row, read_config: Callable[[], dict[str, Any]]) -> None:
        """Log an epoch; `read_config` is called before the first."""
        while self._waiting:
            name = self._waiting.pop(0)
            self._attempt(name, lambda name=name: self._begin(name, row, read_config()))  # type: ignore[misc]
        for name, tracker in list(self._open.items()):
            self._attempt(name, lambda tracker=tracker: tracker.log(row))  # type: ignore[misc]

    def _begin(self, name: str, row: Row, config: dict[str, Any]) -> None:
        ids = self._read_ids()
        tracker = TRACKERS[name](TrackedRun(self.folder, config, int(row["step"]), ids.get(name, "")))
        self._open[name] = tracker
        if tracker.run_id and tracker.run_id != ids.get(name):
            write_json(self.folder / IDS, {**ids, name: tracker.run_id})

    def _read_ids(self) -> dict[str, str]:
        path = self.folder / IDS
        if not path.exists():
            return {}
        try:
            return dict(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise VtdlError(f"file '{path}' is damaged. Remove it to begin a new run there") from error

    def _attempt(self, name: str, action: Callable[[], None]) -> None:
        """Call a tracker; if that fails, warn and use it no more. stdout is kept for results."""
        began = time.monotonic()
        try:
            with redirect_stdout(io.StringIO()):
                action()
        except Exception as error:  # of any library, such as a server that does not answer
            self._open.pop(name, None)
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            self.warn(f"tracker '{name}' failed, and the run continues without it: {reason}. metrics.jsonl has it all")
        self.seconds += time.monotonic() - began

    def close(self) -> None:
        """Close all."""
        for name, tracker in list(self._open.items()):
            self._attempt(name, tracker.close)
        self._open.clear()
