"""`python -m vtdl_cli` and the `vtdl` script."""

import io
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

from vtdl_cli import ranks


def main() -> None:
    """Run the command line; a Ctrl-C while it is still being imported or put together is no traceback either."""
    try:
        from vtdl_cli.cli import app

        if isinstance(sys.stdout, io.TextIOWrapper):  # a name that its encoding lacks is written as an escape
            sys.stdout.reconfigure(errors="backslashreplace")
        with hushed():
            try:
                app(prog_name="vtdl")
            finally:
                signal.signal(signal.SIGINT, signal.SIG_DFL)  # all is said: another Ctrl-C need not wait for workers
    except KeyboardInterrupt:
        sys.exit("error: interrupted without saving")


@contextmanager
def hushed() -> Iterator[None]:
    """Of several processes let the first alone print results, and the first of each machine errors."""
    with Path(os.devnull).open("w") as nowhere:
        out = sys.stdout if ranks.is_rank_0() else nowhere
        err = sys.stderr if ranks.local_rank() == 0 or "--debug" in sys.argv else nowhere
        with redirect_stdout(out), redirect_stderr(err):
            yield


if __name__ == "__main__":
    main()
