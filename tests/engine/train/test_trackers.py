"""Trackers receive what metrics.jsonl does, continue on resuming, and never stop a run."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.toy import Toy, refuse, rows, succeed, vtdl, without_times
from vtdl_cli.engine.train import trackers
from vtdl_cli.engine.train.tracker_libraries import TRACKERS, TrackedRun
from vtdl_cli.engine.train.trackers import Trackers, is_installed
from vtdl_cli.setting_keys import flatten


class Recorder:
    """A tracker that keeps what it is given, in a class attribute."""

    opened: list[TrackedRun]
    logged: list[Mapping[str, float]]
    failing: tuple[str, ...] = ()

    def __init__(self, run: TrackedRun) -> None:
        self.run_id = run.run_id or "new"
        self.opened.append(run)
        self._fail("open")

    def log(self, row: Mapping[str, float]) -> None:
        print("trackio prints such things")
        self._fail("log")
        self.logged.append(row)

    def close(self) -> None:
        self._fail("close")

    def _fail(self, where: str) -> None:
        if where in self.failing:
            raise OSError("no network")


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> type[Recorder]:
    """Stands for wandb, which is taken for installed."""
    monkeypatch.setattr(Recorder, "opened", [], raising=False)
    monkeypatch.setattr(Recorder, "logged", [], raising=False)
    monkeypatch.setitem(TRACKERS, "wandb", Recorder)
    monkeypatch.setattr(trackers, "is_installed", lambda _: True)
    return Recorder


ONE_EPOCH = (
    "--set",
    "pretrain.epochs=1",
    "--set",
    "pretrain.trackers=[wandb]",
    "--set",
    "pretrain.schedule.name=constant",
)


def test_pretrain__a_resumed_run_continues_at_the_tracker(toy: Toy, tmp_path: Path, recorder: type[Recorder]) -> None:
    """One epoch, then a second one on resuming: all rows of metrics.jsonl, under one id, and stdout stays JSON."""
    run = tmp_path / "run"
    json.loads(succeed(*toy.pretrain(run, *ONE_EPOCH, "--json")).stdout)
    succeed(*toy.pretrain(run, *ONE_EPOCH, "--set", "pretrain.epochs=2", "--resume"))
    assert recorder.logged == rows(run)
    assert [(each.run_id, each.step) for each in recorder.opened] == [("", 3), ("new", 6)]
    assert recorder.opened[0].config["pretrain"]["batch_size"] == 4
    assert json.loads((run / "trackers.json").read_text()) == {"wandb": "new"}
    assert not list(run.glob("events.out*"))  # it was not named
    succeed(*toy.pretrain(run, *ONE_EPOCH, "--overwrite"))
    assert recorder.opened[-1].run_id == ""  # another run


@pytest.mark.parametrize("where", ["open", "log", "close"])
def test_pretrain__a_failing_tracker_is_one_warning(
    where: str, toy: Toy, tmp_path: Path, recorder: type[Recorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "failing", (where,))
    result = succeed(*toy.pretrain(tmp_path / "run", *ONE_EPOCH, "--set", "pretrain.epochs=2"))
    assert result.stderr.count("warning: tracker 'wandb' failed, and the run continues without it: no network") == 1
    assert len(rows(tmp_path / "run")) == 2


@pytest.mark.parametrize("content", ["{", "[1]"])
def test_pretrain__damaged_ids_are_named(toy: Toy, tmp_path: Path, recorder: type[Recorder], content: str) -> None:
    ids = tmp_path / "run/trackers.json"
    succeed(*toy.pretrain(tmp_path / "run", *ONE_EPOCH))
    ids.write_text(content)
    result = succeed(*toy.pretrain(tmp_path / "run", *ONE_EPOCH, "--set", "pretrain.epochs=2", "--resume"))
    words = "failed, and the run continues without it"
    assert f"warning: tracker 'wandb' {words}: file '{ids}' is damaged. Remove it to begin a new run" in result.stderr
    assert len(recorder.opened) == 1


def test_pretrain__absent_trackers_are_refused_by_name(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trackers, "is_installed", lambda name: name == "tensorboard")
    out = tmp_path / "run"
    for line in (toy.pretrain(out), toy.finetune(out)):
        said = ("tracker 'wandb' is not installed. Type pip install wandb, or leave it out", "tracker 'mlflow' is not")
        refuse(*line, "--set", f"{line[0]}.trackers=[wandb, tensorboard, mlflow]", "--dry-run", code=2, says=said)
    result = vtdl(*toy.pretrain(out), "--set", "pretrain.trackers=[comet]")
    assert result.exit_code == 2
    assert "pretrain.trackers.0 'comet'" in result.stderr
    assert not out.exists()


def test_trackers__default_is_tensorboard_where_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trackers, "is_installed", lambda _: False)
    Trackers(tmp_path, None).log({"step": 1.0}, dict)
    assert not list(tmp_path.iterdir())


def test_is_installed__a_folder_is_no_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notalibrary").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert not is_installed("notalibrary")
    assert is_installed("yaml")


def test_flatten__by_hand() -> None:
    assert dict(flatten({"a": 1, "b": {"c": [2], "d": {"e": None}}})) == {"a": 1, "b.c": [2], "b.d.e": None}


# ---- the libraries themselves, each as its own reader sees it

CONFIG: dict[str, Any] = {"pretrain": {"epochs": 3, "trackers": None}, **{f"key{n}": n for n in range(120)}}


def log_twice(name: str, folder: Path) -> str:
    """Log an epoch, then another as a resumed run does; returns the run's id."""
    failed: list[str] = []
    for step in (3, 6):
        opened = Trackers(folder, [name])
        opened.warn = failed.append
        opened.log({"epoch": step / 3, "step": step, "loss": 1 / step}, lambda: CONFIG)
        opened.close()
    assert failed == []
    return str(json.loads((folder / "trackers.json").read_text())[name])


