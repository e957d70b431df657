"""`vtdl visualize` through the real command."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from tests.odd_videos import write_disc
from tests.toy import CLASSES, NUM_FRAMES, NUM_TRAIN, Toy, refuse, succeed, write_video
from vtdl_cli.analysis.strip import ClipFrames, draw_strip
from vtdl_cli.data.clips.augmentation import to_clips
from vtdl_cli.data.clips.views import FixedViews
from vtdl_cli.data.video.decoding import open_video
from vtdl_cli.data.video.timeline import Interval
from vtdl_cli.engine.networks.build import build_network
from vtdl_cli.engine.networks.checkpoint import save_checkpoint
from vtdl_cli.engine.networks.trained import load_classifier
from vtdl_cli.engine.report.heat import ClippedVideo, clip_video
from vtdl_cli.settings import load_config


def line(weights: Path | str, video: Path, out: Path, *more: str) -> list[str]:
    return ["visualize", "--weights", str(weights), str(video), "--out", str(out), "--device", "cpu", *more]


def drawn(*arguments: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(succeed(*arguments, "--json").stdout)
    return result


def read(path: Path) -> tuple[np.ndarray, Fraction]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        rate = stream.average_rate
        assert rate is not None
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]), rate


def save_network(path: Path, preset: Path, stage: str, *assignments: str, **changes: torch.Tensor) -> None:
    """A checkpoint of random weights, some of them changed: of a backbone, or with a classifier of three classes."""
    config = load_config(str(preset), assignments)
    torch.manual_seed(0)
    network = build_network(config, 3)
    model = {**network.state_dict(), **changes}
    content = {"stage": stage, "config": config.to_dict(), "classes": None, "num_classes": 3, "model": model}
    save_checkpoint(path, content | {"list_sha256": "", "seed": 0, "origin": {}})


VIDEO = "red/red_5.mp4"


@pytest.fixture(scope="module")
def heat(toy: Toy, finetuned: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """What Grad-CAM of a finetuned network gives, and its JSON; not to be changed."""
    out = tmp_path_factory.mktemp("heat") / "heat.mp4"
    return out, drawn(*line(finetuned, toy.root / VIDEO, out))


def test_visualize__video_is_as_long_and_large_as_its_source(toy: Toy, heat: tuple[Path, dict[str, Any]]) -> None:
    out, result = heat
    frames, rate = read(out)
    assert frames.shape == (NUM_FRAMES, 36, 50, 3)
    assert rate == 25
    assert (result["frame_rate"], result["frames"], result["clips"]) == (25, NUM_FRAMES, 3)
    assert (result["map"], result["layer"]) == ("gradcam", "layer4")
    with Image.open(out.with_suffix(".png")) as strip:
        assert strip.width > 1000
    with open_video(toy.root / VIDEO) as reader:
        source = reader.read(range(NUM_FRAMES))
    unseen = np.ones((36, 50), bool)
    unseen[1:35, 8:42] = False  # the network sees rows 2 to 33 and columns 9 to 40
    assert np.abs(frames[:, unseen] - 0.4 * source[:, unseen]).mean() < 6
    assert sorted(path.name for path in out.parent.iterdir()) == ["heat.mp4", "heat.png"]


def test_visualize__interval(toy: Toy, finetuned: Path, tmp_path: Path) -> None:
    """At 25 frames/s, 0.2 to 0.6 s are frames 5 to 14. Oracle: their pixels where the network sees none."""
    result = drawn(*line(finetuned, toy.root / VIDEO, tmp_path / "heat.mp4", "--interval", "0.2", "0.6"))
    assert (result["video"], result["frames"]) == (f"{toy.root / VIDEO}#t=0.2,0.6", 10)
    frames, _ = read(tmp_path / "heat.mp4")
    with open_video(toy.root / VIDEO) as reader:
        source = reader.read(range(5, 15))
    assert np.abs(frames[:, :, :8] - 0.4 * source[:, :, :8]).mean() < 6
    source_of = load_classifier(str(finetuned), ())[1]
    clipped = clip_video(toy.root / VIDEO, source_of, source_of.config.finetune, Interval(0.2, 0.6))
    assert clipped.numbers.tolist() == list(range(5, 15))
    assert clipped.start_seconds == pytest.approx(0.2)


def test_visualize__png_is_the_strip_alone(
    toy: Toy, finetuned: Path, heat: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    """Oracle: the strip beside the MP4, by the same weights."""
    out = tmp_path / "heat.png"
    result = drawn(*line(finetuned, toy.root / VIDEO, out))
    assert (result["out"], result["strip"]) == (str(out), str(out))
    assert [path.name for path in tmp_path.iterdir()] == ["heat.png"]
    with Image.open(out) as alone, Image.open(heat[0].with_suffix(".png")) as beside:
        assert np.array_equal(np.asarray(alone), np.asarray(beside))
    refuse(*line(finetuned, toy.root / VIDEO, out), code=2, says=("heat.png' exists. Use --overwrite",))


def test_visualize__predicts_the_class_that_evaluate_predicts(
    toy: Toy, finetuned: Path, heat: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    """Oracle: evaluate's scores of the same clips: of 24 frames three of 4 at stride 2 start at 0, 8 and 16."""
    succeed(*toy.evaluate(finetuned, tmp_path, "--set", "evaluate.starts=[0,8,16]", "--set", "evaluate.clips=10"))
    with h5py.File(tmp_path / "scores.h5") as file:
        scores = file["scores"][[path.decode() for path in file["paths"]].index(VIDEO)]
    _, result = heat
    assert result["predicted"] == result["class"] == CLASSES[scores.argmax()]
    assert result["predicted_probability"] == pytest.approx(scores.max(), abs=1e-4)


