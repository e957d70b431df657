"""Experiment trackers: where the lines of metrics.jsonl go besides.

A tracker is a class with the methods of `Tracker`, and a line in TRACKERS. Its library is imported when the first epoch
is logged. Whatever fails in it is a warning: the run goes on without that tracker.
"""

import io
import json
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from vtdl_cli.errors import UsageError
from vtdl_cli.runtime import Warn, atomic_write, ignore_warning

IDS = "trackers.json"
"""The file in a run folder with the id of the run at each tracker, so that a resumed run continues it there."""

PROJECT = "vtdl"
MLFLOW_BATCH = 100  # parameters in one request, the most that MLflow takes
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}  # its own: 7 of 120 s
LOGIN_SECONDS = 30  # for which Weights & Biases asks for a key in a terminal; then it is left out

Row = Mapping[str, float]
"""One line of metrics.jsonl."""


@dataclass(frozen=True)
class TrackedRun:
    """What a tracker is opened with.

    Attributes:
        folder: of the run.
        config: the configuration of all stages, in plain types.
        step: of the first row that will be logged.
        run_id: where the tracker has seen this run before: its `run_id` then; else ''.
    """

    folder: Path
    config: dict[str, Any]
    step: int
    run_id: str


class Tracker(Protocol):
    """An open tracker.

    Attributes:
        run_id: names the run at the tracker; '' if its folder is enough.
    """

    run_id: str

    def __init__(self, run: TrackedRun) -> None:
        """Open the tracker: begin a run, or continue the one of `run.run_id`."""

    def log(self, row: Row) -> None:
        """Log an epoch at its step, `row["step"]`."""

    def close(self) -> None:
        """Finish; a resumed run may open it again."""


class TensorBoard:
    """Event files in the run folder."""

    run_id = ""

    def __init__(self, run: TrackedRun) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(run.folder), purge_step=run.step)

    def log(self, row: Row) -> None:
        """See `Tracker.log`."""
        for name, value in row.items():
            self._writer.add_scalar(name, value, int(row["step"]))
        self._writer.flush()

    def close(self) -> None:
        """See `Tracker.close`."""
        self._writer.close()


class WeightsAndBiases:
    """A run of Weights & Biases, set up by its own variables, such as WANDB_PROJECT and WANDB_MODE=offline.

    A run that was resumed offline has several folders below `wandb`, all with its id.
    """

    def __init__(self, run: TrackedRun) -> None:
        import wandb

        self.run_id = run.run_id or uuid.uuid4().hex[:8]
        settings = wandb.Settings(silent=True, console="off", login_timeout=LOGIN_SECONDS)
        self._run: Any = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=run.folder.name,
            id=self.run_id,
            resume="allow",
            dir=str(run.folder),
            config=run.config,
            reinit="create_new",
            settings=settings,
        )

    def log(self, row: Row) -> None:
        """See `Tracker.log`."""
        self._run.log(dict(row), step=int(row["step"]))

    def close(self) -> None:
        """See `Tracker.close`."""
        self._run.finish()


class MLflow:
    """A run of MLflow, at MLFLOW_TRACKING_URI, in the experiment MLFLOW_EXPERIMENT_NAME."""

    def __init__(self, run: TrackedRun) -> None:
        for name, value in PATIENCE.items():
            os.environ.setdefault(name, value)
        import mlflow

        self._mlflow: Any = mlflow
        self._client: Any = mlflow.MlflowClient()
        self.run_id = run.run_id or self._create(run)
        self._client.update_run(self.run_id, status="RUNNING")

    def _create(self, run: TrackedRun) -> str:
        """Begin a run, and log the configuration: MLflow refuses to change it later."""
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        known = self._client.get_experiment_by_name(name)
        experiment = known.experiment_id if known else self._client.create_experiment(name)
        run_id = str(self._client.create_run(experiment, run_name=run.folder.name).info.run_id)
        parameters = [self._mlflow.entities.Param(key, str(value)) for key, value in flatten(run.config)]
        for first in range(0, len(parameters), MLFLOW_BATCH):
            self._client.log_batch(run_id, params=parameters[first : first + MLFLOW_BATCH])
        return run_id

    def log(self, row: Row) -> None:
        """See `Tracker.log`."""
        now, step = int(1000 * time.time()), int(row["step"])
        metrics = [self._mlflow.entities.Metric(name, value, now, step) for name, value in row.items()]
        self._client.log_batch(self.run_id, metrics=metrics)

    def close(self) -> None:
        """See `Tracker.close`."""
        self._client.set_terminated(self.run_id)


class Trackio:
    """A run of trackio, in its local database or the Space of TRACKIO_SPACE_ID; its id is its name there."""

    def __init__(self, run: TrackedRun) -> None:
        import trackio

        self._finish: Any = trackio.finish  # the run's own would leave it to be finished again, and printed, at exit
        self.run_id = run.run_id or f"{run.folder.name}-{uuid.uuid4().hex[:8]}"
        self._run: Any = trackio.init(
            project=os.environ.get("TRACKIO_PROJECT", PROJECT),
            name=self.run_id,
            config=dict(flatten(run.config)),
            resume="allow",
            embed=False,
        )

    def log(self, row: Row) -> None:
        """See `Tracker.log`."""
        metrics = {name: value for name, value in row.items() if name != "step"}  # which trackio would rename, and warn
        self._run.log(metrics, step=int(row["step"]))

    def close(self) -> None:
        """See `Tracker.close`."""
        self._finish()


TRACKERS: dict[str, Callable[[TrackedRun], Tracker]] = {
    "tensorboard": TensorBoard,
    "wandb": WeightsAndBiases,
    "mlflow": MLflow,
    "trackio": Trackio,
}
"""By name in `pretrain.trackers`, which is also that of the library."""

DEFAULT = ("tensorboard",)
"""Used where it is installed, if the configuration names no trackers."""


def flatten(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each setting of a nested configuration with its key, `pretrain.epochs`."""
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


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
            with atomic_write(self.folder / IDS) as temporary:
                temporary.write_text(json.dumps({**ids, name: tracker.run_id}) + "\n", encoding="utf-8")

    def _read_ids(self) -> dict[str, str]:
        path = self.folder / IDS
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}

    def _attempt(self, name: str, action: Callable[[], None]) -> None:
        """Call a tracker; if that fails, warn and use it no more. stdout is kept for results."""
        try:
            with redirect_stdout(io.StringIO()):
                action()
        except Exception as error:  # of any library, such as a server that does not answer
            self._open.pop(name, None)
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            self.warn(f"tracker '{name}' failed, and the run continues without it: {reason}. metrics.jsonl has it all")

    def close(self) -> None:
        """Close all."""
        for name, tracker in list(self._open.items()):
            self._attempt(name, tracker.close)
        self._open.clear()
