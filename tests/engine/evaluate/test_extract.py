"""Extraction through the real command: the file's schema, its numbers by hand, and resuming after a stop."""

import hashlib
import json
import shutil
import signal
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import h5py
import numpy as np
import pytest
import torch
from PIL import Image

import vtdl_cli.engine.evaluate.extract
import vtdl_cli.engine.evaluate.extracted_rows
from tests.processes import Running
from tests.toy import (
    CLASSES,
    NUM_FRAMES,
    NUM_VAL,
    Toy,
    clips_by_hand,
    colour_video,
    load,
    refuse,
    start,
    stop_when,
    succeed,
    vtdl,
    write_video,
)
from vtdl_cli.data.clips.datasets import Batch
from vtdl_cli.data.hdf5.feature_parts import FeatureParts
from vtdl_cli.engine.evaluate.extract import _is_same
from vtdl_cli.engine.evaluate.extracted_rows import keep_rows, video_rows
from vtdl_cli.engine.networks.bad_videos import BadVideos
from vtdl_cli.engine.networks.build import build_backbone
from vtdl_cli.engine.networks.checkpoint import save_checkpoint
from vtdl_cli.engine.networks.inference import VideoOutputs, forward_videos
from vtdl_cli.engine.networks.methods import build_method
from vtdl_cli.engine.networks.trained import load_backbone
from vtdl_cli.errors import VtdlError
from vtdl_cli.runtime import SilentReporter
from vtdl_cli.settings import load_config

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


