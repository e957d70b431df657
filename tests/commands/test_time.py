"""Intervals of videos, and `data.frame_rate`, through every command."""

import csv
import json
import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import h5py
import numpy as np
import pytest
from PIL import Image

from tests.toy import CLASSES, NUM_FRAMES, Toy, colour_video, read_list, refuse, succeed, vtdl, write_video

RATE = NUM_FRAMES  # frames a second: each class of the long video lasts one second
RUN = ("--device", "cpu", "--workers", "0")
LONG = "long.mp4"


def decode(path: Path) -> np.ndarray:
    """All frames, by PyAV alone."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


@pytest.fixture(scope="module")
def untrimmed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video that shows each class for a second, a list of the seconds, and the same seconds as folders of PNGs."""
    folder = tmp_path_factory.mktemp("untrimmed")
    write_video(folder / LONG, np.concatenate([colour_video(label, seed=label) for label in range(3)]), RATE)
    (folder / "classes.txt").write_text("".join(f"{name}\n" for name in CLASSES))
    rows = [f"{LONG},{label},{label},{label + 1}" for label in range(3)]
    (folder / "seconds.csv").write_text("\n".join(["path,label,start,end", *rows]) + "\n")
    for number, frame in enumerate(decode(folder / LONG)):
        label, place = divmod(number, RATE)
        (folder / str(label)).mkdir(exist_ok=True)
        Image.fromarray(frame).save(folder / str(label) / f"img_{place:05d}.png")
    (folder / "folders.txt").write_text("".join(f"{label} {label} {RATE}\n" for label in range(3)))
    return folder


@pytest.fixture(scope="module")
def seconds_file(untrimmed: Path, pretrained: Path) -> Path:
    """Features of the seconds."""
    out = untrimmed / "seconds.h5"
    succeed("extract", "--weights", str(pretrained), "--list", str(untrimmed / "seconds.csv"), "--out", str(out), *RUN)
    return out


def columns(path: Path) -> dict[str, Any]:
    with h5py.File(path) as file:
        return {name: file[name].asstr()[:].tolist() if name == "paths" else file[name][:] for name in file}


def test_extract__interval_gives_the_features_of_its_frames(
    untrimmed: Path, pretrained: Path, seconds_file: Path
) -> None:
    """Oracle: the same frames, cut out by PyAV and stored without loss as videos of their own."""
    out = untrimmed / "folders.h5"
    given = ["--weights", str(pretrained), "--list", str(untrimmed / "folders.txt"), "--out", str(out)]
    succeed("extract", *given, *RUN)
    found, expected = columns(seconds_file), columns(out)
    assert np.array_equal(found["features"], expected["features"])
    assert not np.allclose(found["features"][0], found["features"][1])
    assert found["num_frames"].tolist() == [RATE] * 3
    assert (found["paths"], found["interval_starts"].tolist()) == ([LONG] * 3, [0, 1, 2])
    assert found["interval_ends"].tolist() == [1, 2, 3]
    assert "interval_starts" not in expected


def test_features__keep_intervals_when_merged_and_exported(
    toy: Toy, pretrained: Path, untrimmed: Path, seconds_file: Path, tmp_path: Path
) -> None:
    whole, merged, long = tmp_path / "whole.h5", tmp_path / "merged.h5", str(untrimmed / LONG)  # of two roots
    succeed(*toy.extract(pretrained, whole))
    succeed("features", "merge", str(whole), str(seconds_file), "--out", str(merged))
    starts = columns(merged)["interval_starts"]
    assert np.isnan(starts[:-3]).all()
    assert starts[-3:].tolist() == [0, 1, 2]
    succeed("features", "info", str(merged))  # verifies the checksums, those of NaN as well
    succeed("features", "export", str(merged), "--out", str(tmp_path / "table.csv"))
    with (tmp_path / "table.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["path"], row["start"], row["end"]) for row in rows[-4:]] == [
        (rows[-4]["path"], "", ""), (long, "0", "1"), (long, "1", "2"), (long, "2", "3")
    ]  # fmt: skip
    refuse("features", "merge", str(merged), str(seconds_file), "--out", str(tmp_path / "twice.h5"), code=2,
           says=(f"features of video '{LONG}#t=0,1' are in",))  # fmt: skip


