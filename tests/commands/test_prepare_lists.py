"""`vtdl prepare-lists` on the command line; its computations are tested in engine and data."""

import csv
import itertools
import json
import shlex
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.toy import CLASSES, NUM_FRAMES, Toy, files_in, next_commands, refuse, succeed, write_video

FILES = {"train_split_1.txt", "val_split_1.txt", "classes.txt", "audit.json"}


def test_folder__writes_lists_that_train(toy: Toy, tmp_path: Path) -> None:
    lists = tmp_path / "lists"
    line = ["prepare-lists", "folder", "--root", str(toy.root), "--out", str(lists), "--val-fraction", "0.34"]
    audit = json.loads(succeed(*line, "--workers", "0", "--json").stdout)
    assert audit == json.loads((lists / "audit.json").read_text())
    assert files_in(lists) == FILES
    assert (lists / "classes.txt").read_text().splitlines() == list(CLASSES)
    rows = [row.split() for row in (lists / "train_split_1.txt").read_text().splitlines()]
    assert len(rows) == 12
    assert all(row[0].startswith(CLASSES[int(row[1])]) and row[2] == str(NUM_FRAMES) for row in rows)
    given = ("--train-list", str(lists / "train_split_1.txt"), "--val-list", str(lists / "val_split_1.txt"))
    assert json.loads(succeed(*toy.finetune(tmp_path / "run", *given, "--dry-run", "--json")).stdout)["val_videos"] == 6


SMALL = ("--set", "data.short_side=36", "--set", "data.crop_size=32", "--set", "model.width=4")


