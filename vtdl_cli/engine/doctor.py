"""Whether vtdl runs on this machine: a table of checks, each with a verdict and the next step.

torch is imported inside the checks: if it cannot be, that is a finding.
"""

import importlib
import importlib.metadata
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

import numpy as np

from vtdl_cli import __version__
from vtdl_cli.config import Data
from vtdl_cli.data.video.decoding import DECODERS, open_video
from vtdl_cli.data.video.motion import CLASSES, render_video, write_video, write_videos
from vtdl_cli.data.video.samples import ESSENTIAL, read_sample, write_samples
from vtdl_cli.engine.lists.process_pool import map_unordered
from vtdl_cli.errors import Interrupted, UsageError, VtdlError
from vtdl_cli.locks import lock_file, releasing_locks
from vtdl_cli.runtime import SilentReporter, check_writable, nearest_existing_folder, select_autocast, select_device
from vtdl_cli.settings import load_config

Verdict = Literal["ok", "warning", "fail"]

LIBRARIES = ("torch", "av", "h5py", "numpy", "sklearn", "scipy", "matplotlib", "PIL", "pydantic", "yaml", "rich")
"""What every run imports. torchvision is left out: only its released weights need it."""

CHECKPOINT_BYTES = 2**30  # last.pt of R3D-18 with its key encoder and optimizer is 0.4 GB; a second one replaces it
LEAST_BYTES = 2**26  # without room for this much, not even a small network can be saved
SHARED_BYTES = 2**30  # batches of 16 x 3 clips of 16 x 256 x 340 pixels take 200 MB each
FEW_FILES = 256  # 8 workers with 4 batches each, and the libraries' own
PIPES = "with many workers, batches go through pipes, which is slower"
TIMED_CLIPS, TIMED_SCALE = 10, 8
STEPS_PER_EPOCH = 2


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes:
        verdict: `fail` if a run would fail, `warning` if it would be slow or limited.
        found: in one sentence without a full stop.
        next_step: what to do about it; '' if nothing.
    """

    verdict: Verdict
    found: str
    next_step: str = ""


@dataclass
class Examination:
    """What is examined, and what several checks share.

    Attributes:
        device: as `--device`.
        folder: where outputs will be written.
        scratch: a temporary folder.
    """

    device: str
    folder: Path
    scratch: Path

    @cached_property
    def unread(self) -> dict[str, dict[str, str]]:
        """By decoder, and by sample: why it cannot be read, or ''. A worker reads it, since decoders may crash."""
        files = write_samples(self.scratch)
        tasks = [(decoder, name) for decoder in installed_decoders() for name in files]
        items = enumerate((decoder, files[name]) for decoder, name in tasks)
        unread: dict[str, dict[str, str]] = {}
        for number, reason in map_unordered(read_sample, items, workers=1):
            decoder, name = tasks[number]
            unread.setdefault(decoder, {})[name] = reason
        return unread


def installed_decoders() -> list[str]:
    """Return the decoders whose library imports."""
    return [name for name in DECODERS if not _import_error(LIBRARY_OF.get(name, name))]


LIBRARY_OF = {"auto": "av", "pyav": "av", "torchcodec": "torchcodec.decoders"}


def _import_error(library: str) -> str:
    """Return why a library cannot be imported, or ''."""
    try:
        importlib.import_module(library)
    except Exception as error:  # beside ImportError: RuntimeError and OSError if shared libraries are missing
        return " ".join(str(error).split())[:200] or type(error).__name__
    return ""


# ---- checks


def check_versions(_: Examination) -> Finding:
    """All libraries that every run needs can be imported."""
    errors = {name: error for name in LIBRARIES if (error := _import_error(name))}
    if errors:
        name, error = next(iter(errors.items()))
        return Finding(
            "fail", f"{len(errors)} libraries cannot be imported, {name} first: {error}", "Run: pip install -e ."
        )
    versions = (f"{name} {importlib.metadata.version(name)}" for name in ("torch", "av", "h5py", "numpy"))
    return Finding("ok", f"vtdl {__version__}, Python {platform.python_version()}, {', '.join(versions)}")


def check_system(_: Examination) -> Finding:
    """The system is one of those that vtdl is tested on."""
    name = f"{platform.system()} {platform.machine()}"
    if sys.platform == "linux":
        return Finding("ok", name)
    return Finding("warning", f"{name}: vtdl is tested on Linux alone", "Please report what does not work")


def check_device(examination: Examination) -> Finding:
    """The device exists; a GPU that torch does not see is a warning."""
    import torch

    try:
        device = select_device(examination.device)
    except UsageError as error:
        return Finding("fail", str(error))
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        number = torch.cuda.device_count()
        return Finding("ok", f"{number} GPU, {properties.name}, {properties.total_memory / 2**30:.0f} GiB")
    if examination.device == "auto" and shutil.which("nvidia-smi"):
        return Finding(
            "warning",
            f"a GPU is installed, but torch {torch.__version__} does not see it: runs would use the CPU",
            "Install the build of torch for your driver: https://pytorch.org/get-started/locally",
        )
    return Finding("ok", f"{device.type}, {torch.get_num_threads()} threads")


def check_precision(examination: Examination) -> Finding:
    """What `precision: auto` means here."""
    dtype = select_autocast("auto", select_device(examination.device))
    return Finding("ok", "bf16" if dtype else "fp32: the device has no bf16 instructions")


def check_decoder(name: str, examination: Examination) -> Finding:
    """A decoder returns the correct frames of the samples; one in a preset's default has to."""
    is_default = Data().decoder == name
    if error := _import_error(LIBRARY_OF.get(name, name)):
        if not is_default:
            return Finding("ok", "not installed, and not needed")
        return Finding("fail", f"cannot be imported: {error}", "Use --set data.decoder=pyav, or pip install -e .")
    reasons = examination.unread.get(name, {})
    readable = [sample for sample, reason in reasons.items() if not reason]
    if all(sample in readable for sample in ESSENTIAL if sample in reasons):
        unreadable = [sample for sample in reasons if sample not in readable]
        others = f"; not {', '.join(unreadable)}: use data.decoder=pyav for those" if unreadable else ""
        return Finding("ok", f"reads {', '.join(readable)}{others}")
    sample = next(sample for sample in ESSENTIAL if reasons.get(sample))
    verdict: Verdict = "fail" if is_default or name == "pyav" else "warning"
    return Finding(verdict, f"cannot read {sample}: {reasons[sample]}", "Use --set data.decoder=pyav")


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
    try:
        check_writable(folder)
        with tempfile.TemporaryFile(dir=nearest_existing_folder(folder)) as file:
            file.write(b"x")
    except (UsageError, OSError) as error:
        return Finding("fail", f"'{folder}' cannot be written: {error}", "Choose another --folder")
    free = shutil.disk_usage(nearest_existing_folder(folder)).free
    found = f"'{folder}' has {free / 2**30:.3g} GiB free"
    if free < CHECKPOINT_BYTES:
        return Finding(
            "fail" if free < LEAST_BYTES else "warning", found, "Free some space, or choose another --folder"
        )
    return Finding("ok", found)


