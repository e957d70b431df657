"""`vtdl extract --hop`: windows over whole videos, their times, and what other programs get of them."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import h5py
import numpy as np
import pytest
import torch
import yaml

import vtdl_cli.engine.evaluate.dense
import vtdl_cli.engine.evaluate.extracted_rows
from tests.toy import NUM_FRAMES, NUM_VAL, Toy, colour_video, refuse, succeed, vtdl, write_video
from vtdl_cli.data.clips.windows import Hop, VideoWindows, Window
from vtdl_cli.data.hdf5.features import read_features
from vtdl_cli.engine.evaluate.dense import parse_hop
from vtdl_cli.engine.evaluate.extracted_rows import times_of_positions
from vtdl_cli.engine.networks.inference import forward_frames
from vtdl_cli.engine.networks.trained import load_backbone
from vtdl_cli.errors import UnreadableVideo, UsageError

DIM, RATE, EXTENT = 32, 25, 7  # a window of the toy preset shows 4 of 7 frames
LENGTHS = (NUM_FRAMES, 60, 5, 33)  # of videos; one is shorter than a window


@pytest.fixture(scope="module")
def dense(pretrained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Windows 5 frames apart over videos of several lengths."""
    folder = tmp_path_factory.mktemp("dense")
    for number, length in enumerate(LENGTHS):
        frames = np.concatenate([colour_video(number % 3, seed=number + part) for part in range(3)])[:length]
        write_video(folder / f"videos/{number}.mp4", frames, RATE)
    lines = [f"videos/{number}.mp4 {number % 3} {length}\n" for number, length in enumerate(LENGTHS)]
    (folder / "list.txt").write_text("".join(lines))
    (folder / "classes.txt").write_text("blue\ngreen\nred\n")
    succeed(*line(pretrained, folder / "list.txt", folder / "dense.h5"))
    return folder / "dense.h5"


def line(weights: Path, videos: Path, out: Path, *more: str, hop: str = "5") -> list[str]:
    given = ["--weights", str(weights), "--list", str(videos), "--out", str(out), "--hop", hop]
    return ["extract", *given, "--device", "cpu", "--workers", "0", *more]


def read(path: Path) -> dict[str, Any]:
    with h5py.File(path) as file:
        return {name: file[name][:] for name in file} | {"attributes": dict(file.attrs)}


def starts_by_hand(length: int, hop: int) -> list[int]:
    return list(range(0, max(length - EXTENT, 0) + 1, hop))


def test_extract__windows_and_their_times_by_hand(dense: Path) -> None:
    """60 frames have windows of 7 at 0, 5, .. 50: the one at 55 would end after them. 25 frames are a second."""
    content = read(dense)
    starts = [starts_by_hand(length, 5) for length in LENGTHS]
    assert [len(each) for each in starts] == [4, 11, 1, 6]
    assert content["offsets"].tolist() == [0, 4, 15, 16, 22]
    assert content["start_frames"].tolist() == np.concatenate(starts).tolist()
    ends = np.concatenate(starts) + EXTENT
    ends[15] = 5  # the short one
    assert content["end_frames"].tolist() == ends.tolist()
    assert content["starts"] == pytest.approx(content["start_frames"] / RATE)
    assert content["ends"] == pytest.approx(content["end_frames"] / RATE)
    assert content["fps"].tolist() == [RATE] * 4
    assert content["num_frames"].tolist() == list(LENGTHS)
    assert content["labels"].tolist() == [0, 1, 2, 0]
    shapes = {name: (content[name].dtype, content[name].shape) for name in ("features", "starts", "start_frames")}
    assert shapes == {
        "features": (np.float32, (22, DIM)), "starts": (np.float64, (22,)), "start_frames": (np.int64, (22,))
    }  # fmt: skip
    attributes = content["attributes"]
    assert (attributes["schema"], attributes["protocol"]) == (2, "windows of 7 frames every 5 frames")
    assert (attributes["hop"], attributes["window_frames"], attributes["frame_rate"]) == ("5 frames", "7", "")


