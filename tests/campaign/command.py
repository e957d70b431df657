"""A command line in a process that was forked from one which has imported everything already.

Importing torch takes seconds and a toy command a fraction of one: forked, a thousand commands are a matter of minutes.
What a forked command does is what `python -m vtdl_cli` does, its end included, in a session of its own.
"""

import atexit
import ctypes
import importlib
import json
import os
import pkgutil
import resource
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

MORE_MEMORY_BYTES = 6 * 2**30  # than the warm parent has: a list that asks for more may not take the machine down
FILE_EVENTS = ("open", "os.mkdir", "os.remove", "os.rename", "os.rmdir")
PR_SET_PDEATHSIG = 1  # of prctl, in Linux


@dataclass(frozen=True)
class Shot:
    """A signal, and when it is sent.

    Attributes:
        number: SIGKILL, SIGTERM, ...
        target: the command's `process`, its whole `group`, as a terminal does, or one `worker` of it.
        seconds: after the command began, or
        event: right before the command changes files for so many times; then `target` is not a worker.
    """

    number: signal.Signals
    target: str = "process"
    seconds: float = 0.0
    event: int | None = None

    def __str__(self) -> str:
        when = f"{self.seconds:.3f} s" if self.event is None else f"file event {self.event}"
        return f"{self.number.name} to {self.target} at {when}"


def warm_up() -> None:
    """Import all that a command may import, and nothing that starts a thread; one torch thread from here on."""
    import torch

    import vtdl_cli

    torch.set_num_threads(1)
    for module in pkgutil.walk_packages(vtdl_cli.__path__, "vtdl_cli."):
        importlib.import_module(module.name)
    for name in ("decord", "matplotlib.pyplot", "scipy.stats", "sklearn.linear_model", "torch.utils.tensorboard"):
        importlib.import_module(name)
    _keep_rows_often()


def _keep_rows_often() -> None:
    """Let extraction save its rows after every batch: it would finish a toy list before its first save is due."""
    rows: Any = importlib.import_module("vtdl_cli.engine.evaluate.extracted_rows")
    rows.KEEP_EVERY_SECONDS = 0.0


class Command:
    """The forked process's side.

    Args:
        line: what is typed behind `vtdl`.
        folder: where it runs.
        log: where its output goes, with another suffix each, and the list of the files that it changed.
        environment: variables on top of the parent's.
        shots: signals; those by event it sends itself.
    """

    def __init__(
        self,
        line: list[str],
        folder: Path,
        log: Path,
        environment: dict[str, str],
        shots: Sequence[Shot],
    ) -> None:
        self.line, self.folder, self.log, self.environment = line, folder, log, environment
        self.shots = {shot.event: shot for shot in shots if shot.event is not None}
        self.events: list[str] = []
        self.main_pid = os.getpid()

    def run(self, begin: int) -> NoReturn:
        """Become a process like any other, and be the command."""
        code = 70
        try:
            self._set_up()
            os.write(begin, b"!")
            os.close(begin)
            code = self._main()
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # what Python does at its end is not the tool's doing
            self.log.with_suffix(".events").write_text(json.dumps(self.events))
            threading._shutdown()  # type: ignore[attr-defined]
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
        except BaseException:
            os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(code)

    def _set_up(self) -> None:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # a campaign that is stopped leaves no command behind
        os.setsid()
        os.chdir(self.folder)
        os.environ.update(self.environment)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for descriptor, suffix in ((1, ".out"), (2, ".err")):
            os.dup2(os.open(self.log.with_suffix(suffix), os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o644), descriptor)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.stdout, sys.stderr = (open(number, "w", encoding="utf-8", closefd=False) for number in (1, 2))  # noqa: SIM115
        room = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + MORE_MEMORY_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (room, room))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        sys.argv = ["vtdl", *self.line]
        sys.modules["__main__"] = importlib.import_module("vtdl_cli.__main__")  # what spawned workers import first
        sys.addaudithook(self._note)

    def _main(self) -> int:
        """`python -m vtdl_cli`, and what Python makes of how it ends."""
        main: Callable[[], None] = sys.modules["__main__"].main
        try:
            main()
        except SystemExit as end:
            if isinstance(end.code, str):
                sys.stderr.write(f"{end.code}\n")
            return 0 if end.code is None else end.code if isinstance(end.code, int) else 1
        except BaseException:
            traceback.print_exc()
            return 1
        return 0

    def _note(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Count what the command is about to change below its folder, and send the signal that is due right then."""
        if event not in FILE_EVENTS or os.getpid() != self.main_pid or not isinstance(arguments[0], str | os.PathLike):
            return
        if event == "open" and (not isinstance(arguments[2], int) or not arguments[2] & (os.O_WRONLY | os.O_RDWR)):
            return
        path = os.path.relpath(arguments[0], self.folder)
        if path.startswith(".."):
            return
        self.events.append(f"{event} {path}")
        if shot := self.shots.get(len(self.events) - 1):
            os.killpg(0, shot.number) if shot.target == "group" else os.kill(self.main_pid, shot.number)