@releasing_locks
def check_locks(examination: Examination) -> Finding:
    """The file system of the output folder has locks."""
    warnings = CollectingReporter()
    lock_file(examination.folder / "vtdl-doctor", warnings)
    if warnings.texts:
        return Finding("warning", f"'{examination.folder}' has none", "Do not start two writers of one output")
    return Finding("ok", f"'{examination.folder}' has them")


def check_nccl(examination: Examination) -> Finding:
    """Several GPUs talk through NCCL."""
    import torch
    from torch import distributed

    if select_device(examination.device).type != "cuda":
        return Finding("ok", "not needed without a GPU")
    if distributed.is_available() and distributed.is_nccl_available():
        return Finding("ok", ".".join(map(str, torch.cuda.nccl.version())))
    return Finding("warning", "torch has none: a run can use one GPU only", "Install a build of torch with NCCL")


def check_conv3d(examination: Examination) -> Finding:
    """3D convolutions are correct in the chosen precision, and these versions have no known defect."""
    import torch

    from vtdl_cli.engine.networks.conv3d_defects import TOLERANCE, find_known_defect, measure_conv3d_error

    device = select_device(examination.device)
    error = max(measure_conv3d_error(device, select_autocast("auto", device), frames) for frames in (2, 16))
    if not error < TOLERANCE:  # nor NaN
        return Finding("fail", f"results are wrong by {error:.2g} of their norm", "Use --set pretrain.precision=fp32")
    cudnn = torch.backends.cudnn.version() if device.type == "cuda" else None
    defect, remedy = find_known_defect(torch.__version__, cudnn)
    if defect:
        return Finding("warning", defect, remedy)
    return Finding("ok", f"correct to {error:.1g} of their norm; torch {torch.__version__} has no known defect")


