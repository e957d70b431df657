"""Files of rows: what their checksums are of, that no damage passes them, and what odd files are called."""

import errno
import json
import os
import signal
import subprocess
import sys
import zlib
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from tests.damage import damages
from tests.toy import without_checksums
from vtdl_cli.data.hdf5.disk import ErrorTolerantFile, signals_deferred
from vtdl_cli.data.hdf5.features import open_features, read_features, write_features
from vtdl_cli.data.hdf5.rows import write_rows
from vtdl_cli.data.hdf5.scores import Scores, read_scores, write_scores
from vtdl_cli.errors import DamagedFile, UsageError, VtdlError

NUM_VIDEOS, DIM = 40, 16
VALUES = np.random.default_rng(0).normal(size=(NUM_VIDEOS, DIM)).astype(np.float32)
COLUMNS: dict[str, Any] = {
    "features": VALUES,
    "labels": np.arange(NUM_VIDEOS) % 4,
    "num_frames": np.arange(NUM_VIDEOS) + 30,
    "paths": [f"classe é/{number}.mp4" for number in range(NUM_VIDEOS)],
}


def write(path: Path, *ends: int) -> Path:
    """Features in blocks that end at these rows."""
    pairs = pairwise([0, *ends, NUM_VIDEOS])
    blocks = [{name: rows[start:end] for name, rows in COLUMNS.items()} for start, end in pairs]
    write_features(path, VALUES.shape, blocks, {"backbone": "r3d", "skipped": "[]"})
    return path


def test_checksums__are_of_shape_and_rows(tmp_path: Path) -> None:
    """Oracle: zlib on the bytes put together here; where blocks end makes no difference."""
    with h5py.File(write(tmp_path / "a.h5")) as one, h5py.File(write(tmp_path / "b.h5", 7, 8, 30)) as four:
        assert one.attrs["checksums"] == four.attrs["checksums"]
        found = json.loads(one.attrs["checksums"])
    texts = "".join(f"{path}\0" for path in COLUMNS["paths"]).encode()
    expected = {"features": b"(40, 16)" + VALUES.tobytes(), "paths": b"(40,)" + texts}
    expected |= {name: b"(40,)" + np.asarray(COLUMNS[name], "<i8").tobytes() for name in ("labels", "num_frames")}
    assert found == {name: f"{zlib.crc32(content):08x}" for name, content in expected.items()}


def content_of(path: Path) -> Any:
    """All that is read of features or scores, or the line that refuses them."""
    try:
        if path.name.startswith("scores"):
            scores = read_scores(path)
            return [scores.values.tolist(), scores.labels.tolist(), scores.paths, scores.classes, scores.attributes]
        with open_features(path) as file:
            blocks = [{name: list(rows) for name, rows in block.items()} for block in file.blocks(list(COLUMNS), 9)]
            return [str(blocks), file.attributes]
    except DamagedFile as error:
        return str(error)


@pytest.mark.parametrize("name", ["features.h5", "scores.h5"])
def test_read__no_damage_goes_unnoticed(tmp_path: Path, name: str) -> None:
    """Oracle: the content of the undamaged file; bits flipped all over it, and blocks zeroed, swapped and cut off."""
    path = tmp_path / name
    if name == "features.h5":
        write(path)
    else:
        attributes = {"protocol": "video@10", "aggregate": "softmax", "skipped": "[]"}
        scores = Scores(VALUES[:, :4], np.arange(NUM_VIDEOS) % 4, COLUMNS["paths"], list("abcd"), attributes)
        write_scores(path, scores)
    whole, content = path.read_bytes(), content_of(path)
    assert not isinstance(content, str)
    refused = 0
    for damaged in damages(whole):
        path.write_bytes(damaged)
        found = content_of(path)
        refused += isinstance(found, str)
        assert found == content or (isinstance(found, str) and "\n" not in found)
    assert refused > 35


