"""`vtdl features`: described, merged and exported, through the real command."""

import csv
import importlib.util
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import vtdl_cli.data.hdf5.features
from tests.toy import refuse, succeed
from vtdl_cli.data.hdf5.features import write_features
from vtdl_cli.data.hdf5.rows import RowsFile

DIM = 4
NETWORK = {
    "backbone": "r3d depth 10 width 4",
    "layer": "last convolution, global average",
    "protocol": "video@2",
    "modality": "rgb",
    "weights": "runs/a/checkpoints/last.pt",
    "weights_sha256": "abc",
    "preset": "model:\n  name: r3d\n",
}


def write(path: Path, *numbers: int, shape: tuple[int, ...] = (DIM,), **attributes: Any) -> Path:
    """Features of the videos with these numbers; the class is a number's parity, and -1 from 100 on."""
    at = np.array(numbers)
    values = np.random.default_rng(numbers).normal(size=(len(at), *shape)).astype(np.float32)
    labels = np.where(at < 100, at % 2, -1)
    block = {"features": values, "labels": labels, "num_frames": at + 30, "paths": [f"{n},é.mp4" for n in numbers]}
    skipped = json.dumps([{"path": f"bad {path.stem}.mp4", "reason": "the file is empty"}])
    write_features(path, values.shape, [block], {**NETWORK, "list_sha256": path.stem, "skipped": skipped} | attributes)
    return path


def read(path: Path) -> dict[str, Any]:
    with h5py.File(path) as file:
        return {name: file[name][:] for name in file} | {"attributes": dict(file.attrs)}


def merge(out: Path, *paths: Path) -> list[str]:
    return ["features", "merge", *map(str, paths), "--out", str(out)]


