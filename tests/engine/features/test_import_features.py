"""Features of other programs, through the command line: read back, probed, and refused."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engine.features.test_files import read
from tests.toy import refuse, succeed
from vtdl_cli.data.hdf5.features import read_features

CLASSES = ("wave", "walk")
GENERATOR = np.random.default_rng(0)


def make_list(folder: Path, name: str, num_videos: int = 12) -> Path:
    """A list of videos that are not on this disk."""
    folder.mkdir(exist_ok=True)
    (folder / "classes.txt").write_text("".join(f"{each}\n" for each in CLASSES))
    lines = [f"{CLASSES[number % 2]}/{name} {number}.mp4 {number % 2} {30 + number}\n" for number in range(num_videos)]
    (folder / f"{name}.txt").write_text("".join(lines))
    return folder / f"{name}.txt"


def paths_in(video_list: Path) -> list[str]:
    return [line.rsplit(" ", 2)[0] for line in video_list.read_text().splitlines()]


def make_vectors(num_videos: int = 12, *shape: int) -> np.ndarray:
    """Vectors (N, ..., 4) of two classes that are far apart, in opposite directions: whatever the noise."""
    vectors = GENERATOR.normal(size=(num_videos, *shape, 4)).astype(np.float32)
    vectors[::2] += 9
    vectors[1::2] -= 9
    return vectors


def bring(file: Path, video_list: Path, *more: str) -> list[str]:
    out = more if "--out" in more else (*more, "--out", str(file.with_suffix(".h5")))
    return ["features", "import", str(file), "--list", str(video_list), *out]


def write_csv(path: Path, rows: list[tuple[Any, ...]], header: tuple[str, ...] = ("path", "f0", "f1")) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def test_import__npy_by_order_is_probed_searched_and_described(tmp_path: Path) -> None:
    """Oracle: the arrays and lists themselves; two far classes, which every probe finds."""
    lists = {name: make_list(tmp_path / "lists", name) for name in ("train", "test")}
    arrays = {name: make_vectors(12, 3) for name in lists}  # three clips a video
    for name, video_list in lists.items():
        np.save(tmp_path / f"{name}.npy", arrays[name])
        answer = json.loads(succeed(*bring(tmp_path / f"{name}.npy", video_list, "--network", "ViT"), "--json").stdout)
        assert (answer["shape"], answer["matched_by"]) == ([12, 3, 4], "order")
    found = read(tmp_path / "train.h5")
    assert np.array_equal(found["features"], arrays["train"])
    assert found["labels"].tolist() == [0, 1] * 6
    assert found["num_frames"].tolist() == [*range(30, 42)]
    train, test = tmp_path / "train.h5", tmp_path / "test.h5"
    assert read_features(train).paths == paths_in(lists["train"])
    probed = json.loads(succeed("probe", "--train", str(train), "--test", str(test), "--json").stdout)
    assert (probed["knn@1"], probed["linear_top1"], probed["num_test"], probed["dim"]) == (100, 100, 12, 4)
    ranked = json.loads(succeed("retrieve", "--gallery", str(train), "--query", str(test), "--json").stdout)
    assert ranked["R@1"] == 100
    described = json.loads(succeed("features", "info", str(train), "--json").stdout)[str(train)]
    assert (described["backbone"], described["layer"]) == ("ViT", "imported")
    assert described["imported_from"] == str(tmp_path / "train.npy")
    assert (described["checksums"], described["classes"]["names"]) == ("match", list(CLASSES))
    succeed("features", "merge", str(train), str(test), "--out", str(tmp_path / "all.h5"))
    assert read(tmp_path / "all.h5")["features"].shape == (24, 3, 4)
    succeed(*bring(tmp_path / "test.npy", lists["test"], "--out", str(tmp_path / "other.h5")))
    refuse(
        "probe", "--train", str(train), "--test", str(tmp_path / "other.h5"), code=2,
        says=("in backbone: 'imported' against 'ViT'",),
    )  # fmt: skip


def test_import__what_export_wrote_comes_back_by_path(tmp_path: Path) -> None:
    """Oracle: the file that was exported; its rows in reverse order, and one of them of no video of the list."""
    video_list = make_list(tmp_path, "train")
    np.save(tmp_path / "a.npy", make_vectors())
    succeed(*bring(tmp_path / "a.npy", video_list))
    succeed("features", "export", str(tmp_path / "a.h5"), "--out", str(tmp_path / "b.csv"))
    header, *rows = (tmp_path / "b.csv").read_text().splitlines()
    (tmp_path / "b.csv").write_text("\n".join([header, *reversed(rows), f"else.mp4,0,wave,9{',0' * 4}"]) + "\n")
    result = succeed(*bring(tmp_path / "b.csv", video_list))
    assert "1 of 13 rows left out, of videos that list" in result.stderr
    first, second = (read(tmp_path / f"{name}.h5") for name in "ab")
    assert all(np.array_equal(first[name], second[name]) for name in ("features", "labels", "num_frames", "paths"))


def test_import__npz_and_parquet_by_path(tmp_path: Path) -> None:
    """Oracle: the arrays; paths below the list's root, in reverse order."""
    video_list, vectors = make_list(tmp_path, "train"), make_vectors()
    paths = [f"/data/{path}" for path in paths_in(video_list)]
    np.savez(tmp_path / "a.npz", features=vectors[::-1], paths=np.array(paths[::-1]), other=np.zeros(3))
    succeed(*bring(tmp_path / "a.npz", video_list, "--root", "/data"))
    assert np.array_equal(read(tmp_path / "a.h5")["features"], vectors)
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    for columns in ({"embedding": vectors.tolist()}, {f"f{place}": vectors[:, place] for place in range(4)}):
        parquet.write_table(arrow.table({"video_path": paths, **columns}), tmp_path / "b.parquet")
        succeed(*bring(tmp_path / "b.parquet", video_list, "--root", "/data", "--overwrite"))
        assert np.array_equal(read(tmp_path / "b.h5")["features"], vectors)


