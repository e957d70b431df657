"""Run the checks: a finding for each, with a verdict and the next step."""

import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from vtdl_cli.data.video.decoding import DECODERS
from vtdl_cli.engine.doctor.decoders import check_decoder, check_decoding
from vtdl_cli.engine.doctor.devices import check_conv3d, check_device, check_nccl, check_precision
from vtdl_cli.engine.doctor.examination import Examination, Finding
from vtdl_cli.engine.doctor.libraries import check_system, check_versions
from vtdl_cli.engine.doctor.resources import check_disk, check_locks, check_open_files, check_shared_memory
from vtdl_cli.engine.doctor.training import check_training
from vtdl_cli.errors import Interrupted, VtdlError

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
            finding = run_check(CHECKS[name], examination, debug=debug)
            findings[name] = _say_once(finding, findings)
            report(name, findings[name])
    return findings


def _say_once(finding: Finding, before: dict[str, Finding]) -> Finding:
    """Refer a failure to the check that failed for the same reason before: a missing GPU fails all that need it."""
    same = (name for name, each in before.items() if each == finding and finding.verdict == "fail")
    first = next(same, None)
    return finding if first is None else Finding("fail", f"for the same reason as {first}")


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
