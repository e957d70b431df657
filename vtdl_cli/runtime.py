"""What every run needs: a reporter, signal handling, atomic writes, device, precision and random state.

torch is imported inside the functions that need it, so that `--help` and the list commands start without it.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import chain, count
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol, Self

from vtdl_cli import ranks
from vtdl_cli.errors import UsageError, VtdlError
from vtdl_cli.system import STOP_SIGNALS, available_cores, system_limit

if TYPE_CHECKING:
    import torch


class Progress(Protocol):
    """A progress bar, or plain log lines where stderr is no terminal."""

    def advance(self, n: int = 1, **fields: str) -> None:
        """Advance by `n` steps and show `fields` (name and formatted value) beside the bar."""


class Reporter(Protocol):
    """How the engine reports to the user; `commands` supplies the one for terminals and pipes."""

    def line(self, text: str) -> None:
        """Print one line of information."""

    def warn(self, text: str) -> None:
        """Print one warning."""

    def progress(self, total: int, description: str, start: int = 0) -> AbstractContextManager[Progress]:
        """Show the progress of a task of `total` steps, of which `start` are already done."""


class SilentReporter:
    """A reporter that prints nothing: for tests, and for callers with their own display."""

    def line(self, text: str) -> None:
        """Print nothing."""

    def warn(self, text: str) -> None:
        """Print nothing."""

    def progress(self, total: int, description: str, start: int = 0) -> AbstractContextManager[Progress]:  # noqa: ARG002
        """Show nothing."""
        return nullcontext(self)

    def advance(self, n: int = 1, **fields: str) -> None:
        """Show nothing."""


Warn = Callable[[str], None]
"""A callback for warnings, such as a reporter's `warn`."""


def ignore_warning(_text: str) -> None:
    """Drop a warning: a `Warn` for callers that need none."""


FULL_DISK_BYTES = 2**20  # with less free space than this, a failed write is put down to a full disk


class StopRequest:
    """Turns STOP_SIGNALS into a request that a loop checks between two steps.

    A second Ctrl-C interrupts at once. SIGHUP stays ignored where `nohup` has it ignored. Use as a context manager;
    `name` is the name of the signal, once received.
    """

    def __init__(self) -> None:
        self.name = ""

    def __enter__(self) -> Self:
        answered = [each for each in STOP_SIGNALS if each.name != "SIGHUP" or signal.getsignal(each) != signal.SIG_IGN]
        self._previous = {number: signal.signal(number, self._note) for number in answered}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def received(self) -> str:
        """Return the name of the signal that any rank has received, or ''; a collective call, for all ranks."""
        return next(filter(None, ranks.gather_objects(self.name)), "")

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self.name and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.name = signal.Signals(number).name


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; if the block succeeds, sync it and rename it to `path`.

    Raises:
        VtdlError: the disk is full, or the folder cannot be written; the previous content of `path` is intact.
    """
    temporary = path.with_name(f".{path.name}.part")  # a fixed name: the next run overwrites what a killed run left
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("r+b") as written:  # Windows syncs no file that is open for reading alone
            os.fsync(written.fileno())
        temporary.replace(path)
    except (OSError, RuntimeError) as error:  # torch.save and h5py report a full disk as a RuntimeError
        raise write_error(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file as `atomic_write` does."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any, indent: int | None = None) -> None:
    """Write a JSON file as `atomic_write` does."""
    write_text(path, json.dumps(value, indent=indent) + "\n")


def write_error(path: Path, error: Exception) -> VtdlError:
    """Build the error for a failed write to `path`."""
    reason = getattr(error, "strerror", None) or next(iter(str(error).splitlines()), type(error).__name__)
    number = getattr(error, "errno", None)
    if isinstance(error, RuntimeError):  # torch.save only reports where in its own code it failed
        number = _guess_errno(path)
        reason = os.strerror(number).lower() if number else reason
    remedy = "Allow larger files (ulimit -f unlimited)" if number == errno.EFBIG else "Free some space"
    return VtdlError(
        f"file '{path}' could not be written ({reason}). {remedy} or choose another --out, and run it again"
    )


def _guess_errno(path: Path) -> int | None:
    """Guess why a file cannot be written, where the system's own error is lost."""
    if path.parent.exists() and shutil.disk_usage(path.parent).free < FULL_DISK_BYTES:
        return errno.ENOSPC
    return errno.EFBIG if system_limit("RLIMIT_FSIZE") < float("inf") else None


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def nearest_existing_folder(folder: Path) -> Path:
    """Return `folder` if it exists, else its nearest existing parent."""
    return next(candidate for candidate in (folder, *folder.absolute().parents) if candidate.exists())


def unused_path(path: str) -> str:
    """Return a path that does not exist yet, for an example of --out: the path itself, or with a number."""
    numbered = (f"{path}_{number}" for number in count(2))
    return next(each for each in chain([path], numbered) if not os.path.lexists(each))