def test_import__intervals_by_start_and_end(tmp_path: Path) -> None:
    """Oracle: the table; two intervals of one video, in the other order in the list."""
    (tmp_path / "list.csv").write_text("path,label,start,end\na.mp4,wave,2,3.5\na.mp4,wave,0,2\n")
    table = write_csv(tmp_path / "x.csv", [("a.mp4", 0, 2, 25, 1, 1), ("a.mp4", 2, 3.5, 25, 7, 8)], ("path", "start", "end", "fps", "f0", "f1"))  # fmt: skip
    succeed(*bring(table, tmp_path / "list.csv"))
    found = read_features(tmp_path / "x.h5")
    assert found.values.tolist() == [[7, 8], [1, 1]]
    assert found.names == ["a.mp4#t=2,3.5", "a.mp4#t=0,2"]


def test_import__csv_without_names_is_by_order(tmp_path: Path) -> None:
    """Oracle: NumPy's writer, with a comment and semicolons."""
    vectors = make_vectors()
    np.savetxt(tmp_path / "x.csv", vectors, delimiter=";", header="made elsewhere")
    succeed(*bring(tmp_path / "x.csv", make_list(tmp_path, "train")))
    assert np.array_equal(read(tmp_path / "x.h5")["features"], vectors)


ROWS = [("wave/t 0.mp4", 1, 2), ("walk/t 1.mp4", 3, 4)]
FLAWS: list[tuple[str, Any, str]] = [
    ("npy", np.zeros((3, 4)), "have 3 rows, but list"),
    ("npy", np.zeros(2), "have shape [2], not [videos, channels]"),
    ("npy", np.zeros((2, 0)), "have shape [2, 0], not"),
    ("npy", np.array([[1.0], [np.nan]]), "are not finite, the first for 'walk/t 1.mp4'"),
    ("npy", np.array([[1.0], [1e300]]), "are not finite, the first for 'walk/t 1.mp4'"),
    ("npy", np.array([{}, {}]), "cannot be read: "),
    ("npy", np.array([["a"], ["b"]]), "hold values of type <U1, not numbers"),
    ("npz", {"a": np.zeros((2, 2)), "b": np.zeros((2, 2))}, "hold the arrays a, b. Name one of them 'features'"),
    ("npz", {"features": np.zeros((2, 2)), "paths": np.array(["a"])}, "have 2 rows, but 1 path"),
    ("csv", ROWS[:1], "the first is 'walk/t 1.mp4'. Add their rows, or take these videos out of the list"),
    ("csv", [("x/t 0.mp4", 1, 2)], "have no row for 2 of 2 videos of list"),
    ("csv", [*ROWS, ROWS[0]], "have several rows of 'wave/t 0.mp4'"),
    ("csv", [("x/t 0.mp4", 1, 2)], "'wave/t 0.mp4'; their own first row is of 'x/t 0.mp4'. Write paths as in the"),
    ("csv", [ROWS[0], ("walk/t 1.mp4", "x", 2)], "cannot be read: line 3: could not convert string to float: 'x'"),
    ("csv", [ROWS[0], ("walk/t 1.mp4", 2)], "line 3 has 2 cells, but the first has 3"),
    ("csv", [ROWS[0], ("walk/t 1.mp4", "", 2)], "line 3: could not convert string to float: ''"),
    ("csv", [ROWS[0], ("walk/t 1.mp4", "1e50", 2)], "are not finite, the first for 'walk/t 1.mp4'"),
    ("csv", [], "have no rows"),
    ("txt", b"", "do not end in .npy, .npz, .csv, .parquet"),
    ("npy", b"", "cannot be read: "),
    ("npz", b"nothing", "cannot be read: "),
    ("csv", b"\xff\xfe,1\n", "cannot be read: "),
    ("npy", b"PK\x05\x06" + bytes(18), "cannot be read: it is an archive of arrays, whose name ends in .npz"),
    ("npz", b"\x93NUMPY", "cannot be read: it is not an archive of arrays"),
    ("csv", b"f0,f1\n0,\"" + b"1" * 200_000, "cannot be read: field larger than field limit"),
    ("csv", b"", "have no rows"),
    ("csv", b",path,f0\n0,wave/t 0.mp4,1\n", "such as an index of pandas"),
    ("csv", b"path,f0,f0\nwave/t 0.mp4,1,2\n", "two of its columns have the same name"),
    ("csv", b"path,label\nwave/t 0.mp4,1\n", "it has no column of features besides path, label"),
]  # fmt: skip


