"""`vtdl bench pretrain` through the real command: that it times the loop and the step that pretraining has."""

import json
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch

from tests.toy import NUM_TRAIN, Toy, files_in, refuse, succeed
from vtdl_cli.data.clips.datasets import Batch
from vtdl_cli.engine.bench import parts
from vtdl_cli.engine.bench.loop import WARM_STEPS, LoopReporter, time_loop
from vtdl_cli.engine.bench.parts import StepParts, Videos
from vtdl_cli.engine.bench.pretrain import local_trackers
from vtdl_cli.engine.request import Execution, ListSource
from vtdl_cli.engine.train.pretrain import prepare_pretraining
from vtdl_cli.engine.train.run_folder import RunFolder
from vtdl_cli.engine.train.training import Training
from vtdl_cli.method.pretext_task import PretextTask
from vtdl_cli.runtime import SilentReporter
from vtdl_cli.settings import load_config

PARTS = ["worker", "transfer", "augmentation", "network", "optimizer", "saving"]
WHOLES = ["sum of parts", "loading", "ready batch", "together"]
CLIPS_PER_STEP = 3 * 4  # triplets of the preset's 4 videos
STEPS_PER_EPOCH = NUM_TRAIN // 4


def bench(toy: Toy, *more: str) -> list[str]:
    line = ["bench", "pretrain", "--preset", str(toy.preset), "--train-list", str(toy.train_list)]
    return [*line, "--root", str(toy.root), "--device", "cpu", "--workers", "0", "--repeats", "1", *more]


