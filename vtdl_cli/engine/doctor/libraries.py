"""Checks of what is installed: libraries and system."""

import importlib.metadata
import platform
import sys

from vtdl_cli import __version__
from vtdl_cli.engine.doctor.examination import Examination, Finding, import_error

LIBRARIES = ("torch", "av", "h5py", "numpy", "sklearn", "scipy", "matplotlib", "PIL", "pydantic", "yaml", "rich")
"""What every run imports. torchvision is left out: only its released weights need it."""


def check_versions(_: Examination) -> Finding:
    """All libraries that every run needs can be imported."""
    errors = {name: error for name in LIBRARIES if (error := import_error(name))}
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
