"""`vtdl prepare-lists folder` on the command line; what it computes is tested with the engine."""

import json
from pathlib import Path

from tests.toy import CLASSES, NUM_FRAMES, Toy, files_in, refuse, succeed

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


def test_folder__result_for_people(toy: Toy, tmp_path: Path) -> None:
    line = ["prepare-lists", "folder", "--root", str(toy.root), "--out", str(tmp_path / "lists"), "--workers", "0"]
    shown = succeed(*line).stdout
    assert shown.startswith("lists:")
    assert "videos" in shown
    assert "{" not in shown


def test_folder__bad_input(toy: Toy, tmp_path: Path) -> None:
    line = ["prepare-lists", "folder", "--root", str(toy.root), "--out", str(tmp_path / "lists"), "--workers", "0"]
    for more, says in (
        (("--root", "/nowhere"), "'/nowhere'"),
        (("--val-fraction", "1.5"), "'1.5'"),
        (("--group-by", "("), "'('"),
        (("--decoder", "vlc"), "'vlc'"),
        (("--val-groups", "anna"), "--group-by"),
    ):
        refuse(*line, *more, code=2, says=(says,))
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


def test_folder__per_class_says_where_there_are_fewer(toy: Toy, tmp_path: Path) -> None:
    line = ["prepare-lists", "folder", "--root", str(toy.root), "--out", str(tmp_path), "--workers", "0", "--quiet"]
    assert "3 classes have fewer than --per-class 50 videos" in succeed(*line, "--per-class", "50").stderr
