"""`vtdl prepare-lists folder` on the layouts that people have, on the command line."""

import json
import shlex
from pathlib import Path
from unicodedata import normalize

import pytest

from tests.toy import CLASSES, Toy, files_in, next_commands, refuse, succeed
from vtdl_cli.engine.lists.groups import choose_groups, recorded_regex
from vtdl_cli.runtime import SilentReporter

DECOMPOSED, COMPOSED = (normalize(form, "Überschlag, rückwärts") for form in ("NFD", "NFC"))


def link(toy: Toy, root: Path, *names: str) -> list[str]:
    """Make a link to some video for each name; return the start of a command and its output folder."""
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(toy.root / f"{CLASSES[number % 3]}/{CLASSES[number % 3]}_{number % 6}.mp4")
    return ["prepare-lists", "folder", "--root", str(root), "--workers", "0", "--out", str(root.parent / "lists")]


def listed(lists: Path, side: str) -> list[tuple[str, int]]:
    """The path and class of each line."""
    rows = [row.rsplit(" ", 2) for row in (lists / f"{side}_split_1.txt").read_text().splitlines()]
    return [(name, int(label)) for name, label, _ in rows]


def test_layout__lists_and_classes_from_folders(toy: Toy, tmp_path: Path) -> None:
    """One class is spelled in two Unicode forms, as when half of the data came from a Mac."""
    train = [f"data/train/{name}/{n}.mp4" for name in ("-a b", DECOMPOSED) for n in range(4)]
    val = [f"data/validation/{name}/{n}.mp4" for name in ("-a b", COMPOSED) for n in range(2)]
    line = link(toy, tmp_path / "root", *train, *val, "data/test/-a b/z.mp4", "data/more/z.mp4")
    result, lists = succeed(*line), tmp_path / "lists"
    assert (
        "layout data/<list>/<class>/<video>: 13 videos in 2 classes; 'train' is train; 'validation' is val; 'test'"
        in (result.stderr)
    )
    says = f"1 class folders exist under two Unicode forms of one name, which are read as one class; the first is '{COMPOSED}'"
    assert says in result.stderr
    assert (
        "1 video lies in no class folder of a list, and will not be listed; the first is 'data/more/z.mp4'"
        in result.stderr
    )
    assert (lists / "classes.txt").read_text().splitlines() == ["-a b", COMPOSED]
    assert listed(lists, "train") == [(name, int("-a b" not in name)) for name in train]
    assert listed(lists, "val") == [(name, int("-a b" not in name)) for name in val]
    assert listed(lists, "test") == [("data/test/-a b/z.mp4", 0)]
    given = ["--train-list", str(lists / "train_split_1.txt"), "--val-list", str(lists / "val_split_1.txt")]
    line_of_run = toy.finetune(tmp_path / "run", *given, "--root", str(tmp_path / "root"), "--dry-run", "--json")
    assert json.loads(succeed(*line_of_run).stdout)["val_videos"] == 4
    says = "--val-fraction 0.2 has no meaning: 'validation' is the val list. Leave it out, or add --split-from draw"
    refuse(*line, "--overwrite", "--val-fraction", "0.2", code=2, says=(says,))
    more = ("--split-from", "draw", "--labels", "none", "--val-fraction", "0.25")
    drawn = json.loads(succeed(*line, "--overwrite", *more, "--json").stdout)
    assert (drawn["options"]["split_from"], drawn["splits"]) == ("draw", {"train": 11, "val": 3})