def test_wandb__offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: its own files, one for each of the two openings of the same run; they hold values as JSON texts."""
    wandb = pytest.importorskip("wandb", reason="needs wandb: pip install wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    run_id = log_twice("wandb", tmp_path)
    wandb.teardown()  # only now everything is on the disk
    first, second = sorted(tmp_path.glob(f"wandb/offline-run-*-{run_id}*/run-{run_id}.wandb"))
    for file, step in ((first, 3), (second, 6)):
        content = file.read_bytes()
        assert b"loss" in content
        assert str(1 / step).encode() in content
        assert b"key119" in content  # of the configuration


def test_mlflow__local_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: its own client."""
    mlflow = pytest.importorskip("mlflow", reason="needs mlflow: pip install mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    run_id = log_twice("mlflow", tmp_path)
    client = mlflow.MlflowClient()
    assert [(each.step, each.value) for each in client.get_metric_history(run_id, "loss")] == [(3, 1 / 3), (6, 1 / 6)]
    run = client.get_run(run_id)
    assert run.data.params["pretrain.epochs"] == "3"
    assert len(run.data.params) == 122
    assert run.info.status == "FINISHED"


def test_trackio__local_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: its own database."""
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))  # read when it is imported
    trackio = pytest.importorskip("trackio", reason="needs trackio: pip install trackio")
    run_id = log_twice("trackio", tmp_path)
    [run] = [each for each in trackio.Api().runs("vtdl") if each.name == run_id]
    assert run.name.startswith(tmp_path.name)


@pytest.mark.chain
def test_finetune__every_tracker_that_is_installed(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The numbers do not depend on who logs them."""
    named = [name for name in ("tensorboard", "wandb", "mlflow") if is_installed(name)]
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    one_epoch = ("--set", "finetune.epochs=1")
    result = succeed(*toy.finetune(tmp_path / "with", *one_epoch, "--set", f"finetune.trackers=[{','.join(named)}]"))
    succeed(*toy.finetune(tmp_path / "without", *one_epoch, "--set", "finetune.trackers=[]"))
    assert "warning: tracker" not in result.stderr
    assert without_times(rows(tmp_path / "with")) == without_times(rows(tmp_path / "without"))
    assert not list((tmp_path / "without").glob("events.out*"))
