"""Files of tensors and plain types, read without running anything that is in them."""

import errno
import re
import shlex
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from vtdl_cli.errors import CheckpointError

BEGINNINGS = (b"PK", b"\x80")  # of a zip, as torch writes now, and of a pickle, as before version 1.6
PROGRAMS = (
    (r"GLOBAL (\S+)", "it holds '{}'"),
    (r"Unsupported operand 149\b", "it is in pickle protocol 4 or later"),  # FRAME, which those begin with
    (r"TorchScript", "it is a TorchScript program"),
)
"""What torch says of a file that only running it would read, and how we put it: torch's own advice is to run it."""


def read_tensors(path: Path, allowed: Sequence[type] = ()) -> Any:
    """What a file of tensors and plain types holds, on the CPU; of classes `allowed` alone are let in.

    Raises:
        CheckpointError: it is not there, is something else, or carries code; none of it was run.
    """
    try:
        with torch.serialization.safe_globals(list(allowed)), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected pickle protocol")  # it is read, or refused with the reason
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"weights '{path}' do not exist. Give a run folder or a checkpoint file") from None
    except Exception as error:  # unpickling damaged bytes raises nearly anything
        raise CheckpointError(f"weights '{path}' cannot be read: {_reason(path, error)}") from error


def suggest_convert(path: Path) -> str:
    """What to type where weights are another code's."""
    return f"First: vtdl convert {shlex.quote(str(path))} --preset ... --out ..."


def _reason(path: Path, error: Exception) -> str:
    """Why a file could not be read, and what to do."""
    if isinstance(error, OSError) and error.strerror and error.errno != errno.EINVAL:  # a seek to where damage points
        return error.strerror.lower()
    with path.open("rb") as file:
        beginning = file.read(2)
    if not beginning.startswith(BEGINNINGS):
        return "it is no checkpoint" if beginning else "it is empty"
    for pattern, what in PROGRAMS:
        if found := re.search(pattern, str(error)):
            return f"{what.format(*found.groups())}, which loading would run. {_next_step(path, found[0])}"
    return "it is damaged, cut short, or no checkpoint"


def _next_step(path: Path, found: str) -> str:
    """The authors' files, which hold a Namespace, are let in by another door."""
    is_authors = found == "GLOBAL argparse.Namespace"
    return suggest_convert(path) if is_authors else "Where you trust it, save its tensors alone"