def test_retrieve__other_intervals_of_one_video_are_told_apart_and_reported(
    untrimmed: Path, pretrained: Path, seconds_file: Path, tmp_path: Path
) -> None:
    rows = "".join(f"{LONG},{label},{label}.5,{label + 1}\n" for label in range(3))
    (untrimmed / "halves.csv").write_text("path,label,start,end\n" + rows)
    halves, table = tmp_path / "halves.h5", tmp_path / "queries.csv"
    given = ["--weights", str(pretrained), "--list", str(untrimmed / "halves.csv"), "--out", str(halves)]
    succeed("extract", *given, *RUN)
    pair = ["--gallery", str(seconds_file), "--query", str(halves)]
    figure = ["--figure", str(tmp_path / "f.png"), "--root", str(untrimmed)]
    result = succeed("retrieve", *pair, "--per-query", str(table), *figure)
    assert f"1 video has intervals in both '{halves}' and '{seconds_file}', the first is '{LONG}'" in result.stderr
    with table.open(encoding="utf-8") as file:
        queries = [row["path"] for row in csv.DictReader(file)]
    assert queries == [f"{LONG}#t=0.5,1", f"{LONG}#t=1.5,2", f"{LONG}#t=2.5,3"]
    copy = shutil.copy(seconds_file, tmp_path / "copy.h5")
    refuse("retrieve", "--gallery", str(seconds_file), "--query", str(copy), code=2,
           says=(f"share 3 videos with '{seconds_file}', the first is '{LONG}#t=0,1'",))  # fmt: skip
    result = succeed("retrieve", "--gallery", str(copy), "--query", str(copy))
    assert f"features '{copy}' have several intervals of 1 video, of '{LONG}' 3: intervals of one" in result.stderr


def test_training__on_intervals_up_to_scores_that_are_fused(toy: Toy, untrimmed: Path, tmp_path: Path) -> None:
    """Classes that only the seconds tell apart are learnt; an interval beyond the video is skipped by name."""
    lines = [f"{LONG},{label},{label},{label + 1}" for label in range(3)]
    (untrimmed / "train.csv").write_text("\n".join(["path,label,start,end", *lines, f"{LONG},0,2,9"]) + "\n")
    given = ["--preset", str(toy.preset), "--train-list", str(untrimmed / "train.csv"), *RUN]
    result = succeed(
        "pretrain", *given, "--out", str(tmp_path / "pretrained"), "--json", "--set", "method.queue.size=4"
    )
    reason = "the interval from 2 to 9 s is not within its 3.00 s"
    assert json.loads(result.stdout)["skipped"] == [{"path": f"{untrimmed / LONG}#t=2,9", "reason": reason}]
    epochs = ["--set", "finetune.epochs=15", "--set", "finetune.augment=false"]
    both = ["--val-list", str(untrimmed / "seconds.csv"), "--out", str(tmp_path / "finetuned")]
    says = f"1 video has intervals in both lists, '{untrimmed / 'train.csv'}' and '{untrimmed / 'seconds.csv'}'"
    assert says in succeed("finetune", *given, *both, *epochs).stderr
    for name in ("a", "b"):
        test = ["--weights", str(tmp_path / "finetuned"), "--list", str(untrimmed / "seconds.csv")]
        metrics = json.loads(succeed("evaluate", *test, "--out", str(tmp_path / name), *RUN, "--json").stdout)
    assert (metrics["num_videos"], metrics["top1"]) == (3, 100.0)
    assert columns(tmp_path / "a" / "scores.h5")["interval_ends"].tolist() == [1, 2, 3]
    both = [str(tmp_path / name / "scores.h5") for name in ("a", "b")]
    fused = json.loads(succeed("fuse", *both, "--out", str(tmp_path / "fused"), "--json").stdout)
    assert fused["top1"] == 100.0
    assert columns(tmp_path / "fused" / "scores.h5")["interval_starts"].tolist() == [0, 1, 2]
    succeed("report", str(tmp_path / "finetuned"), "--results", str(tmp_path / "a"))


def test_check__tells_intervals_apart_and_finds_those_outside(untrimmed: Path, tmp_path: Path) -> None:
    root = ["--root", str(untrimmed), "--open", "--workers", "0"]
    report = json.loads(succeed("lists", "check", str(untrimmed / "seconds.csv"), *root, "--json").stdout)
    assert (report["repeated"], report["intervals"], report["misplaced_intervals"]) == ([], 3, [])
    assert report["frame_rates"] == {"min": RATE, "median": RATE, "max": RATE}
    (tmp_path / "bad.csv").write_text(f"path,start,end\n{LONG},0,1\n{LONG},2,3.4\n{LONG},2,4\n{LONG},0,1\n")
    result = vtdl("lists", "check", str(tmp_path / "bad.csv"), *root)
    assert result.exit_code == 1
    assert f"1 video is listed more than once; the first is '{LONG}#t=0,1'" in result.stderr
    assert f"1 interval is not in its video; the first is '{LONG}#t=2,4' in line 4: the interval" in result.stderr


@pytest.mark.parametrize(("command", "suffix"), [("compress", ".mp4"), ("extract-frames", "")])
def test_transcode__writes_each_interval_as_a_video(untrimmed: Path, tmp_path: Path, command: str, suffix: str) -> None:
    out = tmp_path / "out"
    succeed(command, str(untrimmed / "seconds.csv"), "--out", str(out), "--workers", "0")
    videos = read_list(out / "seconds.txt")
    assert [videos.name(index) for index in range(3)] == [f"long_{part}{suffix}" for part in ("0-1", "1-2", "2-3")]
    assert (videos.labels.tolist(), videos.frames.tolist(), videos.intervals) == ([0, 1, 2], [RATE] * 3, None)
    images = [] if suffix else [np.asarray(Image.open(file)) for file in sorted(videos.path(1).iterdir())]
    frames = np.stack(images) if images else decode(videos.path(1))
    assert np.abs(frames.astype(float) - decode(untrimmed / LONG)[RATE : 2 * RATE]).mean() < 6


