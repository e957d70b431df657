"""The file below HDF5."""

import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from vtdl_cli.data.hdf5.disk import ErrorTolerantFile


def test_error_tolerant_file__may_be_closed_before_hdf5_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a second Ctrl-C ends the clean-up. Oracle: Python, which reports exceptions it cannot raise."""
    reported: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", reported.append)
    raw = (tmp_path / "x.h5").open("w+b", buffering=0)
    file = h5py.File(ErrorTolerantFile(raw), "w")
    file["values"] = np.arange(100_000)
    raw.close()
    file.close()
    del file
    assert reported == []
