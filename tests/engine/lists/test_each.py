"""Work in processes of their own: what becomes of it when one of them, or the parent, ends before its time."""

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
from vtdl_cli.engine.lists.process_pool import CRASHED, KILLED, each, listening


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
def test_each__tells_of_what_an_item_died_and_loses_no_other(workers: int) -> None:
    expected = {number: number**2 for number in range(40) if number != 7} | {3: CRASHED, 5: KILLED}
    results = list(each(((number, number) for number in expected), square, workers))
    assert dict(results) == expected
    assert len(results) == len(expected)


def test_each__raises_what_its_work_raised() -> None:
    with pytest.raises(ValueError, match="7 is refused") as raised:
        list(each(iter([(0, 7)]), square, 1))
    assert "in square" in raised.value.__notes__[0]  # where, in the worker


def test_listening__waits_for_the_item_under_way_and_begins_no_other(tmp_path: Path) -> None:
    with listening(each(((number, tmp_path / str(number)) for number in range(9)), write_slowly, 1)) as results:
        next(results)
    done, begun = (sorted(path.stem for path in tmp_path.glob(form)) for form in ("?", "*.begun"))
    assert done == begun
    assert len(done) < 9


def test_listening__ctrl_c_waits_for_nothing(tmp_path: Path) -> None:
    def interrupt() -> None:
        with listening(each(enumerate([tmp_path / "stay", tmp_path / "see"]), stay_or_see, 2)) as results:
            assert next(results) == (1, 0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt()
    wait_until_gone(int((tmp_path / "stay").read_text()))


PARENT = """
import sys
from pathlib import Path
from tests.fateful_work import stay
from vtdl_cli.engine.lists.process_pool import each
from vtdl_cli.runtime import StopRequest
if __name__ == "__main__":
    try:
        with StopRequest():
            list(each(enumerate(Path(sys.argv[1]) / name for name in "ab"), stay, 2))
    except KeyboardInterrupt:
        pass
"""


@pytest.mark.parametrize("signals", [[signal.SIGKILL], [signal.SIGINT, signal.SIGINT]])
def test_each__workers_end_with_their_parent(tmp_path: Path, signals: list[signal.Signals]) -> None:
    """Killed, as by the system, or told by a second Ctrl-C: at once, and without a word of any worker."""
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