def test_read__damage_names_the_column(tmp_path: Path) -> None:
    """The sign of one number."""
    whole = bytearray(write(tmp_path / "a.h5").read_bytes())
    whole[whole.index(VALUES.tobytes()) + 103] ^= 0x80
    (tmp_path / "a.h5").write_bytes(whole)
    says = "a.h5' are damaged: their features do not match their checksum. Extract again"
    with pytest.raises(DamagedFile, match=says):
        read_features(tmp_path / "a.h5")


def test_read__a_file_that_another_program_changed_is_not_as_it_was_written(tmp_path: Path) -> None:
    with h5py.File(write(tmp_path / "a.h5"), "a") as file:
        file["labels"][0] = 3
    with pytest.raises(DamagedFile):
        read_features(tmp_path / "a.h5")


def test_read__files_of_before_are_read_with_a_warning(tmp_path: Path) -> None:
    with without_checksums(write(tmp_path / "a.h5")):
        pass
    told: list[str] = []
    assert (read_features(tmp_path / "a.h5", told.append).values == VALUES).all()
    assert len(told) == 1
    assert told[0].startswith(f"features '{tmp_path}/a.h5' are of an earlier version, without checksums")


def replace_column(file: h5py.File, name: str, **dataset: Any) -> None:
    del file[name]
    file.create_dataset(name, **dataset)


def make_odd(file: h5py.File, kind: str) -> None:
    """Put something into a file that we would not write."""
    if kind == "labels of text":
        replace_column(file, "labels", data=[b"walk"] * NUM_VIDEOS)
    elif kind == "labels with fractions":
        replace_column(file, "labels", data=np.zeros(NUM_VIDEOS))
    elif kind == "labels without end":
        replace_column(file, "labels", data=np.full(NUM_VIDEOS, 10**12))
    elif kind == "labels below":
        replace_column(file, "labels", data=np.full(NUM_VIDEOS, -5))
    elif kind == "compound":
        replace_column(file, "features", data=np.zeros((NUM_VIDEOS, 2), [("a", "f4"), ("b", "i4")]))
    elif kind == "scalar":
        replace_column(file, "paths", data="a.mp4")
    elif kind == "references":
        replace_column(file, "paths", shape=(NUM_VIDEOS,), dtype=h5py.ref_dtype)
    elif kind == "no channels":
        replace_column(file, "features", shape=(NUM_VIDEOS, 0), dtype="f4")
    elif kind == "a thousand million rows":
        for name, shape, dtype in (("features", (10**9, 512), "f4"), ("labels", (10**9,), "i8")):
            replace_column(file, name, shape=shape, dtype=dtype)
        replace_column(file, "num_frames", shape=(10**9,), dtype="i8", chunks=(1000,))
        replace_column(file, "paths", shape=(10**9,), dtype=h5py.string_dtype())
    elif kind == "bytes":
        replace_column(file, "paths", shape=(NUM_VIDEOS,), dtype=h5py.string_dtype("ascii"))
        file["paths"][:] = [b"\xff\xfe"] * NUM_VIDEOS
    elif kind == "link to another file":
        del file["labels"]
        file["labels"] = h5py.ExternalLink("other.h5", "labels")
    elif kind == "rows of another file":
        replace_column(file, "num_frames", shape=(NUM_VIDEOS,), dtype="i8", external=[("/etc/passwd", 0, 4096)])
    else:
        file.attrs[kind.split()[0]] = ODD_ATTRIBUTES[kind]


