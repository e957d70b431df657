"""Real processes that start in a moment: forked from one that has imported everything, and has done nothing else.

`python -m vtdl_cli` spends some two seconds of a core on imports alone, and a test of signals or of several processes
starts it up to eight times. What it is like to start it anew is what tests/test_cli.py and tests/test_runtime.py see.
"""

import atexit
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.preloaded"])

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default"}
"""One thread: what is compared bit by bit must be computed in one order."""


class Running:
    """A process that runs `python words...`, with as much of subprocess.Popen as tests need.

    Args:
        words: `-m module arguments...` or `-c code arguments...`, and before them, if anything, `-W error`.
        environment: all of it.
    """

    def __init__(self, *words: str, environment: Mapping[str, str] = ENVIRONMENT) -> None:
        (out, child_out), (err, child_err) = FORKS.Pipe(duplex=False), FORKS.Pipe(duplex=False)
        self.process = FORKS.Process(target=_become, args=(words, dict(environment), child_out, child_err))
        self.process.start()
        for ours_no_more in (child_out, child_err):
            ours_no_more.close()
        self.stdout, self.stderr = (os.fdopen(os.dup(pipe.fileno()), encoding="utf-8") for pipe in (out, err))
        for copied in (out, err):
            copied.close()
        assert self.process.pid is not None
        self.pid = self.process.pid

    @property
    def returncode(self) -> int | Any:
        """Its exit code, -9 after signal 9; None while it runs."""
        return self.process.exitcode

    def poll(self) -> int | None:
        """The same."""
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it is still there."""
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Send it signal 9."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float = 120) -> tuple[str, str]:
        """Wait until it, and whoever it started, has ended; what was said and not yet read on stdout, stderr."""
        said = ["", ""]

        def read(place: int) -> None:
            said[place] = (self.stdout, self.stderr)[place].read()

        readers = [threading.Thread(target=read, args=(place,), daemon=True) for place in (0, 1)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(timeout)
        self.process.join(timeout)
        if self.returncode is None or any(reader.is_alive() for reader in readers):
            self.kill()
            raise subprocess.TimeoutExpired(str(self.process), timeout)
        self.stdout.close()
        self.stderr.close()
        return said[0], said[1]


def _become(words: Sequence[str], environment: Mapping[str, str], out: Connection, err: Connection) -> None:
    """In the new process: lead a group, as what is started in a terminal does, and run."""
    os.setsid()
    for number, pipe in ((1, out), (2, err)):
        os.dup2(pipe.fileno(), number)
        pipe.close()
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)  # the old one knows another kind of file
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # a server of vtdl's own blocks Ctrl-C
    multiprocessing.set_start_method(None, force=True)  # the system's own, as in a new process, and no fork server
    os.environ.clear()
    os.environ.update(environment)
    warnings.simplefilter("default")
    if words[:2] == ("-W", "error"):
        warnings.simplefilter("error")
        words = words[2:]
    how, what, *arguments = words
    sys.argv = [how, *arguments]
    code: Any = 0
    try:
        if how == "-m":
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        else:
            exec(what, {"__name__": "__main__"})
    except SystemExit as end:
        code = end.code
    atexit._run_exitfuncs()  # a forked process leaves them out; only now does no frame hold what they would end
    sys.exit(code)