def test_extract__attributes_are_the_provenance(toy: Toy, pretrained: Path, extracted: Path) -> None:
    attributes = read(extracted)["attributes"]
    digest = hashlib.sha256((pretrained / "checkpoints/last.pt").read_bytes()).hexdigest()
    expected = {
        "schema": 1,
        "backbone": "r3d depth 10 width 4",
        "layer": "last convolution, global average",
        "protocol": "video@2",
        "weights_sha256": digest,
        "list_sha256": hashlib.sha256(toy.val_list.read_bytes()).hexdigest(),
        "decoder": "auto",
        "root": str(toy.root),
        "modality": "rgb",
        "precision": "float32",
        "torch_version": torch.__version__,
        "group_by": "",
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


def test_extract__num_frames_are_those_of_the_file(toy: Toy, pretrained: Path, tmp_path: Path) -> None:
    """Oracle: the frames that were written; the list says 24."""
    write_video(tmp_path / "short.mp4", colour_video(0, seed=1)[:13])
    (tmp_path / "list.txt").write_text(f"{tmp_path / 'short.mp4'} 0 24\n")
    succeed(*toy.extract(pretrained, tmp_path / "f.h5", "--list", str(tmp_path / "list.txt")))
    assert read(tmp_path / "f.h5")["num_frames"].tolist() == [13]


def test_extract__clips_are_those_of_its_own_settings(
    toy: Toy, pretrained: Path, extracted: Path, tmp_path: Path
) -> None:
    """Oracle: the features at stride 2, which pretraining's stride leaves alone."""
    for section in ("pretrain", "extract"):
        succeed(*toy.extract(pretrained, tmp_path / f"{section}.h5", "--set", f"{section}.stride_frames=1"))
    expected = read(extracted)["features"]
    assert np.array_equal(read(tmp_path / "pretrain.h5")["features"], expected)
    assert not np.allclose(read(tmp_path / "extract.h5")["features"], expected, rtol=0.01)


def test_extract__batches_are_those_of_its_own_settings(
    toy: Toy, pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four clips that pass through the network together are two videos."""
    sizes = list[int]()

    def listen(*arguments: Any, **options: Any) -> Iterator[VideoOutputs]:
        for outputs in forward_videos(*arguments, **options):
            sizes.append(len(outputs[0]))
            yield outputs

    monkeypatch.setattr(vtdl_cli.engine.evaluate.extract, "forward_videos", listen)
    sets = ("--set", "extract.batch_clips=4", "--set", "evaluate.batch_clips=12")
    succeed(*toy.extract(pretrained, tmp_path / "f.h5", *sets))
    assert sizes == [2, 2, 2]


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_extract__precision_is_that_of_the_last_training(
    toy: Toy, pretrained: Path, finetuned: Path, tmp_path: Path, stage: str
) -> None:
    weights, other = (pretrained, "finetune") if stage == "pretrain" else (finetuned, "pretrain")
    for section, precision in ((stage, "bfloat16"), (other, "float32")):
        out = tmp_path / f"{section}.h5"
        succeed(*toy.extract(weights, out, "--set", f"{section}.precision=bf16"))
        with h5py.File(out) as file:
            assert file.attrs["precision"] == precision


def features_by_hand(backbone: torch.nn.Module, video: Path) -> np.ndarray:
    """(D,): the mean over positions and over the two clips, decoded by PyAV."""
    with torch.inference_mode():
        features: np.ndarray = backbone.eval()(clips_by_hand(video)).mean(dim=(0, 2, 3, 4)).numpy()
    return features


def test_extract__features_by_hand(toy: Toy, pretrained: Path, extracted: Path) -> None:
    """The mean over clips; decoders differ by a grey level or so, and videos by much more."""
    backbone, _ = load_backbone(str(pretrained), ())
    features = read(extracted)["features"]
    expected = features_by_hand(backbone, toy.root / "green/green_5.mp4")
    assert features[3] == pytest.approx(expected, abs=0.02 * float(expected.max()))
    assert np.abs(features[2] - expected).max() > 0.1 * expected.max()


def test_extract__per_clip(toy: Toy, pretrained: Path, extracted: Path, tmp_path: Path) -> None:
    succeed(*toy.extract(pretrained, tmp_path / "clips.h5", "--per-clip"))
    content = read(tmp_path / "clips.h5")
    assert content["features"].shape == (NUM_VAL, 2, DIM)
    assert content["features"].mean(1) == pytest.approx(read(extracted)["features"], abs=1e-6)
    assert content["attributes"]["protocol"] == "2 clips"


def maps_by_hand(backbone: torch.nn.Module, video: Path, *stages: str) -> torch.Tensor:
    """The map (2, D, t, h, w) of two clips after these stages, called one after another."""
    x = clips_by_hand(video)
    with torch.inference_mode():
        for stage in stages:
            x = backbone.eval().get_submodule(stage)(x)
    return x


def test_extract__layer_by_hand(toy: Toy, pretrained: Path, extracted: Path, tmp_path: Path) -> None:
    """The mean over clips, time and space; the last stage is the last map."""
    backbone, _ = load_backbone(str(pretrained), ())
    stages = ("stem", "layer1", "layer2", "layer3", "layer4")
    succeed(*toy.extract(pretrained, tmp_path / "f.h5", "--layer", "layer2"))
    content = read(tmp_path / "f.h5")
    expected = maps_by_hand(backbone, toy.root / "green/green_5.mp4", *stages[:3]).mean((0, 2, 3, 4)).numpy()
    assert content["features"].shape == (NUM_VAL, 8)
    assert content["features"][3] == pytest.approx(expected, abs=0.02 * float(expected.max()))
    assert content["attributes"]["layer"] == "layer2, global average"
    succeed(*toy.extract(pretrained, tmp_path / "g.h5", "--layer", "layer4"))
    assert np.array_equal(read(tmp_path / "g.h5")["features"], read(extracted)["features"])


def test_extract__per_frame_by_hand(toy: Toy, pretrained: Path, tmp_path: Path) -> None:
    """The mean over space alone: four frames give layer1's map four positions in time."""
    backbone, _ = load_backbone(str(pretrained), ())
    succeed(*toy.extract(pretrained, tmp_path / "f.h5", "--layer", "layer1", "--per-frame", "--npy"))
    content = read(tmp_path / "f.h5")
    expected = maps_by_hand(backbone, toy.root / "green/green_5.mp4", "stem", "layer1").mean((3, 4)).mT.numpy()
    assert content["features"].shape == (NUM_VAL, 2, 4, 4)  # clips, times, D
    assert content["features"][3] == pytest.approx(expected, abs=0.02 * float(expected.max()))
    assert np.abs(np.diff(expected, axis=1)).max() > 0.1 * expected.max()  # or times could be mixed up
    attributes = content["attributes"]
    assert (attributes["layer"], attributes["protocol"]) == ("layer1, spatial average", "2 clips, each time position")
    assert np.array_equal(np.load(tmp_path / "f.npy"), content["features"])


def test_extract__embedding_by_hand(toy: Toy, pretrained: Path, tmp_path: Path) -> None:
    """The query encoder's head, from the checkpoint's tensors: linear, length 1, then the mean over two clips."""
    backbone, _ = load_backbone(str(pretrained), ())
    model = load(pretrained / "checkpoints/last.pt")["model"]
    weight, bias = (model[f"encoders.query.head.linear.{name}"] for name in ("weight", "bias"))
    succeed(*toy.extract(pretrained, tmp_path / "f.h5", "--layer", "embedding", "--per-clip"))
    content = read(tmp_path / "f.h5")
    with torch.inference_mode():
        pooled = backbone.eval()(clips_by_hand(toy.root / "green/green_5.mp4")).mean((2, 3, 4))
        expected = torch.nn.functional.normalize(pooled @ weight.T + bias).numpy()
    assert content["features"].shape == (NUM_VAL, 2, 16)
    assert content["features"][3] == pytest.approx(expected, abs=0.02)
    assert np.abs(content["features"][0] - expected).max() > 0.1
    assert content["attributes"]["layer"] == "embedding head"


def untrained(toy: Toy, path: Path, method: str, *, only: str = "") -> Path:
    """A checkpoint of pretraining by `method` before its first step; of all tensors those named so."""
    config = load_config(str(toy.preset), [f"method.name={method}"])
    model = {name: value for name, value in build_method(config, 12).state_dict().items() if name.startswith(only)}
    facts = {"stage": "pretrain", "config": config.to_dict(), "classes": None, "num_classes": 0}
    save_checkpoint(path, facts | {"list_sha256": "", "seed": 0, "origin": {}, "model": model})
    return path


def test_extract__embedding_of_instance_discrimination(toy: Toy, tmp_path: Path) -> None:
    """Oracle: unit vectors, 16-dimensional."""
    weights = untrained(toy, tmp_path / "weights.pt", "instance_discrimination")
    succeed(*toy.extract(weights, tmp_path / "f.h5", "--layer", "embedding", "--clips", "1"))
    features = read(tmp_path / "f.h5")["features"]
    assert features.shape == (NUM_VAL, 16)
    assert np.linalg.norm(features, axis=1) == pytest.approx(np.ones(NUM_VAL), abs=1e-5)


def test_extract__embedding_is_refused_where_there_is_none(toy: Toy, finetuned: Path, tmp_path: Path) -> None:
    """Finetuned, pretrained by a task with a classifier, converted, and random weights."""
    out = tmp_path / "f.h5"
    order = untrained(toy, tmp_path / "order.pt", "clip_order")
    converted = untrained(toy, tmp_path / "converted.pt", "vtdl", only="encoders.query.backbone.")
    for weights in (finetuned, order, converted):
        line = toy.extract(weights, out, "--layer", "embedding")
        refuse(*line, code=1, says=("have no embedding head: only pretraining with vtdl or instance_discrimination",))
    line = toy.extract("none", out, "--preset", str(toy.preset), "--layer", "embedding")
    refuse(*line, code=2, says=("layer 'embedding' needs pretrained weights: random ones have none",))
    assert not out.exists()


def test_extract__json_has_the_names_of_classes(toy: Toy, pretrained: Path, tmp_path: Path) -> None:
    plan = json.loads(succeed(*toy.extract(pretrained, tmp_path / "f.h5"), "--dry-run", "--json").stdout)
    assert plan["classes"] == ["blue", "green", "red"]


def test_extract__conflicting_options_are_refused(toy: Toy, pretrained: Path, tmp_path: Path) -> None:
    for more, says in (
        (("--layer", "layer9"), "layer 'layer9' is not one of this backbone. Choose from stem, layer1"),
        (
            ("--layer", "embedding", "--per-frame"),
            "has no time positions: it is one vector a clip. Leave out --per-frame",
        ),
        (("--per-clip", "--per-frame"), "--per-clip and --per-frame exclude each other"),
        (("--npy", "--out", str(tmp_path / "f.npy")), "f.npy', which is --out itself"),
        (("--out", "."), "output '.' is a folder"),
    ):
        refuse(*toy.extract(pretrained, tmp_path / "f.h5", *more), code=2, says=(says,))
    before_all = toy.extract(tmp_path / "absent weights", tmp_path / "f.npy", "--npy")
    refuse(*before_all, code=2, says=("f.npy', which is --out itself",))
    (tmp_path / "f.npy").write_text("old")
    refuse(*toy.extract(pretrained, tmp_path / "f.h5", "--npy"), code=2, says=("f.npy' exists. Use --overwrite",))
    refuse(*toy.extract(pretrained, tmp_path / "f.csv"), code=2, says=("ends in .csv, but the file will be HDF5",))
    assert [path.name for path in tmp_path.iterdir()] == ["f.npy"]


def of_one(weights: Path, video: Path, out: Path, *more: str) -> list[str]:
    line = ["extract", "--weights", str(weights), "--list", str(video), "--out", str(out), "--device", "cpu"]
    return [*line, "--workers", "0", *more]


def test_extract__a_single_video(toy: Toy, pretrained: Path, extracted: Path, tmp_path: Path) -> None:
    """Oracle: the same video's row in the features of the list."""
    video = toy.root / "green/green_5.mp4"
    succeed(*of_one(pretrained, video, tmp_path / "f.h5"))
    content = read(tmp_path / "f.h5")
    assert content["features"] == pytest.approx(read(extracted)["features"][3:4], abs=1e-6)
    assert (content["labels"].tolist(), content["num_frames"].tolist()) == ([-1], [NUM_FRAMES])
    assert [path.decode() for path in content["paths"]] == [str(video)]
    assert "is finished: nothing to do" in succeed(*of_one(pretrained, video, tmp_path / "f.h5", "--resume")).stderr
    line = of_one(pretrained, toy.root / "red/red_5.mp4", tmp_path / "f.h5", "--resume")
    refuse(*line, code=2, says=("was begun with another list_sha256",))


def test_extract__a_folder_of_frames(toy: Toy, pretrained: Path, extracted: Path, tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    with av.open(str(toy.root / "green/green_5.mp4")) as container:
        for number, frame in enumerate(container.decode(video=0)):
            Image.fromarray(frame.to_ndarray(format="rgb24")).save(tmp_path / f"frames/img_{number:05d}.png")
    succeed(*of_one(pretrained, tmp_path / "frames", tmp_path / "f.h5"))
    expected = read(extracted)["features"][3]
    assert read(tmp_path / "f.h5")["features"][0] == pytest.approx(expected, abs=0.02 * float(expected.max()))


def test_extract__neither_video_nor_list(pretrained: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    for path, says in (
        (broken, f"video '{broken}' cannot be read: corrupt, or not a video"),
        (tmp_path / "absent.mp4", "absent.mp4' cannot be read (No such file or directory)"),
    ):
        refuse(*of_one(pretrained, path, tmp_path / "f.h5"), code=1, says=(says,))
    line = of_one(pretrained, broken, tmp_path / "f.h5", "--root", str(tmp_path))
    refuse(*line, code=2, says=("is a video, for which --root, --strip-prefix and --list-columns have no meaning",))
    assert [path.name for path in tmp_path.iterdir()] == ["broken.mp4"]


def test_a_single_video_is_refused_where_classes_are_needed(
    toy: Toy, pretrained: Path, finetuned: Path, tmp_path: Path
) -> None:
    video, out = str(toy.root / "green/green_5.mp4"), tmp_path / "run"
    for line in (
        toy.finetune(out, "--train-list", video),
        toy.finetune(out, "--val-list", video),
        toy.evaluate(finetuned, out, "--list", video),
    ):
        refuse(*line, code=1, says=(f"list '{video}' is a video, whose class is unknown",))
    succeed(*of_one(pretrained, Path(video), tmp_path / "one.h5"))
    succeed(*toy.extract(pretrained, tmp_path / "val.h5", "--list", str(toy.train_list)))
    for train, test in (("one", "val"), ("val", "one")):
        line = ["probe", "--train", str(tmp_path / f"{train}.h5"), "--test", str(tmp_path / f"{test}.h5")]
        refuse(*line, code=2, says=("one.h5' hold 1 video and no class. Extract from a list",))


def test_extract__npy_equals_the_features(extracted: Path) -> None:
    assert np.array_equal(np.load(extracted.with_suffix(".npy")), read(extracted)["features"])


def test_extract__from_a_finetuned_run(toy: Toy, finetuned: Path, tmp_path: Path) -> None:
    answer = json.loads(succeed(*toy.extract(finetuned, tmp_path / "f.h5", "--clips", "1", "--json")).stdout)
    assert (answer["shape"], answer["protocol"]) == ([NUM_VAL, DIM], "clip@1")
    assert answer["weights"].endswith("best.pt")


def test_extract__random_network_of_a_preset(toy: Toy, tmp_path: Path) -> None:
    succeed(*toy.extract("none", tmp_path / "f.h5", "--preset", str(toy.preset), "--seed", "3"))
    torch.manual_seed(3)
    expected = features_by_hand(build_backbone(load_config(str(toy.preset))), toy.root / "blue/blue_4.mp4")
    content = read(tmp_path / "f.h5")
    assert content["features"][0] == pytest.approx(expected, abs=0.02 * float(expected.max()))
    assert content["attributes"]["weights"] == "none, seed 3"


def test_extract__random_network_needs_a_preset(toy: Toy, tmp_path: Path) -> None:
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
    assert skipped[0]["reason"].startswith("corrupt, or not a video")
    assert f"warning: skipped video '{tmp_path / 'broken.mp4'}': {skipped[0]['reason']}\n" in result.stderr


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


def test_extract__root_of_an_earlier_version_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was recorded as it was typed."""
    monkeypatch.chdir(tmp_path)
    assert _is_same("root", "videos", str(tmp_path / "videos"))
    assert not _is_same("root", "others", str(tmp_path / "videos"))


@pytest.mark.parametrize("per", [(), ("--per-clip",), ("--per-frame",)])
def test_extract__short_videos_are_reported(toy: Toy, pretrained: Path, tmp_path: Path, per: tuple[str, ...]) -> None:
    """Oracle, by hand: 4 frames at stride 2 span 7, of which one has 6."""
    short = tmp_path / "short.mp4"
    write_video(short, colour_video(2, seed=5)[:6])
    (tmp_path / "list.txt").write_text(f"{short} 2 6\n{toy.val_list.read_text()}")
    stderr = succeed(*toy.extract(pretrained, tmp_path / "f.h5", "--list", str(tmp_path / "list.txt"), *per)).stderr
    assert f"warning: video '{short}' is shorter than a clip of 7 frames, and played in a loop\n" in stderr


def test_extract__resume_of_nothing_starts_and_says_so(toy: Toy, pretrained: Path, tmp_path: Path) -> None:
    result = succeed(*toy.extract(pretrained, tmp_path / "f.h5", "--resume"))
    assert "does not exist yet: starting from the beginning" in result.stderr
    assert (tmp_path / "f.h5").exists()


@pytest.fixture(scope="module")
def many(toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A list of 300 names for the same six videos."""
    folder = tmp_path_factory.mktemp("many")
    lines = [f"{toy.root}/{line}" for line in toy.val_list.read_text().splitlines()]
    (folder / "list.txt").write_text("\n".join(lines * 50))
    shutil.copy(toy.val_list.with_name("classes.txt"), folder)
    return folder / "list.txt"


@pytest.fixture(scope="module")
def of_many(toy: Toy, pretrained: Path, many: Path) -> dict[str, Any]:
    """What an extraction of those gives that nothing stops."""
    out = many.with_name("reference.h5")
    succeed(*toy.extract(pretrained, out, "--list", str(many)))
    return read(out)


def check_same(out: Path, expected: dict[str, Any]) -> None:
    """The same file, and nothing else in its folder."""
    ours = read(out)
    assert ours["attributes"] == expected["attributes"]
    for name in ("features", "labels", "paths", "num_frames"):
        assert np.array_equal(ours[name], expected[name]), name
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_extract__stopped_run_resumes_to_the_same_file(
    toy: Toy, pretrained: Path, many: Path, of_many: dict[str, Any], tmp_path: Path
) -> None:
    out = tmp_path / "f.h5"
    process = start(*toy.extract(pretrained, out, "--list", str(many)))

    def under_way() -> bool:  # the first of its lines says that 50 videos are done
        return process.stderr.readline().startswith("features ")

    code, stderr = stop_when(process, under_way, signal.SIGTERM)
    assert code == 75, stderr
    assert stderr.splitlines()[-1].startswith("error: SIGTERM after ")
    assert stderr.splitlines()[-1].endswith(" of 300 videos: saved. Resume with --resume")
    assert not out.exists()
    refuse(
        *toy.extract(pretrained, out, "--list", str(many)), code=2, says=("Resume with --resume, or use --overwrite",)
    )
    result = succeed(*toy.extract(pretrained, out, "--list", str(many), "--resume"))
    assert f"output '{out}' resumes at video " in result.stderr
    assert result.stderr.splitlines()[-1] == "features 300/300"  # counted with those of before
    check_same(out, of_many)


KEEP_EVERY_BATCH = "import vtdl_cli.engine.evaluate.extracted_rows as e; e.KEEP_EVERY_SECONDS = 0.0; from vtdl_cli.__main__ import main; main()"


def test_extract__killed_run_resumes_to_the_same_file(
    toy: Toy, pretrained: Path, many: Path, of_many: dict[str, Any], tmp_path: Path
) -> None:
    """kill -9 in the middle of whatever it does: no row is lost, and none is kept twice."""
    out = tmp_path / "f.h5"
    process = Running("-c", KEEP_EVERY_BATCH, *toy.extract(pretrained, out, "--list", str(many), "--quiet"))
    code, _ = stop_when(process, lambda: len(list(tmp_path.glob(".f.h5.parts/0*.npz"))) > 5, signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert not out.exists()
    result = succeed(*toy.extract(pretrained, out, "--list", str(many), "--resume"))
    assert int(result.stderr.split("resumes at video ")[1].split()[0]) > 20  # a batch has four
    check_same(out, of_many)


def test_extract__resumed_run_counts_the_videos_skipped_before(
    toy: Toy, pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two unreadable videos in each of the first two batches of four: two are allowed, four of ten are too many.

    What the message proposes then changes no feature, and goes on with the same rows.
    """
    monkeypatch.setattr(vtdl_cli.engine.evaluate.extracted_rows, "KEEP_EVERY_SECONDS", 0.0)
    good = [f"{toy.root}/{line}" for line in toy.val_list.read_text().splitlines()]
    bad = [f"broken_{number}.mp4 0 24" for number in range(4)]
    (tmp_path / "list.txt").write_text("\n".join([*bad[:2], *good[:4], *bad[2:], *good[4:]]))
    shutil.copy(toy.val_list.with_name("classes.txt"), tmp_path)
    for line in bad:
        (tmp_path / line.split()[0]).write_bytes(b"no video")
    command = toy.extract(pretrained, tmp_path / "f.h5", "--list", str(tmp_path / "list.txt"), "--root", str(tmp_path))
    assert "4 of 10 videos cannot be read" in vtdl(*command).stderr
    result = vtdl(*command, "--resume")
    assert "resumes at video 4 of 10" in result.stderr
    assert result.exit_code == 1
    assert "error: 4 of 10 videos cannot be read, more than data.max_bad_fraction 0.05 allows" in result.stderr
    result = succeed(*command, "--resume", "--set", "data.max_bad_fraction=1")
    assert "resumes at video 4 of 10" in result.stderr
    assert len(read(tmp_path / "f.h5")["paths"]) == NUM_VAL


def test_extract__disk_full_at_the_end_costs_nothing(
    toy: Toy, pretrained: Path, extracted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All rows are kept by then, and six videos are no multiple of the four that go together."""

    def fail(*_: object) -> None:
        raise VtdlError("file 'f.h5' could not be written (No space left on device)")

    with monkeypatch.context() as patch:
        patch.setattr(FeatureParts, "finish", fail)
        refuse(*toy.extract(pretrained, tmp_path / "f.h5", "--quiet"), code=1, says=("No space left on device",))
    monkeypatch.setattr(
        vtdl_cli.engine.evaluate.extracted_rows, "KEEP_EVERY_SECONDS", 0.0
    )  # a row computed again would be kept twice
    result = succeed(*toy.extract(pretrained, tmp_path / "f.h5", "--resume"))
    assert "resumes at video 6 of 6" in result.stderr
    assert np.array_equal(read(tmp_path / "f.h5")["features"], read(extracted)["features"])


DIM_OF_MANY, BATCH = 512, 250


def many_outputs(num_videos: int) -> Iterator[VideoOutputs]:
    """What a network would make of so many videos: batches of 250, with frames of 3 MB."""
    for first in range(0, num_videos, BATCH):
        index = torch.arange(first, first + BATCH)
        windows = torch.from_numpy(np.zeros((BATCH, 1, 4, 32, 32, 3), np.uint8))
        yield Batch(windows, {}, index % 10, index, index), np.zeros((BATCH, 1, DIM_OF_MANY), np.float32)


def peak_bytes(out: Path, num_videos: int) -> int:
    """The most that is held at a time by Python and NumPy while rows are kept and the file is written."""
    parts = FeatureParts(out, {}, resume=False, overwrite=False)
    tracemalloc.start()
    rows = video_rows(many_outputs(num_videos), 0, "video")
    keep_rows(rows, parts, BadVideos(num_videos, 0.05), SilentReporter())
    parts.finish(str)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert read(out)["features"].shape == (num_videos, DIM_OF_MANY)
    return peak


def test_keep_rows__memory_does_not_grow_with_the_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """10,000 videos of 2 KB each are 20 MB; a batch is 0.5 MB of rows, and 3 MB of frames that two batches hold."""
    monkeypatch.setattr(vtdl_cli.engine.evaluate.extracted_rows, "KEEP_EVERY_SECONDS", 0.0)
    small, large = (peak_bytes(tmp_path / f"{number}.h5", number) for number in (1_000, 10_000))
    print(f"peak {small / 1e6:.1f} MB for 1,000 videos, {large / 1e6:.1f} MB for 10,000")
    assert large < small + 5e5


def test_keep_rows__of_a_while_go_into_one_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand: of ten batches of 8 seconds each the third, sixth and ninth end 24 seconds after the last part."""
    seconds = [0.0]

    def outputs() -> Iterator[VideoOutputs]:
        for each in many_outputs(10 * BATCH):
            seconds[0] += 8
            yield each

    monkeypatch.setattr(vtdl_cli.engine.evaluate.extracted_rows, "time", SimpleNamespace(monotonic=lambda: seconds[0]))
    parts = FeatureParts(tmp_path / "f.h5", {}, resume=False, overwrite=False)
    keep_rows(video_rows(outputs(), 0, "video"), parts, BadVideos(10 * BATCH, 0.05), SilentReporter())
    names = sorted(path.stem for path in tmp_path.glob(".f.h5.parts/*.npz"))
    assert [int(name) // BATCH for name in names] == [3, 6, 9, 10]


def test_keep_rows__waiting_rows_do_not_hold_their_frames(tmp_path: Path) -> None:
    """Ten batches that wait to be kept: their frames would be 31 MB, their rows are 5 MB and copied when written."""
    assert peak_bytes(tmp_path / "f.h5", 10 * BATCH) < 20e6


def test_extract__exports_that_are_not_renewed_are_reported(toy: Toy, pretrained: Path, tmp_path: Path) -> None:
    """Oracle: the array of before stays beside new features of another layer."""
    out = tmp_path / "f.h5"
    succeed(*toy.extract(pretrained, out, "--npy"))
    again = succeed(*toy.extract(pretrained, out, "--layer", "layer1", "--overwrite"))
    assert f"warning: '{tmp_path / 'f.npy'}' is of an earlier extraction, and is not renewed" in again.stderr
    assert "earlier extraction" not in succeed(*toy.extract(pretrained, out, "--npy", "--overwrite")).stderr


def test_extract__a_file_that_is_no_list_and_no_video_is_named(toy: Toy, pretrained: Path, tmp_path: Path) -> None:
    (tmp_path / "sound.wav").write_bytes(b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\xff\xfe\x80")
    line = toy.extract(pretrained, tmp_path / "f.h5", "--list", str(tmp_path / "sound.wav"))
    refuse(*line, code=1, says=("sound.wav' is not a text file. Name a list, a folder of videos, or a video",))


def test_extract__a_kill_after_the_last_part_leaves_a_finished_file(toy: Toy, pretrained: Path, tmp_path: Path) -> None:
    """Oracle: the file itself, which other options do not replace, and which is finished for the same ones."""
    out = tmp_path / "f.h5"
    succeed(*toy.extract(pretrained, out))
    before = out.read_bytes()
    (tmp_path / ".f.h5.parts").mkdir()
    refuse(*toy.extract(pretrained, out, "--resume", "--clips", "1"), code=2, says=("was begun with another protocol",))
    refuse(*toy.extract(pretrained, out), code=2, says=("exists. Use --overwrite",))
    assert "is finished: nothing to do" in succeed(*toy.extract(pretrained, out, "--resume")).stderr
    assert out.read_bytes() == before
    assert list(tmp_path.iterdir()) == [out]
