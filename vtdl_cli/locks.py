"""Locks on outputs: one writer at a time.

A lock is a hidden file in the output folder, or beside the output file, with a POSIX record lock. The system releases
it when the process ends in any way, forked workers do not hold it, and it works across machines that share a disk.
Readers need no lock. In a distributed run rank 0 holds the lock for all.
"""

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
from vtdl_cli.errors import UsageError, VtdlError
from vtdl_cli.runtime import Reporter, check_writable, write_error

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

Arguments = ParamSpec("Arguments")
Returned = TypeVar("Returned")

FOLDER_LOCK = ".vtdl.lock"
"""The lock file of a folder; if a killed process left it there, it locks nothing."""

TAKEN = (errno.EACCES, errno.EAGAIN)  # by another process; other errors mean that the file system has no locks
ATTEMPTS = 100  # to take a lock whose file its previous holder is removing

_stack: ContextVar[ExitStack] = ContextVar("_stack")
_held: set[Path] = set()  # POSIX would grant this process its own locks again, and release both with the second


@dataclass(frozen=True)
class _Lock:
    """A lock that this process holds, and the folders created for its file, innermost first."""

    path: Path
    descriptor: int
    created: list[Path]

    def release(self) -> None:
        """Remove the file while the lock is still held, and any created folders that are still empty."""
        _held.discard(self.path.resolve())
        self.path.unlink(missing_ok=True)
        os.close(self.descriptor)
        _remove_empty(self.created)


def releasing_locks(function: Callable[Arguments, Returned]) -> Callable[Arguments, Returned]:
    """Release the locks taken in `function` when it returns or raises."""

    @functools.wraps(function)
    def run(*arguments: Arguments.args, **options: Arguments.kwargs) -> Returned:
        with ExitStack() as stack:
            token = _stack.set(stack)
            try:
                return function(*arguments, **options)
            finally:
                _stack.reset(token)

    return run


def lock_folder(folder: Path, reporter: Reporter) -> None:
    """Lock `folder` for writing until the function marked `releasing_locks` ends.

    If the file system has no locks, warn and continue without.

    Raises:
        VtdlError: another process holds the lock, or the lock file cannot be written.
        UsageError: the folder cannot be created, or is not writable.
    """
    _lock(folder, folder / FOLDER_LOCK, reporter)


def lock_file(file: Path, reporter: Reporter) -> None:
    """Lock one output file, named by `--out`, and the files that belong to it, as `lock_folder`.

    Raises:
        VtdlError: as `lock_folder`.
        UsageError: as `lock_folder`, or `file` is a folder: the path of one may have no name to derive the lock's from.
    """
    if file.is_dir():
        raise UsageError(f"output '{file}' is a folder. Name a file in it: --out {file / 'FILE'}")
    _lock(file, file.with_name(f".{file.name}.lock"), reporter)


def lock_whole_folder(folder: Path, reporter: Reporter) -> None:
    """Lock a folder that is written under another name and renamed, as `lock_folder`: its lock is beside it."""
    folder = folder.absolute()  # which has a name, unlike `.`
    _lock(folder, folder.with_name(f".{folder.name}.lock"), reporter)


def _lock(out: Path, path: Path, reporter: Reporter) -> None:
    error = ranks.from_rank_0(_try_lock(out, path, reporter) if ranks.is_rank_0() else None)
    if error is not None:
        raise error


def _try_lock(out: Path, path: Path, reporter: Reporter) -> VtdlError | None:
    """Take the lock, or return the error, which all ranks are to raise."""
    stack, created = _stack.get(), list[Path]()
    try:
        check_writable(path.parent)
        created = [folder for folder in path.absolute().parents if not folder.exists()]
        lock = _Lock(path, _acquire(out, path), created)
    except (VtdlError, OSError) as error:
        _remove_empty(created)
        if isinstance(error, _NoLocks):
            reporter.warn(f"output '{out}' is not locked ({error}). Do not start a second writer")
            return None
        return error if isinstance(error, VtdlError) else write_error(out, error)
    _held.add(path.resolve())
    stack.callback(lock.release)
    return None


class _NoLocks(OSError):
    """The file system does not support locks."""


def _acquire(out: Path, path: Path) -> int:
    """Create and lock the file, and return its descriptor."""
    if path.resolve() in _held:
        raise _refusal(out, path.read_bytes())
    if fcntl is None:
        raise _NoLocks("this system has no POSIX locks")
    for attempt in range(ATTEMPTS):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:  # another command that was refused has just removed the folder
            if attempt == ATTEMPTS - 1:
                raise UsageError(
                    f"output '{out}' cannot be written: '{path.parent}' takes no files. Choose another --out"
                ) from None
            continue
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_same_file(path, descriptor):
                _write_owner(descriptor)
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


def _is_same_file(path: Path, descriptor: int) -> bool:
    """Whether the locked file is still the one at `path`: its previous holder removes it before releasing the lock."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _write_owner(descriptor: int) -> None:
    with contextlib.suppress(OSError):  # the disk may be full; the lock holds without it
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)


def _refusal(out: Path, holder: bytes) -> VtdlError:
    owner = re.fullmatch(r"process \d+ on [\w.-]+", holder.decode("ascii", errors="replace"))
    who = f"by {owner[0]}" if owner else "by another process"
    return VtdlError(f"output '{out}' is being written {who}. Wait until it ends, or choose another --out")


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return
