"""Files of scores: written whole, read back, refused where they are something else."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

import vtdl_cli.data.hdf5.scores
from tests.toy import without_checksums
from vtdl_cli.data.hdf5.scores import ClipSpool, Scores, align, read_scores, write_scores
from vtdl_cli.errors import DamagedFile, UsageError, VtdlError

CLIPS = np.random.default_rng(0).normal(size=(7, 2, 3)).astype(np.float32)
SCORES = Scores(
    CLIPS.mean(1),
    np.arange(7) % 3,
    [f"ä {i}.mp4" for i in range(7)],
    ["a", "b", "c"],
    {"protocol": "x", "aggregate": "softmax"},
)


def test_scores__come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        vtdl_cli.data.hdf5.scores, "SCORE_BLOCK_BYTES", 2 * CLIPS[0].nbytes
    )  # seven videos in four blocks
    spool = ClipSpool(tmp_path, (2, 3))
    spool.add(CLIPS[:4])
    spool.add(CLIPS[4:])
    assert list(tmp_path.iterdir()) == []
    write_scores(tmp_path / "scores.h5", SCORES, spool)
    spool.close()
    back = read_scores(tmp_path / "scores.h5")
    assert (back.values == SCORES.values).all()
    assert (back.labels == SCORES.labels).all()
    assert (back.paths, back.classes, back.attributes["protocol"]) == (SCORES.paths, SCORES.classes, "x")
    with h5py.File(tmp_path / "scores.h5") as file:
        assert (file["clip_logits"][:] == CLIPS).all()


def test_align__puts_videos_into_another_order() -> None:
    order = [3, 0, 6, 1, 2, 5, 4]
    turned = align(SCORES, SCORES.paths, [SCORES.paths[i] for i in order])
    assert (turned.values == SCORES.values[order]).all()
    assert (turned.labels == SCORES.labels[order]).all()


def test_read_scores__refuses_what_is_none(tmp_path: Path) -> None:
    path = tmp_path / "scores.h5"
    with pytest.raises(UsageError, match=r"scores '.*scores.h5' do not exist. First: vtdl evaluate"):
        read_scores(path)
    write_scores(path, SCORES)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DamagedFile, match="are cut short or damaged. Evaluate again"):
        read_scores(path)
    with h5py.File(path, "w") as file:
        file["features"] = np.zeros(3)
    with pytest.raises(UsageError, match="are an HDF5 file of something else: it has no 'scores'"):
        read_scores(path)
    write_scores(path, SCORES)
    with without_checksums(path) as file:
        file.attrs["schema"] = 2
    with pytest.raises(UsageError, match="have schema 2, and this version reads 1. Evaluate again"):
        read_scores(path)
    write_scores(path, replace(SCORES, classes=["a", "b"]))
    with pytest.raises(UsageError, match="are inconsistent: 2 class names, and class 2. Evaluate again"):
        read_scores(path)


def test_spool__full_disk_is_one_line(tmp_path: Path) -> None:
    spool = ClipSpool(tmp_path, (2, 3))
    spool._file.close()
    spool._file = Path("/dev/full").open("r+b", buffering=0)  # noqa: SIM115
    with pytest.raises(VtdlError, match="No space left on device"):
        spool.add(CLIPS)
    spool.close()