def test_extract__windows_have_the_features_of_each_alone(pretrained: Path, dense: Path) -> None:
    """Oracle: each window cut out by PyAV, normalised by hand, and passed through the network alone."""
    backbone, _ = load_backbone(str(pretrained), ())
    content = read(dense)
    for video in (1, 3):
        with av.open(str(dense.parent / f"videos/{video}.mp4")) as container:
            frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
        for place, start in enumerate(starts_by_hand(LENGTHS[video], 5)):
            clip = frames[start : start + EXTENT : 2, 2:34, 9:41].astype(np.float32)[None]
            normalised = (clip / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
            with torch.inference_mode():
                alone = backbone.eval()(torch.from_numpy(normalised.astype(np.float32)).permute(0, 4, 1, 2, 3))
            found = content["features"][content["offsets"][video] + place]
            assert found == pytest.approx(alone.mean((0, 2, 3, 4)).numpy(), abs=1e-5)


def test_extract__hop_in_seconds_over_intervals_at_a_frame_rate(pretrained: Path, tmp_path: Path) -> None:
    """Of a video of 60 frames the second from 0.4 s, at 12.5 of 25 frames a second: windows of 7 of its 12 frames.

    A hop of 0.16 s is two of them; the last window starts at 4, frame 18 of the file.
    """
    write_video(tmp_path / "v.mp4", np.concatenate([colour_video(0, seed=part) for part in range(3)])[:60], RATE)
    (tmp_path / "list.csv").write_text("path,label,start,end\nv.mp4,0,0.4,1.4\n")
    rate = ["--set", "data.frame_rate=12.5"]
    succeed(*line(pretrained, tmp_path / "list.csv", tmp_path / "f.h5", *rate, hop="0.16s"))
    content = read(tmp_path / "f.h5")
    assert content["start_frames"].tolist() == [10, 14, 18]
    assert content["starts"] == pytest.approx([0.4, 0.56, 0.72])
    assert content["ends"] == pytest.approx(content["starts"] + 7 / 12.5)
    assert (content["interval_starts"].tolist(), content["interval_ends"].tolist()) == ([0.4], [1.4])
    assert (content["fps"].tolist(), content["attributes"]["frame_rate"]) == ([RATE], "12.5")
    assert content["attributes"]["hop"] == "0.16 seconds"


def test_extract__several_threads_write_the_same_bytes(pretrained: Path, dense: Path, tmp_path: Path) -> None:
    """Oracle: one thread."""
    succeed(*line(pretrained, dense.with_name("list.txt"), tmp_path / "f.h5", "--workers", "3"))
    assert (tmp_path / "f.h5").read_bytes() == dense.read_bytes()


def test_extract__short_videos_are_reported(pretrained: Path, dense: Path, tmp_path: Path) -> None:
    stderr = succeed(*line(pretrained, dense.with_name("list.txt"), tmp_path / "f.h5")).stderr
    says = "video 'videos/2.mp4' is shorter than a clip of 7 frames, and played in a loop"
    assert says in stderr


class Killed(BaseException):
    """What nothing catches, as kill -9."""


@pytest.mark.parametrize("batch", [0, 1, 2])
def test_extract__killed_amid_a_video_it_resumes_to_the_same_bytes(
    pretrained: Path, dense: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    """Batches of 8 windows: 4 of the first video and 4 of the second; 7 and 1; 6."""
    monkeypatch.setattr(vtdl_cli.engine.evaluate.extracted_rows, "KEEP_EVERY_SECONDS", 0.0)
    passed = list[int]()

    def forward(*arguments: Any) -> np.ndarray:
        if len(passed) == batch:
            raise Killed
        passed.append(1)
        return forward_frames(*arguments)

    command = line(pretrained, dense.with_name("list.txt"), tmp_path / "dense.h5")
    with monkeypatch.context() as patch:
        patch.setattr(vtdl_cli.engine.evaluate.dense, "forward_frames", forward)
        with pytest.raises(Killed):
            vtdl(*command)
    assert not (tmp_path / "dense.h5").exists()
    stderr = succeed(*command, "--resume").stderr
    where = ["does not exist yet", "resumes after window 4 of video 2 of 4", "resumes at video 3 of 4"]
    assert where[batch] in stderr
    assert (tmp_path / "dense.h5").read_bytes() == dense.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["dense.h5"]


def test_extract__resumed_after_its_video_has_changed_is_refused(
    pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A video of 24 frames has 9 windows, one of 10 frames has 2; eight are a batch, and saved."""
    monkeypatch.setattr(vtdl_cli.engine.evaluate.extracted_rows, "KEEP_EVERY_SECONDS", 0.0)
    video, passed = tmp_path / "videos" / "a.mp4", list[int]()
    write_video(video, colour_video(0, seed=1))

    def forward(*arguments: Any) -> np.ndarray:
        if passed:
            raise Killed
        passed.append(1)
        return forward_frames(*arguments)

    command = line(pretrained, video.parent, tmp_path / "f.h5", hop="2")
    with monkeypatch.context() as patch:
        patch.setattr(vtdl_cli.engine.evaluate.dense, "forward_frames", forward)
        with pytest.raises(Killed):
            vtdl(*command)
    write_video(video, colour_video(0, seed=1)[:10])
    says = (
        f"video '{video}' has changed: 8 of its windows are extracted, and now it has 2. Use --overwrite to start over"
    )
    refuse(*command, "--resume", "--quiet", code=2, says=(says,))
    succeed(*command, "--overwrite")


def test_extract__video_damaged_half_way_is_skipped_whole(
    pretrained: Path, dense: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second video, whose first windows are in the file's parts by then."""
    monkeypatch.setattr(vtdl_cli.engine.evaluate.extracted_rows, "KEEP_EVERY_SECONDS", 0.0)
    read_all = VideoWindows.read

    def read_some(self: VideoWindows, first: int = 0) -> Iterator[Window]:
        for number, window in enumerate(read_all(self, first)):
            if self.path.name == "1.mp4" and number == 9:
                raise UnreadableVideo(str(self.path), "it is damaged at frame 50")
            yield window

    monkeypatch.setattr(VideoWindows, "read", read_some)
    succeed(*line(pretrained, dense.with_name("list.txt"), tmp_path / "f.h5"))
    content, whole = read(tmp_path / "f.h5"), read(dense)
    assert [path.decode() for path in content["paths"]] == [f"videos/{number}.mp4" for number in (0, 2, 3)]
    assert content["offsets"].tolist() == [0, 4, 5, 11]
    kept = [*range(4), *range(15, 22)]
    assert content["features"] == pytest.approx(whole["features"][kept], abs=1e-6)
    skipped = json.loads(content["attributes"]["skipped"])
    assert skipped == [{"path": f"{dense.parent}/videos/1.mp4", "reason": "it is damaged at frame 50"}]


def test_extract__clips_and_time_positions_have_times(toy: Toy, pretrained: Path, tmp_path: Path) -> None:
    """Two clips of 24 frames start at 0 and 16; layer1 keeps each of the four frames, 2 apart."""
    succeed(*toy.extract(pretrained, tmp_path / "clips.h5", "--per-clip"))
    clips = read(tmp_path / "clips.h5")
    assert clips["start_frames"].tolist() == [[0, 16]] * NUM_VAL
    assert clips["end_frames"].tolist() == [[7, 23]] * NUM_VAL
    assert clips["ends"] == pytest.approx(clips["end_frames"] / RATE)
    assert clips["fps"].tolist() == [RATE] * NUM_VAL
    assert "offsets" not in clips
    succeed(*toy.extract(pretrained, tmp_path / "times.h5", "--layer", "layer1", "--per-frame"))
    times = read(tmp_path / "times.h5")
    assert times["start_frames"][0].tolist() == [[0, 2, 4, 6], [16, 18, 20, 22]]
    assert times["ends"][0] == pytest.approx((times["start_frames"][0] + 1) / RATE)
    assert times["starts"].shape == times["features"].shape[:-1]


def test_times_of_positions__by_hand() -> None:
    """Five frames in two positions share the middle one; a clip that loops is from its earliest frame to its latest."""
    numbers = np.array([4, 6, 8, 0, 2])
    times = np.stack([numbers, numbers + 1, numbers / 10, (numbers + 1) / 10], -1)[None, None].astype(float)
    halves, whole = times_of_positions(times, 2), times_of_positions(times, None)
    assert (halves["start_frames"].tolist(), halves["end_frames"].tolist()) == ([[[4, 0]]], [[[9, 9]]])
    assert (whole["start_frames"].tolist(), whole["ends"].tolist()) == ([[0]], [[0.9]])


def test_dense_features__are_pooled_where_one_vector_a_video_is_needed(dense: Path, tmp_path: Path) -> None:
    """Oracle: NumPy's mean of each video's windows. fuse, which needs scores, refuses them."""
    content, warnings = read(dense), list[str]()
    found = read_features(dense, warnings.append)
    parts = np.split(content["features"], content["offsets"][1:-1])
    assert found.values == pytest.approx(np.stack([part.mean(0) for part in parts]), abs=1e-6)
    assert warnings == [f"features '{dense}' are of sliding windows: each video is the mean of its windows"]
    succeed("features", "export", str(dense), "--out", str(tmp_path / "mean.npy"), "--average")
    assert np.array_equal(np.load(tmp_path / "mean.npy"), found.values)
    refuse("fuse", str(dense), str(dense), code=2, says=("are an HDF5 file of something else: it has no 'scores'",))


def test_dense_features__are_merged(pretrained: Path, dense: Path, toy: Toy, tmp_path: Path) -> None:
    succeed(*line(pretrained, toy.val_list, tmp_path / "other.h5", "--root", str(toy.root)))
    succeed("features", "merge", str(dense), str(tmp_path / "other.h5"), "--out", str(tmp_path / "merged.h5"))
    merged, first, second = (read(path) for path in (tmp_path / "merged.h5", dense, tmp_path / "other.h5"))
    assert merged["offsets"].tolist() == [*first["offsets"], *(second["offsets"][1:] + 22)]
    for name in set(first) - {"offsets", "attributes", "paths"}:
        assert np.array_equal(merged[name], np.concatenate([first[name], second[name]])), name
    roots = [dense.parent] * len(first["paths"]) + [toy.root] * len(second["paths"])
    assert merged["paths"].tolist() == [
        str(root / path.decode()).encode()
        for root, path in zip(roots, [*first["paths"], *second["paths"]], strict=True)
    ]
    facts = json.loads(succeed("features", "info", str(tmp_path / "merged.h5"), "--json").stdout)
    facts = facts[str(tmp_path / "merged.h5")]
    assert (facts["videos"], facts["shape"], facts["times"]) == (10, [22 + 6 * 4, DIM], True)
    succeed(*toy.extract(pretrained, tmp_path / "videos.h5"))
    refuse("features", "merge", str(dense), str(tmp_path / "videos.h5"), "--out", str(tmp_path / "m.h5"), code=2,
           says=("differ from",))  # fmt: skip


def test_dense_features__are_exported(dense: Path, tmp_path: Path) -> None:
    content = read(dense)
    for name in ("npy", "npz", "csv"):
        succeed("features", "export", str(dense), "--out", str(tmp_path / f"f.{name}"))
    assert np.array_equal(np.load(tmp_path / "f.npy"), content["features"])
    with np.load(tmp_path / "f.npz") as arrays:
        for name in set(content) - {"attributes", "paths"}:
            assert np.array_equal(arrays[name], content[name]), name
        assert arrays["paths"].tolist() == [f"videos/{number}.mp4" for number in range(4)]
        assert arrays["classes"].tolist() == ["blue", "green", "red"]
        assert json.loads(str(arrays["attributes"]))["hop"] == "5 frames"
    with (tmp_path / "f.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 22
    shown = [rows[5][name] for name in ("path", "start", "end", "start_frame", "end_frame", "class", "fps")]
    assert shown == ["videos/1.mp4", "0.2", "0.48", "5", "12", "green", "25"]
    assert float(rows[5]["f0"]) == content["features"][5, 0]


def seconds_of(place: int, fps: float, dataset: dict[str, Any]) -> float:
    """The middle of a feature, by ActionFormer (libs/modeling/meta_archs.py: segs * stride + 0.5 * nframes, over fps)."""
    seconds: float = (place * dataset["feat_stride"] + 0.5 * dataset["num_frames"]) / fps
    return seconds


@pytest.mark.parametrize("more", [("5",), ("0.2s",), ("3", "--set", "data.frame_rate=12.5")])
def test_actionformer__reads_the_arrays_at_their_times(
    pretrained: Path, dense: Path, tmp_path: Path, more: tuple[str, ...]
) -> None:
    """Oracle: the times in the HDF5 file, against the arithmetic of ActionFormer with the numbers that we give it."""
    hop, *rest = more
    long = dense.with_name("long.txt")  # without the short video, whose window loops
    long.write_text("".join(dense.with_name("list.txt").read_text().splitlines(keepends=True)[:2]))
    command = line(pretrained, long, tmp_path / "f.h5", *rest, "--format", "actionformer", hop=hop)
    succeed(*command)
    content, folder = read(tmp_path / "f.h5"), tmp_path / "f-actionformer"
    dataset = yaml.safe_load((folder / "actionformer.yaml").read_text())["dataset"]
    database = json.loads((folder / "database.json").read_text())["database"]
    assert list(database) == ["videos/0", "videos/1"]
    for number, (name, facts) in enumerate(database.items()):
        array = np.load(Path(dataset["feat_folder"]) / f"{name}{dataset['file_ext']}")
        rows = slice(*content["offsets"][number : number + 2])
        assert np.array_equal(array, content["features"][rows])
        assert array.shape[1] == dataset["input_dim"] == DIM
        middles = (content["starts"][rows] + content["ends"][rows]) / 2
        grid = [seconds_of(place, facts["fps"], dataset) for place in range(len(array))]
        assert grid == pytest.approx(middles, abs=0.5 / RATE)
        assert facts["fps"] == dataset["default_fps"]
        assert facts["duration"] == pytest.approx(LENGTHS[number] / RATE, abs=0.5 / 12.5)
    refuse("features", "export", str(tmp_path / "f.h5"), "--out", str(folder), "--format", "actionformer", code=2,
           says=("exists. Use --overwrite",))  # fmt: skip
    again = ["--out", str(folder), "--format", "actionformer", "--overwrite"]
    succeed("features", "export", str(tmp_path / "f.h5"), *again)


def test_actionformer__refuses_what_it_cannot_read(toy: Toy, pretrained: Path, dense: Path, tmp_path: Path) -> None:
    out, name = tmp_path / "f.h5", ("--format", "actionformer")
    refuse(*toy.extract(pretrained, out, *name), code=2, says=("needs windows that slide. Add --hop",))
    (tmp_path / "part.csv").write_text(f"path,label,start,end\n{dense.parent}/videos/1.mp4,0,0.4,1.4\n")
    refuse(*line(pretrained, tmp_path / "part.csv", out, *name), code=2, says=("has intervals of videos",))
    (tmp_path / "twins.txt").write_text("a/../x.mp4\nb/../x.avi\n")
    for twin in ("x.mp4", "x.avi"):
        (tmp_path / twin).write_bytes((dense.parent / "videos/0.mp4").read_bytes())
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    refuse(*line(pretrained, tmp_path / "twins.txt", out, *name), code=2, says=("which would both be 'x.npy'",))
    assert not out.exists()
    write_video(tmp_path / "slow.mp4", colour_video(0, seed=0), 12)
    (tmp_path / "rates.txt").write_text(f"{dense.parent}/videos/1.mp4\nslow.mp4\n")
    says = "slide every 0.2 s over videos of 12 to 25 fps, and ActionFormer has one stride in frames for all"
    mixed = line(pretrained, tmp_path / "rates.txt", out, "--quiet", hop="0.2s")
    refuse(*mixed, *name, code=2, says=(f"rates.txt' would {says}. Extract with --hop 8",))
    assert not out.exists()  # it was refused before it was extracted
    succeed(*mixed)
    folder = tmp_path / "f-actionformer"
    refuse("features", "export", str(out), "--out", str(folder), *name, code=2, says=(f"f.h5' {says}",))
    assert not folder.exists()
    succeed(*toy.extract(pretrained, tmp_path / "videos.h5"))
    refuse("features", "export", str(tmp_path / "videos.h5"), "--out", str(tmp_path / "d"), *name, code=2,
           says=("are not of windows that slide over videos. Extract them with --hop",))  # fmt: skip
    refuse("features", "export", str(dense), "--out", str(tmp_path), *name, "--overwrite", code=2,
           says=("is not a folder of --format actionformer",))  # fmt: skip


@pytest.mark.parametrize("text", ["0", "0s", "-1", "8f", "s", "1e3", "nan", "0.5"])
def test_parse_hop__refuses_what_is_neither_frames_nor_seconds(text: str) -> None:
    with pytest.raises(UsageError, match="is neither a whole number of frames above 0, such as 8, nor seconds"):
        parse_hop(text)


def test_parse_hop__frames_and_seconds() -> None:
    assert [parse_hop(text) for text in ("8", "0.5s", "2 s", ".25s")] == [
        Hop(8, "frames"), Hop(0.5, "seconds"), Hop(2, "seconds"), Hop(0.25, "seconds")
    ]  # fmt: skip


def test_extract__hop_excludes_clips(toy: Toy, pretrained: Path, tmp_path: Path) -> None:
    for more in (("--clips", "3"), ("--per-clip",), ("--per-frame",)):
        refuse(*line(pretrained, toy.val_list, tmp_path / "f.h5", *more), code=2, says=("Leave out --clips",))
    assert list(tmp_path.iterdir()) == []
