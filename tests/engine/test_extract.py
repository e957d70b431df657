"""Extraction through the real command: the file's schema, its numbers by hand, and going on after a stop."""

import hashlib
import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

import vtdl_cli.engine.extract
from tests.toy import CLASSES, NUM_FRAMES, NUM_VAL, Toy, clips_by_hand, refuse, start, stop_when, succeed, vtdl
from vtdl_cli.config import load_config
from vtdl_cli.data.feature_parts import FeatureParts
from vtdl_cli.engine.build import build_trunk
from vtdl_cli.engine.trained import load_trunk
from vtdl_cli.errors import VtdlError

DIM = 32  # width 4, times 8


@pytest.fixture(scope="module")
def extracted(toy: Toy, pretrained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("extracted") / "features.h5"
    succeed(*toy.extract(pretrained, out, "--npy"))
    return out


def read(path: Path) -> dict[str, Any]:
    with h5py.File(path) as file:
        return {name: file[name][:] for name in file} | {"attributes": dict(file.attrs)}


def test_extract__schema(extracted: Path) -> None:
    with h5py.File(extracted) as file:
        assert set(file) == {"features", "labels", "paths", "num_frames"}
        shapes = {name: (file[name].dtype, file[name].shape) for name in ("features", "labels", "num_frames")}
        assert shapes == {
            "features": (np.float32, (NUM_VAL, DIM)),
            "labels": (np.int64, (NUM_VAL,)),
            "num_frames": (np.int64, (NUM_VAL,)),
        }
        assert h5py.check_string_dtype(file["paths"].dtype).encoding == "utf-8"
        assert file["paths"].shape == (NUM_VAL,)


def test_extract__attributes_say_where_features_come_from(toy: Toy, pretrained: Path, extracted: Path) -> None:
    attributes = read(extracted)["attributes"]
    digest = hashlib.sha256((pretrained / "checkpoints/last.pt").read_bytes()).hexdigest()
    expected = {
        "schema": 1,
        "backbone": "r3d depth 10 width 4",
        "layer": "last convolution, global average",
        "protocol": "video@2",
        "weights_sha256": digest,
        "list_sha256": hashlib.sha256(toy.val_list.read_bytes()).hexdigest(),
        "decoder": "decord",
        "skipped": "[]",
    }
    assert {name: attributes[name] for name in expected} == expected
    assert load_config(_written(attributes["preset"], extracted)).model.width == 4


def _written(text: str, beside: Path) -> str:
    path = beside.with_name("preset.yaml")
    path.write_text(text)
    return str(path)


def test_extract__rows_are_in_the_lists_order(toy: Toy, extracted: Path) -> None:
    content = read(extracted)
    lines = [line.split() for line in toy.val_list.read_text().splitlines()]
    assert [path.decode() for path in content["paths"]] == [line[0] for line in lines]
    assert content["labels"].tolist() == [int(line[1]) for line in lines]
    assert content["num_frames"].tolist() == [NUM_FRAMES] * NUM_VAL


def features_by_hand(trunk: torch.nn.Module, video: Path) -> np.ndarray:
    """(D,): the mean over positions and over the two clips, decoded by PyAV."""
    with torch.inference_mode():
        features: np.ndarray = trunk.eval()(clips_by_hand(video)).mean(dim=(0, 2, 3, 4)).numpy()
    return features


def test_extract__features_by_hand(toy: Toy, pretrained: Path, extracted: Path) -> None:
    """The mean over clips; decoders differ by a grey level or so, and videos by much more."""
    trunk, _ = load_trunk(str(pretrained), ())
    features = read(extracted)["features"]
    expected = features_by_hand(trunk, toy.root / "green/green_5.mp4")
    assert features[3] == pytest.approx(expected, abs=0.02 * float(expected.max()))
    assert np.abs(features[2] - expected).max() > 0.1 * expected.max()


def test_extract__per_clip(toy: Toy, pretrained: Path, extracted: Path, tmp_path: Path) -> None:
    succeed(*toy.extract(pretrained, tmp_path / "clips.h5", "--per-clip"))
    content = read(tmp_path / "clips.h5")
    assert content["features"].shape == (NUM_VAL, 2, DIM)
    assert content["features"].mean(1) == pytest.approx(read(extracted)["features"], abs=1e-6)
    assert content["attributes"]["protocol"] == "2 clips"


def test_extract__npy_equals_the_features(extracted: Path) -> None:
    assert np.array_equal(np.load(extracted.with_suffix(".npy")), read(extracted)["features"])


def test_extract__from_a_finetuned_run(toy: Toy, finetuned: Path, tmp_path: Path) -> None:
    answer = json.loads(succeed(*toy.extract(finetuned, tmp_path / "f.h5", "--clips", "1", "--json")).stdout)
    assert (answer["shape"], answer["protocol"]) == ([NUM_VAL, DIM], "clip@1")
    assert answer["weights"].endswith("best.pt")


def test_extract__fresh_network_of_a_preset(toy: Toy, tmp_path: Path) -> None:
    succeed(*toy.extract("none", tmp_path / "f.h5", "--preset", str(toy.preset), "--seed", "3"))
    torch.manual_seed(3)
    expected = features_by_hand(build_trunk(load_config(str(toy.preset))), toy.root / "blue/blue_4.mp4")
    content = read(tmp_path / "f.h5")
    assert content["features"][0] == pytest.approx(expected, abs=0.02 * float(expected.max()))
    assert content["attributes"]["weights"] == "none, seed 3"


def test_extract__fresh_network_needs_a_preset(toy: Toy, tmp_path: Path) -> None:
    refuse(*toy.extract("none", tmp_path / "f.h5"), code=2, says=("Add --preset",))
    assert list(tmp_path.iterdir()) == []


def test_extract__dry_run_writes_nothing(toy: Toy, pretrained: Path, tmp_path: Path) -> None:
    assert json.loads(succeed(*toy.extract(pretrained, tmp_path / "f.h5", "--dry-run", "--json")).stdout)["videos"] == 6
    assert list(tmp_path.iterdir()) == []


def test_extract__damaged_video_is_left_out_and_named(toy: Toy, pretrained: Path, tmp_path: Path) -> None:
    lines = toy.val_list.read_text().splitlines()
    lines.insert(1, f"{tmp_path / 'broken.mp4'} 0 24")
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    (tmp_path / "list.txt").write_text("\n".join(lines))
    (tmp_path / "classes.txt").write_text("".join(f"{name}\n" for name in CLASSES))
    result = succeed(*toy.extract(pretrained, tmp_path / "f.h5", "--list", str(tmp_path / "list.txt"), "--json"))
    content = read(tmp_path / "f.h5")
    assert len(content["features"]) == NUM_VAL
    assert content["paths"][1].decode() == lines[2].split()[0]
    skipped = json.loads(content["attributes"]["skipped"])
    assert skipped == json.loads(result.stdout)["skipped"]
    assert [video["path"] for video in skipped] == [str(tmp_path / "broken.mp4")]
    assert f"warning: skipped video '{tmp_path / 'broken.mp4'}': " in result.stderr


def test_extract__existing_file_is_refused(toy: Toy, pretrained: Path, extracted: Path) -> None:
    before = extracted.read_bytes()
    refuse(*toy.extract(pretrained, extracted), code=2, says=(f"output '{extracted}' exists. Use --overwrite",))
    assert extracted.read_bytes() == before
    refuse(*toy.extract(pretrained, extracted.parent), code=2, says=("is a folder. Name a file",))


def test_extract__resume_of_a_finished_file(toy: Toy, pretrained: Path, extracted: Path) -> None:
    before = extracted.read_bytes()
    result = succeed(*toy.extract(pretrained, extracted, "--resume", "--json"))
    assert f"output '{extracted}' is finished: nothing to do" in result.stderr
    assert json.loads(result.stdout)["shape"] == [NUM_VAL, DIM]
    assert extracted.read_bytes() == before
    line = toy.extract(pretrained, extracted, "--resume", "--clips", "3")
    refuse(*line, code=2, says=("was begun with another protocol. Use --overwrite",))


def test_extract__resume_of_nothing_starts_and_says_so(toy: Toy, pretrained: Path, tmp_path: Path) -> None:
    result = succeed(*toy.extract(pretrained, tmp_path / "f.h5", "--resume"))
    assert "has not been begun yet: starting from the beginning" in result.stderr
    assert (tmp_path / "f.h5").exists()


@pytest.fixture(scope="module")
def many(toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A list of 300 names for the same six videos."""
    folder = tmp_path_factory.mktemp("many")
    lines = [f"{toy.root}/{line}" for line in toy.val_list.read_text().splitlines()]
    (folder / "list.txt").write_text("\n".join(lines * 50))
    shutil.copy(toy.val_list.with_name("classes.txt"), folder)
    return folder / "list.txt"


def test_extract__stopped_run_goes_on_to_the_same_file(toy: Toy, pretrained: Path, many: Path, tmp_path: Path) -> None:
    out, reference = tmp_path / "f.h5", tmp_path / "reference.h5"
    process = start(*toy.extract(pretrained, out, "--list", str(many)))

    def under_way() -> bool:  # the first of its lines says that 50 videos are done
        assert process.stderr is not None
        return process.stderr.readline().startswith("features ")

    code, stderr = stop_when(process, under_way, signal.SIGTERM)
    assert code == 75, stderr
    assert stderr.splitlines()[-1].startswith("error: SIGTERM after ")
    assert stderr.splitlines()[-1].endswith(" of 300 videos: kept. Go on with --resume")
    assert not out.exists()
    refuse(*toy.extract(pretrained, out, "--list", str(many)), code=2, says=("Use --resume to go on, or --overwrite",))
    result = succeed(*toy.extract(pretrained, out, "--list", str(many), "--resume"))
    assert f"output '{out}' goes on at video " in result.stderr
    succeed(*toy.extract(pretrained, reference, "--list", str(many)))
    ours, theirs = read(out), read(reference)
    assert ours.pop("attributes") == theirs.pop("attributes")
    for name, values in theirs.items():
        assert np.array_equal(ours[name], values), name
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f.h5", "reference.h5"]


def test_extract__resumed_run_counts_the_videos_skipped_before(
    toy: Toy, pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two unreadable videos in each of the first two batches of four: two are allowed, four of ten are too many."""
    monkeypatch.setattr(vtdl_cli.engine.extract, "KEEP_EVERY_SECONDS", 0.0)
    good = [f"{toy.root}/{line}" for line in toy.val_list.read_text().splitlines()]
    bad = [f"broken_{number}.mp4 0 24" for number in range(4)]
    (tmp_path / "list.txt").write_text("\n".join([*bad[:2], *good[:4], *bad[2:], *good[4:]]))
    shutil.copy(toy.val_list.with_name("classes.txt"), tmp_path)
    for line in bad:
        (tmp_path / line.split()[0]).write_bytes(b"no video")
    command = toy.extract(pretrained, tmp_path / "f.h5", "--list", str(tmp_path / "list.txt"), "--root", str(tmp_path))
    assert "4 of 10 videos cannot be read" in vtdl(*command).stderr
    result = vtdl(*command, "--resume")
    assert "goes on at video 4 of 10" in result.stderr
    assert result.exit_code == 1
    assert "error: 4 of 10 videos cannot be read, more than data.max_bad_fraction 0.05 allows" in result.stderr


def test_extract__disk_full_at_the_end_costs_nothing(
    toy: Toy, pretrained: Path, extracted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All rows are kept by then, and six videos are no multiple of the four that go together."""

    def fail(_parts: FeatureParts, _name_of: Callable[[int], str]) -> None:
        raise VtdlError("file 'f.h5' could not be written (No space left on device)")

    with monkeypatch.context() as patch:
        patch.setattr(FeatureParts, "finish", fail)
        refuse(*toy.extract(pretrained, tmp_path / "f.h5", "--quiet"), code=1, says=("No space left on device",))
    monkeypatch.setattr(vtdl_cli.engine.extract, "KEEP_EVERY_SECONDS", 0.0)  # a row computed again would be kept twice
    result = succeed(*toy.extract(pretrained, tmp_path / "f.h5", "--resume"))
    assert "goes on at video 6 of 6" in result.stderr
    assert np.array_equal(read(tmp_path / "f.h5")["features"], read(extracted)["features"])
