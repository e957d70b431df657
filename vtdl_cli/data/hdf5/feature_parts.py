"""The partial files of a running extraction.

An extraction may run for hours and be interrupted at any moment, which an open HDF5 file does not survive. So rows are
written to small files beside the output, each atomically, and joined at the end. Rank 0 writes.
"""

import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import h5py
import numpy as np

from vtdl_cli import ranks
from vtdl_cli.data.hdf5.features import join_values, open_features, rows_at_a_time, values_of, write_features
from vtdl_cli.data.hdf5.layout import class_names_in, is_list_of_skipped
from vtdl_cli.data.hdf5.part_rows import JoinedRows, count_rows, join_parts, read_part
from vtdl_cli.data.lists.label_sets import compare_classes, label_set
from vtdl_cli.errors import DamagedFile, ListError, UsageError, VtdlError
from vtdl_cli.runtime import atomic_write, check_writable

JOINED = ("root", "torch_version")
"""Keys of the provenance that change no feature, or its last digits at most. Rows with several values may be joined in
one file, which lists all of them."""
MAY_DIFFER = (*JOINED, "group_by")
"""Keys of the provenance that may change when an extraction is resumed; the latest `group_by` counts."""

DAMAGE = (ValueError, LookupError, TypeError, AttributeError, EOFError, OSError, RuntimeError, BadZipFile, zlib.error)
"""What NumPy raises for a damaged part, depending on where the damage is."""