def test_info__describes_a_file(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a.h5", 0, 1, 2, 4), write(tmp_path / "b.h5", 100, shape=(2, 3, DIM))
    answer = json.loads(succeed("features", "info", str(a), str(b), "--json").stdout)
    assert list(answer) == [str(a), str(b)]
    assert answer[str(a)] == NETWORK | {
        "shape": [4, DIM],
        "schema": 1,
        "list_sha256": "a",
        "classes": {"names": None, "seen": 2, "highest": 1, "fewest_videos": 1, "most_videos": 3},
        "videos": 4,
        "videos_without_class": 0,
        "intervals": False,
        "times": False,
        "checksums": "match",
        "skipped": [{"path": "bad a.mp4", "reason": "the file is empty"}],
    }
    assert (answer[str(b)]["shape"], answer[str(b)]["videos_without_class"]) == ([1, 2, 3, DIM], 1)
    assert answer[str(b)]["classes"]["highest"] is None
    table = succeed("features", "info", str(a), str(b)).stdout
    assert "1 x 2 x 3 x 4" in table
    assert "last convolution, global average" in table


def test_info__reads_each_column_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: the calls to the file's reader, of a file that is one block."""
    read_column, columns = RowsFile._read, list[str]()

    def record(self: RowsFile, name: str, here: slice) -> Any:
        columns.append(name)
        return read_column(self, name, here)

    monkeypatch.setattr(RowsFile, "_read", record)
    succeed("features", "info", str(write(tmp_path / "a.h5", 0, 1, 2)))
    assert sorted(columns) == ["features", "labels", "num_frames", "paths"]


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv", ".parquet"])
def test_merge__refuses_the_suffix_of_another_format(tmp_path: Path, suffix: str) -> None:
    """So do `extract` and `features import`, by the same check."""
    paths = [write(tmp_path / f"{name}.h5", number) for number, name in enumerate("ab")]
    says = (
        f"'{tmp_path}/all{suffix}' ends in {suffix}, but the file will be HDF5. Use --out {tmp_path}/all.h5, then: vtdl"
    )
    refuse(*merge(tmp_path / f"all{suffix}", *paths), code=2, says=(says,))
    assert not (tmp_path / f"all{suffix}").exists()


@pytest.mark.parametrize("name", ["all.txt", "r3d_0.5"])
def test_merge__refuses_a_name_that_says_something_else_than_hdf5(tmp_path: Path, name: str) -> None:
    paths = [write(tmp_path / f"{each}.h5", number) for number, each in enumerate("ab")]
    out = f"{tmp_path}/{name}"
    says = (f"--out '{out}' does not end in .h5 or .hdf5, and the file will be HDF5. Use --out {out}.h5",)
    refuse("features", "merge", *map(str, paths), "--out", out, code=2, says=says)
    assert not Path(out).exists()
    succeed("features", "merge", *map(str, paths), "--out", f"{out}.HDF5")


def test_merge__is_both_files_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: NumPy's concatenation; two rows of 64 bytes make a block, so that blocks end within files."""
    monkeypatch.setattr(vtdl_cli.data.hdf5.features, "FEATURE_BLOCK_BYTES", 150)
    a = write(tmp_path / "a.h5", 0, 1, 2, shape=(2, 2, DIM))
    b = write(tmp_path / "b.h5", 3, 4, 5, 6, 7, shape=(2, 2, DIM))
    answer = json.loads(succeed(*merge(tmp_path / "all.h5", a, b), "--json").stdout)
    assert (answer["shape"], answer["files"], len(answer["skipped"])) == ([8, 2, 2, DIM], 2, 2)
    ours, parts = read(tmp_path / "all.h5"), [read(a), read(b)]
    for name in ("features", "labels", "paths", "num_frames"):
        assert np.array_equal(ours[name], np.concatenate([part[name] for part in parts])), name
        assert ours[name].dtype == parts[0][name].dtype
    attributes = ours["attributes"]
    assert {name: attributes[name] for name in NETWORK} == NETWORK
    assert json.loads(attributes["list_sha256"]) == ["a", "b"]
    assert [video["path"] for video in json.loads(attributes["skipped"])] == ["bad a.mp4", "bad b.mp4"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h5", "all.h5", "b.h5"]


def test_merge__of_what_was_merged_keeps_every_origin(tmp_path: Path) -> None:
    files = [write(tmp_path / f"{name}.h5", number) for number, name in enumerate("abc")]
    succeed(*merge(tmp_path / "ab.h5", *files[:2]))
    succeed(*merge(tmp_path / "abc.h5", tmp_path / "ab.h5", files[2]))
    assert json.loads(read(tmp_path / "abc.h5")["attributes"]["list_sha256"]) == ["a", "b", "c"]
    answer = json.loads(succeed("features", "info", str(tmp_path / "abc.h5"), "--json").stdout)
    assert answer[str(tmp_path / "abc.h5")]["list_sha256"] == ["a", "b", "c"]


def named(*names: str) -> dict[str, Any]:
    return {"classes": json.dumps(names)}


def test_info__has_the_names_of_classes(tmp_path: Path) -> None:
    a = write(tmp_path / "a.h5", 0, 1, **named("even", "odd"))
    answer = json.loads(succeed("features", "info", str(a), "--json").stdout)
    assert answer[str(a)]["classes"]["names"] == ["even", "odd"]


def test_merge__keeps_names_that_all_have(tmp_path: Path) -> None:
    """A file without a class has no names to give, and takes none away."""
    names = named("even", "odd")
    files = [
        write(tmp_path / "a.h5", 0, 1, **names),
        write(tmp_path / "b.h5", 100),
        write(tmp_path / "c.h5", 3, **names),
    ]
    assert succeed(*merge(tmp_path / "all.h5", *files)).stderr == ""
    assert read(tmp_path / "all.h5")["attributes"]["classes"] == names["classes"]


def test_merge__without_names_on_one_side_is_told_and_gives_none(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a.h5", 0, 1), write(tmp_path / "b.h5", 2, **named("even", "odd"))
    stderr = succeed(*merge(tmp_path / "all.h5", a, b)).stderr
    assert f"warning: classes of features '{a}' have no names" in stderr
    assert "the merged file has no names" in stderr
    assert "classes" not in read(tmp_path / "all.h5")["attributes"]


def test_merge__names_in_another_order_are_refused_whatever_stands_between(tmp_path: Path) -> None:
    a, b, c = (
        write(tmp_path / "a.h5", 0),
        write(tmp_path / "b.h5", 1, **named("even", "odd")),
        write(tmp_path / "c.h5", 2, **named("odd", "even")),
    )
    says = f"classes of features '{c}' are those of features '{b}' in another order: class 0 is 'odd' here and 'even' there"
    refuse(*merge(tmp_path / "all.h5", a, b, c), code=2, says=(says,))
    assert not (tmp_path / "all.h5").exists()


@pytest.mark.parametrize(
    ("classes", "says"),
    [
        ('["even"]', "are inconsistent: 1 class names, and class 1. Extract again"),
        ("even, odd", "are damaged: their 'classes' is not a list of names"),
        ("[1, 2]", "are damaged: their 'classes' is not a list of names"),
    ],
)
def test_info__names_that_cannot_be(tmp_path: Path, classes: str, says: str) -> None:
    a = write(tmp_path / "a.h5", 0, 1, classes=classes)
    refuse("features", "info", str(a), code=2, says=(f"features '{a}' {says}",))


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"backbone": "i3d"}, "backbone"),
        ({"layer": "layer3, global average"}, "layer"),
        ({"protocol": "video@10"}, "protocol"),
        ({"weights_sha256": "def"}, "weights_sha256"),
        ({"modality": "flow"}, "modality"),
        ({"shape": (DIM + 1,)}, "dims"),
        ({"layer": "stem", "modality": "flow"}, "layer, modality"),
    ],
)
def test_merge__of_different_features_is_refused(tmp_path: Path, change: dict[str, Any], names: str) -> None:
    a, b = write(tmp_path / "a.h5", 0), write(tmp_path / "b.h5", 1, **change)
    refuse(*merge(tmp_path / "all.h5", a, b), code=2, says=(f"features '{b}' differ from '{a}' in {names}: ",))
    assert not (tmp_path / "all.h5").exists()


