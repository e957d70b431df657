"""The processes of a session, as Linux lists them."""

import contextlib
import os
import re
import signal
import time
from pathlib import Path


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


def state(pid: int) -> str:
    """A letter: T where it stands still, X where it is gone."""
    return (_status(pid) or ["X"])[0]


def end_session(leader: int, grace_seconds: float) -> list[str]:
    """Give processes that are left time to end; names of those that do not, which are then killed."""
    deadline = time.monotonic() + grace_seconds
    while (left := session(leader)) and time.monotonic() < deadline:
        time.sleep(0.02)
    names = []
    for pid in left:
        names.append(name_of(pid))
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return names


def name_of(pid: int) -> str:
    """What a process is, as multiprocessing names it."""
    try:
        known = re.search(r"multiprocessing\.\w+", Path(f"/proc/{pid}/cmdline").read_text())
    except OSError:
        return "a process that has ended"
    return known[0] if known else "a forked worker"
