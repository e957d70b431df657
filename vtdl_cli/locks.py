"""One writer at a time for every output.

A lock is a hidden file in the output folder, or beside the output file, that holds a record lock of POSIX. The system
lets go of it when the process ends, however it does; workers that were forked off do not hold it; and it counts on all
machines that share a disk. Readers need none. Of several processes at one work the first takes it for all.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import re
import socket
from collections.abc import Callable
from contextlib import ExitStack
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

from vtdl_cli import ranks
from vtdl_cli.errors import VtdlError
from vtdl_cli.runtime import Reporter, check_writable, write_error

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

Arguments = ParamSpec("Arguments")
Returned = TypeVar("Returned")

FOLDER_LOCK = ".vtdl.lock"
"""The name of the lock in a folder; it may be left there by a process that was killed, and means nothing then."""

TAKEN = (errno.EACCES, errno.EAGAIN)  # by another process; other errors say that the file system knows no locks
ATTEMPTS = 100  # at a lock whose file its last holder removes meanwhile

_until: ContextVar[ExitStack] = ContextVar("_until")
_mine: set[Path] = set()  # a process would be given its own locks again, and lose them with the second


@dataclass(frozen=True)
class _Lock:
    """A lock that this process holds, and the folders that were made for its file, the innermost first."""

    path: Path
    descriptor: int
    made: list[Path]

    def release(self) -> None:
        """Remove the file while nobody else can hold it, and the folders that are still empty."""
        _mine.discard(self.path.resolve())
        self.path.unlink(missing_ok=True)
        os.close(self.descriptor)
        _remove_empty(self.made)


def releasing_locks(function: Callable[Arguments, Returned]) -> Callable[Arguments, Returned]:
    """Let the locks that are taken in `function` last until it returns or raises."""

    @functools.wraps(function)
    def run(*arguments: Arguments.args, **options: Arguments.kwargs) -> Returned:
        with ExitStack() as stack:
            before = _until.set(stack)
            try:
                return function(*arguments, **options)
            finally:
                _until.reset(before)

    return run


def lock_folder(folder: Path, reporter: Reporter) -> None:
    """Become the only one who writes into `folder`, until the function marked `releasing_locks` ends.

    Where the file system has no locks, that is said and the work goes on.

    Raises:
        VtdlError: another process writes into it, or the lock cannot be written.
        UsageError: the folder cannot be made or written.
    """
    _take(folder, folder / FOLDER_LOCK, reporter)


def lock_file(file: Path, reporter: Reporter) -> None:
    """As `lock_folder`, of one file and what lies beside it under its name."""
    _take(file, file.with_name(f".{file.name}.lock"), reporter)


def _take(out: Path, path: Path, reporter: Reporter) -> None:
    refusal = ranks.from_rank_0(_try(out, path, reporter) if ranks.is_rank_0() else None)
    if refusal is not None:
        raise refusal


def _try(out: Path, path: Path, reporter: Reporter) -> VtdlError | None:
    """Take the lock, or return what speaks against it: all processes are to hear of that."""
    stack, made = _until.get(), list[Path]()
    try:
        check_writable(path.parent)
        made = [folder for folder in path.absolute().parents if not folder.exists()]
        lock = _Lock(path, _acquire(out, path), made)
    except (VtdlError, OSError) as error:
        _remove_empty(made)
        if isinstance(error, _NoLocks):
            reporter.warn(f"output '{out}' is not protected from a second writer ({error}). Start one at a time")
            return None
        return error if isinstance(error, VtdlError) else write_error(out, error)
    _mine.add(path.resolve())
    stack.callback(lock.release)
    return None


class _NoLocks(OSError):
    """The file system has none."""


def _acquire(out: Path, path: Path) -> int:
    """The descriptor of the locked file."""
    if path.resolve() in _mine:
        raise _refusal(out, path.read_bytes())
    if fcntl is None:
        raise _NoLocks("this system has no POSIX locks")
    for _ in range(ATTEMPTS):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:  # a refused command has just removed the folder again
            continue
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_there(path, descriptor):
                _sign(descriptor)
                return descriptor
        except OSError as error:
            holder = os.pread(descriptor, 200, 0)
            os.close(descriptor)
            if error.errno in TAKEN:
                raise _refusal(out, holder) from error
            path.unlink(missing_ok=True)
            raise _NoLocks(f"its file system: {str(error.strerror).lower()}") from error
        os.close(descriptor)
    raise _refusal(out, b"")


def _is_there(path: Path, descriptor: int) -> bool:
    """Whether the file that was locked is still the one of that name: its holder removes it before letting go."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _sign(descriptor: int) -> None:
    with contextlib.suppress(OSError):  # on a full disk the lock holds as well
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)


def _refusal(out: Path, holder: bytes) -> VtdlError:
    signed = re.fullmatch(r"process \d+ on [\w.-]+", holder.decode("ascii", errors="replace"))
    who = f"by {signed[0]}" if signed else "by another process"
    return VtdlError(f"output '{out}' is being written {who}. Wait until it ends, or choose another --out")


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return
