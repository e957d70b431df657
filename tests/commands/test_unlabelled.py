"""Videos without labels: folders, single videos and bare paths in place of lists, and lists of class -1."""

import json
import os
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from tests.toy import NUM_FRAMES, Toy, files_in, read_list, refuse, rows, succeed
from vtdl_cli.engine.lists import labels
from vtdl_cli.engine.train import pretrain as pretraining
from vtdl_cli.metrics import knn_accuracy

NAMES = ["a clip.mp4", "day 1/cam 2/c.mp4", "day 1/d.mp4", "frames", "z.mp4"]
"""The videos of `archive`, sorted; `frames` is a folder of images."""


@pytest.fixture
def archive(toy: Toy, tmp_path: Path) -> Path:
    """A folder of five videos at several depths, with things that are none."""
    folder = tmp_path / "archive"
    for number, name in enumerate(name for name in NAMES if name.endswith(".mp4")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(toy.root / f"red/red_{number}.mp4", folder / name)
    (folder / "frames").mkdir()
    for number in range(NUM_FRAMES):
        Image.new("RGB", (50, 36), (8 * number, 0, 0)).save(folder / f"frames/img_{number:05d}.jpg")
    for name in (".hidden.mp4", ".trash/e.mp4", "notes.txt", "day 1/poster.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"no video")
    return folder


def of_folder(line: list[str]) -> list[str]:
    """Drop `--root DIR`, which has no meaning for a folder."""
    at = line.index("--root")
    return line[:at] + line[at + 2 :]


def paths_in(features: Path) -> list[str]:
    with h5py.File(features) as file:
        return [path.decode() for path in file["paths"]]


def test_pretrain__learns_from_a_folder(toy: Toy, archive: Path, tmp_path: Path) -> None:
    line = of_folder(toy.pretrain(tmp_path / "run", "--train-list", str(archive), "--json"))
    result = succeed(*line, "--set", "pretrain.knn_every=1")
    plan = json.loads(result.stdout)
    assert (plan["videos"], plan["classes"], plan["skipped"]) == (len(NAMES), 0, [])
    said = f"'{archive}': 5 of 5 videos without a class; pretrain.knn_every has no effect\n"
    assert said in result.stderr
    assert [row.get("knn_top1") for row in rows(tmp_path / "run")] == [None, None]
    succeed(*line, "--set", "pretrain.epochs=3", "--resume")


def test_pretrain__warns_of_folders_for_validation_and_test(toy: Toy, tmp_path: Path) -> None:
    """Not if all are there, which is what was asked for; the remedies run."""
    folder = tmp_path / "data set"
    for number, place in enumerate(("train/a", "train/b", "train/b", "train/b", "val/a", "test_1/b")):
        (folder / "videos" / place).mkdir(parents=True, exist_ok=True)
        shutil.copy(toy.root / f"red/red_{number}.mp4", folder / "videos" / place / f"{number}.mp4")

    def warnings_of(*place: str) -> list[str]:
        line = of_folder(toy.pretrain(tmp_path / "run", "--train-list", str(folder.joinpath(*place)), "--dry-run"))
        lines = succeed(*line, "--set", "pretrain.batch_size=1").stderr.splitlines()
        return [text for text in lines if "trained on whole" in text]

    what = "is trained on whole: of its 6 videos 1 in folders named for val and 1 in folders named for test"
    (said,) = warnings_of()
    assert said == f"warning: folder '{folder}' {what}. To leave these out: --train-list '{folder}/videos/train'"
    assert warnings_of("videos", "train") == warnings_of("videos", "test_1") == []
    (folder / "videos/train").rename(folder / "videos/others")
    (said,) = warnings_of()
    assert said.endswith(f"To leave these out: vtdl prepare-lists folder --root '{folder}' --out lists")


@pytest.mark.parametrize("command", ["pretrain", "extract", "predict", "compress", "check"])
def test_folder__names_that_no_list_can_hold_are_left_out(
    toy: Toy, archive: Path, finetuned: Path, tmp_path: Path, command: str
) -> None:
    """Counted and named, as by prepare-lists. Oracle: the videos of the archive."""
    for name in ("line\nbreak.mp4", os.fsdecode(b"day 1/caf\xe9.mp4")):
        shutil.copy(toy.root / "red/red_0.mp4", archive / name)
    folder, out = str(archive), tmp_path / "out"
    line = {
        "pretrain": of_folder(toy.pretrain(out, "--train-list", folder, "--dry-run", "--json")),
        "extract": of_folder(toy.extract(finetuned, tmp_path / "f.h5", "--list", folder)),
        "predict": ["predict", "--weights", str(finetuned), folder, "--device", "cpu", "--workers", "0", "--json"],
        "compress": ["compress", folder, "--out", str(out), "--workers", "0", "--json"],
        "check": ["lists", "check", folder, "--json"],
    }[command]
    result = succeed(*line)
    what = f"folder '{archive}': 2 videos are left out, for a name that no list can hold; the first is"
    first = "'day 1/caf\\udce9.mp4': its name is not UTF-8. Rename them"
    assert [text for text in result.stderr.splitlines() if "left out" in text] == [f"warning: {what} {first}"]
    if command == "extract":
        assert paths_in(tmp_path / "f.h5") == NAMES
    else:
        assert json.loads(result.stdout)["videos"] == len(NAMES)


def test_folder__of_names_that_no_list_can_hold_alone(toy: Toy, tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    shutil.copy(toy.root / "red/red_0.mp4", tmp_path / "videos" / "line\nbreak.mp4")
    says = ("video 'line\\nbreak.mp4' cannot be read as a list: its name contains a line break. Rename it",)
    refuse("lists", "check", str(tmp_path / "videos"), code=1, says=says)


def test_prepare_lists__all_unlabelled_videos_are_for_training(archive: Path, tmp_path: Path) -> None:
    """There is nothing to validate them on; asked for, a validation list is written."""
    line = ["prepare-lists", "folder", "--root", str(archive), "--workers", "0", "--json"]
    audit = json.loads(succeed(*line, "--out", str(tmp_path / "all")).stdout)
    assert (audit["splits"], audit["options"]["val_fraction"]) == ({"train": len(NAMES)}, 0.0)
    assert files_in(tmp_path / "all") == {"audit.json", "train_split_1.txt"}
    audit = json.loads(succeed(*line, "--out", str(tmp_path / "some"), "--val-fraction", "0.4").stdout)
    assert audit["splits"] == {"train": 3, "val": 2}


def test_pretrain__knn_is_of_the_labelled_videos(toy: Toy, tmp_path: Path) -> None:
    """Oracle: four of one class are each other's neighbours, whatever the features: 100%."""
    lines = [line.split() for line in toy.train_list.read_text().splitlines()]
    renamed = {"0": "0", "1": "-1", "2": "-1"}
    (tmp_path / "some.txt").write_text("".join(f"{path} {renamed[label]} {n}\n" for path, label, n in lines))
    more = ("--train-list", str(tmp_path / "some.txt"), "--set", "pretrain.knn_every=2")
    result = succeed(*toy.pretrain(tmp_path / "run", *more))
    assert "8 of 12 videos without a class; the kNN metric is of the other 4" in result.stderr
    assert rows(tmp_path / "run")[-1]["knn_top1"] == 100


def test_pretrain__knn_of_a_long_list_is_of_a_sample(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: the drawn videos by hand: five of the eight with a class, the same at both times, without a broken one."""
    monkeypatch.setattr(labels, "KNN_VIDEOS", 5)
    lines = [line.split() for line in toy.train_list.read_text().splitlines()]
    classes = [-1 if index % 3 == 0 else index for index in range(len(lines))]
    rows_ = [f"{path} {label} {n}\n" for (path, _, n), label in zip(lines, classes, strict=True)]
    (tmp_path / "some.txt").write_text("".join(rows_))
    chosen = labels.choose_knn_videos(read_list(tmp_path / "some.txt", root=toy.root), seed=0).tolist()
    assert len(set(chosen)) == 5
    assert all(classes[index] != -1 for index in chosen)
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    rows_[chosen[2]] = f"{tmp_path / 'broken.mp4'} {classes[chosen[2]]} 24\n"
    (tmp_path / "some.txt").write_text("".join(rows_))
    measured = list[list[int]]()

    def watch(features: np.ndarray, found: np.ndarray) -> float:
        measured.append(found.tolist())
        return knn_accuracy(features, found)

    monkeypatch.setattr(pretraining, "knn_accuracy", watch)
    more = ("--train-list", str(tmp_path / "some.txt"), "--set", "pretrain.knn_every=1")
    result = succeed(*toy.pretrain(tmp_path / "run", *more))
    assert measured == [[classes[index] for index in chosen if index != chosen[2]]] * 2
    expected = "4 of 12 videos without a class; the kNN metric is of 5 of the 8 videos with a class, drawn by --seed"
    assert [line for line in result.stderr.splitlines() if "kNN metric" in line] == [
        f"'{tmp_path / 'some.txt'}': {expected}"
    ]


def test_pretrain__learns_from_a_list_of_bare_paths(toy: Toy, archive: Path, tmp_path: Path) -> None:
    (archive / "all.txt").write_text("".join(f"{name}\n" for name in NAMES))
    line = of_folder(toy.pretrain(tmp_path / "run", "--train-list", str(archive / "all.txt"), "--json"))
    assert json.loads(succeed(*line).stdout)["videos"] == len(NAMES)


@pytest.mark.parametrize("name", [".", "day 1", "frames", "z.mp4"])
def test_extract__takes_folders_and_single_videos(toy: Toy, pretrained: Path, archive: Path, name: str) -> None:
    out = archive.parent / "f.h5"
    result = succeed(*of_folder(toy.extract(pretrained, out, "--list", str(archive / name))))
    found = {".": NAMES, "day 1": ["cam 2/c.mp4", "d.mp4"]}.get(name, [str(archive / name)])
    assert paths_in(out) == found
    assert (f"{len(found)} of {len(found)} videos without a class\n" in result.stderr) == (len(found) > 1)


def test_lists_check__describes_a_folder(archive: Path) -> None:
    report = json.loads(succeed("lists", "check", str(archive), "--open", "--workers", "0", "--json").stdout)
    assert (report["videos"], report["present"], report["problems"]) == (5, 5, [])
    assert (report["columns"], report["classes"]) == ("path", {"unlabelled_videos": 5})


def test_visualize_triplet__takes_a_folder(toy: Toy, archive: Path, tmp_path: Path) -> None:
    line = ["visualize", "triplet", "--preset", str(toy.preset), "--list", str(archive), "--index", "4", "--json"]
    assert json.loads(succeed(*line, "--out", str(tmp_path / "t.png")).stdout)["video"].endswith("z.mp4")


@pytest.mark.parametrize("command", ["compress", "extract-frames"])
def test_transcode__writes_a_folder_with_its_list(archive: Path, tmp_path: Path, command: str) -> None:
    out = tmp_path / "small"
    succeed(command, str(archive), "--out", str(out), "--short-side", "32", "--workers", "0")
    videos = read_list(out / "archive.txt")
    assert sorted(videos.name(index).removesuffix(".mp4") for index in range(5)) == [
        name.removesuffix(".mp4") for name in NAMES
    ]
    assert (set(videos.labels), set(videos.frames), videos.classes) == ({-1}, {NUM_FRAMES}, None)
    assert all(videos.exists(index) for index in range(5))
    succeed(command, str(archive / "z.mp4"), "--out", str(tmp_path / "one"), "--workers", "0")
    assert read_list(tmp_path / "one/z.mp4.txt").name(0).removesuffix(".mp4") == "z"
    inside = [command, str(archive), "--out", str(archive / "small")]
    refuse(*inside, code=2, says=(f"lies in '{archive}', whose videos it would join. Choose another --out",))


def test_lists_convert__writes_class_minus_one(archive: Path, tmp_path: Path) -> None:
    (archive / "bare.txt").write_text("".join(f"{name}\n" for name in NAMES))
    succeed("lists", "convert", str(archive / "bare.txt"), "--out", str(tmp_path / "new.txt"), "--workers", "0")
    assert (tmp_path / "new.txt").read_text() == "".join(f"{name} -1 {NUM_FRAMES}\n" for name in NAMES)


@pytest.mark.parametrize("command", ["finetune", "validate", "evaluate"])
def test_unlabelled__is_refused_where_classes_are_needed(
    toy: Toy, archive: Path, finetuned: Path, tmp_path: Path, command: str
) -> None:
    some = tmp_path / "some.txt"
    some.write_text(toy.val_list.read_text().replace(" 1 24", " -1 24"))
    run = tmp_path / "run"
    for path, says in (
        (some, f"list '{some}' has no class for 2 of its 6 videos, the first in line 3. Give each a class"),
        (archive, f"list '{archive}' is a folder, whose class is unknown. Name a list with classes"),
    ):
        line = {
            "finetune": toy.finetune(run, "--train-list", str(path)),
            "validate": toy.finetune(run, "--val-list", str(path)),
            "evaluate": toy.evaluate(finetuned, run, "--list", str(path)),
        }[command]
        refuse(*line, code=1, says=(says,))
    assert not run.exists()


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ((), "holds no video at any depth: it is empty. Videos are files such as clip.mp4, or folders of images"),
        (("a/cat.jpg", "b/dog.JPG", "c/me.png"), "holds no video at any depth: it holds 2 .jpg, 1 .png. Videos are"),
    ],
)
def test_folder__without_videos(toy: Toy, tmp_path: Path, files: tuple[str, ...], says: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in files:
        (folder / name).parent.mkdir()
        (folder / name).write_bytes(b"an image")
    refuse(*of_folder(toy.pretrain(tmp_path / "run", "--train-list", str(folder))), code=2, says=(says,))
    assert not (tmp_path / "run").exists()


def test_folder__takes_no_options_of_lists(toy: Toy, archive: Path, tmp_path: Path) -> None:
    line = toy.pretrain(tmp_path / "run", "--train-list", str(archive))
    refuse(*line, code=2, says=("is a folder, for which --root, --strip-prefix and --list-columns have no meaning",))


def test_list__partly_labelled(toy: Toy, tmp_path: Path) -> None:
    path = tmp_path / "some.txt"
    path.write_text(toy.train_list.read_text().replace(" 1 24", ""))
    line = toy.pretrain(tmp_path / "run", "--train-list", str(path))
    refuse(*line, code=1, says=("which has no class, as have 4 of the 12 lines. Write class -1 for videos without",))


def write_features(path: Path, values: np.ndarray, labels: list[int]) -> str:
    with h5py.File(path, "w") as file:
        file["features"], file["labels"] = values.astype(np.float32), labels
        file["num_frames"] = np.full(len(labels), 30)
        file["paths"] = [f"{path.stem}/{number}.mp4" for number in range(len(labels))]
        file.attrs.update({"backbone": "r3d", "layer": "last", "weights_sha256": "abc"})
    return str(path)


@pytest.mark.parametrize(("command", "sides"), [("probe", ("train", "test")), ("retrieve", ("gallery", "query"))])
def test_compared_features__leave_out_the_unlabelled(tmp_path: Path, command: str, sides: tuple[str, str]) -> None:
    """Oracle: the same command on files that never held them."""
    generator = np.random.default_rng(0)
    known, some = [command, "--json"], [command, "--json"]
    for side in sides:
        values, labels = generator.normal(size=(24, 4)), [0, 1] * 12
        known += [f"--{side}", write_features(tmp_path / f"known-{side}.h5", values[:20], labels[:20])]
        labels[20:] = [-1] * 4
        some += [f"--{side}", write_features(tmp_path / f"some-{side}.h5", values, labels)]
    expected, result = json.loads(succeed(*known).stdout), succeed(*some)
    found = json.loads(result.stdout)
    assert {name: found[name] for name in found if found[name] != expected[name]}.keys() <= {*sides, "seconds"}
    for side in sides:
        assert f"warning: features '{tmp_path / f'some-{side}.h5'}': 4 of 24 videos left out" in result.stderr
    none = write_features(tmp_path / "none.h5", values, [-1] * 24)
    if command == "probe":
        refuse(*known, f"--{sides[1]}", none, code=2, says=("none.h5' hold 24 videos and no class. Extract from",))
    else:
        assert len(json.loads(succeed(*known, f"--{sides[1]}", none).stdout)["neighbours"]) == 24


def test_prepare_lists__of_a_folder_without_classes(toy: Toy, archive: Path, tmp_path: Path) -> None:
    lists = tmp_path / "lists"
    line = ["prepare-lists", "folder", "--root", str(archive), "--out", str(lists), "--workers", "0", "--json"]
    result = succeed(*line, "--val-fraction", "0.4", "--fraction", "0.9")
    audit = json.loads(result.stdout)
    assert (audit["options"]["labels"], audit["classes"], audit["splits"]) == ("none", {}, {"train": 3, "val": 2})
    assert "layout .../<video>: 5 videos (frame folders: 1) without classes: 3 in no sub-folder" in result.stderr
    assert "4 files or folders hold no video and are ignored; the first is '.hidden.mp4'" in result.stderr
    assert files_in(lists) == {"audit.json", "train_split_1.txt", "val_split_1.txt"}
    both = [*read_lines(lists / "train_split_1.txt"), *read_lines(lists / "val_split_1.txt")]
    assert sorted(both) == [f"{name} -1 {NUM_FRAMES}" for name in NAMES]
    train = ("--train-list", str(lists / "train_split_1.txt"), "--root", str(archive))
    plan = json.loads(succeed(*toy.pretrain(tmp_path / "run", *train, "--dry-run", "--json", "--set", SMALL)).stdout)
    assert plan["videos"] == 3
    refuse(*line, "--overwrite", "--per-class", "1", code=2, says=("--per-class 1 has no meaning without classes",))
    refuse(*line, "--overwrite", "--labels", "folder", "--root", str(archive / "day 1/cam 2"), code=2, says=(NO_CLASS,))
    refuse(
        *line,
        "--overwrite",
        "--labels",
        "file",
        code=2,
        says=("--labels 'file' is not one of auto, folder, parent, none",),
    )


SMALL = "pretrain.batch_size=2"
NO_CLASS = "has no class folder with a video in it: 1 in no sub-folder. Name the folder that holds one sub-folder for"


def read_lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def test_prepare_lists__labels_of_class_folders(toy: Toy, tmp_path: Path) -> None:
    root, lists = tmp_path / "videos", tmp_path / "lists"
    shutil.copytree(toy.root, root)
    shutil.copy(root / "red/red_0.mp4", root / "stray.mp4")
    line = ["prepare-lists", "folder", "--root", str(root), "--out", str(lists), "--workers", "0"]
    result = succeed(*line, "--val-fraction", "0")
    assert "layout <class>/<video>: 18 videos in 3 classes. To read it otherwise: --labels none" in result.stderr
    assert "1 video lies in no class folder, and will not be listed; the first is 'stray.mp4'" in result.stderr
    assert "hold no video" not in result.stderr
    assert (lists / "classes.txt").exists()
    result = succeed(*line, "--labels", "none", "--overwrite")
    assert not (lists / "classes.txt").exists()
    assert {row.split()[1] for row in read_lines(lists / "train_split_1.txt")} == {"-1"}
    assert [line.split()[2] for line in result.stderr.splitlines() if line.startswith("next: ")] == ["pretrain"]