def test_visualize__sees_wide_pixels_as_evaluation_does(tmp_path: Path) -> None:
    """Oracle: the reader that training and evaluation use, which resizes to square pixels and short side in one step."""
    path = write_disc(tmp_path / "wide.mp4", "64/45")
    indices = np.arange(4)[None]
    with open_video(path, "pyav", short_side=40) as reader:
        windows, _ = FixedViews(32)(reader.read(indices[0]), indices, np.random.default_rng(0))
        video = ClippedVideo(path, reader.scan, indices, 40, 32, np.arange(reader.num_frames))
    (clip,) = video.clips(torch.device("cpu"))
    assert torch.equal(clip, to_clips(torch.from_numpy(windows), 32, {}))


def test_visualize__class_by_name_and_by_number(
    toy: Toy, finetuned: Path, heat: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    _, predicted = heat
    other = (CLASSES.index(predicted["predicted"]) + 1) % 3
    named, numbered = (
        drawn(*line(finetuned, toy.root / VIDEO, tmp_path / f"{number}.mp4", "--class", text))
        for number, text in enumerate((CLASSES[other], str(other)))
    )
    assert named["class"] == numbered["class"] == CLASSES[other]
    assert named["class_probability"] == numbered["class_probability"] < predicted["class_probability"]
    assert named["scale"] == numbered["scale"] != predicted["scale"]
    assert named["predicted"] == predicted["predicted"]


def test_visualize__heat_follows_what_activates_the_network(toy: Toy, tmp_path: Path) -> None:
    """Oracle: a network that sees brightness alone, and a bright square: the red lies in it, in every frame.

    The stem's first channel is the mean of the colours of the pixel in the kernel's middle; all others are 0.
    """
    kernel = torch.zeros(4, 3, 3, 7, 7)
    kernel[0, :, 1, 3, 3] = 1 / 3
    settings = ("data.short_side=64", "data.crop_size=64")
    weights = tmp_path / "bright.pt"
    save_network(weights, toy.preset, "pretrain", *settings, **{"backbone.stem.0.weight": kernel})
    height, width, side = 128, 176, 24
    frames = np.full((15, height, width, 3), 30, np.uint8)
    corners = [(20 + 5 * t, 40 + 4 * t) for t in range(len(frames))]  # inside the centre square, columns 24 to 151
    for frame, (top, left) in zip(frames, corners, strict=True):
        frame[top : top + side, left : left + side] = 235
    write_video(tmp_path / "square.mp4", frames)
    drawn(*line(weights, tmp_path / "square.mp4", tmp_path / "heat.mp4", "--layer", "stem", "--map", "energy"))
    seen, _ = read(tmp_path / "heat.mp4")
    assert len(seen) == len(frames)
    for frame, (top, left) in zip(seen.astype(int), corners, strict=True):
        hot = frame[..., 0] - frame[..., 2] > 60  # red, as the end of the colours
        rows, columns = np.nonzero(hot)
        assert len(rows) > 0.3 * side**2
        assert abs(rows.mean() - (top + side / 2)) < 4  # half of a map's cell, and what moves from frame to frame
        assert abs(columns.mean() - (left + side / 2)) < 4


@pytest.mark.parametrize(
    ("name", "layer"), [("c3d", "conv4b"), ("r3d", "layer3"), ("r2p1d", "stem"), ("i3d", "mixed_5c")]
)
def test_visualize__gradcam_of_every_backbone(toy: Toy, tmp_path: Path, name: str, layer: str) -> None:
    depth = "model.depth=null" if name in ("c3d", "i3d") else "model.depth=10"
    weights = tmp_path / "random.pt"
    save_network(weights, toy.preset, "finetune", f"model.name={name}", depth, "finetune.clip_len_frames=8")
    result = drawn(*line(weights, toy.root / VIDEO, tmp_path / "heat.mp4", "--layer", layer))
    assert (result["map"], result["layer"], result["frames"]) == ("gradcam", layer, NUM_FRAMES)
    assert result["scale"]["high"] > 0
    assert result["predicted"] in ("0", "1", "2")  # the names of classes without names


@pytest.mark.parametrize("name", ["video_90.mov", "unordered.mov"])
def test_visualize__real_clips_with_faults(data_dir: Path, pretrained: Path, tmp_path: Path, name: str) -> None:
    """Oracle: the frames that the video has, turned as it asks, less an odd row and column."""
    video = data_dir / "faults" / name
    with open_video(video, "pyav") as reader:
        num_frames, shape = reader.num_frames, reader.read([0]).shape
    drawn(*line(pretrained, video, tmp_path / "heat.mp4", "--map", "similarity"))
    frames, _ = read(tmp_path / "heat.mp4")
    assert frames.shape == (num_frames, shape[1] // 2 * 2, shape[2] // 2 * 2, 3)


@pytest.mark.parametrize("name", ["corrupted.mp4", "zero_bytes.webm", "sine_mono_s16.wav", "nothing.mp4"])
def test_visualize__unreadable_video_is_one_line(data_dir: Path, pretrained: Path, tmp_path: Path, name: str) -> None:
    video = data_dir / "faults" / name
    command = line(pretrained, video, tmp_path / "heat.mp4", "--quiet")
    refuse(*command, code=1, says=(f"video '{video}' cannot be read: ",))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--map", "gradcam"), "map 'gradcam' needs a classifier, and weights"),
        (("--map", "attention"), "map 'attention' is unknown. Choose from energy, similarity, gradcam"),
        (("--class", "red"), "class 'red' has no effect on map 'energy'"),
        (("--layer", "layer9"), "layer 'layer9' is not one of this backbone. Choose from stem, layer1"),
        (("--out", "heat.avi"), "output 'heat.avi' does not end in .mp4"),
        (
            ("--interval", "0.6", "0.2"),
            "--interval '0.6 0.2' is not an interval: give its start, from 0, and then its end",
        ),
        (("--weights", "none"), "weights 'none' are untrained"),
        (("--weights", "nowhere"), "weights 'nowhere' do not exist"),
    ],
)
def test_visualize__impossible_options_are_refused(
    toy: Toy, pretrained: Path, tmp_path: Path, more: tuple[str, ...], says: str
) -> None:
    command = line(pretrained, toy.root / "red/red_0.mp4", tmp_path / "heat.mp4", *more)
    refuse(*command, code=1 if "nowhere" in more else 2, says=(says,))
    assert list(tmp_path.iterdir()) == []


