"""Feature files: what is read of them, and what each kind of damage is called."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import vtdl_cli.data.hdf5.features
from tests.toy import without_checksums
from vtdl_cli.data.hdf5.features import open_features, read_blocks, read_features, write_features
from vtdl_cli.errors import UsageError

NUM_VIDEOS, DIM = 5, 3


def rows(*between: int) -> dict[str, Any]:
    """Five videos whose features have these axes between the first and the last."""
    values = np.random.default_rng(0).normal(size=(NUM_VIDEOS, *between, DIM)).astype(np.float32)
    numbers = np.arange(NUM_VIDEOS)
    names = [f"é {number}.mp4" for number in numbers]
    return {"features": values, "labels": numbers % 2, "num_frames": numbers + 30, "paths": names}


def write(path: Path, *between: int, **attributes: Any) -> dict[str, Any]:
    """The file, and what was put into it."""
    content = rows(*between)
    write_features(path, content["features"].shape, [content], attributes)
    return content


@pytest.mark.parametrize("between", [(), (2,), (2, 4)])
def test_read_features__averages_what_is_between(tmp_path: Path, between: tuple[int, ...]) -> None:
    """Oracle: NumPy's mean over clips, then over times."""
    content = write(tmp_path / "f.h5", *between, layer="last")
    found = read_features(tmp_path / "f.h5")
    expected = content["features"].reshape(NUM_VIDEOS, -1, DIM).mean(1)
    assert found.values == pytest.approx(expected, abs=1e-6)
    assert found.values.dtype == np.float32
    assert found.labels.tolist() == content["labels"].tolist()
    assert (found.paths, found.attributes["layer"]) == (content["paths"], "last")


def test_read_blocks__cut_anywhere_they_are_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two videos of 24 bytes fit into a block of 50."""
    content = write(tmp_path / "f.h5", 2)
    monkeypatch.setattr(vtdl_cli.data.hdf5.features, "FEATURE_BLOCK_BYTES", 50)
    with open_features(tmp_path / "f.h5") as file:
        blocks = list(read_blocks(file))
    assert [len(block["labels"]) for block in blocks] == [2, 2, 1]
    for name in ("features", "labels", "num_frames", "paths"):
        assert np.array_equal(np.concatenate([block[name] for block in blocks]), content[name])
    assert read_features(tmp_path / "f.h5").values == pytest.approx(content["features"].mean(1), abs=1e-6)


def test_open_features__without_a_schema_they_may_be_from_elsewhere(tmp_path: Path) -> None:
    write(tmp_path / "f.h5")
    with without_checksums(tmp_path / "f.h5") as file:
        del file.attrs["schema"]
    assert read_features(tmp_path / "f.h5").values.shape == (NUM_VIDEOS, DIM)


def spoil(path: Path, kind: str) -> None:
    """Make a good file bad."""
    if kind in ("absent", "folder"):
        path.unlink()
        if kind == "folder":
            path.mkdir()
    elif kind in ("text", "empty"):
        path.write_bytes(b"a letter" * (kind == "text"))
    elif kind.startswith("cut"):
        path.write_bytes(path.read_bytes()[: 600 if kind == "cut at the start" else -1])
    else:
        with without_checksums(path) as file:
            spoil_content(file, kind)


def spoil_content(file: h5py.File, kind: str) -> None:
    if kind == "schema":
        file.attrs["schema"] = 3
    elif kind == "rows":
        del file["labels"]
        file["labels"] = np.zeros(4, np.int64)
    elif kind == "no rows":
        for name in list(file):
            shape = (0, *file[name].shape[1:])
            kind_of_rows = file[name].dtype
            del file[name]
            file.create_dataset(name, shape, kind_of_rows)
    else:
        del file["features"]
        if kind != "scores":
            file["features"] = 3.0 if kind == "number" else np.zeros(NUM_VIDEOS, np.float32)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("absent", "do not exist. First: vtdl extract"),
        ("folder", "are a folder"),
        ("empty", "are an empty file"),
        ("text", "are not an HDF5 file"),
        ("cut at the start", "are cut short or damaged"),
        ("cut by a byte", "are cut short or damaged"),
        ("schema", "have schema 3, and this version reads 1 and 2"),
        ("scores", "are an HDF5 file of something else: it has no 'features'"),
        ("number", "are an HDF5 file of something else: its 'features' are not vectors"),
        ("one vector", "are an HDF5 file of something else: its 'features' are not vectors"),
        ("rows", "are inconsistent: rows of features 5, labels 4"),
        ("no rows", "hold no videos"),
    ],
)
def test_open_features__tells_what_is_wrong(tmp_path: Path, kind: str, says: str) -> None:
    path = tmp_path / "f.h5"
    write(path)
    spoil(path, kind)
    with pytest.raises(UsageError) as caught, open_features(path):
        pass
    assert str(caught.value).startswith(f"features '{path}' {says}")
    assert "\n" not in str(caught.value)


def test_read_features__of_a_network_that_has_diverged(tmp_path: Path) -> None:
    content = rows()
    content["features"][2, 1] = np.nan
    write_features(tmp_path / "f.h5", content["features"].shape, [content], {})
    with pytest.raises(UsageError, match="not finite, the first for 'é 2.mp4'"):
        read_features(tmp_path / "f.h5")
