"""The libraries of experiment trackers, each behind the methods of `Tracker`, by name in TRACKERS.

Each is imported when its tracker is opened.
"""

import os
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from vtdl_cli.setting_keys import flatten

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
        parameters = [self._mlflow.entities.Param(key, str(value)) for key, value in flatten(run.config).items()]
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
            config=flatten(run.config),
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
