"""What every run needs of the machine: a reporter to speak through, signals, safe files, devices, precision.

torch is imported inside the functions that need it, so that `--help` and list making start without it.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol, Self

from vtdl_cli import ranks
from vtdl_cli.errors import UsageError, VtdlError

if TYPE_CHECKING:
    import torch


class Progress(Protocol):
    """One running bar, or its plain lines where nobody watches."""

    def advance(self, n: int = 1, **fields: str) -> None:
        """Move on by `n` and show `fields` (name and formatted value) beside the bar."""


class Reporter(Protocol):
    """How the engine speaks to whoever started it; `commands` supplies the one for terminals and pipes."""

    def line(self, text: str) -> None:
        """Say one line that everybody should read."""

    def warn(self, text: str) -> None:
        """Say one line that somebody should act upon."""

    def progress(self, total: int, description: str, start: int = 0) -> AbstractContextManager[Progress]:
        """Show how far a piece of work of `total` steps has come, `start` of them done before."""


class Silence:
    """A reporter that says nothing: for tests and for callers with their own display."""

    def line(self, text: str) -> None:
        """Say nothing."""

    def warn(self, text: str) -> None:
        """Say nothing."""

    def progress(self, total: int, description: str, start: int = 0) -> AbstractContextManager[Progress]:  # noqa: ARG002
        """Show nothing."""
        return nullcontext(self)

    def advance(self, n: int = 1, **fields: str) -> None:
        """Show nothing."""


Warn = Callable[[str], None]
"""What takes a line that somebody should act upon: a reporter's `warn`."""


def silent(_text: str) -> None:
    """Takes warnings that nobody needs, or needs again."""


FULL_DISK_BYTES = 2**20  # less is left where a write has just failed for want of room