def test_layout__train_and_test_alone(toy: Toy, tmp_path: Path) -> None:
    """No validation list, unless one is drawn from the training videos."""
    train = [f"train/{name}/{n}.mp4" for name in "ab" for n in range(4)]
    test = [f"test/{name}/{n}.mp4" for name in "ab" for n in range(2)]
    line, lists = link(toy, tmp_path / "root", *train, *test), tmp_path / "lists"
    result = succeed(*line)
    assert "; no folder is val, see --val-fraction." in result.stderr
    assert files_in(lists) == {"audit.json", "classes.txt", "test_split_1.txt", "train_split_1.txt"}
    commands = next_commands(result.stderr)
    assert [command[0] for command in commands] == ["pretrain", "finetune", "evaluate"]
    assert "--val-list" not in commands[1]
    succeed(*line, "--overwrite", "--val-fraction", "0.25")
    sides = {side: [name for name, _ in listed(lists, side)] for side in ("train", "val", "test")}
    assert (sides["test"], sorted(sides["train"] + sides["val"])) == (sorted(test), sorted(train))
    assert sorted(name.split("/")[1] for name in sides["val"]) == ["a", "b"]


def test_layout__subjects_can_be_groups(toy: Toy, tmp_path: Path) -> None:
    """Read without classes, unless asked for; evaluation finds the groups again in the audit."""
    names = [f"{name}/{who}/{n}.mp4" for name in ("jump", "run") for who in ("Doe, Ann", "bob", "eve") for n in (1, 2)]
    line, lists = link(toy, tmp_path / "root", *names), tmp_path / "lists"
    says = (
        "12 in <folder>/<folder>/, such as 'jump/Doe, Ann/'. To read it otherwise: --labels folder: the first folder is"
    )
    assert says in succeed(*line).stderr
    line += ["--overwrite", "--labels", "folder", "--group-from", "parent"]
    audit = json.loads(succeed(*line, "--val-groups", '"Doe, Ann"', "--json").stdout)
    assert audit["classes"] == {"jump": {"train": 4, "val": 2}, "run": {"train": 4, "val": 2}}
    assert audit["groups"] == {"Doe, Ann": "val", "bob": "train", "eve": "train"}
    assert {name.split("/")[1] for name, _ in listed(lists, "val")} == {"Doe, Ann"}
    refuse(*line, "--val-groups", "Ann", code=2, says=("""The groups are "Doe, Ann", bob, eve""",))
    says = "--group-by 'path:^([^/]+)' finds one group in each class, and a group is kept in one list. Use a key that"
    refuse(*line, "--group-from", "path", "--group-by", "^([^/]+)", code=2, says=(says,))
    groups = choose_groups(names, None, recorded_regex(lists / "val_split_1.txt"), SilentReporter())
    assert groups.keys(names) == [name.split("/")[1] for name in names]


@pytest.mark.parametrize(
    ("names", "remedy", "classes", "number"),
    [
        ([f"{place}/{n}.mp4" for place in ("train/a", "train/b", "val/a", "val/c", "extra/a") for n in (1, 2)],
         "To list them too: --split-from draw --labels parent", 3, 10),
        ([f"{place}/{n}.mp4" for place in ("train", "val", "extra") for n in (1, 2)],
         "To list them too: --split-from draw --labels none", 0, 6),
        (["z.mp4", *[f"{place}/{n}.mp4" for place in ("a", "b") for n in (1, 2)]],
         "Move them there, or list all without classes: --labels none", 0, 5),
        (["train/z.mp4", *[f"{place}/{n}.mp4" for place in ("train/a", "train/b", "val/a") for n in (1, 2)]],
         "Move them there, or list all without classes: --labels none", 0, 7),
        (["more/z.mp4", *[f"{place}/{n}.mp4" for place in ("train/a", "train/b", "val/a") for n in (1, 2)]],
         "Move them there, or list all without classes: --split-from draw --labels none", 0, 7),
        (["extra/a/z.mp4", *[f"{place}/{n}.mp4" for place in ("train/a", "val/a", "train/d", "train/b/c") for n in (1, 2)]],
         "Move them there, or list all without classes: --split-from draw --labels none", 0, 9),
    ],
)  # fmt: skip
def test_layout__what_lists_the_videos_left_out_runs_as_printed(
    toy: Toy, tmp_path: Path, names: list[str], remedy: str, classes: int, number: int
) -> None:
    """Oracle, by hand: all videos, and their classes unless the line says that these are lost."""
    line = link(toy, tmp_path / "root", *names)
    (said,) = [text for text in succeed(*line).stderr.splitlines() if "will not be listed" in text]
    assert said.endswith(f". {remedy}")
    options = remedy.split(": ")[1].split()
    audit = json.loads(succeed(*line, "--overwrite", *options, "--json").stdout)
    assert (audit["total"], len(audit["classes"])) == (number, classes)