def test_merge__decoders_of_the_same_frames(tmp_path: Path) -> None:
    """PyAV and auto return the same frames, and stay named; those of decord differ, from a merged file's too."""
    a, b = write(tmp_path / "a.h5", 0, decoder="pyav"), write(tmp_path / "b.h5", 1, decoder="auto")
    c, d = write(tmp_path / "c.h5", 2, decoder="pyav"), write(tmp_path / "d.h5", 3, decoder="decord")
    succeed(*merge(tmp_path / "ab.h5", a, b))
    assert json.loads(read(tmp_path / "ab.h5")["attributes"]["decoder"]) == ["pyav", "auto"]
    succeed(*merge(tmp_path / "abc.h5", tmp_path / "ab.h5", c))
    refuse(*merge(tmp_path / "all.h5", tmp_path / "ab.h5", d), code=2, says=("in decoder: 'decord' against",))


def test_merge__random_networks_of_two_seeds_differ(tmp_path: Path) -> None:
    a, b = (write(tmp_path / f"{seed}.h5", seed, weights_sha256="", weights=f"none, seed {seed}") for seed in (0, 3))
    refuse(*merge(tmp_path / "all.h5", a, b), code=2, says=("'none, seed 3' against 'none, seed 0'",))


def test_merge__bad_input(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a.h5", 0, 1), write(tmp_path / "b.h5", 2, 1)
    c, cut = write(tmp_path / "c.h5", 3), tmp_path / "cut.h5"
    cut.write_bytes(a.read_bytes()[:-1])
    for paths, says in (
        ((a, b), f"video '1,é.mp4' are in '{a}' and again in '{b}'"),
        ((a, a), f"are in '{a}' and again in '{a}'"),
        ((a,), "is the only one to merge. Name two files or more"),
        ((a, cut), f"'{cut}' are cut short or damaged"),
    ):
        refuse(*merge(tmp_path / "all.h5", *paths), code=2, says=(says,))
    before = c.read_bytes()
    refuse(*merge(c, a, c), "--overwrite", code=2, says=("is itself one of the inputs",))
    refuse(*merge(cut, a, c), code=2, says=(f"output '{cut}' exists. Use --overwrite",))
    refuse(*merge(tmp_path, a, c), code=2, says=("is a folder. Name a file in it",))
    assert c.read_bytes() == before
    succeed(*merge(cut, a, c), "--overwrite")
    assert read(cut)["labels"].tolist() == [0, 1, 1]


def export(file: Path, out: Path, *more: str) -> list[str]:
    return ["features", "export", str(file), "--out", str(out), *more]


def test_export__npy_is_the_features_as_they_are(tmp_path: Path) -> None:
    """Oracle: NumPy's own reader."""
    file = write(tmp_path / "f.h5", 0, 1, 2, shape=(2, 3, DIM))
    answer = json.loads(succeed(*export(file, tmp_path / "f.npy"), "--json").stdout)
    array = np.load(tmp_path / "f.npy")
    assert array.dtype == np.float32
    assert np.array_equal(array, read(file)["features"])
    assert answer["shape"] == [3, 2, 3, DIM]


def test_export__csv_gives_every_number_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: the csv module and float(); blocks of one row, paths with a comma."""
    monkeypatch.setattr(vtdl_cli.data.hdf5.features, "FEATURE_BLOCK_BYTES", 1)
    file = write(tmp_path / "f.h5", 0, 1, 100)
    succeed(*export(file, tmp_path / "f.csv"))
    with (tmp_path / "f.csv").open(encoding="utf-8", newline="") as table:
        header, *lines = csv.reader(table)
    assert header == ["path", "label", "num_frames", "f0", "f1", "f2", "f3"]
    assert [line[:3] for line in lines] == [["0,é.mp4", "0", "30"], ["1,é.mp4", "1", "31"], ["100,é.mp4", "-1", "130"]]
    values = np.array([[float(text) for text in line[3:]] for line in lines], np.float32)
    assert np.array_equal(values, read(file)["features"])


def test_export__table_has_the_names_of_classes(tmp_path: Path) -> None:
    """Oracle: the csv module; what has no class has no name."""
    file = write(tmp_path / "f.h5", 0, 1, 100, **named("even", "odd"))
    succeed(*export(file, tmp_path / "f.csv"))
    with (tmp_path / "f.csv").open(encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table))
    assert list(rows[0])[:4] == ["path", "label", "class", "num_frames"]
    assert [(row["label"], row["class"], row["num_frames"]) for row in rows] == [
        ("0", "even", "30"), ("1", "odd", "31"), ("-1", "", "130"),
    ]  # fmt: skip


def test_export__average_of_clips_and_times(tmp_path: Path) -> None:
    file = write(tmp_path / "f.h5", 0, 1, shape=(2, 3, DIM))
    says = "have 2 x 3 x 4 values per video, too many for a table. Add --average, or choose .npy"
    refuse(*export(file, tmp_path / "f.csv"), code=2, says=(says,))
    assert not (tmp_path / "f.csv").exists()
    succeed(*export(file, tmp_path / "f.csv", "--average"))
    succeed(*export(file, tmp_path / "f.npy", "--average"))
    expected = read(file)["features"].mean((1, 2))
    table = np.loadtxt(tmp_path / "f.csv", delimiter=",", skiprows=1, usecols=range(4, 4 + DIM))  # after "0,é.mp4"
    assert np.load(tmp_path / "f.npy") == pytest.approx(expected, abs=1e-6)
    assert table == pytest.approx(expected, abs=1e-6)


def test_export__parquet(tmp_path: Path) -> None:
    """Oracle: pyarrow's reader."""
    parquet = pytest.importorskip("pyarrow.parquet")
    file = write(tmp_path / "f.h5", 0, 1, 100)
    succeed(*export(file, tmp_path / "f.parquet"))
    table = parquet.read_table(tmp_path / "f.parquet")
    assert table.column_names == ["path", "label", "num_frames", "f0", "f1", "f2", "f3"]
    succeed(*export(write(tmp_path / "g.h5", 0, 1, **named("even", "odd")), tmp_path / "g.parquet"))
    assert parquet.read_table(tmp_path / "g.parquet").to_pydict()["class"] == ["even", "odd"]
    columns = table.to_pydict()
    assert (columns["path"], columns["label"]) == (["0,é.mp4", "1,é.mp4", "100,é.mp4"], [0, 1, -1])
    values = np.array([columns[f"f{channel}"] for channel in range(DIM)], np.float32).T
    assert np.array_equal(values, read(file)["features"])


def test_export__bad_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path / "f.h5", 0)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    for out, says in (
        ("f.txt", "does not end in .npy, .npz, .csv, .parquet. Choose one of these"),
        ("f.parquet", "needs pyarrow. Type pip install pyarrow, or choose .csv"),
    ):
        refuse(*export(file, tmp_path / out), code=2, says=(says,))
    (tmp_path / "f.npy").write_text("old")
    refuse(*export(file, tmp_path / "f.npy"), code=2, says=("f.npy' exists. Use --overwrite",))
    assert (tmp_path / "f.npy").read_text() == "old"
    succeed(*export(file, tmp_path / "f.npy", "--overwrite"))
    refuse(*export(tmp_path / "g.h5", tmp_path / "g.csv"), code=2, says=("g.h5' do not exist",))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f.h5", "f.npy"]


def test_merge__of_two_machines_names_both(tmp_path: Path) -> None:
    """Neither the version of torch nor the folder that videos lie in makes other features; the file says all."""
    a = write(tmp_path / "a.h5", 0, root="/a", torch_version="2.10", precision="float32")
    b = write(tmp_path / "b.h5", 1, root="/b", torch_version="2.11", precision="bfloat16")
    succeed(*merge(tmp_path / "all.h5", a, b))
    attributes = read(tmp_path / "all.h5")["attributes"]
    assert [json.loads(attributes[name]) for name in ("root", "torch_version", "precision")] == [
        ["/a", "/b"], ["2.10", "2.11"], ["float32", "bfloat16"],
    ]  # fmt: skip