class FeatureParts:
    """The parts of an extraction, and the file that they become.

    Args:
        out: the HDF5 output file.
        provenance: what the features depend on; all rows must share it, except for MAY_DIFFER.
        resume: continue after the existing parts; keep a finished file.
        overwrite: replace a finished file, and delete existing parts.
        is_same: whether two values of a key of the provenance, that of existing rows first, mean the same.

    Raises:
        UsageError: the output exists, or existing rows have another provenance.
        DamagedFile: an existing part or file is damaged.

    Attributes:
        done: videos of the list processed so far, including skipped ones.
        windows: of the next video, processed so far; 0 where each video is processed at once.
        skipped: path and reason of each video that could not be read.
        finished: whether the output is complete already.
        differing: keys of JOINED that differ from those of existing rows -> their value.
    """

    def __init__(
        self,
        out: Path,
        provenance: Mapping[str, str],
        *,
        resume: bool,
        overwrite: bool,
        is_same: Callable[[str, Any, str], bool] = lambda _key, before, now: bool(before == now),
    ) -> None:
        if out.is_dir():
            raise UsageError(f"output '{out}' is a folder. Name a file: --out {out}/features.h5")
        self.out, self.folder = out, out.with_name(f".{out.name}.parts")
        self.provenance, self.is_same = dict(provenance), is_same
        self.done, self.windows, self.skipped = 0, 0, list[dict[str, str]]()
        self.differing: dict[str, str] = {}
        begun = bool(self._parts())  # an empty folder is left by a kill before the first part, or after the last one
        check_writable(out.parent)
        self.finished = resume and not begun and out.exists() and h5py.is_hdf5(out)
        if self.finished:
            with open_features(out) as file:
                self._check_same(file.attributes)
                file.verify(rows_at_a_time(file))
                self.skipped = json.loads(file.attributes.get("skipped", "[]"))
        elif out.exists() and not overwrite and not (begun and resume):
            raise UsageError(f"output '{out}' exists. Use --overwrite, or another --out")
        if begun and not overwrite:
            self._resume(resume)

    def standing(self, num_videos: int) -> str:
        """Describe the progress so far, for a user who resumes."""
        if self.finished:
            return f"output '{self.out}' is finished: nothing to do"
        if not (self.done or self.windows):
            return f"output '{self.out}' does not exist yet: starting from the beginning"
        changed = "".join(f"; its {name} was '{theirs}'" for name, theirs in self.differing.items())
        place = f"after window {self.windows} of video {self.done + 1}" if self.windows else f"at video {self.done}"
        return f"output '{self.out}' resumes {place} of {num_videos}{changed}"

    def _resume(self, resume: bool) -> None:
        if not resume:
            raise UsageError(f"output '{self.out}' was interrupted. Resume with --resume, or use --overwrite")
        last: dict[str, Any] | None = None
        for path in self._parts():
            last = self._read_state(path)
            self._check_same(last["provenance"])
            self.done, self.windows, self.skipped = last["done"], last.get("windows", 0), last["skipped"]
        if last is not None:  # its provenance includes that of all before it
            self._join(last["provenance"])

    def _read_state(self, path: Path) -> dict[str, Any]:
        """Read and verify a part that must follow those read so far, and return its state.

        Raises:
            DamagedFile: it is damaged, or the one before it is missing.
        """
        with self._open(path) as part:
            if part.zip.testzip() is not None:  # verifies the checksums of the zip
                raise ValueError
            state: dict[str, Any] = json.loads(str(part["state"]))
            done, windows = state["done"], state.get("windows", 0)
            count = count_rows(part, done, windows) + len(state["skipped"]) - len(self.skipped)
            follows = state.get("follows", [self.done, 0]) == [self.done, self.windows]
            follows &= "counts" in part or done == self.done + count
            is_valid = is_list_of_skipped(state["skipped"]) and isinstance(state["provenance"], dict)
            if not (follows and is_valid and path.stem == _part_name(done, windows)):
                raise ValueError
            return state

    @contextmanager
    def _open(self, path: Path) -> Iterator[Any]:
        """Open a part; any exception raised by a damaged one becomes `DamagedFile`."""
        try:
            with path.open("rb") as file, np.load(file) as part:  # given a path, NumPy leaves a damaged zip open
                yield part
        except (*DAMAGE, MemoryError) as error:
            raise DamagedFile(
                f"output '{self.out}' cannot be resumed: its part '{path}' is damaged, or one before it is missing. "
                "Remove it and all later ones, then use --resume; or use --overwrite"
            ) from error

    def _check_same(self, provenance: Mapping[str, Any]) -> None:
        compared = {name: value for name, value in self.provenance.items() if name not in (*MAY_DIFFER, "classes")}
        differing = [
            name for name, value in compared.items() if not self.is_same(name, provenance.get(name, value), value)
        ]
        if differing:
            raise UsageError(
                f"output '{self.out}' was begun with another {', '.join(differing)}. Use --overwrite, or another --out"
            )
        before, now = (
            label_set(owner, class_names_in(attributes), ())
            for owner, attributes in ((f"output '{self.out}'", provenance), ("its list", self.provenance))
        )
        compare_classes(before, now, "Use --overwrite, or another --out")

    def _join(self, provenance: Mapping[str, str]) -> None:
        """Add the provenance of existing rows to ours."""
        for name in (name for name in JOINED if name in self.provenance):
            ours, theirs = self.provenance[name], provenance.get(name, "unknown")
            self.provenance[name] = join_values([*values_of(theirs), ours])
            if ours not in values_of(theirs):
                self.differing[name] = theirs

    def _parts(self) -> list[Path]:
        return sorted(self.folder.glob("[0-9]*.npz"))

    def _rows(self) -> Iterator[Mapping[str, np.ndarray]]:
        """Yield each part that has rows, one open at a time: there may be more parts than a process may open files."""
        for path in self._parts():
            with self._open(path) as part:
                rows = read_part(part)
            if rows:
                yield rows

    @ranks.on_rank_0
    def begin(self) -> None:
        """Delete the parts of an extraction that is not resumed, or their folder, which a kill may have left empty."""
        if not (self.done or self.windows):
            self._delete_parts()

    def _delete_parts(self) -> None:
        """Delete the parts, the last one first: if killed meanwhile, the others can still be resumed from."""
        if self.folder.exists():
            for path in sorted(self.folder.iterdir(), reverse=True):
                path.unlink()
            self.folder.rmdir()

    @ranks.on_rank_0
    def add(self, done: int, skipped: list[dict[str, str]], columns: dict[str, Any], windows: int = 0) -> None:
        """Write a part with the rows of the videos up to number `done`, and the first windows of the next one.

        Args:
            done: videos of the list processed, including these.
            skipped: path and reason of each that could not be read since the last call.
            columns: of the others, see `data.hdf5.part_rows`; empty if there are none.
            windows: of video `done`, in this part and those before it.
        """
        follows = [self.done, self.windows]
        self.done, self.windows, self.skipped = done, windows, self.skipped + skipped
        state = {"provenance": self.provenance, "done": done, "windows": windows, "skipped": self.skipped}
        state["follows"] = follows
        with atomic_write(self.folder / f"{_part_name(done, windows)}.npz") as temporary, temporary.open("wb") as file:
            np.savez(file, state=np.array(json.dumps(state)), **columns)

    @ranks.on_rank_0
    def finish(self, name_of: Callable[[int], str], intervals: np.ndarray | None = None) -> None:
        """Join all rows in the HDF5 file, and delete the parts.

        Args:
            name_of: returns the path of the video at a position of the list, as written in the list.
            intervals: of the list, (N, 2) seconds, NaN for a whole video; None: all are whole.

        Raises:
            ListError: there are no rows.
            VtdlError: the number of rows and skipped videos is not that of the videos processed.
        """
        rows = join_parts(self._rows, name_of, intervals)
        if rows is None or not len(rows.positions):
            raise ListError(f"output '{self.out}' would be empty: no video of the list could be read")
        self._check_complete(rows)
        attributes = {**self.provenance, "skipped": json.dumps(self.skipped)}
        optional, number = rows.optional, rows.num_videos
        write_features(self.out, rows.shape, rows.blocks, attributes, optional=optional, num_videos=number)
        self._delete_parts()

    def _check_complete(self, rows: JoinedRows) -> None:
        """Check that each video is there once, in a row or among the skipped."""
        number = len(rows.positions)
        if len(np.unique(rows.positions)) != number or number + len(self.skipped) != self.done or self.windows:
            raise VtdlError(
                f"output '{self.out}' would have {number} rows and {len(self.skipped)} skipped videos of "
                f"{self.done}: parts in '{self.folder}' are missing or damaged. Start again with --overwrite"
            )


def _part_name(done: int, windows: int) -> str:
    """Return the name of a part; names sort as parts follow one another."""
    return f"{done:09d}_{windows:09d}" if windows else f"{done:09d}"