def test_visualize__weights_of_flow_are_refused(toy: Toy, tmp_path: Path) -> None:
    save_network(tmp_path / "flow.pt", toy.preset, "pretrain", "data.modality=flow")
    refuse(*line(tmp_path / "flow.pt", toy.root / VIDEO, tmp_path / "heat.mp4"), code=2, says=("take optical flow",))


@pytest.mark.parametrize(("text", "says"), [("reed", "Did you mean 'red'?"), ("3", "a number from 0 to 2")])
def test_visualize__unknown_class(toy: Toy, finetuned: Path, tmp_path: Path, text: str, says: str) -> None:
    command = line(finetuned, toy.root / "red/red_0.mp4", tmp_path / "heat.mp4", "--class", text)
    refuse(*command, code=2, says=(f"class '{text}' is not one of the 3 classes of weights", says))


def test_visualize__outputs_are_not_overwritten_unasked(toy: Toy, pretrained: Path, tmp_path: Path) -> None:
    (tmp_path / "heat.png").write_bytes(b"mine")
    command = line(pretrained, toy.root / "red/red_0.mp4", tmp_path / "heat.mp4")
    refuse(*command, code=2, says=(f"output '{tmp_path / 'heat.png'}' exists. Use --overwrite",))
    assert (tmp_path / "heat.png").read_bytes() == b"mine"
    (tmp_path / "own.mp4").write_bytes((toy.root / "red/red_0.mp4").read_bytes())
    command = line(pretrained, tmp_path / "own.mp4", tmp_path / "own.mp4", "--overwrite")
    refuse(*command, code=2, says=("is itself one of the inputs",))


