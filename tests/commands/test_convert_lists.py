"""`vtdl lists convert`: lists of other projects to ours and back, through the command line."""

import itertools
import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.toy import CLASSES, Toy, files_in, read_list, refuse, succeed, vtdl
from vtdl_cli.data.lists.video_list import VideoList

NAMES = ["walk, slowly", "crème brûlée", 'it\'s "it"']


def content(videos: VideoList) -> list[tuple[str, int, int, tuple[float, float] | None]]:
    return [
        (videos.name(index), int(videos.labels[index]), int(videos.frames[index]), videos.interval(index))
        for index in range(len(videos))
    ]


def make_dataset(toy: Toy, root: Path) -> Path:
    """A folder with train/ and val/, and one CSV of file names beside them; returns the CSV."""
    lines = ["file_name,action"]
    for side, listed in (("train", toy.train_list), ("val", toy.val_list)):
        (root / side).mkdir(parents=True)
        for line in listed.read_text().splitlines():
            path, label, _ = line.rsplit(None, 2)
            shutil.copy(toy.root / path, root / side)
            lines.append(f'{Path(path).stem},"{NAMES[int(label)].replace(chr(34), chr(34) * 2)}"')
    (root / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root / "labels.csv"


def test_convert__train_and_val_folders_with_one_csv(toy: Toy, tmp_path: Path) -> None:
    """From the first command to features: oracle: the toy's own lists."""
    table = make_dataset(toy, tmp_path / "data")
    out = tmp_path / "lists"
    line = ["lists", "convert", str(table), "--out", str(out), "--workers", "0"]
    result = succeed(*line, "--json")
    report = json.loads(result.stdout)
    train, val = read_list(toy.train_list), read_list(toy.val_list)
    assert report["lists"] == {
        str(out / "train_split_1.txt"): len(train),
        str(out / "val_split_1.txt"): len(val),
    }
    assert (out / "classes.txt").read_text(encoding="utf-8").splitlines() == sorted(NAMES)
    ours = read_list(out / "val_split_1.txt", root=table.parent)
    assert [ours.classes[label] for label in ours.labels] == [NAMES[label] for label in val.labels]  # type: ignore[index]
    np.testing.assert_array_equal(ours.frames, val.frames)
    assert all(ours.exists(index) for index in range(len(ours)))
    refuse(*line, code=2, says=("train_split_1.txt' exists already", "--overwrite"))
    again = vtdl(*line, "--overwrite")
    assert f"next: vtdl pretrain --preset small/r3d --train-list {out / 'train_split_1.txt'}" in again.stderr


@pytest.mark.parametrize(
    ("sides", "lists"),
    [
        ("train,test", {"pretrain": ["train"], "finetune": ["train"], "evaluate": ["test"]}),
        ("train,val,test", {"pretrain": ["train"], "finetune": ["train", "val"], "evaluate": ["test"]}),
        ("test", {}),
        ("val", {}),
    ],
)
def test_convert__proposes_no_training_on_held_out_videos(
    toy: Toy, tmp_path: Path, sides: str, lists: dict[str, list[str]]
) -> None:
    """Nor validation on test videos, which would choose the epoch by them."""
    table = tmp_path / "labels.csv"
    paths = [line.split()[0] for line in toy.train_list.read_text().splitlines()]
    rows = [f"{path},{side}" for path, side in zip(paths, itertools.cycle(sides.split(",")), strict=False)]
    labelled = [f"{row},{number % 2}" for number, row in enumerate(rows)]
    table.write_text("\n".join(["path,split,label", *labelled]) + "\n")
    result = succeed(
        "lists", "convert", str(table), "--root", str(toy.root), "--out", str(tmp_path / "out"), "--workers", "0"
    )
    steps = [line.split() for line in result.stderr.splitlines() if line.startswith("next: ")]
    found = {
        step[2]: [Path(word).name.split("_")[0] for word in step if word.endswith("_split_1.txt")] for step in steps
    }
    assert found == lists


def test_parts__are_checked_together_and_used_apart(toy: Toy, pretrained: Path, tmp_path: Path) -> None:
    """A column `split` of other words is no split, which is reported; the hint runs as it is printed."""
    table, other = tmp_path / "my labels.csv", tmp_path / "folds.csv"
    lists = {"train": toy.train_list, "val": toy.val_list}
    rows = [(line.split()[0], side) for side, listed in lists.items() for line in listed.read_text().splitlines()]
    table.write_text("path,split\n" + "".join(f"{path},{side}\n" for path, side in rows))
    other.write_text("path,split\n" + "".join(f"{path},fold {len(side)}\n" for path, side in rows))
    found = json.loads(succeed("lists", "check", str(table), "--root", str(toy.root), "--json").stdout)
    assert (found["videos"], found["missing"], found["parts"]) == (18, [], {"train": 12, "val": 6})
    hint = f"Write a list of each: vtdl lists convert '{table}' --root {toy.root} --out lists"
    line = toy.extract(pretrained, tmp_path / "f.h5")
    refuse(*line, "--list", str(table), code=1, says=(f"holds the videos of train, val together. {hint}",))
    found = json.loads(succeed("lists", "check", str(other), "--root", str(toy.root), "--json").stdout)
    assert found["parts"] is None
    assert found["columns"].endswith("no parts of a split: 'split' has other words than train, val and test")


def test_convert__warns_of_classes_from_one_and_refuses_folders(toy: Toy, tmp_path: Path) -> None:
    table = tmp_path / "from_one.csv"
    lines = [line.split() for line in toy.val_list.read_text().splitlines()]
    table.write_text("path,label\n" + "".join(f"{path},{int(label) + 1}\n" for path, label, _ in lines))
    line = ["lists", "convert", str(table), "--root", str(toy.root), "--out", str(tmp_path / "out.csv")]
    assert "has no video of class 0, but some of each class from 1 to 3" in succeed(*line).stderr
    assert "no video of class 0" not in succeed(*line, "--overwrite", "--from-one").stderr
    says = ("is a folder of videos, or a video, and no list. To make lists of a folder: vtdl prepare-lists folder",)
    refuse("lists", "convert", str(toy.root), "--out", str(tmp_path / "new"), code=2, says=says)
    assert not (tmp_path / "new").exists()


def test_convert__csv_round_trip(toy: Toy, tmp_path: Path) -> None:
    """Oracle: the list that was converted."""
    table = tmp_path / "list.csv"
    rows = [
        'red/a,1.mp4,"walk, slowly",0.1,2.30000001',
        'b.mp4,"crème ""brûlée""",,',
        "c.mp4,run,00:01:00,61",
        "#x,y,,",
    ]
    table.write_text("path,label,start,end\n" + "\n".join(rows).replace("red/a,1.mp4", '"red/a,1.mp4"') + "\n")
    succeed("lists", "convert", str(table), "--out", str(tmp_path / "once/list.csv"))
    succeed("lists", "convert", str(tmp_path / "once/list.csv"), "--out", str(tmp_path / "twice/list.tsv"))
    once, twice = read_list(tmp_path / "once/list.csv"), read_list(tmp_path / "twice/list.tsv")
    assert content(once) == content(twice)
    assert content(once)[0] == ("red/a,1.mp4", 2, 0, (0.1, 2.30000001))
    assert (tmp_path / "once/list.csv").read_text().splitlines()[0] == "path,label,class,frames,start,end"
    assert (once.classes, once.interval(1)) == (['crème "brûlée"', "run", "walk, slowly"], None)
    assert [path.name for path in (tmp_path / "once").iterdir()] == ["list.csv"]  # the table alone gives the classes
    succeed("lists", "convert", str(toy.train_list), "--out", str(tmp_path / "toy/list.csv"))
    assert content(read_list(tmp_path / "toy/list.csv")) == content(read_list(toy.train_list))


def test_convert__names_beside_a_file_only_what_it_lacks(toy: Toy, tmp_path: Path) -> None:
    """A classes.txt names the classes of every list in its folder, so one that is written is reported."""
    few = toy.val_list.with_name("few.txt")
    few.write_text("".join(toy.val_list.read_text().splitlines(keepends=True)[:2]))  # all of them blue
    for listed, suffix, needed in (
        (toy.val_list, "csv", False),
        (toy.val_list, "txt", True),
        (few, "csv", True),
        (tmp_path / "from val/csv" / "out.csv", "txt", True),
    ):
        out = tmp_path / f"from {listed.stem}" / suffix / f"out.{suffix}"
        line = ("lists", "convert", str(listed), "--root", str(toy.root), "--out", str(out))
        report = json.loads(succeed(*line, "--workers", "0", "--json").stdout)
        assert report["classes_file"] == (str(out.with_name("classes.txt")) if needed else None)
        assert files_in(out.parent) == {out.name, *(["classes.txt"] if needed else [])}
        assert read_list(out).classes == list(CLASSES)
    folder = tmp_path / "lists"
    report = json.loads(succeed(*line[:-1], str(folder), "--workers", "0", "--json").stdout)
    assert report["classes_file"] == str(folder / "classes.txt")


@pytest.mark.parametrize(("other", "classes"), [("1", "0 and 1"), ("walk", "0 ('run') and 1 ('walk')")])
def test_rows__that_contradict_each_other_are_named(toy: Toy, tmp_path: Path, other: str, classes: str) -> None:
    """Oracle, by hand: of two videos that are listed twice, one has two classes."""
    table, first = tmp_path / "list.csv", "0" if other == "1" else "run"
    names = ("red/red_0.mp4", "red/red_1.mp4", "red/red_0.mp4", "red/red_1.mp4")
    rows = [f"{name},{label}" for name, label in zip(names, (first, first, other, first), strict=True)]
    table.write_text("\n".join(["path,label", *rows]) + "\n")
    line = ("convert", str(table), "--out", str(tmp_path / "out.csv"), "--root", str(toy.root))
    said = succeed("lists", *line).stderr
    assert "warning: 2 rows repeat the video and interval of another row; the first is line 4, 'red/red_0.mp4'" in said
    what = "1 video is listed with several classes; the first is"
    found = f"'red/red_0.mp4', with class {classes} in lines 2 and 4"
    assert f"warning: {what} {found}. Correct the list" in said
    result = vtdl("lists", "check", str(table), "--root", str(toy.root), "--json")
    assert json.loads(result.stdout)["contradictory"] == ["red/red_0.mp4"]
    assert f"list '{table}': {what} {found}. Correct the list" in result.stderr
    assert "2 videos are listed more than once; the first is 'red/red_0.mp4'" in result.stderr


def test_convert__splits_by_column_and_keeps_intervals(toy: Toy, tmp_path: Path) -> None:
    lines = [f"{color}/{color}_{n}.mp4,{color},{'validation' if n == 4 else 'train'},{n % 2},{start},{start + 0.5}"
             for color in ("red", "green") for n in (0, 1, 4) for start in (0.0, 0.5)]  # fmt: skip
    table = tmp_path / "segments.csv"
    table.write_text(
        "Video;Class;Set;Person;t_start;t_end\n".replace(";", ",")
        + "\n".join([*lines, lines[0], "no.mp4,red,train,5,0,1"])
    )
    out = tmp_path / "lists"
    result = succeed(
        "lists", "convert", str(table), "--root", str(toy.root), "--out", str(out), "--group-column", "Person"
    )
    assert "1 of the 14 videos was not found below" in result.stderr
    assert (
        "1 row repeats the video and interval of another row; the first is line 14, 'red/red_0.mp4#t=0,0.5'"
        in result.stderr
    )
    assert "1 group has videos in several parts of the split; the first is '0'" in result.stderr
    train = read_list(out / "train_split_1.csv")
    assert (len(train), train.interval(1), train.classes) == (9, (0.5, 1.0), ["green", "red"])
    one_file = ("lists", "convert", str(table), "--root", str(toy.root), "--out")
    refuse(*one_file, str(tmp_path / "x.txt"), code=2, says=("no place for the intervals", "x.csv"))
    succeed(*one_file, str(tmp_path / "one" / "x.csv"))
    whole = ("compress", str(tmp_path / "one" / "x.csv"), "--out", str(tmp_path / "small"))
    refuse(*whole, code=1, says=("holds the videos of train, val together",))


def test_convert__draws_validation_by_group(toy: Toy, tmp_path: Path) -> None:
    listed = toy.train_list.read_text().splitlines()
    rows = [f"{line.rsplit(None, 2)[0]},{line.rsplit(None, 2)[1]},{number // 2}" for number, line in enumerate(listed)]
    table = tmp_path / "list.csv"
    table.write_text("path,label,subject\n" + "\n".join(rows) + "\n")
    line = ["lists", "convert", str(table), "--root", str(toy.root), "--out", str(tmp_path / "lists"), "--workers", "0"]
    succeed(*line, "--val-fraction", "0.5")
    val = {read.split()[0] for read in (tmp_path / "lists/val_split_1.txt").read_text().splitlines()}
    assert 0 < len(val) < len(rows)
    for first, second in zip(rows[::2], rows[1::2], strict=True):
        assert (first.split(",")[0] in val) == (second.split(",")[0] in val)
    refuse(*line, "--overwrite", "--val-fraction", "1.5", code=2, says=("--val-fraction",))


def test_convert__numbers_classes_as_the_lists_before(toy: Toy, tmp_path: Path) -> None:
    for name, rows in (("train", ["red/red_0.mp4,red", "blue/blue_0.mp4,blue"]), ("val", ["red/red_4.mp4,red"])):
        (tmp_path / f"{name}.csv").write_text("\n".join(["path,label", *rows]))
        options = ("--root", str(toy.root), "--out", str(tmp_path / "lists"), "--workers", "0")
        succeed("lists", "convert", str(tmp_path / f"{name}.csv"), *options)
    assert (tmp_path / "lists/val.txt").read_text().startswith("red/red_4.mp4 1 ")


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (("--path-column", "film"), 2, "--path-column 'film' is no column of list"),
        (("--start-column", "label", "--end-column", "label"), 1, "list.csv:2' has label 'red', which is not a time"),
        (("--val-fraction", "0.5"), 2, "draws videos of a list that has parts: train"),
    ],
)
def test_convert__refuses(toy: Toy, tmp_path: Path, options: tuple[str, ...], code: int, says: str) -> None:
    (tmp_path / "list.csv").write_text("path,label,split\nred/red_0.mp4,red,train\n")
    line = ("lists", "convert", str(tmp_path / "list.csv"), "--root", str(toy.root), "--out", str(tmp_path / "lists"))
    refuse(*line, *options, code=code, says=(says,))
    assert not (tmp_path / "lists").exists()


def test_extract__reads_a_table_of_ids(toy: Toy, pretrained: Path, tmp_path: Path) -> None:
    (tmp_path / "clips.csv").write_text("video_id;action\nred_0;stop\ngreen_1;go\n")
    line = ("extract", "--weights", str(pretrained), "--list", str(tmp_path / "clips.csv"), "--root", str(toy.root))
    result = succeed(*line, "--out", str(tmp_path / "f.h5"), "--workers", "0")
    assert "is read as table: path from 'video_id', label from 'action'; files found by name" in result.stderr
    with h5py.File(tmp_path / "f.h5") as file:
        assert [path.decode() for path in file["paths"]] == ["red/red_0.mp4", "green/green_1.mp4"]
        assert file["labels"][:].tolist() == [1, 0]
        assert json.loads(file.attrs["classes"]) == ["go", "stop"]
