"""What waits for what in an ablation, and what begins first."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.toy import PRESET, Toy
from vtdl_cli.config import Config
from vtdl_cli.engine.ablation.grid import Grid
from vtdl_cli.engine.ablation.measures import Measures
from vtdl_cli.engine.ablation.rows import read_rows
from vtdl_cli.engine.ablation.running import share
from vtdl_cli.engine.ablation.tasks import Needs, Task, list_tasks, next_ready
from vtdl_cli.engine.request import Execution, ListSource
from vtdl_cli.runtime import SilentReporter
from vtdl_cli.settings import build_config
from vtdl_cli.yaml_values import read_yaml

SILENT = SilentReporter()


def grid(toy: Toy, out: Path, rows: str, seeds: int, measures: Measures) -> Grid:
    config: Config = build_config(read_yaml(PRESET))
    lists = (ListSource(toy.train_list, toy.root), ListSource(toy.val_list, toy.root))
    return Grid(config, read_rows(rows), lists, out, Execution(), SILENT, SILENT, seeds, measures)


def order(needs: Needs) -> list[str]:
    """In which order one job after another computes them."""
    waiting, names = dict(needs), list[str]()
    while task := next_ready(waiting):
        del waiting[task]
        names.append(str(task))
    assert not waiting
    return names


def test_list_tasks__what_a_time_is_measured_by_comes_first(toy: Toy, tmp_path: Path) -> None:
    """Worked out by hand: tca's pretraining and first draw, then what trains as long, then the rest, seed by seed."""
    measures = Measures(draws=2, finetune_draws=2)
    needs, done = list_tasks(grid(toy, tmp_path, "scratch,scratch-equal-time,tca", 2, measures).cells())
    assert done == 0
    assert order(needs) == [
        "tca, seed 0: pretraining",
        "tca, seed 0: finetuning-draw-0",
        "scratch-equal-time, seed 0: how many epochs of few-shot finetuning take as long as tca",
        "scratch-equal-time, seed 0: finetuning-draw-0",
        "scratch-equal-time, seed 0: finetuning-draw-1",
        "scratch, seed 0: probes",
        "scratch, seed 0: finetuning-draw-0",
        "scratch, seed 0: finetuning-draw-1",
        "tca, seed 0: probes",
        "tca, seed 0: finetuning-draw-1",
        "scratch-equal-time, seed 1: finetuning-draw-0",
        "scratch-equal-time, seed 1: finetuning-draw-1",
        "scratch, seed 1: probes",
        "scratch, seed 1: finetuning-draw-0",
        "scratch, seed 1: finetuning-draw-1",
        "tca, seed 1: pretraining",
        "tca, seed 1: probes",
        "tca, seed 1: finetuning-draw-0",
        "tca, seed 1: finetuning-draw-1",
    ]


def test_list_tasks__rows_without_a_time_to_take_are_in_their_order(toy: Toy, tmp_path: Path) -> None:
    needs, _ = list_tasks(grid(toy, tmp_path, "scratch,moco", 1, Measures(draws=2, finetune=True)).cells())
    names = ["scratch, seed 0: probes", "scratch, seed 0: finetuning"]
    names += [f"moco, seed 0: {name}" for name in ("pretraining", "probes", "finetuning")]
    assert order(needs) == names
    pretraining, *later = (task for task in needs if task.row == "moco")
    assert [needs[task] for task in later] == [{pretraining}] * 2


def test_list_tasks__epochs_that_are_known_are_not_measured_again(toy: Toy, tmp_path: Path) -> None:
    """A pretraining that takes another's time waits for its measurement; the epochs of all seeds are those of the first."""
    made = grid(toy, tmp_path, "moco-equal-time,tca", 2, Measures(draws=2))
    needs, _ = list_tasks(made.cells())
    [measurement] = (task for task in needs if task.measured)
    assert measurement.measured == "pretraining"
    assert needs[measurement] == {Task(0, "tca", "pretraining")}
    waiting = [task for task, each in needs.items() if measurement in each]
    assert waiting == [Task(seed, "moco-equal-time", "pretraining") for seed in (0, 1)]
    made.measured_epochs.keep("moco-equal-time", "pretraining", 3)
    needs, done = list_tasks(made.cells())
    assert (measurement in needs, done) == (False, 1)


def test_next_ready__none_while_all_wait_for_one_that_runs() -> None:
    first, second, third = (Task(0, "tca", name) for name in ("first", "second", "third"))
    waiting: Needs = {second: {first}, third: {second}}
    assert next_ready(waiting, [first]) is None
    assert next_ready(waiting) == second
    assert next_ready({}, [first]) is None


@pytest.mark.parametrize(
    ("device", "workers", "cores", "gpus", "number", "expected"),
    [
        ("cpu", 4, 2, 0, 1, ("cpu", 2)),
        ("auto", 1, 2, 0, 0, ("auto", 0)),
        ("auto", None, 3, 0, 1, ("auto", 0)),
        ("auto", None, 4, 1, 1, ("auto", 2)),
        ("auto", None, 32, 1, 1, ("auto", 8)),
        ("cuda", 0, 2, 3, 0, ("cuda:0", 0)),
        ("auto", 0, 2, 3, 4, ("cuda:1", 0)),
        ("cuda:2", 0, 2, 3, 1, ("cuda:2", 0)),
    ],
)
def test_share__of_workers_and_gpus(
    device: str,
    workers: int | None,
    cores: int,
    gpus: int,
    number: int,
    expected: tuple[str, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By hand, for two jobs; a job with one core has no workers of its own, and a GPU that was chosen is kept."""
    for module in ("engine.ablation.running", "runtime"):
        monkeypatch.setattr(f"vtdl_cli.{module}.available_cores", lambda: cores)
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    execution = Execution(seed=3, device=device, workers=workers)
    assert share(execution, 2, number) == replace(execution, device=expected[0], workers=expected[1])