def test_compress__keeps_a_rate_that_is_no_whole_number(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", colour_video(0, seed=0), Fraction(25, 2))
    succeed("compress", str(tmp_path / "a.mp4"), "--out", str(tmp_path / "out"), "--workers", "0")
    with av.open(str(tmp_path / "out" / "a.mp4")) as container:
        assert container.streams.video[0].average_rate == 12.5


# ---- data.frame_rate


@pytest.fixture(scope="module")
def two_rates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One scene as 30 and as 10 frames a second."""
    folder = tmp_path_factory.mktemp("rates")
    frames = np.concatenate([colour_video(0, seed=0)[:, :, ::-1], colour_video(0, seed=0)])[:45]
    write_video(folder / "fast.mp4", frames, 30)
    write_video(folder / "slow.mp4", frames[::3], 10)
    (folder / "list.txt").write_text("fast.mp4 0 45\nslow.mp4 0 15\n")
    return folder


def test_extract__at_one_rate_whatever_that_of_the_files(two_rates: Path, pretrained: Path, tmp_path: Path) -> None:
    given = ["--weights", str(pretrained), "--list", str(two_rates / "list.txt"), *RUN]
    result = succeed("extract", *given, "--out", str(tmp_path / "10.h5"), "--set", "data.frame_rate=10")
    assert "were trained at each file's own rate, and data.frame_rate is now 10 frames/s" in result.stderr
    succeed("extract", *given, "--out", str(tmp_path / "own.h5"))
    sampled, own = columns(tmp_path / "10.h5"), columns(tmp_path / "own.h5")
    assert sampled["num_frames"].tolist() == [15, 15]
    assert own["num_frames"].tolist() == [45, 15]
    assert np.array_equal(sampled["features"][1], own["features"][1])  # its own rate
    for number, frame in enumerate(decode(two_rates / "fast.mp4")[::3]):  # by hand: 30 to 10 frames a second
        (tmp_path / "thirds").mkdir(exist_ok=True)
        Image.fromarray(frame).save(tmp_path / "thirds" / f"{number:05d}.png")
    thirds = ["--weights", str(pretrained), "--list", str(tmp_path / "thirds"), *RUN]
    succeed("extract", *thirds, "--out", str(tmp_path / "thirds.h5"))
    assert np.array_equal(sampled["features"][0], columns(tmp_path / "thirds.h5")["features"][0])


def test_frame_rate__stays_in_the_weights(toy: Toy, two_rates: Path, tmp_path: Path) -> None:
    run, listed = tmp_path / "run", str(two_rates / "list.txt")
    at_ten = ["--set", "data.frame_rate=10", "--set", "pretrain.batch_size=2", "--set", "method.queue.size=2"]
    succeed("pretrain", "--preset", str(toy.preset), "--train-list", listed, "--out", str(run), *RUN, *at_ten)
    result = succeed("extract", "--weights", str(run), "--list", listed, "--out", str(tmp_path / "f.h5"), *RUN)
    assert columns(tmp_path / "f.h5")["num_frames"].tolist() == [15, 15]
    assert "were trained at" not in result.stderr
    given = [
        "--preset",
        str(toy.preset),
        "--train-list",
        listed,
        "--weights",
        str(run),
        "--out",
        str(tmp_path / "tuned"),
    ]
    result = succeed("finetune", *given, *RUN, "--set", "finetune.epochs=1")
    assert "trained at 10 frames/s, and data.frame_rate is now each file's own rate" in result.stderr
    video = str(two_rates / "fast.mp4")
    drawn = succeed(
        "visualize", "--weights", str(run), video, "--out", str(tmp_path / "m.mp4"), "--device", "cpu", "--json"
    )
    assert (json.loads(drawn.stdout)["frames"], json.loads(drawn.stdout)["frame_rate"]) == (15, 10)
    assert len(decode(tmp_path / "m.mp4")) == 15


def test_frame_rate__of_a_frame_folder_is_unknown(untrimmed: Path, pretrained: Path, tmp_path: Path) -> None:
    given = ["--weights", str(pretrained), "--list", str(untrimmed / "folders.txt"), "--out", str(tmp_path / "f.h5")]
    refuse("extract", *given, *RUN, "--set", "data.frame_rate=10", code=1,
           says=("a folder of frames has no frame rate, which data.frame_rate needs",))  # fmt: skip
    assert not (tmp_path / "f.h5").exists()


def test_prepare_lists__warns_of_rates_that_differ(two_rates: Path, tmp_path: Path) -> None:
    given = [
        "folder",
        "--root",
        str(two_rates),
        "--out",
        str(tmp_path / "lists"),
        "--workers",
        "0",
        "--val-fraction",
        "0",
    ]
    says = "frame rates run from 10 to 30 a second: clips of as many frames last up to 3.0 times as long"
    assert says in succeed("prepare-lists", *given).stderr
    assert says in succeed("lists", "check", str(two_rates / "list.txt"), "--open", "--workers", "0").stderr
