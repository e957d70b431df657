"""The process pool: what happens if a worker, or the parent, dies."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import vtdl_cli
from tests.fateful_work import square, stay_or_see, write_slowly
from tests.processes import ENVIRONMENT
from vtdl_cli.engine.lists.process_pool import CRASHED, KILLED, closing_pool, map_unordered


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")")[-1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not ready():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.01)


def wait_until_gone(*pids: int) -> None:
    wait_until(lambda: not any(map(is_alive, pids)))


@pytest.mark.parametrize("workers", [1, 2])
def test_map_unordered__reports_the_item_a_worker_died_on_and_loses_no_other(workers: int) -> None:
    expected = {number: number**2 for number in range(40) if number != 7} | {3: CRASHED, 5: KILLED}
    results = list(map_unordered(square, ((number, number) for number in expected), workers))
    assert dict(results) == expected
    assert len(results) == len(expected)


def test_map_unordered__raises_the_exception_of_its_work() -> None:
    with pytest.raises(ValueError, match="7 is refused") as raised:
        list(map_unordered(square, iter([(0, 7)]), 1))
    assert "in square" in raised.value.__notes__[0]  # where, in the worker


def test_closing_pool__waits_for_the_current_item_and_starts_no_other(tmp_path: Path) -> None:
    tasks = ((number, tmp_path / str(number)) for number in range(9))
    with closing_pool(map_unordered(write_slowly, tasks, 1)) as results:
        next(results)
    done, begun = (sorted(path.stem for path in tmp_path.glob(form)) for form in ("?", "*.begun"))
    assert done == begun
    assert len(done) < 9


def test_closing_pool__ctrl_c_waits_for_nothing(tmp_path: Path) -> None:
    def interrupt() -> None:
        with closing_pool(map_unordered(stay_or_see, enumerate([tmp_path / "stay", tmp_path / "see"]), 2)) as results:
            assert next(results) == (1, 0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt()
    wait_until_gone(int((tmp_path / "stay").read_text()))


PARENT = """
import sys
from pathlib import Path
from tests.fateful_work import stay
from vtdl_cli.engine.lists.process_pool import map_unordered
from vtdl_cli.runtime import StopRequest
if __name__ == "__main__":
    try:
        with StopRequest():
            list(map_unordered(stay, enumerate(Path(sys.argv[1]) / name for name in "ab"), 2))
    except KeyboardInterrupt:
        pass
"""


@pytest.mark.parametrize("signals", [[signal.SIGKILL], [signal.SIGINT, signal.SIGINT]])
def test_map_unordered__workers_die_with_their_parent(tmp_path: Path, signals: list[signal.Signals]) -> None:
    """Killed, as by the system, or stopped by a second Ctrl-C: at once, and no worker prints anything."""
    (tmp_path / "parent.py").write_text(PARENT)
    command = [sys.executable, str(tmp_path / "parent.py"), str(tmp_path)]
    environment = {**ENVIRONMENT, "PYTHONPATH": str(Path(vtdl_cli.__file__).parents[1])}
    parent = subprocess.Popen(command, env=environment, text=True, stderr=subprocess.PIPE, start_new_session=True)
    pids = [tmp_path / "a", tmp_path / "b"]
    wait_until(lambda: all(path.exists() for path in pids))
    for number in signals:
        os.killpg(parent.pid, number) if number == signal.SIGINT else parent.send_signal(number)
        time.sleep(0.1)  # or two signals are one
    _, stderr = parent.communicate(timeout=60)
    wait_until_gone(*(int(path.read_text()) for path in pids))
    assert stderr == ""
