"""One command line in a process of its own, forked from a parent that has imported everything already.

Importing torch takes seconds and a toy command a fraction of one: forked, a thousand commands are a matter of minutes.
What a forked command does is what `python -m vtdl_cli` does, its end included, in a session of its own.
"""

import atexit
import contextlib
import ctypes
import importlib
import json
import os
import pkgutil
import random
import re
import resource
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

HANGS_AFTER_SECONDS = 60.0  # a toy command takes one or two, and up to ten where it starts workers on a busy machine
GRACE_SECONDS = 8.0  # in which workers have to notice that their parent is gone
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


@dataclass
class Ended:
    """What came of a command.

    Attributes:
        line: what was typed.
        code: of exit; negative for a signal.
        hung: it had to be killed.
        left_behind: processes that outlived it.
        events: the files that it changed, in order.
    """

    line: list[str]
    code: int
    stdout: str
    stderr: str
    seconds: float
    hung: bool = False
    left_behind: list[str] = field(default_factory=list)
    events: list[str] = field(default_factory=list)

    @property
    def errors(self) -> str:
        """Its error lines, as one."""
        return " | ".join(line for line in self.stderr.splitlines() if line.startswith("error: "))

    @property
    def warnings(self) -> set[str]:
        """Its warning lines."""
        return {line for line in self.stderr.splitlines() if line.startswith("warning: ")}


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
    """Extraction puts rows aside every some seconds, in which it is through with a toy: let it do so at every batch."""
    extract: Any = importlib.import_module("vtdl_cli.engine.extract")
    if hasattr(extract, "KEEP_EVERY_SECONDS"):
        extract.KEEP_EVERY_SECONDS = 0.0


class Running:
    """A command under way.

    Args:
        line: what is typed behind `vtdl`.
        folder: where it runs.
        log: where its output goes, with another suffix each.
        environment: variables on top of this process's.
        shots: signals; those by event are sent by the command itself.
        setup: what else the new process does before it begins.
    """

    def __init__(
        self,
        line: Sequence[str],
        folder: Path,
        log: Path,
        *,
        environment: dict[str, str] | None = None,
        shots: Sequence[Shot] = (),
        setup: Callable[[], None] = lambda: None,
    ) -> None:
        self.line, self.log, self.shots = [*map(str, line)], log, shots
        begun, begin = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            os.close(begun)
            _Command(self.line, folder, log, environment or {}, shots, setup).run(begin)
        os.close(begin)
        os.read(begun, 1)  # it is set up, and from here on what a signal does is the tool's doing
        os.close(begun)
        self.began = time.monotonic()
        self._handle = os.pidfd_open(self.pid)

    def wait(self, seconds: float) -> bool:
        """Whether it has ended within `seconds`."""
        poll = select.poll()
        poll.register(self._handle, select.POLLIN)
        return bool(poll.poll(max(0.0, 1000 * seconds)))

    def stopped(self, seconds: float) -> bool:
        """Whether it stands still within `seconds`, by a SIGSTOP of its own; not where it has ended."""
        deadline = time.monotonic() + seconds
        while not self.wait(0.002) and time.monotonic() < deadline:
            if _state(self.pid) == "T":
                return True
        return False

    def ends(self, limit_seconds: float = HANGS_AFTER_SECONDS) -> Ended:
        """Send the signals that are due, wait for the end, and look what is left."""
        for shot in sorted((shot for shot in self.shots if shot.event is None), key=lambda shot: shot.seconds):
            if self.wait(self.began + shot.seconds - time.monotonic()):
                break
            self._send(shot)
        hung = not self.wait(self.began + limit_seconds - time.monotonic())
        if hung:
            os.kill(self.pid, signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        os.close(self._handle)
        seconds = time.monotonic() - self.began
        left_behind = _end_session(self.pid, 0 if hung else GRACE_SECONDS)
        stdout, stderr = (self.log.with_suffix(name).read_text(errors="backslashreplace") for name in (".out", ".err"))
        events = self.log.with_suffix(".events")
        known = json.loads(events.read_text()) if events.exists() else []
        code = os.waitstatus_to_exitcode(status)
        return Ended(self.line, code, stdout, stderr, seconds, hung, left_behind if not hung else [], known)

    def go_on(self) -> None:
        """End the standstill."""
        os.kill(self.pid, signal.SIGCONT)

    def _send(self, shot: Shot) -> None:
        if shot.target == "worker":
            workers = [pid for pid in session(self.pid) if pid != self.pid and "resource_tracker" not in _name(pid)]
            if workers:
                os.kill(random.Random(str(shot)).choice(workers), shot.number)
        elif shot.target == "group":
            os.killpg(self.pid, shot.number)
        else:
            os.kill(self.pid, shot.number)


def run(line: Sequence[str], folder: Path, log: Path, **options: Any) -> Ended:
    """Run a command to its end."""
    return Running(line, folder, log, **options).ends()


class _Command:
    """The forked process's side."""

    def __init__(
        self,
        line: list[str],
        folder: Path,
        log: Path,
        environment: dict[str, str],
        shots: Sequence[Shot],
        setup: Callable[[], None],
    ) -> None:
        self.line, self.folder, self.log, self.environment, self.setup = line, folder, log, environment, setup
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
        self.setup()
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


def session(leader: int) -> list[int]:
    """The living processes of a session."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            fields = _status(int(entry.name))
            if fields and int(fields[3]) == leader and fields[0] not in "ZX":
                found.append(int(entry.name))
    return found


def _status(pid: int) -> list[str]:
    """State, parent, group, session, ... of a process; nothing where it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _state(pid: int) -> str:
    return (_status(pid) or ["X"])[0]


def _end_session(leader: int, grace_seconds: float) -> list[str]:
    """Give processes that are left time to end; names of those that do not, which are then killed."""
    deadline = time.monotonic() + grace_seconds
    while (left := session(leader)) and time.monotonic() < deadline:
        time.sleep(0.02)
    names = []
    for pid in left:
        names.append(_name(pid))
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return names


def _name(pid: int) -> str:
    """What a process is, as multiprocessing names it."""
    try:
        known = re.search(r"multiprocessing\.\w+", Path(f"/proc/{pid}/cmdline").read_text())
    except OSError:
        return "a process that has ended"
    return known[0] if known else "a forked worker"
