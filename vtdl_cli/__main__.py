"""`python -m vtdl_cli` and the `vtdl` script."""

import atexit
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

from vtdl_cli import ranks, system

RESEND_SECONDS = 0.01  # the callback has returned by then


def main() -> None:
    """Run the command line; a Ctrl-C while it is still being imported or put together is no traceback either."""
    system.let_idle_threads_sleep()
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)  # the first to be registered is the last to run
    sys.unraisablehook = _resend_ctrl_c
    try:
        from vtdl_cli.cli import app

        if isinstance(sys.stdout, io.TextIOWrapper):  # a name that its encoding lacks is written as an escape
            sys.stdout.reconfigure(errors="backslashreplace")
        with hushed():
            try:
                app(prog_name="vtdl")
            except SystemExit as end:
                _end_at_once_on_ctrl_c(end.code)
                raise
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        sys.exit("error: interrupted without saving")


def _resend_ctrl_c(failure: "sys.UnraisableHookArgs") -> None:
    """Send a Ctrl-C again that arrived in a callback, such as imports have: Python would print and drop it."""
    if issubclass(failure.exc_type, KeyboardInterrupt):
        threading.Timer(RESEND_SECONDS, system.send_ctrl_c).start()
    else:
        sys.__unraisablehook__(failure)


def _end_at_once_on_ctrl_c(code: object) -> None:
    """Make another Ctrl-C exit at once: all is printed, and it need not wait for workers or change the exit code."""
    number = code if isinstance(code, int) else int(code is not None)
    signal.signal(signal.SIGINT, lambda *_: os._exit(number))


@contextmanager
def hushed() -> Iterator[None]:
    """Let only rank 0 print results, and only local rank 0 of each machine print errors; none is a closed stream."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        out = sys.stdout if sys.stdout and ranks.is_rank_0() else nowhere
        err = sys.stderr if sys.stderr and (ranks.local_rank() == 0 or "--debug" in sys.argv) else nowhere
        with redirect_stdout(out), redirect_stderr(err):
            yield


if __name__ == "__main__":
    main()