class StopRequest:
    """Turns SIGINT, SIGTERM and SIGUSR1 into a request that a loop answers between two steps.

    A second Ctrl-C no longer waits. Use as a context manager; `name` is the signal's name once one has arrived.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)

    def __init__(self) -> None:
        self.name = ""

    def __enter__(self) -> Self:
        self._previous = {number: signal.signal(number, self._note) for number in self.SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def arrived(self) -> str:
        """The signal that came to this process, or to another one at the same work: all have to ask."""
        return next(filter(None, ranks.exchange(self.name)), "")

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self.name and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.name = signal.Signals(number).name


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; when the block succeeds it is synced and renamed to `path`, whole.

    Raises:
        VtdlError: the disk is full, or the folder cannot be written; what `path` held before is intact.
    """
    temporary = path.with_name(f".{path.name}.part")  # a fixed name: what a killed run left is overwritten by the next
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    except (OSError, RuntimeError) as error:  # torch.save and h5py report a full disk as a RuntimeError
        raise cannot_write(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def cannot_write(path: Path, error: Exception) -> VtdlError:
    """The error for a write to `path` that failed."""
    reason = getattr(error, "strerror", None) or next(iter(str(error).splitlines()), type(error).__name__)
    number = getattr(error, "errno", None)
    if isinstance(error, RuntimeError):  # torch.save only tells where in its own code it failed
        number = _guess_cause(path)
        reason = os.strerror(number).lower() if number else reason
    room = "Allow larger files (ulimit -f unlimited)" if number == errno.EFBIG else "Make room"
    return VtdlError(f"file '{path}' could not be written ({reason}). {room}, or choose another --out, and start again")


def _guess_cause(path: Path) -> int | None:
    """What most likely keeps a file from being written, where the system's own answer is lost."""
    if path.parent.exists() and shutil.disk_usage(path.parent).free < FULL_DISK_BYTES:
        return errno.ENOSPC
    return errno.EFBIG if system_limit("RLIMIT_FSIZE") < float("inf") else None


def system_limit(name: str) -> float:
    """What of something the system lets this process have: `RLIMIT_NOFILE` open files, `RLIMIT_FSIZE` bytes a file."""
    try:
        import resource
    except ImportError:  # Windows
        return float("inf")
    soft, _ = resource.getrlimit(getattr(resource, name))
    return float("inf") if soft == resource.RLIM_INFINITY else soft


def existing_folder(folder: Path) -> Path:
    """`folder`, or the nearest of those above it that is there already."""
    return next(place for place in (folder, *folder.absolute().parents) if place.exists())


def check_writable(folder: Path) -> None:
    """Refuse at the start an output that could not be written hours later.

    Raises:
        UsageError: `folder` is not there and cannot be made, or files cannot be made in it.
    """
    nearest = existing_folder(folder)
    if not nearest.is_dir():
        raise UsageError(f"output folder '{folder}' cannot be made: '{nearest}' is a file. Choose another --out")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UsageError(f"output folder '{folder}' cannot be written. Choose another --out")


def check_new_file(path: Path, option: str, *, overwrite: bool, sources: Iterable[Path] = ()) -> None:
    """Refuse at the start a file that is in the way or could not be written.

    Args:
        path: the file.
        option: what names it.
        overwrite: whether it may be there.
        sources: files that are read, and may not be replaced whatever was asked for.

    Raises:
        UsageError: so it is.
    """
    if any(path.resolve() == source.resolve() for source in sources):
        raise UsageError(f"output '{path}' is itself one of the inputs. Choose another {option}")
    if path.is_dir():
        raise UsageError(f"output '{path}' is a folder. Name a file in it: {option} {path / 'FILE'}")
    if path.exists() and not overwrite:
        raise UsageError(f"output '{path}' exists. Use --overwrite, or another {option}")
    check_writable(path.parent)


def default_workers() -> int:
    """One process for each core that is this process's share of those it may use, at most 8."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(8, max(1, cores // ranks.local_count()))


def select_device(name: str) -> torch.device:
    """`auto` takes the first CUDA device, else the CPU.

    Raises:
        UsageError: `cuda` was asked for where torch sees none.
    """
    import torch

    available = torch.cuda.is_available()
    if name.startswith("cuda") and not available:
        raise UsageError(f"device '{name}' is not available: torch {torch.__version__} sees no GPU. Use --device cpu")
    return torch.device("cuda" if name == "auto" and available else "cpu" if name == "auto" else name)


def select_autocast(precision: str, device: torch.device) -> torch.dtype | None:
    """The autocast type for `precision`, or None for float32.

    `auto` is bf16 where the device computes in it. A CPU without bf16 instructions only emulates it: R3D-10 of
    width 16 took 24 to 40 times as long as in float32 on an AVX2 machine (batch 4, 8x64x64, three pairs side by side),
    so there `auto` is float32.
    """
    import torch

    if precision == "auto":
        native = torch.cuda.is_bf16_supported(False) if device.type == "cuda" else _cpu_computes_bf16()
        return torch.bfloat16 if native else None
    return torch.bfloat16 if precision == "bf16" else None


def _cpu_computes_bf16() -> bool:
    import torch

    cpu = torch.cpu
    return bool(cpu._is_avx512_bf16_supported() or cpu._is_amx_tile_supported())


def seed_torch(seed: int) -> None:
    """Seed torch's own generators: initial weights, dropout and TCA draw from them; samples draw from their own."""
    import torch

    torch.manual_seed(seed)


def random_state(device: torch.device) -> dict[str, Any]:
    """Of torch's generators: the CPU's and, where it is a GPU, that of `device`."""
    import torch

    return {
        "cpu": torch.get_rng_state(),
        "cuda": [torch.cuda.get_rng_state(device)] if device.type == "cuda" else [],
    }


def restore_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Let the generators go on from what `random_state` gave, on a GPU where that was one."""
    import torch

    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and len(state["cuda"]) == 1:
        torch.cuda.set_rng_state(state["cuda"][0], device)
