"""Checks of what the system grants: shared memory, open files, disk, locks."""

import shutil
import tempfile
from pathlib import Path

from vtdl_cli.engine.doctor.examination import CollectingReporter, Examination, Finding
from vtdl_cli.errors import UsageError
from vtdl_cli.locks import lock_file, releasing_locks
from vtdl_cli.runtime import check_writable, nearest_existing_folder

CHECKPOINT_BYTES = 2**30  # last.pt of R3D-18 with its key encoder and optimizer is 0.4 GB; a second one replaces it
LEAST_BYTES = 2**26  # without room for this much, not even a small network can be saved
SHARED_BYTES = 2**30  # batches of 16 x 3 clips of 16 x 256 x 340 pixels take 200 MB each
FEW_FILES = 256  # 8 workers with 4 batches each, and the libraries' own
PIPES = "with many workers, batches go through pipes, which is slower"


def check_shared_memory(_: Examination) -> Finding:
    """Batches travel from workers through shared memory."""
    from vtdl_cli.data.clips.loading import SHARED_MEMORY, free_shared_memory

    free = free_shared_memory()
    if free == float("inf"):
        return Finding("ok", f"this system has no {SHARED_MEMORY}")
    found = f"{SHARED_MEMORY} has {free / 2**30:.2g} GiB free"
    if free < SHARED_BYTES:
        return Finding("warning", f"{found}: {PIPES}", "Enlarge it: docker run --shm-size 8g")
    return Finding("ok", found)


def check_open_files(_: Examination) -> Finding:
    """Workers share batches through open files."""
    from vtdl_cli.data.clips.loading import max_open_files

    most = max_open_files()
    if most < FEW_FILES:
        return Finding("warning", f"only {most:.0f} may be open: {PIPES}", "Allow more: ulimit -n 4096")
    return Finding("ok", "no limit" if most == float("inf") else f"{most:.0f} may be open")


def check_disk(examination: Examination) -> Finding:
    """The output folder can be written and has room for checkpoints."""
    folder = examination.folder
    _write_a_byte(folder)
    free = shutil.disk_usage(nearest_existing_folder(folder)).free
    found = f"'{folder}' has {free / 2**30:.3g} GiB free"
    if free < CHECKPOINT_BYTES:
        return Finding(
            "fail" if free < LEAST_BYTES else "warning", found, "Free some space, or choose another --folder"
        )
    return Finding("ok", found)


def _write_a_byte(folder: Path) -> None:
    """Raise a UsageError if the folder cannot be written."""
    check_writable(folder, "--folder")
    try:
        with tempfile.TemporaryFile(dir=nearest_existing_folder(folder)) as file:
            file.write(b"x")
    except OSError as error:
        reason = str(error.strerror).lower()
        raise UsageError(f"output folder '{folder}' cannot be written: {reason}. Choose another --folder") from error


@releasing_locks
def check_locks(examination: Examination) -> Finding:
    """The file system of the output folder has locks."""
    _write_a_byte(examination.folder)
    warnings = CollectingReporter()
    lock_file(examination.folder / "vtdl-doctor", warnings)
    if warnings.texts:
        return Finding("warning", f"'{examination.folder}' has none", "Do not start two writers of one output")
    return Finding("ok", f"'{examination.folder}' has them")