def check_writable(folder: Path, option: str = "--out") -> None:
    """Check at the start that an output folder, which `option` names, can be written, rather than fail hours later.

    Raises:
        UsageError: `folder` cannot be created, or is not writable.
    """
    nearest = nearest_existing_folder(folder)
    if not nearest.is_dir():
        raise UsageError(f"output folder '{folder}' cannot be created: '{nearest}' is a file. Choose another {option}")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UsageError(f"output folder '{folder}' is not writable. Choose another {option}")


def check_new_file(path: Path, option: str, *, overwrite: bool, sources: Iterable[Path] = (), ending: str = "") -> None:
    """Check at the start that an output file can be written.

    Args:
        path: the output file.
        option: the option that names it, for messages.
        overwrite: whether the file may exist.
        sources: input files, which are never overwritten.
        ending: that the path must have, such as `.png`, where one kind of file is written whatever its name.

    Raises:
        UsageError: `path` is an input, a folder or an existing file, has another ending, or its folder is not writable.
    """
    if any(path.resolve() == source.resolve() for source in sources):
        raise UsageError(f"output '{path}' is itself one of the inputs. Choose another {option}")
    if path.is_dir():
        raise UsageError(f"output '{path}' is a folder. Name a file in it: {option} {path / 'FILE'}")
    if not path.name.lower().endswith(ending):
        raise UsageError(f"output '{path}' does not end in {ending}, the kind of file that is written. Change {option}")
    if path.exists() and not overwrite:
        raise UsageError(f"output '{path}' exists. Use --overwrite, or another {option}")
    check_writable(path.parent, option)


def default_workers() -> int:
    """Return one worker per available core, divided among the processes of this machine; at most 8."""
    return min(8, max(1, available_cores() // ranks.local_world_size()))


def select_device(name: str) -> torch.device:
    """Resolve a device name; `auto` is the first CUDA device, else the CPU. `mps`, Apple's GPU, has not been tried.

    Raises:
        UsageError: `cuda`, `cuda:1` or `mps` was requested, and torch finds no such GPU.
    """
    import torch

    available = torch.cuda.is_available()
    lacks_mps = name == "mps" and not torch.backends.mps.is_available()
    if lacks_mps or (name.startswith("cuda") and not available):
        raise UsageError(
            f"device '{name}' is not available: torch {torch.__version__} sees no such GPU. Use --device cpu"
        )
    numbered = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    if name.startswith("cuda:") and name not in numbered:
        raise UsageError(f"device '{name}' is not available: torch sees {', '.join(numbered)}. Choose from them")
    return torch.device("cuda" if name == "auto" and available else "cpu" if name == "auto" else name)


TENSOR_CORES = (7, 0)
"""Compute capability from which on GPUs have tensor cores, which multiply in fp16; bf16 came with 8.0."""


def select_autocast(precision: str, device: torch.device) -> torch.dtype | None:
    """Return the autocast dtype for `precision`, or None for float32.

    `auto` is bf16 where the device supports it natively, and fp16 on GPUs without it that have tensor cores, such as
    V100 and T4. A CPU without bf16 instructions emulates it: R3D-10 of width 16 took 24 to 40 times as long as in
    float32 on an AVX2 machine (batch 4, 8x64x64, three pairs of runs), so there `auto` is float32. So is fp16 on a CPU.
    """
    import torch

    if device.type == "cuda" and precision == "auto":
        native = torch.cuda.is_bf16_supported(False)
        has_tensor_cores = torch.cuda.get_device_capability(device) >= TENSOR_CORES
        return torch.bfloat16 if native else torch.float16 if has_tensor_cores else None
    if precision == "fp16":
        return torch.float16 if device.type == "cuda" else None
    native = precision == "auto" and device.type == "cpu" and _cpu_computes_bf16()
    return torch.bfloat16 if native or precision == "bf16" else None


def _cpu_computes_bf16() -> bool:
    import torch

    cpu = torch.cpu
    return bool(cpu._is_avx512_bf16_supported() or cpu._is_amx_tile_supported())


def seed_torch(seed: int) -> None:
    """Seed torch's global generators, used by weight init, dropout and TCA; each sample has its own generator."""
    import torch

    torch.manual_seed(seed)


def random_state(device: torch.device) -> dict[str, Any]:
    """Return the state of torch's CPU generator and, if `device` is a GPU, of that device's."""
    import torch

    return {
        "cpu": torch.get_rng_state(),
        "cuda": [] if device.type == "cpu" else [torch.get_device_module(device).get_rng_state(device)],
    }


def restore_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Restore a state that `random_state` returned."""
    import torch

    torch.set_rng_state(state["cpu"])
    if device.type != "cpu" and len(state["cuda"]) == 1:
        torch.get_device_module(device).set_rng_state(state["cuda"][0], device)