@pytest.fixture(scope="module")
def result(toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("bench")
    line = bench(toy, "--steps", "4", "--workers", "1", "--json", "--figure", str(folder / "bars.png"))
    found: dict[str, Any] = json.loads(succeed(*line).stdout)
    assert files_in(folder) == {"bars.png"}
    return found


def test_bench_pretrain__shares_add_up(result: dict[str, Any]) -> None:
    times = result["times"]
    assert list(times) == [*PARTS, *WHOLES]
    assert min(row["ms"] for row in times.values()) > 0
    assert sum(times[name]["share"] for name in PARTS) == pytest.approx(1)
    for unit in ("ms", "cpu_ms"):
        assert sum(times[name][unit] for name in PARTS) == pytest.approx(times["sum of parts"][unit])
    assert [name for name in WHOLES if "share" in times[name]] == []


def test_bench_pretrain__numbers_belong_together(result: dict[str, Any]) -> None:
    """Whole epochs are measured: of 4 steps asked for 6, two epochs of three."""
    times = {name: row["ms"] for name, row in result["times"].items()}
    assert (result["steps"], result["steps_per_epoch"], result["batch_size"]) == (6, STEPS_PER_EPOCH, 4)
    for name, rate in result["clips_per_second"].items():
        assert rate * times[name.replace("_", " ")] == pytest.approx(1000 * CLIPS_PER_STEP)
    assert result["end_to_end_share"] == pytest.approx(times["ready batch"] / times["together"])
    assert result["together_to_least"] == pytest.approx(times["together"] / result["least_ms"])
    assert result["least_ms"] >= max(times["ready batch"], times["loading"])
    assert 0 < result["data_time_share"] < 1
    per_epoch = STEPS_PER_EPOCH * times["together"]
    assert result["epoch_end_share"] == pytest.approx(result["epoch_end_ms"] / per_epoch)
    assert result["tflops"] == pytest.approx(result["gflop_per_step"] / times["ready batch"])  # GFLOP / ms
    assert result["share_of_peak"] == pytest.approx(result["tflops"] / result["peak_tflops"])
    assert result["peak_source"] == "measured product of 1024x1024 matrices in float32"
    assert "peak_memory_gib" not in result


def test_bench_pretrain__leaves_nothing_and_prints_a_table(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One step of an epoch of three; methods of other clips and steps of several batches can be timed, too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    settings = ("method.name=speed", "pretrain.accumulate_steps=2")
    line = bench(toy, "--steps", "1", *(word for each in settings for word in ("--set", each)))
    table = succeed(*line, "--quiet").stdout
    assert all(word in table for word in (*PARTS, *WHOLES, "ms a step", "share", "end_to_end_share"))
    assert list(tmp_path.iterdir()) == []


def test_bench_pretrain__refuses(toy: Toy, tmp_path: Path) -> None:
    refuse(*bench(toy, "--set", "pretrain.batch_size=13"), code=2, says=("less than one batch of 13",))
    refuse(*bench(toy, "--figure", str(tmp_path)), code=2, says=("is a folder. Name a file in it: --figure",))
    refuse(*bench(toy, "--figure", str(tmp_path / "d.jpg")), code=2, says=("d.jpg' does not end in .png",))
    assert list(tmp_path.iterdir()) == []


def test_bench_pretrain__gives_no_advice_on_training(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its weights are thrown away: it does not matter if nothing is learned."""
    monkeypatch.setattr("vtdl_cli.engine.train.pretrain.signs_of_failure", Mock(return_value={"loss": "raise"}))
    assert "raise" not in succeed(*bench(toy, "--steps", "3")).stderr


def prepared(toy: Toy, out: Path, reporter: Any) -> tuple[Training, PretextTask, Videos]:
    config = load_config(str(toy.preset), ["pretrain.epochs=9"])
    videos = ListSource(toy.train_list, toy.root).read()
    run = RunFolder(out, resume=False, overwrite=False)
    training, method = prepare_pretraining(config, videos, run, Execution(device="cpu", workers=0), reporter)
    return training, method, Videos.of(training, batches=1)


def test_loop__times_the_steps_and_epochs_asked_for(toy: Toy, tmp_path: Path) -> None:
    """Of 8 warm steps the last lies in the third epoch: of the next 6, two end an epoch."""
    reporter = LoopReporter(SilentReporter(), WARM_STEPS, 6)
    training, method, _ = prepared(toy, tmp_path / "run", reporter)
    times = time_loop(training, method, ListSource(toy.train_list, toy.root).read(), reporter)
    assert training.state.step == WARM_STEPS + 6
    assert len(times.epoch_ends) == 2
    assert 0 < sum(each.seconds for each in times.epoch_ends) < times.whole.seconds
    assert 0 < times.data_seconds < times.whole.seconds


def test_parts__are_those_of_a_step(toy: Toy, tmp_path: Path) -> None:
    """Oracle: the weights after a whole step, from the same start and draws."""
    weights = []
    for apart in (True, False):
        training, method, videos = prepared(toy, tmp_path / str(apart), SilentReporter())
        step = StepParts(training, method.train(), videos.first_batch())
        torch.manual_seed(1)
        if apart:
            for function in step.functions().values():
                function()
        else:
            step.whole_step()
        weights.append({name: values.clone() for name, values in method.state_dict().items()})
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(values, weights[1][name]) for name, values in weights[0].items())


def test_first_batch__is_whole_if_there_is_one(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, videos = prepared(toy, tmp_path / "run", SilentReporter())
    whole, read = videos.first_batch(), videos.read()
    assert torch.equal(whole.windows, read.windows)  # of the same keys
    monkeypatch.setattr(parts, "TRIED_BATCHES", 2)
    monkeypatch.setattr(Batch, "__len__", lambda batch: int(batch.index.sum()) if len(batch.index) > 4 else 3)
    assert len(videos.first_batch()) == 3


def test_local_trackers__leaves_those_of_elsewhere_alone(toy: Toy) -> None:
    """They would show a run to others; of the default, TensorBoard's files are removed with the folder."""
    asked = {"[wandb]": [], "[wandb, tensorboard]": ["tensorboard"], "[]": [], "null": None}
    for setting, local in asked.items():
        assert local_trackers(load_config(str(toy.preset), [f"pretrain.trackers={setting}"])) == local
