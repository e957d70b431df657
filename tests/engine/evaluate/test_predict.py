"""Prediction through the real command, held to evaluation, to a network run by hand, and to rows worked out by hand."""

import csv
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import h5py
import numpy as np
import pytest
import torch

from tests.toy import (
    CLASSES,
    HEIGHT,
    NUM_FRAMES,
    WIDTH,
    Toy,
    colour_video,
    error_lines,
    load,
    refuse,
    succeed,
    vtdl,
    write_video,
)
from vtdl_cli.data.clips.window_loading import SlidingWindows
from vtdl_cli.data.video.stream import open_stream
from vtdl_cli.engine.networks.trained import load_classifier

HERE = ("--device", "cpu", "--workers", "0")


def predictions(*arguments: str | Path) -> list[dict[str, Any]]:
    result = json.loads(succeed("predict", *map(str, arguments), *HERE, "--json").stdout)
    rows: list[dict[str, Any]] = result["predictions"]
    return rows


def probabilities(row: dict[str, Any]) -> list[float]:
    """Of all classes, in their order."""
    by_name = {each["class"]: each["probability"] for each in row["top"]}
    return [by_name[name] for name in CLASSES]


@pytest.fixture(scope="module")
def two_seconds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of 24 frames at 12 frames a second: blue for a second, then red."""
    path = tmp_path_factory.mktemp("predict") / "two_seconds.mp4"
    frames = np.concatenate([colour_video(0, seed=1)[:12], colour_video(2, seed=2)[:12]])
    write_video(path, frames, rate=12)
    return path


@pytest.mark.parametrize("workers", ["0", "2"])
def test_predict__equals_evaluation(toy: Toy, finetuned: Path, tmp_path: Path, workers: str) -> None:
    """Oracle: scores.h5 of evaluate at the same clips."""
    succeed(*toy.evaluate(finetuned, tmp_path / "out", "--clips", "3"))
    with h5py.File(tmp_path / "out" / "scores.h5") as file:
        scores, paths = file["scores"][()], file["paths"].asstr()[()]
    more = ("--workers", workers, "--device", "cpu", "--clips", "3", "--json")
    listed = ("predict", "--weights", finetuned, toy.val_list, "--root", toy.root)
    rows = json.loads(succeed(*map(str, listed), *more).stdout)["predictions"]
    assert [row["path"] for row in rows] == [str(toy.root / path) for path in paths]
    np.testing.assert_allclose([probabilities(row) for row in rows], scores, atol=2e-6)  # six digits, and float32
    assert [row["top"][0]["class"] for row in rows] == [CLASSES[best] for best in scores.argmax(1)]
    assert all(row["top"] == sorted(row["top"], key=lambda each: -each["probability"]) for row in rows)


def test_predict__files_folders_and_lists_in_any_mixture(toy: Toy, finetuned: Path, tmp_path: Path) -> None:
    """Labels are not needed, nor names of classes beside the list."""
    (tmp_path / "plain.txt").write_text("red/red_0.mp4\nblue/blue_1.mp4\n")
    single = toy.root / "green" / "green_0.mp4"
    rows = predictions(
        "--weights", finetuned, single, tmp_path / "plain.txt", toy.root / "blue", "--root", toy.root, "--top-k", "1"
    )
    names = ["green/green_0", "red/red_0", "blue/blue_1", *(f"blue/blue_{number}" for number in range(6))]
    assert [row["path"] for row in rows] == [str(toy.root / f"{name}.mp4") for name in names]
    assert (rows[1]["top"][0]["class"], rows[2]["top"][0]["class"]) == ("red", "blue")
    assert {len(row["top"]) for row in rows} == {1}


def test_predict__prints_a_table_for_one_video_and_a_line_for_each_of_many(toy: Toy, finetuned: Path) -> None:
    red, blue = toy.root / "red/red_0.mp4", toy.root / "blue/blue_0.mp4"
    one = succeed("predict", "--weights", str(finetuned), str(red), *HERE).stdout.splitlines()
    assert one[0] == str(red)
    assert next(line.split("│")[1].strip() for line in one if "│" in line) == "red"
    many = succeed("predict", "--weights", str(finetuned), str(red), str(blue), *HERE, "--top-k", "2").stdout
    assert [line.split()[:2] for line in many.splitlines()] == [[str(red), "red"], [str(blue), "blue"]]
    assert {len(line.split()) for line in many.splitlines()} == {5}


def test_predict__unreadable_videos_are_rows(toy: Toy, finetuned: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    out = tmp_path / "rows.csv"
    os.mkfifo(tmp_path / "pipe.mp4")
    videos = [str(tmp_path / "empty.mp4"), str(toy.root / "red/red_0.mp4"), str(tmp_path / "none.mp4")]
    command = ["predict", "--weights", str(finetuned), *videos, str(tmp_path / "pipe.mp4"), *HERE]
    result = succeed(*command, "--out", str(out), "--top-k", "9", "--quiet")
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["error"] for row in rows] == [
        "the file is empty",
        "",
        "no such file or directory",
        "it is neither a file nor a folder",
    ]
    assert [row["class_1"] for row in rows] == ["", "red", "", ""]
    assert "class_3" in rows[0]
    assert "class_4" not in rows[0]
    assert [line.split(":")[0] for line in result.stderr.splitlines()] == ["warning"] * 3
    assert list(tmp_path.glob(".*")) == []


@pytest.mark.parametrize("timeline", [[], ["--timeline"]])
def test_predict__fails_only_if_all_videos_do(finetuned: Path, tmp_path: Path, timeline: list[str]) -> None:
    """Oracle, by hand: rows that say why, as where other videos can be read, and one error."""
    (tmp_path / "empty.mp4").touch()
    out, reasons = tmp_path / "rows.jsonl", ["the file is empty", "no such file or directory"]
    arguments = ["predict", "--weights", str(finetuned), *HERE, "--quiet", *timeline]
    empty, none = str(tmp_path / "empty.mp4"), str(tmp_path / "none.mp4")
    alone = vtdl(*arguments, empty, "--out", str(tmp_path / "shown.mp4"))
    assert (alone.exit_code, alone.stderr) == (1, f"error: video '{empty}' cannot be read: the file is empty\n")
    assert alone.stdout == f"{empty}  cannot be read: the file is empty\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty.mp4"]
    both = vtdl(*arguments, str(tmp_path), none, "--out", str(out))
    assert both.exit_code == 1
    assert [json.loads(line)["error"] for line in out.read_text().splitlines()] == reasons
    says = f"error: none of 2 videos can be read; the first is '{empty}': the file is empty. The rows in '{out}' have"
    assert [f"{line[: len(says)]}" for line in both.stderr.splitlines()[2:]] == [says]
    printed = json.loads(vtdl(*arguments, empty, none, "--json").stdout)["predictions"]
    assert [row["error"] for row in printed] == reasons


def windows_by_hand(video: Path, starts: list[int]) -> torch.Tensor:
    """What the toy's network sees from each start: (N, 3, 4, 32, 32), 4 frames 2 apart, cut and normalised by hand."""
    with av.open(str(video)) as container:
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    clips = np.stack([frames[start : start + 8 : 2, 2:34, 9:41][:4] for start in starts]).astype(np.float32)
    normalised = (clips / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    return torch.from_numpy(normalised.astype(np.float32)).permute(0, 4, 1, 2, 3)


def test_predict__timeline_by_hand(finetuned: Path, two_seconds: Path, tmp_path: Path) -> None:
    """Windows of 7 frames every 0.25 s, 3 frames: they start at 0, 3, ... 15; the one at 18 would end at 25 of 24."""
    out = tmp_path / "rows.jsonl"
    command = ["predict", "--weights", str(finetuned), str(two_seconds), "--timeline", "--hop", "0.25", *HERE]
    assert "windows of 7 frames every 0.25 seconds" in succeed(*command, "--out", str(out)).stdout
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    starts = [0, 3, 6, 9, 12, 15]
    assert [row["start_frame"] for row in rows] == starts
    assert [row["end_frame"] for row in rows] == [start + 7 for start in starts]
    assert [row["start"] for row in rows] == pytest.approx([0, 0.25, 0.5, 0.75, 1, 1.25])
    assert [row["end"] for row in rows] == pytest.approx([(start + 7) / 12 for start in starts], abs=1e-6)
    network, _ = load_classifier(str(finetuned), ())
    with torch.inference_mode():
        expected = network(windows_by_hand(two_seconds, starts)).softmax(1)
    np.testing.assert_allclose([probabilities(row) for row in rows], expected, atol=2e-6)
    assert (rows[0]["top"][0]["class"], rows[-1]["top"][0]["class"]) == ("blue", "red")


def test_predict__timeline_on_the_screen(finetuned: Path, two_seconds: Path) -> None:
    """Windows are 8 frames apart, 2 / 3 of a second, and 7 long."""
    lines = succeed("predict", "--weights", str(finetuned), str(two_seconds), "--timeline", *HERE).stdout.splitlines()
    assert [line.split()[1] for line in lines] == ["0.00-0.58", "0.67-1.25", "1.33-1.92"]
    said = succeed("predict", "--weights", str(finetuned), str(two_seconds), "--timeline", "--hop", "1", *HERE).stderr
    assert "windows of 7 frames every 1 second 1/1" in said
    assert (lines[0].split()[2:4], lines[2].split()[2:4]) == (["s", "blue"], ["s", "red"])


def test_predict__timelines_of_many_videos_are_in_order_and_end_in_errors(
    toy: Toy, finetuned: Path, two_seconds: Path, tmp_path: Path
) -> None:
    """Workers read videos in turn: rows are those of each video alone, one after another."""
    damaged = tmp_path / "damaged.mp4"
    damaged.touch()
    videos = [str(two_seconds), str(damaged), *(str(toy.root / f"red/red_{number}.mp4") for number in range(3))]
    command = ["--weights", str(finetuned), "--timeline", "--hop", "0.1"]
    together = json.loads(succeed("predict", *command, *videos, "--device", "cpu", "--workers", "2", "--json").stdout)[
        "predictions"
    ]
    alone = [row for video in videos if video != str(damaged) for row in predictions(*command, video)]
    assert [row for row in together if "error" in row] == [
        {"path": str(damaged), "start": None, "end": None, "error": "the file is empty"}
    ]
    read = [row for row in together if "error" not in row]
    assert list(dict.fromkeys(row["path"] for row in together)) == videos
    assert [(row["path"], row["start_frame"]) for row in read] == [(row["path"], row["start_frame"]) for row in alone]
    np.testing.assert_allclose([probabilities(row) for row in read], [probabilities(row) for row in alone], atol=2e-6)


def test_predict__a_single_video_is_read_by_several_threads(
    finetuned: Path, two_seconds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: rows by one thread. With three workers and one video, its worker has the threads of all."""
    command = ["--weights", str(finetuned), "--timeline", "--hop", "0.1"]
    alone, opened = predictions(*command, two_seconds), list[int]()

    def noted(path: Path, threads: int = 1) -> Any:
        opened.append(threads)
        return open_stream(path, threads)

    monkeypatch.setattr("vtdl_cli.data.video.file_readers.open_stream", noted)
    monkeypatch.setattr("vtdl_cli.engine.networks.inference.load_windows", in_this_process)
    shown = succeed("predict", *command, str(two_seconds), "--device", "cpu", "--workers", "3", "--json").stdout
    assert json.loads(shown)["predictions"] == alone
    assert opened == [3]


def in_this_process(dataset: SlidingWindows, **_: Any) -> Iterator[Any]:
    return iter(dataset)


def test_predict__intervals_and_frame_rate_have_the_seconds_of_the_video(
    finetuned: Path, two_seconds: Path, tmp_path: Path
) -> None:
    """The last second, at 6 frames a second: windows of 4 frames 1 apart, every 2 frames of the sample, 1/3 s."""
    table = tmp_path / "parts.csv"
    table.write_text(f"path,start,end\n{two_seconds},1.0,2.0\n")
    sampled = ["--set", "data.frame_rate=6", "--set", "finetune.stride_frames=1"]
    command = ["--weights", str(finetuned), str(table), *sampled]
    (whole,) = predictions(*command)
    assert (whole["start"], whole["end"], whole["top"][0]["class"]) == (1, 2, "red")
    rows = predictions(*command, "--timeline", "--hop", "0.333333")
    assert [row["start"] for row in rows] == pytest.approx([1, 4 / 3], abs=1e-6)
    assert [row["end"] for row in rows] == pytest.approx([5 / 3, 2], abs=1e-6)
    assert [row["start_frame"] for row in rows] == [12, 16]


@pytest.mark.parametrize("timeline", [[], ["--timeline", "--hop", "0.25"]])
def test_predict__labelled_video_has_all_frames(finetuned: Path, tmp_path: Path, timeline: list[str]) -> None:
    """The label is in the upper left corner; elsewhere frames differ by compression alone."""
    video, out = tmp_path / "large.mp4", tmp_path / "labelled.mp4"
    write_video(video, np.tile(colour_video(0, seed=1), (1, 6, 6, 1)), rate=12)
    succeed("predict", "--weights", str(finetuned), str(video), "--out", str(out), *timeline, *HERE)
    with av.open(str(out)) as container, av.open(str(video)) as source:
        stream = container.streams.video[0]
        frames, before = (
            np.stack([frame.to_ndarray(format="rgb24") for frame in each.decode(video=0)]).astype(int)
            for each in (container, source)
        )
        assert (len(frames), stream.width, stream.height) == (NUM_FRAMES, 6 * WIDTH, 6 * HEIGHT)
        assert stream.average_rate == 12
    change = np.abs(frames - before).mean((0, 3))
    assert change[:20, :40].mean() > 30
    assert change[6 * HEIGHT // 2 :].mean() < 8


def test_predict__draws_the_timeline(finetuned: Path, two_seconds: Path, tmp_path: Path) -> None:
    out = tmp_path / "timeline.png"
    succeed("predict", "--weights", str(finetuned), str(two_seconds), "--timeline", "--out", str(out), *HERE)
    assert out.read_bytes().startswith(b"\x89PNG")


def test_predict__short_video_loops_and_is_reported(finetuned: Path, tmp_path: Path) -> None:
    """Of 5 frames a window of 4, 2 apart, shows 0, 2, 4 and 1."""
    short = tmp_path / "short.mp4"
    write_video(short, colour_video(2, seed=5)[:5], rate=10)
    command = ["predict", "--weights", str(finetuned), str(short), *HERE, "--quiet", "--json"]
    for more in ([], ["--timeline"]):
        result = succeed(*command, *more)
        assert "shorter than a clip of 7 frames, and played in a loop" in result.stderr
        (row,) = json.loads(result.stdout)["predictions"]
        assert row["top"][0]["class"] == "red"
    assert (row["start_frame"], row["end_frame"], row["start"], row["end"]) == (0, 5, 0, 0.5)


def test_predict__folder_of_frames_has_no_seconds(toy: Toy, finetuned: Path, tmp_path: Path) -> None:
    frames = tmp_path / "frames"
    succeed("extract-frames", str(toy.root / "red/red_0.mp4"), "--out", str(tmp_path / "all"))
    (folder,) = {path.parent for path in (tmp_path / "all").rglob("*.jpg")}
    shutil.copytree(folder, frames)
    rows = predictions("--weights", finetuned, frames, "--timeline", "--out", tmp_path / "timeline.png")
    assert [(row["start"], row["start_frame"]) for row in rows] == [(None, 0), (None, 8), (None, 16)]
    failed = vtdl("predict", "--weights", str(finetuned), str(frames), "--timeline", "--hop", "1", *HERE, "--quiet")
    assert failed.exit_code == 1
    assert "a folder of frames has no frame rate, which a hop in seconds needs" in failed.stderr


def test_predict__refusals(toy: Toy, pretrained: Path, finetuned: Path, tmp_path: Path) -> None:
    video = str(toy.root / "red/red_0.mp4")

    def refused(*more: str, code: int = 2, says: str) -> None:
        refuse("predict", "--weights", str(finetuned), *HERE, *more, code=code, says=(says,))

    refuse(
        "predict",
        "--weights",
        str(pretrained),
        video,
        *HERE,
        code=1,
        says=(f"First: vtdl finetune --preset {pretrained}/config.yaml",),
    )
    refused(video, "--hop", "1", says="Add --timeline")
    for hop in ("0", "-1", "nan", "inf"):
        refused(video, "--timeline", "--hop", hop, says="not a number of seconds above 0")
    refused(video, "--timeline", "--clips", "3", says="Leave out one")
    refused(video, "--out", str(tmp_path / "x.xlsx"), says="does not end in .jsonl, .csv, .png, .mp4")
    refused(video, "--out", str(tmp_path / "x.png"), says="Add --timeline")
    refused(str(toy.root), "--out", str(tmp_path / "x.mp4"), says="shows one video, and there are 18")
    refused(video, "--out", video, says="is itself one of the inputs")
    one = tmp_path / "one" / "a.mp4"
    one.parent.mkdir()
    one.write_bytes(Path(video).read_bytes())
    refused(str(one.parent), "--timeline", "--overwrite", "--out", str(one), says="is itself one of the inputs")
    assert one.read_bytes() == Path(video).read_bytes()
    shutil.rmtree(one.parent)
    refused(video, "--out", str(tmp_path / "x.csv"), "--out", str(tmp_path / "x.csv"), says="is named twice")
    refused(video, "--root", str(toy.root), says="have no meaning")
    refused(str(tmp_path / "nothing.txt"), code=1, says="nothing.txt")
    (tmp_path / "there.csv").touch()
    refused(video, "--out", str(tmp_path / "there.csv"), says="Use --overwrite")
    assert [path.name for path in tmp_path.iterdir()] == ["there.csv"]


def test_predict__dry_run_writes_nothing(toy: Toy, finetuned: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "x.csv")
    command = ["predict", "--weights", str(finetuned), str(toy.root), "--out", out, *HERE, "--dry-run", "--json"]
    plan = json.loads(succeed(*command).stdout)
    assert (plan["videos"], plan["protocol"], plan["out"]) == (18, "video@2", [out])
    assert list(tmp_path.iterdir()) == []


def test_predict__scores_that_are_not_finite(toy: Toy, finetuned: Path, tmp_path: Path) -> None:
    content = load(finetuned / "checkpoints/best.pt")
    name = next(name for name in content["model"] if name.startswith("head."))
    content["model"][name][:] = float("nan")
    torch.save(content, tmp_path / "nan.pt")
    result = vtdl("predict", "--weights", str(tmp_path / "nan.pt"), str(toy.root), *HERE, "--quiet")
    assert result.exit_code == 1
    assert "not finite" in error_lines(result)[0]
