"""Read files of tensors and plain types without running any code in them, and verify their checksums.

torch writes a zip file, with a CRC-32 of each record, which torch itself does not verify; safetensors_file.py reads
the other kind.
"""

import errno
import re
import shlex
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from vtdl_cli.engine.networks.safetensors_file import is_safetensors, read_safetensors
from vtdl_cli.errors import CheckpointError
from vtdl_cli.runtime import Warn, ignore_warning

ZIP, PICKLE = b"PK", b"\x80"  # first bytes of a file: as torch writes it, and as before version 1.6
ANOTHER_COPY = "Use another copy of the file"
NAME_WEIGHTS = "Name a run folder, or a .pt, .safetensors or hub folder of vtdl convert"
RECORD_BLOCK_BYTES = 2**20  # of a record in memory at a time
PROGRAMS = (
    (r"GLOBAL (\S+)", "it holds '{}'"),
    (r"Unsupported operand 149\b", "it is in pickle protocol 4 or later"),  # FRAME, the first operand of these
    (r"TorchScript", "it is a TorchScript program"),
)
"""torch's messages for a file that contains code, and ours, as torch advises to run it."""


def read_tensors(path: Path, allowed: Sequence[type] = (), warn: Warn = ignore_warning) -> Any:
    """Read a file of tensors and plain types onto the CPU.

    Args:
        path: the file.
        allowed: further classes that are allowed in it.
        warn: called if it has no checksums.

    Raises:
        CheckpointError: it does not exist, is damaged or another kind of file, or contains code, which is not run.
    """
    try:
        content, has_checksums = read_safetensors(path) if is_safetensors(path) else _read_torch(path, allowed)
    except FileNotFoundError:
        raise CheckpointError(f"weights '{path}' do not exist. Give a run folder or a checkpoint file") from None
    except CheckpointError:
        raise
    except Exception as error:  # unpickling damaged bytes raises nearly anything
        raise CheckpointError(f"weights '{path}' cannot be read: {_reason(path, error)}") from error
    if not has_checksums:
        warn(f"weights '{path}' have no checksums: damage in them would not be noticed")
    return content


def _read_torch(path: Path, allowed: Sequence[type]) -> tuple[Any, bool]:
    """Read a file of torch's, and return whether it has checksums, which then match."""
    has_checksums = has_whole_records(path)
    with torch.serialization.safe_globals(list(allowed)), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Detected pickle protocol")  # such a file is read, or refused by the caller
        return torch.load(path, map_location="cpu", weights_only=True), has_checksums


def has_whole_records(path: Path) -> bool:
    """Verify the checksum of every record of a zip file; returns False if it has no checksums.

    Raises:
        CheckpointError: a record does not match its checksum.
        OSError, zipfile.BadZipFile: the file cannot be read as a zip file.
    """
    with path.open("rb") as file:
        if file.read(2) != ZIP:
            return False
    with zipfile.ZipFile(path) as archive:
        records = archive.infolist()
        if not any(record.CRC for record in records):  # torch has an option to omit them
            return False
        for record in records:
            name = record.filename.partition("/")[2] or record.filename
            try:
                _read_through(archive, record)
            except (zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError, RuntimeError) as error:
                raise CheckpointError(
                    f"weights '{path}' are damaged: record '{name}' does not match its checksum. "
                    "Use another copy of the file, or another checkpoint of its run"
                ) from error
    return True


def _read_through(archive: zipfile.ZipFile, record: zipfile.ZipInfo) -> None:
    """Read a record; zipfile verifies its name and checksum."""
    with archive.open(record) as content:
        while content.read(RECORD_BLOCK_BYTES):
            pass


def suggest_convert(path: Path) -> str:
    """Return what to type for weights of other code."""
    command = shlex.join(["vtdl", "convert", str(path), "--preset", "hmdb51/i3d", "--out", f"{path.stem}-converted.pt"])
    return f"First: {command}, with the preset of their network"


def _reason(path: Path, error: Exception) -> str:
    """Return why a file could not be read, and what to do."""
    if isinstance(error, OSError) and error.strerror and error.errno != errno.EINVAL:  # a seek to a damaged offset
        return error.strerror.lower()
    with path.open("rb") as file:
        beginning = file.read(2)
    if not beginning.startswith((ZIP, PICKLE)):
        return f"it is not a checkpoint. {NAME_WEIGHTS}" if beginning else f"it is empty. {ANOTHER_COPY}"
    for pattern, what in PROGRAMS:
        if found := re.search(pattern, str(error)):
            return f"{what.format(*found.groups())}, which loading would run. {_next_step(path, found[0])}"
    return f"it is damaged, cut short, or not a checkpoint. {ANOTHER_COPY}"


def _next_step(path: Path, found: str) -> str:
    """Return what to do; `vtdl convert` reads the authors' files, which hold a Namespace."""
    is_authors = found == "GLOBAL argparse.Namespace"
    return suggest_convert(path) if is_authors else "If you trust it, load it in Python and save its tensors only"
