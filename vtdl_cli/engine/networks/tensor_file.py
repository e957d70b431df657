"""Files of tensors and plain types, read without running anything that is in them, and held to their checksums.

torch writes a zip, which has a CRC-32 of each record; torch itself does not look at them.
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

from vtdl_cli.errors import CheckpointError
from vtdl_cli.runtime import Warn, ignore_warning

ZIP, PICKLE = b"PK", b"\x80"  # how files begin: as torch writes now, and as before version 1.6
RECORD_BLOCK_BYTES = 2**20  # of a record in memory at a time
PROGRAMS = (
    (r"GLOBAL (\S+)", "it holds '{}'"),
    (r"Unsupported operand 149\b", "it is in pickle protocol 4 or later"),  # FRAME, which those begin with
    (r"TorchScript", "it is a TorchScript program"),
)
"""What torch says of a file that only running it would read, and how we put it: torch's own advice is to run it."""


def read_tensors(path: Path, allowed: Sequence[type] = (), warn: Warn = ignore_warning) -> Any:
    """What a file of tensors and plain types holds, on the CPU.

    Args:
        path: the file.
        allowed: classes that are let in, no others.
        warn: who is told where it has no checksums.

    Raises:
        CheckpointError: it is not there, is damaged or something else, or carries code; none of it was run.
    """
    try:
        has_checksums = has_whole_records(path)
        with torch.serialization.safe_globals(list(allowed)), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected pickle protocol")  # it is read, or refused with the reason
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"weights '{path}' do not exist. Give a run folder or a checkpoint file") from None
    except CheckpointError:
        raise
    except Exception as error:  # unpickling damaged bytes raises nearly anything
        raise CheckpointError(f"weights '{path}' cannot be read: {_reason(path, error)}") from error
    if not has_checksums:
        warn(f"weights '{path}' have no checksums: damage in them would not be noticed")
    return content


def has_whole_records(path: Path) -> bool:
    """Hold every record of a zip to its checksum; False where there is none to hold it to.

    Raises:
        CheckpointError: one is not as it was written.
        OSError, zipfile.BadZipFile: the file cannot be read as a zip.
    """
    with path.open("rb") as file:
        if file.read(2) != ZIP:
            return False
    with zipfile.ZipFile(path) as archive:
        records = archive.infolist()
        if not any(record.CRC for record in records):  # torch can be told to leave them out
            return False
        for record in records:
            name = record.filename.partition("/")[2] or record.filename
            try:
                _read_through(archive, record)
            except (zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError, RuntimeError) as error:
                raise CheckpointError(
                    f"weights '{path}' are damaged: record '{name}' does not match its checksum. "
                    "Take another copy of the file, or another checkpoint of its run"
                ) from error
    return True


def _read_through(archive: zipfile.ZipFile, record: zipfile.ZipInfo) -> None:
    """Read a record, which zipfile holds to its name and its checksum."""
    with archive.open(record) as content:
        while content.read(RECORD_BLOCK_BYTES):
            pass


def suggest_convert(path: Path) -> str:
    """What to type where weights are another code's."""
    return f"First: vtdl convert {shlex.quote(str(path))} --preset ... --out ..."


def _reason(path: Path, error: Exception) -> str:
    """Why a file could not be read, and what to do."""
    if isinstance(error, OSError) and error.strerror and error.errno != errno.EINVAL:  # a seek to where damage points
        return error.strerror.lower()
    with path.open("rb") as file:
        beginning = file.read(2)
    if not beginning.startswith((ZIP, PICKLE)):
        return "it is no checkpoint" if beginning else "it is empty"
    for pattern, what in PROGRAMS:
        if found := re.search(pattern, str(error)):
            return f"{what.format(*found.groups())}, which loading would run. {_next_step(path, found[0])}"
    return "it is damaged, cut short, or no checkpoint"


def _next_step(path: Path, found: str) -> str:
    """The authors' files, which hold a Namespace, are let in by another door."""
    is_authors = found == "GLOBAL argparse.Namespace"
    return suggest_convert(path) if is_authors else "Where you trust it, save its tensors alone"
