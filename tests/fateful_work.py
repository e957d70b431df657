"""Work for the processes of tests/engine/lists/test_process_pool.py, in a module that imports nothing else."""

import os
import signal
import time
from pathlib import Path


def square(number: int) -> int:
    """Stands in for a decoder that dies on 3 as by a fault of its own, on 5 by the system, and refuses 7."""
    if number == 3:
        os._exit(11)
    if number == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 7:
        raise ValueError("7 is refused")
    return number**2


def stay(path: Path) -> int:
    """An item that takes for ever, once it has told who works on it."""
    path.with_suffix(".part").write_text(str(os.getpid()))
    path.with_suffix(".part").rename(path)
    time.sleep(600)
    return 0


def stay_or_see(path: Path) -> int:
    """One item takes for ever; the other is done once the first has begun."""
    if path.name == "stay":
        return stay(path)
    while not path.with_name("stay").exists():
        time.sleep(0.01)
    return 0


def write_slowly(path: Path) -> int:
    path.with_suffix(".begun").touch()
    time.sleep(0.2)
    path.touch()
    return 0