@pytest.mark.parametrize(("suffix", "content", "says"), FLAWS)
def test_import__bad_input(suffix: str, content: Any, says: str, tmp_path: Path) -> None:
    file, video_list = tmp_path / f"x.{suffix}", make_list(tmp_path / "lists", "t", 2)
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif suffix == "npy":
        np.save(file, content)
    elif suffix == "npz":
        np.savez(file, **content)
    else:
        write_csv(file, content)
    refuse(*bring(file, video_list), code=2, says=(says,))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lists", file.name]


def test_import__outputs_and_lists_that_cannot_be(tmp_path: Path) -> None:
    video_list = make_list(tmp_path, "train")
    np.save(tmp_path / "x.npy", make_vectors())
    (tmp_path / "x.h5").write_text("old")
    refuse(*bring(tmp_path / "x.npy", video_list), code=2, says=("x.h5' exists. Use --overwrite",))
    refuse(*bring(tmp_path / "x.npy", tmp_path / "none.txt"), "--overwrite", code=1, says=("none.txt' cannot be read",))
    refuse(*bring(tmp_path / "y.npy", video_list), code=2, says=("y.npy' do not exist",))
    assert (tmp_path / "x.h5").read_text() == "old"
    succeed(*bring(tmp_path / "x.npy", video_list), "--overwrite")
    assert len(read_features(tmp_path / "x.h5").labels) == 12
