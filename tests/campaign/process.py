"""One command line in a process of its own: started, sent signals, waited for."""

import json
import os
import random
import select
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.campaign.command import Command, Shot
from tests.campaign.session import end_session, name_of, session, state

HANGS_AFTER_SECONDS = 60.0  # a toy command takes one or two, and up to ten where it starts workers on a busy machine
GRACE_SECONDS = 8.0  # in which workers have to notice that their parent is gone


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


class Running:
    """A command under way.

    Args:
        line: what is typed behind `vtdl`.
        folder: where it runs.
        log: where its output goes, with another suffix each.
        environment: variables on top of this process's.
        shots: signals; those by event are sent by the command itself.
    """

    def __init__(
        self,
        line: Sequence[str],
        folder: Path,
        log: Path,
        *,
        environment: dict[str, str] | None = None,
        shots: Sequence[Shot] = (),
    ) -> None:
        self.line, self.log, self.shots = [*map(str, line)], log, shots
        begun, begin = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            os.close(begun)
            Command(self.line, folder, log, environment or {}, shots).run(begin)
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
            if state(self.pid) == "T":
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
        left_behind = end_session(self.pid, 0 if hung else GRACE_SECONDS)
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
            workers = [pid for pid in session(self.pid) if pid != self.pid and "resource_tracker" not in name_of(pid)]
            if workers:
                os.kill(random.Random(str(shot)).choice(workers), shot.number)
        elif shot.target == "group":
            os.killpg(self.pid, shot.number)
        else:
            os.kill(self.pid, shot.number)
