"""Tasks in processes of their own: order, failures, signals. What they compute is nothing."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.engine.ablation.side_work import Work
from vtdl_cli.cli import describe
from vtdl_cli.engine.ablation.processes import side_by_side, threads_for
from vtdl_cli.engine.ablation.tasks import Task
from vtdl_cli.errors import Interrupted, PartFailed
from vtdl_cli.runtime import SilentReporter, StopRequest


class Listener(SilentReporter):
    """Keeps warnings, and does something whenever the bar moves."""

    def __init__(self, when_moved: Callable[[], None] = lambda: None) -> None:
        self.warned, self.when_moved = list[str](), when_moved

    def warn(self, text: str) -> None:
        self.warned.append(text)

    def advance(self, n: int = 1, **fields: str) -> None:  # noqa: ARG002
        self.when_moved()


def run(work: Work, needs: dict[str, str], jobs: int = 2, listener: Listener | None = None) -> list[str]:
    """The names of the tasks as they are done; `needs`: name -> names of what has to be done before, by blanks."""
    tasks = {Task(0, "tca", name): {Task(0, "tca", each) for each in before.split()} for name, before in needs.items()}
    heard = listener or Listener()
    with StopRequest() as stop, closing(side_by_side(work, tasks, jobs, stop, heard, heard)) as finished:
        done = [(task.name, value) for task, value, _ in finished]
    assert all(value.startswith(f"{name} of ") for name, value in done)
    assert len({value.split()[-1] for _, value in done}) == len(done)  # each in a process of its own
    return [name for name, _ in done]


def test_side_by_side__begins_what_is_ready_in_order(tmp_path: Path) -> None:
    work = Work(tmp_path)
    names = run(work, {"late": "first second", "second": "first", "first": "", "other": ""}, jobs=1)
    assert names == ["first", "second", "late", "other"]
    assert [note for note in work.notes() if "begins" in note] == [f"{name} begins as 0" for name in names]


def test_side_by_side__as_many_at_once_as_there_are_jobs(tmp_path: Path) -> None:
    """Three that go on until they are stopped: the third does not begin; the numbers differ."""
    work = Work(tmp_path)

    def stop_once_both_run() -> None:
        if len(work.notes()) >= 2:
            time.sleep(0.3)
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Interrupted, match="SIGTERM during tca, seed 0: long-1; tca, seed 0: long-2: saved. Resume"):
        run(work, {"long-1": "", "long-2": "", "long-3": ""}, listener=Listener(stop_once_both_run))
    assert sorted(work.notes()) == ["long-1 begins as 0", "long-1 saves", "long-2 begins as 1", "long-2 saves"]
    assert not multiprocessing.active_children()


@pytest.mark.parametrize(
    ("name", "says", "code"),
    [
        ("list", "tca, seed 0: list: list 'x' is empty. Name another", 1),
        ("memory", "tca, seed 0: memory: the memory is full (no room). Lower the batch", 1),
        ("odd", "tca, seed 0: odd: unexpected RuntimeError 'Odd: two words'. This is a bug in vtdl", 1),
        ("killed", "tca, seed 0: killed: its process was killed by the system, most often because memory ran out", 1),
    ],
)
def test_side_by_side__one_that_fails_is_named_and_the_others_save(
    name: str, says: str, code: int, tmp_path: Path
) -> None:
    work = Work(tmp_path)
    with pytest.raises(PartFailed) as failure:
        run(work, {"long": "", "quick": "", name: "quick", "never": name})
    [line], found = describe(failure.value)
    assert line.startswith(says)
    assert found == code
    assert "long saves" in work.notes()
    assert not any(note.startswith("never") for note in work.notes())
    assert not multiprocessing.active_children()


def test_side_by_side__a_second_ctrl_c_ends_all_at_once(tmp_path: Path) -> None:
    work, began = Work(tmp_path), list[float]()

    def press() -> None:
        if work.notes() and not began:
            began.append(time.monotonic())
            for child in multiprocessing.active_children():
                assert child.pid is not None
                os.kill(child.pid, signal.SIGSTOP)  # it will not save
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(work, {"long": ""}, listener=Listener(press))
    assert not multiprocessing.active_children()
    assert "long saves" not in work.notes()


def test_side_by_side__ctrl_c_is_left_to_the_parent(tmp_path: Path) -> None:
    """A terminal sends it to all processes."""
    work, sent = Work(tmp_path), list[int]()

    def press() -> None:
        if work.notes() and not sent:
            sent.extend(child.pid or 0 for child in multiprocessing.active_children())
            for each in (sent[0], os.getpid()):
                os.kill(each, signal.SIGINT)

    with pytest.raises(Interrupted, match="SIGINT during tca, seed 0: long: saved"):
        run(work, {"long": ""}, listener=Listener(press))
    assert work.notes() == ["long begins as 0", "long saves"]


def test_side_by_side__warnings_arrive(tmp_path: Path) -> None:
    listener = Listener()
    run(Work(tmp_path), {"warns": ""}, listener=listener)
    assert listener.warned == ["a lamp is broken"]


@pytest.mark.parametrize(
    ("threads", "cores", "jobs", "expected"), [(8, 8, 2, 4), (1, 8, 2, 1), (4, 8, 1, 4), (2, 2, 4, 1), (8, 8, 3, 2)]
)
def test_threads_for__a_share_of_the_cores(
    threads: int, cores: int, jobs: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vtdl_cli.engine.ablation.processes.available_cores", lambda: cores)
    monkeypatch.setattr("torch.get_num_threads", lambda: threads)
    assert threads_for(jobs) == expected