def test_folder__next_commands_run_as_they_are_printed(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One after the other, from a folder with a space; the last one measures on the test list."""
    root, lists = tmp_path / "my videos", tmp_path / "my lists"
    root.symlink_to(toy.root)
    monkeypatch.chdir(tmp_path)
    line = ["prepare-lists", "folder", "--root", str(root), "--out", str(lists), "--workers", "0"]
    said = succeed(*line, "--val-fraction", "0.2", "--test-fraction", "0.2").stderr
    commands = next_commands(said)
    assert [command[0] for command in commands] == ["pretrain", "finetune", "evaluate"]
    for command in commands[:2]:
        training = ("--set", f"{command[0]}.epochs=1", "--set", f"{command[0]}.batch_size=4")
        after = succeed(*command, *SMALL, *training, "--device", "cpu", "--workers", "0").stderr
        assert [words[0] for words in next_commands(after)]
    assert json.loads(succeed(*commands[2], "--json", "--quiet", "--workers", "0").stdout)["num_videos"] == 3
    assert succeed(*line, "--overwrite").stderr.count("next: ") == 2


def test_folder__result_for_people(toy: Toy, tmp_path: Path) -> None:
    line = ["prepare-lists", "folder", "--root", str(toy.root), "--out", str(tmp_path / "lists"), "--workers", "0"]
    shown = succeed(*line).stdout
    assert shown.startswith("lists:")
    assert "splits: train" in shown
    assert "{" not in shown


def test_folder__screen_is_a_summary_that_names_copies(tmp_path: Path) -> None:
    """Oracle: by hand: 30 videos of 30 sizes, of which the last is there five times; audit.json has them all."""
    root, out = tmp_path / "videos", tmp_path / "lists"
    for number in range(30):
        write_video(root / f"{'ab'[number % 2]}/{number:02}.mp4", np.zeros((2, 32, 32 + 2 * number, 3), np.uint8))
    copies = [f"b/copy{number}.mp4" for number in range(4)]
    for name in copies:
        shutil.copy(root / "b/29.mp4", root / name)
    line = ["prepare-lists", "folder", "--root", str(root), "--out", str(out), "--decoder", "pyav"]
    line += ["--val-fraction", "0"]
    result = succeed(*line, "--workers", "0", "--quiet")
    shown = " ".join(result.stdout.replace("│", " ").split())
    assert "resolutions 5 of 90x32; 1 of " in shown
    assert "; 27 more, see audit.json" in shown
    assert "duplicates b/29.mp4 = b/copy0.mp4 = b/copy1.mp4 = 2 more, see audit.json" in shown
    assert result.stdout.count("\n") < 30
    audit = json.loads((out / "audit.json").read_text())
    assert (len(audit["resolutions"]), audit["duplicates"]) == (30, [["b/29.mp4", *copies]])


@pytest.mark.parametrize("form", ["v_Run_g{:02}_c{:02}.mp4", "clip{}_part{}.mp4"])
def test_folder__hints_at_recordings_by_their_names(toy: Toy, tmp_path: Path, form: str) -> None:
    """The regex that is proposed keeps each in one list, by its own account; clips numbered by class are no recordings."""
    root, line = tmp_path / "videos", ["prepare-lists", "folder", "--workers", "0", "--val-fraction", "0.5"]
    for label, group, clip in itertools.product("ab", range(4), range(1, 5)):
        video = root / label / form.format(group + 4 * (label == "b"), clip)
        video.parent.mkdir(parents=True, exist_ok=True)
        video.symlink_to(toy.root / "red/red_0.mp4")
    line += ["--root", str(root)]
    said = succeed(*line, "--out", str(tmp_path / "one")).stderr
    (hint,) = [text for text in said.splitlines() if "recordings seem to have clips in both train and val" in text]
    regex = shlex.split(hint[hint.index("--group-by") :])[1]
    audit = json.loads(succeed(*line, "--out", str(tmp_path / "two"), "--group-by", regex, "--json").stdout)
    assert len(audit["groups"]) == 8
    assert "recordings seem" not in "".join(audit["warnings"])
    for label, clip in itertools.product("ab", range(1, 5)):
        video = tmp_path / "plain" / label / f"{label}_clip{clip}.mp4"
        video.parent.mkdir(parents=True, exist_ok=True)
        video.symlink_to(toy.root / "red/red_0.mp4")
    plain = [*line[:-1], str(tmp_path / "plain"), "--out", str(tmp_path / "three")]
    assert "recordings seem" not in succeed(*plain).stderr


def test_folder__bad_input(toy: Toy, tmp_path: Path) -> None:
    out = tmp_path / "lists"
    line = ["prepare-lists", "folder", "--root", str(toy.root), "--out", str(out), "--workers", "0", "--quiet"]
    for more, says in (
        (("--root", "/nowhere"), "'/nowhere'"),
        (("--val-fraction", "1.5"), "'1.5'"),
        (("--group-by", "("), "'('"),
        (("--decoder", "vlc"), "'vlc'"),
        (("--val-groups", "anna"), "--group-by"),
        (("--group-by", "_([0-9])", "--val-groups", ","), "--val-groups ',' names no group"),
        (("--group-by", "_([0-9])", "--test-groups", '""'), "names no group"),
        (("--test-fraction", "0.2", "--test-groups", "anna"), "Choose one"),
        (("--val-fraction", "0.5", "--test-fraction", "0.5"), "leave nothing to train on"),
    ):
        refuse(*line, *more, code=2, says=(says,))
    refuse(*line[:-1], "--decoder", "vlc", code=2, says=("'vlc'",))  # before the line about the layout
    assert list(tmp_path.iterdir()) == []


def test_folder__second_run_is_refused_without_overwrite(toy: Toy, tmp_path: Path) -> None:
    line = ["prepare-lists", "folder", "--root", str(toy.root), "--out", str(tmp_path), "--workers", "0"]
    succeed(*line)
    before = (tmp_path / "train_split_1.txt").read_text()
    refuse(*line, "--seed", "1", code=2, says=("--overwrite",))
    assert (tmp_path / "train_split_1.txt").read_text() == before
    succeed(*line, "--seed", "1", "--overwrite")
    assert (tmp_path / "train_split_1.txt").read_text() != before


def test_folder__per_class_leaves_the_validation_list_whole(toy: Toy, tmp_path: Path) -> None:
    """Oracle: by hand: 12 training videos in 3 classes, of which 2 each stay."""
    line = ["prepare-lists", "folder", "--root", str(toy.root), "--val-fraction", "0.34", "--workers", "0", "--json"]
    succeed(*line, "--out", str(tmp_path / "all"))
    audit = json.loads(succeed(*line, "--out", str(tmp_path / "few"), "--per-class", "2").stdout)
    assert (audit["splits"], audit["left_out"], audit["total"]) == ({"train": 6, "val": 6}, 6, 12)
    everything, few = ((tmp_path / name / "train_split_1.txt").read_text().splitlines() for name in ("all", "few"))
    assert set(few) < set(everything)
    assert [row.split()[1] for row in few] == ["0", "0", "1", "1", "2", "2"]
    assert (tmp_path / "all" / "val_split_1.txt").read_text() == (tmp_path / "few" / "val_split_1.txt").read_text()


def test_folder__per_class_warns_of_smaller_classes(toy: Toy, tmp_path: Path) -> None:
    line = ["prepare-lists", "folder", "--root", str(toy.root), "--out", str(tmp_path), "--workers", "0", "--quiet"]
    assert "3 classes have fewer than --per-class 50 videos" in succeed(*line, "--per-class", "50").stderr


# ---- official splits, most of whose videos are missing

UCF101_SHORT = ("g01_c01", "g01_c02", "g01_c05")  # of ApplyEyeMakeup: the published counts are one frame short


@pytest.fixture(scope="module")
def ucf101(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lists of the 13 clips of UCF101 that are there."""
    out = tmp_path_factory.mktemp("ucf101") / "lists"
    splits = data_dir / "splits" / "ucfTrainTestlist"
    succeed("prepare-lists", "ucf101", "--root", str(data_dir / "UCF-101"), "--splits", str(splits), "--out", str(out))
    return out


def test_ucf101__lists_existing_videos_and_counts_missing_ones(ucf101: Path, data_dir: Path) -> None:
    """Oracle: the 13 files, sorted by hand into split 1: groups 1 to 7 test; 13,320 videos of 101 classes in all."""
    audit = json.loads((ucf101 / "audit.json").read_text())
    files = {path.relative_to(data_dir / "UCF-101").as_posix() for path in (data_dir / "UCF-101").glob("*/*.avi")}
    train, val = ((ucf101 / f"{side}_split_1.txt").read_text().splitlines() for side in ("train", "val"))
    assert {line.split()[0] for line in train} == {name for name in files if "_g23_" in name or "_g24_" in name}
    assert {line.split()[0] for line in train + val} == files
    assert len((ucf101 / "classes.txt").read_text().splitlines()) == 101
    assert (audit["expected"], len(audit["missing"]), audit["splits"]) == (13_320, 13_307, {"train": 2, "val": 11})
    assert audit["missing_by_class"]["Archery"] == {"train": 104, "val": 41}
    assert "13307 of the 13320 videos of the split are missing, from 101 classes" in audit["warnings"][0]


def test_ucf101__frames_are_the_published_ones(ucf101: Path, data_dir: Path) -> None:
    """Oracle: the authors' list, counted by decoding, apart from three clips where it is one short."""
    published = dict(
        line.rsplit(None, 2)[:2]
        for side in ("train", "val")
        for line in (data_dir / "lists_published" / f"ucf101_rgb_{side}_split_1.txt").read_text().splitlines()
    )
    for line in (ucf101 / "val_split_1.txt").read_text().splitlines():
        name, _, frames = line.split()
        stem = Path(name).stem
        short = stem.startswith("v_ApplyEyeMakeup") and stem.endswith(UCF101_SHORT)
        assert int(frames) == int(published[f"/data/jpegs_256/{stem}"]) + short, stem


def test_official__screen_stays_short(data_dir: Path, tmp_path: Path) -> None:
    splits = data_dir / "splits" / "testTrainMulti_7030_splits"
    line = ["prepare-lists", "hmdb51", "--root", str(data_dir / "hmdb51"), "--splits", str(splits), "--out"]
    shown = succeed(*line, str(tmp_path / "lists"), "--split", "2").stdout
    assert len(shown.splitlines()) < 50
    assert "51 classes, videos of each: train 0 to" in shown
    assert (tmp_path / "lists" / "audit.json").exists()
    sides = [path.name for path in (tmp_path / "lists").glob("*_split_2.txt")]
    assert sides


def test_official__a_root_with_none_of_it(toy: Toy, data_dir: Path, tmp_path: Path) -> None:
    line = ["prepare-lists", "kinetics", "--root", str(toy.root), "--splits", str(data_dir / "splits" / "kinetics400")]
    says = (
        "none of the 20306 videos of the split: expected names like '_4YTwq0-73Y_000044_000054', found 'blue/blue_0.mp4'",
    )
    refuse(*line, "--out", str(tmp_path / "lists"), code=1, says=says)
    assert list(tmp_path.iterdir()) == []


def test_kinetics__the_two_that_are_there(data_dir: Path, tmp_path: Path) -> None:
    splits = data_dir / "splits" / "kinetics400" / "val.csv"
    line = ["prepare-lists", "kinetics", "--root", str(data_dir / "kinetics400"), "--splits", str(splits), "--json"]
    audit = json.loads(succeed(*line, "--out", str(tmp_path / "lists")).stdout)
    rows = (tmp_path / "lists" / "val_split_1.txt").read_text().splitlines()
    assert sorted(row.split()[0] for row in rows) == [
        "val/using_segway/R6llTwEh07w.mp4",
        "val/using_segway/SOX5yA1l24A.mp4",
    ]
    label_map = (data_dir / "splits" / "kinetics400" / "label_map_k400.txt").read_text().splitlines()
    assert {label_map[int(row.split()[1])] for row in rows} == {"using segway"}
    assert not (tmp_path / "lists" / "train_split_1.txt").exists()
    assert any("no video is left for train" in warning for warning in audit["warnings"])


def test_kinetics__has_one_split(toy: Toy, tmp_path: Path) -> None:
    line = ["prepare-lists", "kinetics", "--root", str(toy.root), "--splits", "x.csv", "--out", str(tmp_path / "lists")]
    refuse(*line, "--split", "2", code=2, says=("Invalid value for '--split'",))
    assert "--split " not in succeed("prepare-lists", "kinetics", "--help").stdout
    assert "--split " in succeed("prepare-lists", "hmdb51", "--help").stdout


def test_folder__class_names_of_every_kind_reach_the_features(toy: Toy, tmp_path: Path) -> None:
    """From folders with spaces, commas, apostrophes, umlauts, quotes and more to features, tables and predictions."""
    names = sorted(["Auf & ab, rückwärts", "it's a 'test'", 'say "hi"', "two  spaces", "größer 2", "-dash", "[b]x #1"])
    root, lists, run = tmp_path / "meine Vidéos", tmp_path / "l, s", tmp_path / "run 1"
    for label, name in enumerate(names):
        (root / name).mkdir(parents=True)
        for number in range(4):
            (root / name / f"Clip {number}, ü's.mp4").symlink_to(
                toy.root / f"{CLASSES[label % 3]}/{CLASSES[label % 3]}_{number}.mp4"
            )
    prepared = succeed("prepare-lists", "folder", "--root", str(root), "--out", str(lists), "--workers", "0")
    assert all(name in prepared.stdout for name in names)
    assert (lists / "classes.txt").read_text().splitlines() == names
    train, val = (str(lists / f"{side}_split_1.txt") for side in ("train", "val"))
    succeed("lists", "check", val, "--root", str(root), "--open", "--workers", "0")
    here = ["--root", str(root), "--device", "cpu", "--workers", "0"]
    given = ["--train-list", train, "--val-list", val, *here, "--set", "finetune.epochs=1"]
    succeed("finetune", "--preset", str(toy.preset), *given, "--out", str(run))
    succeed("evaluate", "--weights", str(run), "--list", val, *here, "--out", str(tmp_path / "results"))
    with (tmp_path / "results/per_class.csv").open(newline="") as table:
        assert [row["name"] for row in csv.DictReader(table)] == names
    features = tmp_path / "fea, tures.h5"
    succeed("extract", "--weights", str(run), "--list", val, *here, "--out", str(features), "--npy")
    with h5py.File(features) as file:
        assert json.loads(file.attrs["classes"]) == names
        assert {path.decode().split("/")[0] for path in file["paths"]} == set(names)
    succeed("features", "info", str(features))
    succeed("features", "export", str(features), "--out", str(tmp_path / "t.csv"), "--average")
    with (tmp_path / "t.csv").open(newline="") as table:
        assert {row["class"] for row in csv.DictReader(table)} == set(names)
    succeed("report", str(run), "--out", str(tmp_path / "report.html"))
    video = str(next((root / names[0]).iterdir()))
    succeed(
        "visualize",
        "--weights",
        str(run),
        video,
        "--class",
        names[1],
        "--out",
        str(tmp_path / "h.png"),
        "--device",
        "cpu",
    )
    succeed("compress", val, "--root", str(root), "--out", str(tmp_path / "small"), "--workers", "0")
    succeed("lists", "check", str(tmp_path / "small/val_split_1.txt"), "--workers", "0")
