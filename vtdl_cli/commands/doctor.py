"""`vtdl doctor`."""

import json
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vtdl_cli.commands import options as o

if TYPE_CHECKING:
    from vtdl_cli.engine.doctor.examination import Finding

EPILOG = """Examples:

vtdl doctor

vtdl doctor --folder runs --device cpu --json
"""


def doctor(
    folder: Annotated[
        Path, typer.Option(help="Where outputs will be written: its space and locks are checked.")
    ] = Path(),
    device: o.DeviceOption = "auto",
    as_json: o.JsonOption = False,
    debug: o.DebugOption = False,
) -> None:
    """Check whether vtdl runs on this machine, and what to do if it does not.

    A line for each check, with a verdict and the next step.
    """
    o.execution(0, device, None)
    from vtdl_cli.engine.doctor.examine import examine
    from vtdl_cli.errors import VtdlError

    findings = examine(device, folder, _ignore if as_json else _print, debug=debug)
    failed = [name for name, finding in findings.items() if finding.verdict == "fail"]
    if as_json:
        checks = [{"check": name, **asdict(finding)} for name, finding in findings.items()]
        sys.stdout.write(json.dumps({"runs": not failed, "checks": checks}, indent=2) + "\n")
    if failed:
        what = f"{len(failed)} of {len(findings)} checks failed ({', '.join(failed)})"
        raise VtdlError(f"{what}: a run would fail. Do what their lines say, then: {_retype(folder, device)}")


def _retype(folder: Path, device: str) -> str:
    """Return the command with the options that were given, quoted for a shell."""
    given = [] if folder == Path() else ["--folder", str(folder)]
    given += [] if device == "auto" else ["--device", device]
    return shlex.join(["vtdl", "doctor", *given])


def _print(name: str, finding: "Finding") -> None:
    from vtdl_cli.text import printable

    next_step = f". {finding.next_step}" if finding.next_step else ""
    sys.stdout.write(printable(f"{finding.verdict:<7}  {name}: {finding.found}{next_step}") + "\n")
    sys.stdout.flush()


def _ignore(_name: str, _finding: "Finding") -> None:
    """Print nothing: JSON is printed at the end."""
