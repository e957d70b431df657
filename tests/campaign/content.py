"""Whether two outputs are the same: checkpoints bit for bit, rows and HDF5 number for number, other files byte by byte."""

import csv
import json
from pathlib import Path
from typing import Any

import h5py

from tests.toy import TIMES, differences, files_in, load

NOTES = "notes.txt"
"""A file of the user's own in an output folder."""


def compare(ours: Path, theirs: Path) -> list[str]:
    """Where the folder `ours` is not what the folder `theirs` is; hidden files count."""
    names, expected = files_in(ours) - {NOTES}, files_in(theirs) - {NOTES}
    found = [f"'{name}' is missing" for name in sorted(expected - names)]
    found += [f"'{name}' is left over" for name in sorted(names - expected)]
    for name in sorted(names & expected):
        if name != "events.out.tfevents" and (where := _differing(ours / name, theirs / name)):
            found.append(f"'{name}' differs{where}")
    return found


def _differing(ours: Path, theirs: Path) -> str:
    try:
        found = differences(content(ours), content(theirs))
    except Exception as error:  # whatever a damaged file raises
        return f": {type(error).__name__} {str(error)[:80]}"
    return f" at {found[0] or 'its bytes'}" if found else ""


def content(path: Path) -> Any:
    """What of a file has to be the same each time."""
    if path.suffix == ".pt":
        return load(path)
    if path.suffix in (".h5", ".hdf5"):
        return read_hdf5(path)
    if path.suffix == ".json":
        return untimed(json.loads(path.read_text()))
    if path.suffix == ".jsonl":
        return [untimed(json.loads(line)) for line in path.read_text().splitlines()]
    if path.name == "metrics.csv":
        with path.open(newline="") as file:
            return [untimed(row) for row in csv.DictReader(file)]
    if path.suffix == ".png":  # what it shows may be a pace
        return path.read_bytes().endswith(b"IEND\xaeB`\x82")
    return path.read_bytes()


def untimed(value: Any) -> Any:
    """Without what the clock says."""
    if isinstance(value, dict):
        return {name: untimed(each) for name, each in value.items() if name not in TIMES}
    return [untimed(each) for each in value] if isinstance(value, list) else value


def read_hdf5(path: Path) -> dict[str, Any]:
    """Everything in a file, in plain types."""
    found: dict[str, Any] = {}
    with h5py.File(path) as file:
        found["attributes"] = {name: str(value) for name, value in file.attrs.items() if name != "root"}  # each its own

        def visit(name: str, thing: Any) -> None:
            if isinstance(thing, h5py.Dataset):
                values = thing[()]
                plain = values.tolist() if values.dtype == object else values.tobytes()
                found[name] = [str(thing.dtype), list(thing.shape), plain]

        file.visititems(visit)
    return found


def read_results(out: Path, stdout: str) -> dict[str, Any]:
    """All that a command printed and wrote."""
    found: dict[str, Any] = {"stdout": untimed(json.loads(stdout))}
    files = sorted(path for path in out.rglob("*") if path.is_file() and "tfevents" not in path.name)
    return found | {path.relative_to(out).as_posix(): content(path) for path in files}


def read_numbers(out: Path, stdout: str) -> dict[str, Any]:
    """The numbers alone: texts may be hashes of the weights' bytes, of which some are read by nobody."""
    found = read_results(out, stdout)
    for name, value in found.items():
        if name.endswith(".pt"):
            found[name] = value["model"]
        elif name.endswith(".h5"):
            found[name] = {key: values for key, values in value.items() if key != "attributes"}
        elif name.endswith((".yaml", ".json", ".jsonl")) or name == "stdout":
            found[name] = _without_text(value)
    return found


def _without_text(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_text(each) for name, each in value.items() if not isinstance(each, str)}
    if isinstance(value, list):
        return [_without_text(each) for each in value if not isinstance(each, str)]
    return None if isinstance(value, bytes) else value