def triplet(toy: Toy, out: Path, *more: str) -> list[str]:
    given = ["--preset", str(toy.preset), "--list", str(toy.train_list), "--root", str(toy.root), "--out", str(out)]
    return ["visualize", "triplet", *given, *more]


def test_triplet__frames_are_those_that_pretraining_draws(toy: Toy, tmp_path: Path) -> None:
    """Oracle: the rule of the sampler: anchor and positive alike, the negative two frames from them at least."""
    result = drawn(*triplet(toy, tmp_path / "t.png", "--index", "2", "--seed", "5"))
    frames = result["frames"]
    assert (result["video"], result["num_frames"], list(frames)) == (
        "blue/blue_2.mp4",
        NUM_FRAMES,
        ["anchor", "positive", "negative"],
    )
    assert frames["anchor"] == frames["positive"] != frames["negative"]
    assert all(np.diff(clip).tolist() == [2, 2, 2] for clip in frames.values())
    assert abs(frames["anchor"][0] - frames["negative"][0]) >= 2
    again = drawn(*triplet(toy, tmp_path / "again.png", "--index", "2", "--seed", "5"))
    assert again["frames"] == frames
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "t.png").read_bytes()


@pytest.mark.parametrize(
    ("settings", "clips", "rows"),
    [
        (("method.tca.alpha=0",), 3, 3),
        (("method.tca.side=both", "method.tca.version=1"), 3, 5),
        (("method.intra_video_negative=false",), 2, 3),
        (("method.name=clip_order",), 1, 1),
        (("method.name=speed",), 1, 1),
        (("method.name=stcr",), 2, 2),
    ],
    ids=str,
)
def test_triplet__rows_are_what_the_method_asks_for(
    toy: Toy, tmp_path: Path, settings: tuple[str, ...], clips: int, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn_clips: list[ClipFrames] = []

    def keep(given: list[ClipFrames], title: str, path: Path) -> None:
        drawn_clips.extend(given)
        draw_strip(given, title, path)

    monkeypatch.setattr("vtdl_cli.engine.report.triplet.draw_strip", keep)
    result = drawn(*triplet(toy, tmp_path / "t.png", *(word for each in settings for word in ("--set", each))))
    assert (len(result["frames"]), len(drawn_clips)) == (clips, rows)


def test_triplet__refusals(toy: Toy, tmp_path: Path) -> None:
    out = tmp_path / "t.png"
    refuse(*triplet(toy, out, "--index", str(NUM_TRAIN)), code=2, says=("Choose 0 to 11",))
    refuse(*triplet(toy, out, "--set", "data.modality=flow"), code=2, says=("has no colours to draw",))
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    (tmp_path / "list.txt").write_text("broken.mp4 0 24\n")
    command = triplet(toy, out, "--list", str(tmp_path / "list.txt"), "--root", str(tmp_path))
    refuse(*command, "--list-columns", "path class frames", code=1, says=("cannot be read: ",))
    assert not out.exists()
    out.write_bytes(b"mine")
    refuse(*triplet(toy, out), code=2, says=("exists. Use --overwrite",))
