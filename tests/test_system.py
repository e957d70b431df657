"""Systems without what POSIX has: Windows, and those without wheels of decord."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_architecture import MODULES, parse
from tests.toy import Toy
from vtdl_cli.system import (
    WAITING,
    free_bytes,
    let_idle_threads_sleep,
    mask_signals,
    signals_present,
    system_limit,
)

POSIX_NAMES = {
    "os": {
        "chown", "fchmod", "fork", "getpgid", "getuid", "geteuid", "kill", "killpg", "mkfifo", "nice", "pread", "pwrite",
        "sched_getaffinity", "setsid", "statvfs", "sysconf", "uname", "O_DIRECTORY", "O_NOFOLLOW", "WNOHANG",
    },
    "signal": {"SIGALRM", "SIGBUS", "SIGCHLD", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGUSR1", "SIGUSR2", "alarm",
               "pthread_sigmask", "setitimer", "sigwait"},
}  # fmt: skip
"""Names that Windows lacks, or, as os.kill, gives another meaning; from the "Availability" lines of Python's manual."""

POSIX_MODULES = {"fcntl", "grp", "pwd", "resource", "termios", "tty", "pty", "syslog"}
MAY_NAME_THEM = {"system.py", "locks.py"}
BY_NUMBER = {("loading.py", "kill")}  # os.kill ends a process on Windows, which a worker does here to itself


def test_posix_names__are_in_system_alone() -> None:
    """By reading the code, attributes as `os.nice` and imports as `import fcntl`."""
    found = []
    for module in (module for module in MODULES if module.name not in MAY_NAME_THEM):
        for node in ast.walk(parse(module)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                named = node.attr in POSIX_NAMES.get(node.value.id, ()) and (module.name, node.attr) not in BY_NUMBER
            elif isinstance(node, ast.Import):
                named = any(alias.name in POSIX_MODULES for alias in node.names)
            else:
                named = isinstance(node, ast.ImportFrom) and node.module in POSIX_MODULES
            if named:
                found.append(f"{module}:{node.lineno}")  # type: ignore[attr-defined]
    assert found == []


def test_signals_present__leaves_out_what_is_absent() -> None:
    assert [each.name for each in signals_present("SIGINT", "SIGNONE")] == ["SIGINT"]


def test_limits__without_posix_there_are_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)
    assert system_limit("RLIMIT_NOFILE") == float("inf")
    assert free_bytes(tmp_path / "absent") == float("inf")
    monkeypatch.delattr("signal.pthread_sigmask")
    mask_signals(signals_present("SIGINT"), block=True)


@pytest.mark.parametrize(("given", "expected"), [({}, "3000"), ({"GOMP_SPINCOUNT": "7"}, "7")])
def test_main__lets_idle_threads_sleep_unless_told_otherwise(given: dict[str, str], expected: str) -> None:
    """Oracle: by hand. OpenMP reads the variable when torch is imported."""
    code = (
        "import os, sys\nfrom vtdl_cli.__main__ import main\nsys.argv = ['vtdl', '--version']\n"
        "try:\n    main()\nfinally:\n    print(os.environ['GOMP_SPINCOUNT'], 'torch' in sys.modules)"
    )
    environment = {name: value for name, value in os.environ.items() if name not in WAITING} | given
    shown = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert shown.stdout.splitlines()[-1] == f"{expected} False"


def test_let_idle_threads_sleep__keeps_what_another_library_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in WAITING:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    let_idle_threads_sleep()
    assert "GOMP_SPINCOUNT" not in os.environ


WITHOUT = """
import os, signal, sys
import av, torch, torch.utils.data, multiprocessing.popen_spawn_posix, resource, fcntl
for module in [*{modules!r}, "decord"]:
    sys.modules[module] = None
for owner, names in {names!r}.items():
    for name in names:
        vars(sys.modules[owner]).pop(name, None)
for name in [name for name in signal.Signals.__members__ if name in {names!r}["signal"]]:
    signal.Signals._member_map_.pop(name)
from vtdl_cli.cli import app
for line in {lines!r}:
    try:
        app(line, prog_name="vtdl")
    except SystemExit as end:
        if end.code:
            raise
"""
"""A program that runs commands where neither the names nor the modules exist; libraries have been imported before."""


@pytest.mark.slow
@pytest.mark.chain
def test_without_posix__lists_pretraining_and_features(toy: Toy, tmp_path: Path) -> None:
    """Oracle: the same commands on this system. Windows would differ in more, such as its paths: it was not tried."""
    lists, run = tmp_path / "lists", tmp_path / "run"
    lines = [
        ["--help"],
        ["prepare-lists", "folder", "--root", str(toy.root), "--out", str(lists), "--workers", "0"],
        toy.pretrain(run, "--set", "pretrain.epochs=1"),
        toy.extract(run, tmp_path / "f.h5"),
    ]
    names = {module: sorted(each) for module, each in POSIX_NAMES.items()}
    program = WITHOUT.format(modules=sorted(POSIX_MODULES), names=names, lines=lines)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "is not locked (this system has no POSIX locks)" in done.stderr
    assert (run / "checkpoints" / "last.pt").exists()
    assert (tmp_path / "f.h5").exists()
    assert (lists / "train_split_1.txt").exists()
