"""Features in HDF5: one row a video, with where they came from in the attributes (README).

An extraction that runs for hours must survive whatever stops it, and HDF5 files do not survive being cut short: rows
are kept in small files beside the target, each written whole, and put together at the end.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np

from vtdl_cli.errors import ListError, UsageError
from vtdl_cli.runtime import check_writable, replacing

SCHEMA = 1


@dataclass(frozen=True)
class Features:
    """What an HDF5 file holds, clips averaged: (N, D), (N,) and N paths, with the file's attributes."""

    path: Path
    values: np.ndarray
    labels: np.ndarray
    paths: list[str]
    attributes: dict[str, Any]

    def rows(self, chosen: np.ndarray) -> Self:
        """The videos that a bool (N,) chooses."""
        paths = [path for path, take in zip(self.paths, chosen, strict=True) if take]
        return replace(self, values=self.values[chosen], labels=self.labels[chosen], paths=paths)


def read_features(path: Path) -> Features:
    """Read what an extraction wrote.

    Raises:
        UsageError: `path` is no such file, or its features are no numbers.
    """
    if not path.is_file():
        raise UsageError(f"features '{path}' are not there. First: vtdl extract ... --out {path}")
    try:
        with h5py.File(path) as file:
            values = file["features"][:]
            labels, paths, attributes = file["labels"][:], file["paths"].asstr()[:].tolist(), dict(file.attrs)
    except (OSError, KeyError) as error:
        raise UsageError(f"features '{path}' are not a file of vtdl extract. Name its HDF5 file") from error
    if values.ndim == 3:
        values = values.mean(1)
    if broken := int((~np.isfinite(values)).any(1).sum()):
        raise UsageError(f"features '{path}' are not finite in {broken} videos. Extract them anew, from other weights")
    return Features(path, values, labels, paths, attributes)


class FeatureParts:
    """The rows of an extraction that is under way.

    Args:
        out: the HDF5 file to be.
        provenance: what the features depend on; rows of another provenance are not mixed in.
        resume: go on with rows that are there; leave a finished file as it is.
        overwrite: replace a finished file, and forget rows that are there.

    Raises:
        UsageError: something is in the way, or the rows that are there have another provenance.

    Attributes:
        done: videos of the list dealt with so far, skipped ones included.
        skipped: path and reason of each video that could not be read.
        finished: whether the file is there already, whole.
    """

    def __init__(self, out: Path, provenance: Mapping[str, str], *, resume: bool, overwrite: bool) -> None:
        self.out, self.folder = out, out.with_name(f".{out.name}.parts")
        self.provenance = dict(provenance)
        self.done, self.skipped = 0, list[dict[str, str]]()
        if out.is_dir():
            raise UsageError(f"output '{out}' is a folder. Name a file: --out {out}/features.h5")
        begun = self.folder.exists()
        check_writable(out.parent)
        self.finished = resume and not begun and out.exists() and h5py.is_hdf5(out)
        if self.finished:
            with h5py.File(out) as file:
                self._check_same(dict(file.attrs))
                self.skipped = json.loads(file.attrs["skipped"])
        elif out.exists() and not overwrite and not (begun and resume):
            raise UsageError(f"output '{out}' exists. Use --overwrite, or another --out")
        if begun and not overwrite:
            self._go_on(resume)

    def _go_on(self, resume: bool) -> None:
        if not resume:
            raise UsageError(f"output '{self.out}' was begun and interrupted. Use --resume to go on, or --overwrite")
        parts = self._parts()
        if not parts:
            return
        state = json.loads(str(np.load(parts[-1])["state"]))
        self._check_same(state["provenance"])
        self.done, self.skipped = state["done"], state["skipped"]

    def _check_same(self, provenance: Mapping[str, Any]) -> None:
        differing = [name for name, value in self.provenance.items() if provenance.get(name) != value]
        if differing:
            raise UsageError(
                f"output '{self.out}' was begun with another {', '.join(differing)}. Use --overwrite, or another --out"
            )

    def _parts(self) -> list[Path]:
        return sorted(self.folder.glob("[0-9]*.npz"))

    def _rows(self) -> Iterator[Mapping[str, np.ndarray]]:
        """Each part that has rows, one open at a time: hours make more parts than a process may open files."""
        for path in self._parts():
            with np.load(path) as part:
                if len(part["labels"]):
                    yield part

    def begin(self) -> None:
        """Forget rows of an extraction that is not gone on with."""
        if not self.done:
            shutil.rmtree(self.folder, ignore_errors=True)

    def add(self, done: int, skipped: list[dict[str, str]], columns: dict[str, Any]) -> None:
        """Keep the rows of the videos up to number `done`; `columns` has features, labels, num_frames, positions."""
        self.done, self.skipped = done, self.skipped + skipped
        state = json.dumps({"provenance": self.provenance, "done": self.done, "skipped": self.skipped})
        with replacing(self.folder / f"{done:09d}.npz") as temporary, temporary.open("wb") as file:
            np.savez(file, state=np.array(state), **columns)

    def finish(self, names: list[str]) -> tuple[int, ...]:
        """Put all rows into the HDF5 file and remove the parts.

        Args:
            names: paths of the whole list, as the list has them.

        Returns:
            The shape of `features`.

        Raises:
            ListError: there is not a single row.
        """
        shapes = [part["features"].shape for part in self._rows()]
        if not shapes:
            raise ListError(f"output '{self.out}' would be empty: no video of the list could be read")
        rows = sum(shape[0] for shape in shapes)
        with replacing(self.out) as temporary, h5py.File(temporary, "w") as file:
            shape = (rows, *shapes[0][1:])
            features = file.create_dataset("features", shape, np.float32)
            labels = file.create_dataset("labels", rows, np.int64)
            num_frames = file.create_dataset("num_frames", rows, np.int64)
            paths = file.create_dataset("paths", rows, h5py.string_dtype())
            at = 0
            for part in self._rows():
                here = slice(at, at + len(part["labels"]))
                features[here], labels[here], num_frames[here] = part["features"], part["labels"], part["num_frames"]
                paths[here] = [names[position] for position in part["positions"]]
                at = here.stop
            file.attrs.update({"schema": SCHEMA, **self.provenance, "skipped": json.dumps(self.skipped)})
        shutil.rmtree(self.folder)
        return shape