def test_layout__recordings_on_both_sides_are_drawn_with_their_classes(toy: Toy, tmp_path: Path) -> None:
    """The options run as printed; where no options keep the classes, none are printed."""
    clips = [(name, number) for name in "ab" for number in range(4)]
    names = [f"{side}/{name}/{name}{n}_c{c}.mp4" for side, c in (("train", 1), ("val", 2)) for name, n in clips]
    line = link(toy, tmp_path / "one" / "root", *names)
    (said,) = [text for text in succeed(*line).stderr.splitlines() if "recordings seem to have clips" in text]
    remedy = said.partition("If so, keep each in one list: ")[2]
    assert remedy.startswith("--split-from draw --labels parent --group-by ")
    audit = json.loads(succeed(*line, "--overwrite", *shlex.split(remedy), "--json").stdout)
    assert (audit["splits"], len(audit["classes"])) == ({"train": 12, "val": 4}, 2)
    assert "recordings seem" not in "".join(audit["warnings"])
    deep = [f"{Path(name).parent}/day/{Path(name).name}" for name in names]
    said = succeed(*link(toy, tmp_path / "two" / "root", *deep), "--labels", "folder").stderr
    assert said.count("If so, move each into the folder of one list\n") == 1


@pytest.mark.parametrize(
    ("names", "remedy"),
    [
        (["ann_1", "ann_2", "bob_1", "bob_2"], ", or keep copies in one list: --group-by '^([^_]+)_'"),
        (["ann1", "ann2", "bob1", "bob2"], ""),  # without such keys
        (["ann_1", "bob_1", "eve_1", "kim_1"], ""),  # the copies have two keys
    ],
)
def test_copies__are_grouped_only_by_names_that_tell_them(
    toy: Toy, tmp_path: Path, names: list[str], remedy: str
) -> None:
    """Oracle, by hand: the first two are one file, of which a draw of half gives each list one; it runs as printed."""
    root = tmp_path / "root"
    root.mkdir()
    for number, name in enumerate(names):
        (root / f"{name}.mp4").symlink_to(toy.root / f"red/red_{max(number, 1)}.mp4")
    line = ["prepare-lists", "folder", "--root", str(root), "--workers", "0", "--out", str(tmp_path / "lists")]
    line += ["--val-fraction", "0.5", "--overwrite"]
    warnings = (succeed(*line, "--seed", str(seed)).stderr for seed in range(20))
    (said, *_) = [text for warning in warnings for text in warning.splitlines() if "under two names" in text]
    assert said.endswith(f". Delete all but one of each{remedy}")
    if remedy:
        succeed(*line, *shlex.split(remedy.partition(": ")[2]))


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ([], "holds no video at any depth: it is empty. Videos are files such as clip.mp4, or folders of images"),
        ([f"{name}/IMG_{n}.JPG" for name in "ab" for n in (1001, 1017, 1044)], "it holds 6 .jpg. Videos are files"),
    ],
)
def test_layout__folders_without_videos(tmp_path: Path, names: list[str], says: str) -> None:
    (tmp_path / "root").mkdir()
    for name in names:
        (tmp_path / "root" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "root" / name).touch()
    line = ["prepare-lists", "folder", "--root", str(tmp_path / "root"), "--out", str(tmp_path / "lists")]
    refuse(*line, code=2, says=(says,))
    assert [path.name for path in tmp_path.iterdir()] == ["root"]