def check_decoding(examination: Examination) -> Finding:
    """Time the default decoder."""
    path = examination.scratch / "timed.mp4"
    write_video(path, render_video(0, np.random.default_rng(0)).repeat(TIMED_SCALE, 1).repeat(TIMED_SCALE, 2))
    began = time.perf_counter()
    for _ in range(TIMED_CLIPS):
        with open_video(path, Data().decoder) as reader:
            side = reader.read(range(0, reader.num_frames, 2)).shape[1]
    milliseconds = 1000 * (time.perf_counter() - began) / TIMED_CLIPS
    clip = f"every second of 32 frames of {side}x{side} pixels"
    return Finding("ok", f"{milliseconds:.0f} ms a clip ({clip}) with the decoder {Data().decoder}")


def check_training(examination: Examination) -> Finding:
    """Pretrain a small network on generated videos, from the list to the checkpoint."""
    from vtdl_cli.engine.request import Execution, ListSource
    from vtdl_cli.engine.train.pretrain import pretrain

    videos, reporter = examination.scratch / "videos", CollectingReporter()
    write_videos(videos, 1, 0, lambda: None)
    batch = len(CLASSES) // STEPS_PER_EPOCH
    config = load_config("demo", ["pretrain.epochs=2", f"pretrain.batch_size={batch}", "pretrain.knn_every=0"])
    execution = Execution(device=examination.device)
    result = pretrain(config, ListSource(videos), examination.scratch / "run", execution, reporter)
    row = result["metrics"]  # of the second epoch: the first includes the start of workers and kernels
    step = f"{1000 * row['seconds'] / STEPS_PER_EPOCH:.0f} ms"
    found = f"{step} a step of {batch} triplets of the preset demo, {result['machine']}"
    if slowing := [text for text in reporter.texts if "shared memory" in text]:
        return Finding("warning", f"{found}; {slowing[0]}")
    return Finding("ok", found)


CHECKS: dict[str, Callable[[Examination], Finding]] = {
    "versions": check_versions,
    "system": check_system,
    "device": check_device,
    "precision": check_precision,
    "Conv3d": check_conv3d,
    "NCCL": check_nccl,
    **{f"decoder {name}": partial(check_decoder, name) for name in DECODERS},
    "shared memory": check_shared_memory,
    "open files": check_open_files,
    "disk": check_disk,
    "locks": check_locks,
    "decoding": check_decoding,
    "training": check_training,
}
"""Name -> check, in the order they run."""


class CollectingReporter(SilentReporter):
    """Keeps warnings, and prints nothing."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def warn(self, text: str) -> None:
        """Keep a warning."""
        self.texts.append(text)


def examine(
    device: str,
    folder: Path,
    report: Callable[[str, Finding], None],
    names: Iterable[str] = tuple(CHECKS),
    *,
    debug: bool = False,
) -> dict[str, Finding]:
    """Run checks, and report each finding at once.

    Args:
        device: as `--device`.
        folder: where outputs will be written; it need not exist.
        report: called with the name and finding of each check.
        names: of the checks.
        debug: raise unexpected exceptions, rather than report them as failures.
    """
    findings: dict[str, Finding] = {}
    with tempfile.TemporaryDirectory(prefix="vtdl-doctor-", ignore_cleanup_errors=True) as scratch:
        examination = Examination(device, folder, Path(scratch))
        for name in names:
            findings[name] = run_check(CHECKS[name], examination, debug=debug)
            report(name, findings[name])
    return findings


def run_check(check: Callable[[Examination], Finding], examination: Examination, *, debug: bool = False) -> Finding:
    """Run one check; an exception is a failure, unless `debug` raises it."""
    try:
        return check(examination)
    except Interrupted:  # of the training: nothing is left to resume
        raise KeyboardInterrupt from None
    except VtdlError as error:
        return Finding("fail", error.lines[0])
    except Exception as error:
        if debug:
            raise
        reason = " ".join(str(error).split())
        return Finding("fail", f"{type(error).__name__}: {reason}", "See the traceback: vtdl doctor --debug")