ODD_ATTRIBUTES = {
    "skipped is no JSON": "{",
    "skipped is no list": '{"path": 1}',
    "skipped that UTF-8 cannot hold": r'[{"path": "\udcff.mp4", "reason": "corrupt"}]',
    "classes that UTF-8 cannot hold": r'["a", "\ud800", "c", "d"]',
}
"""JSON can spell out lone surrogates, which no other file takes."""


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("labels of text", "its 'labels' are not integers"),
        ("labels with fractions", "its 'labels' are not integers"),
        ("labels without end", "have 1000000000000 in their 'labels', outside of -1 to 999999"),
        ("labels below", "have -5 in their 'labels'"),
        ("compound", "its 'features' are not vectors"),
        ("scalar", "its 'paths' are not text"),
        ("references", "its 'paths' are not text"),
        ("no channels", "its 'features' are not vectors"),
        ("a thousand million rows", "they declare 1000000000 rows of features, and hold fewer"),
        ("bytes", "hold text that is not UTF-8"),
        ("link to another file", "its 'labels' are in another file"),
        ("rows of another file", "its 'num_frames' are in another file"),
        ("skipped is no JSON", "are cut short or damaged"),
        ("skipped is no list", "their 'skipped' is not a list of videos"),
        ("skipped that UTF-8 cannot hold", "their 'skipped' is not a list of videos"),
        ("classes that UTF-8 cannot hold", "are damaged: their 'classes' is not a list of names"),
    ],
)
def test_open__names_what_is_odd(tmp_path: Path, kind: str, says: str) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["labels"] = np.zeros(NUM_VIDEOS, np.int64)
    with without_checksums(write(tmp_path / "a.h5")) as file:
        make_odd(file, kind)
    with pytest.raises(UsageError) as caught:
        read_features(tmp_path / "a.h5")
    assert str(caught.value).startswith(f"features '{tmp_path}/a.h5' ")
    assert says in str(caught.value)


WRITE_WITHOUT_ROOM = """
import resource, sys
from pathlib import Path
from tests.data.hdf5.test_rows import write
for size in range(0, 30000, 500):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    try:
        write(Path(sys.argv[1]), 7, 30)
        print("whole")
    except Exception as error:
        print(error)
"""


def test_write_rows__without_room_is_one_line_wherever_it_ends(tmp_path: Path) -> None:
    """In a process of its own: HDF5 left to itself writes tracebacks, and crashes as the process ends."""
    line = [sys.executable, "-c", WRITE_WITHOUT_ROOM, str(tmp_path / "a.h5")]
    result = subprocess.run(line, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    told = result.stdout.splitlines()
    num_refused = told.index("whole")
    assert 10 < num_refused < 50
    assert set(told[:num_refused]) == {
        f"file '{tmp_path / 'a.h5'}' could not be written (File too large). Allow larger files (ulimit -f unlimited) "
        "or choose another --out, and run it again"
    }
    assert set(told[num_refused:]) == {"whole"}
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]


def test_write_rows__what_hdf5_makes_of_lost_writes_is_not_told(tmp_path: Path) -> None:
    """It happens at random: HDF5 reads back what was never written."""

    def lose() -> None:
        with write_rows(tmp_path / "a.h5", {}) as writer:
            writer._disk._error = OSError(errno.EFBIG, os.strerror(errno.EFBIG))
            raise OSError("Can't synchronously write data (address of object past end of allocation)")

    with pytest.raises(VtdlError, match=r"could not be written \(File too large\)"):
        lose()
    assert list(tmp_path.iterdir()) == []


def test_error_tolerant_file__lost_bytes_are_zeros(tmp_path: Path) -> None:
    with (tmp_path / "f").open("w+b", buffering=0) as file:
        disk = ErrorTolerantFile(file)
        disk.write(memoryview(b"abc"))
        disk._error = OSError(errno.ENOSPC, "full")
        disk.write(memoryview(b"def"))
        disk.seek(1)
        assert disk.read(5) == b"bc\0\0\0"


def test_signals_deferred__signals_come_after_the_block() -> None:
    done = []

    @signals_deferred()
    def write_twice() -> None:
        signal.raise_signal(signal.SIGINT)
        done.append("all")

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            write_twice()
    finally:
        signal.signal(signal.SIGINT, before)
    assert done == ["all"]
