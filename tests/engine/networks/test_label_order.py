"""Two lists whose classes stand in another order, through every command that puts their labels side by side."""

import json
from pathlib import Path

import h5py
import pytest

from tests.toy import CLASSES, Toy, refuse, succeed

REVERSED = dict(zip(CLASSES, reversed(range(len(CLASSES))), strict=True))


def rewrite(source: Path, folder: Path, order: dict[str, int] | None, *, named: bool = True) -> Path:
    """A list of the toy's with its classes numbered anew, by the folders of its videos; none: as they are, plus 1."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [line.rsplit(None, 2) for line in source.read_text().splitlines()]
    numbers = [order[path.split("/")[0]] if order else int(label) + 1 for path, label, _ in rows]
    lines = [f"{path} {number} {frames}" for (path, _, frames), number in zip(rows, numbers, strict=True)]
    (folder / source.name).write_text("\n".join(lines) + "\n")
    if named and order:
        (folder / "classes.txt").write_text(
            "".join(f"{name}\n" for name in sorted(order, key=lambda name: order[name]))
        )
    return folder / source.name


AS_THEY_ARE = {name: number for number, name in enumerate(CLASSES)}
COLUMNS = ("--list-columns", "path class frames")


@pytest.fixture(scope="module")
def extracted(toy: Toy, pretrained: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Features of the training list, and of the validation list as it is, without names, and with classes reversed."""
    folder = tmp_path_factory.mktemp("orders")
    lists = {
        "train": toy.train_list,
        "val": toy.val_list,
        "unnamed": rewrite(toy.val_list, folder / "unnamed", AS_THEY_ARE, named=False),
        "reversed": rewrite(toy.val_list, folder / "reversed", REVERSED),
    }
    for name, videos in lists.items():
        succeed(*toy.extract(pretrained, folder / f"{name}.h5", *COLUMNS, "--list", str(videos), "--clips", "1"))
    return {name: folder / f"{name}.h5" for name in lists}


def test_extract__keeps_the_names_of_classes(extracted: dict[str, Path]) -> None:
    found = {}
    for name, path in extracted.items():
        with h5py.File(path) as file:
            found[name] = json.loads(file.attrs["classes"]) if "classes" in file.attrs else None
    order = list(CLASSES)
    assert found == {"train": order, "val": order, "unnamed": None, "reversed": order[::-1]}


def commands(known: Path, asked: Path, out: Path) -> list[list[str]]:
    return [
        ["probe", "--train", str(known), "--test", str(asked), "--json"],
        ["retrieve", "--gallery", str(known), "--query", str(asked), "--json"],
        ["features", "merge", str(known), str(asked), "--out", str(out), "--json"],
    ]


def test_features__of_another_order_are_refused(extracted: dict[str, Path], tmp_path: Path) -> None:
    train, turned = extracted["train"], extracted["reversed"]
    says = f"classes of features '{turned}' are those of features '{train}' in another order: class 0 is 'red' here and"
    for line in commands(train, turned, tmp_path / "all.h5"):
        refuse(*line, code=2, says=(says,))
    assert list(tmp_path.iterdir()) == []


def test_features__without_names_are_compared_by_number_and_it_is_said(
    extracted: dict[str, Path], tmp_path: Path
) -> None:
    """Oracle: the same two files with names: the same numbers, and no warning."""
    answers = []
    for name in ("val", "unnamed"):
        results = [succeed(*line) for line in commands(extracted["train"], extracted[name], tmp_path / f"{name}.h5")]
        warned = [f"classes of features '{extracted[name]}' have no names" in result.stderr for result in results]
        assert warned == [name == "unnamed"] * 3
        answers.append([json.loads(result.stdout) for result in results])
    named, unnamed = answers
    assert [named[0]["knn@1"], named[1]["R@1"]] == [unnamed[0]["knn@1"], unnamed[1]["R@1"]]


def test_extract__resumed_with_other_classes_is_refused(toy: Toy, pretrained: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "lists", tmp_path / "f.h5"
    listed = rewrite(toy.val_list, folder, AS_THEY_ARE)
    line = toy.extract(pretrained, out, "--clips", "1", "--list", str(listed), "--resume")
    succeed(*line)
    (folder / "classes.txt").write_text("".join(f"{name}\n" for name in reversed(CLASSES)))
    says = f"classes of its list are those of output '{out}' in another order: class 0 is 'red' here and 'blue' there"
    refuse(*line, "--quiet", code=2, says=(says,))
    (folder / "classes.txt").unlink()
    succeed(*line, *COLUMNS)


def test_lists__of_another_order_are_refused(toy: Toy, finetuned: Path, tmp_path: Path) -> None:
    turned = rewrite(toy.val_list, tmp_path / "reversed", REVERSED)
    says = "in another order: class 0 is 'red' here and 'blue' there. Prepare both lists together"
    refuse(
        *toy.finetune(tmp_path / "run", "--val-list", str(turned)), code=2, says=(f"classes of list '{turned}'", says)
    )
    refuse(*toy.evaluate(finetuned, tmp_path / "out", test_list=turned), code=2, says=(f"list '{turned}'", says))
    assert [path.name for path in tmp_path.iterdir()] == ["reversed"]


def test_lists__without_names_are_compared_by_number_and_it_is_said(toy: Toy, finetuned: Path, tmp_path: Path) -> None:
    plain = rewrite(toy.val_list, tmp_path / "plain", AS_THEY_ARE, named=False)
    for line in (
        toy.finetune(tmp_path / "run", "--val-list", str(plain), *COLUMNS, "--dry-run"),
        toy.evaluate(finetuned, tmp_path / "out", *COLUMNS, "--dry-run", test_list=plain),
    ):
        assert f"warning: classes of list '{plain}' have no names" in succeed(*line).stderr


def test_resume__with_another_order_of_classes_is_refused(toy: Toy, tmp_path: Path) -> None:
    """Both lists stay byte for byte; only the classes.txt beside them is another."""
    lists = [rewrite(source, tmp_path / "lists", AS_THEY_ARE) for source in (toy.train_list, toy.val_list)]
    given = ("--train-list", str(lists[0]), "--val-list", str(lists[1]), "--quiet")
    line = toy.finetune(tmp_path / "run", *given, "--set", "finetune.epochs=1")
    succeed(*line)
    (tmp_path / "lists" / "classes.txt").write_text("".join(f"{name}\n" for name in reversed(CLASSES)))
    says = (
        f"are those of run '{tmp_path / 'run'}' in another order: class 0 is 'red' here and 'blue' there. Resume with"
    )
    refuse(*line, "--resume", code=2, says=(says,))


@pytest.fixture
def from_one(toy: Toy, tmp_path: Path) -> list[Path]:
    """Both lists with classes from 1 to 3 and no names."""
    return [rewrite(source, tmp_path / "one", None) for source in (toy.train_list, toy.val_list)]


def rewriting(toy: Toy, listed: Path) -> str:
    return (
        f"vtdl lists convert {listed} --root {toy.root} --list-columns 'path class frames' --from-one --out from_zero"
    )


def test_from_one__both_lists_are_warned_of(toy: Toy, from_one: list[Path], tmp_path: Path) -> None:
    train, val = map(str, from_one)
    line = toy.finetune(tmp_path / "run", "--train-list", train, "--val-list", val, *COLUMNS, "--dry-run", "--json")
    result = succeed(*line)
    for name in (train, val):
        assert f"warning: list '{name}' has no video of class 0, but some of each class from 1 to 3" in result.stderr
        assert f"In that case rewrite it: {rewriting(toy, Path(name))}" in result.stderr
    assert json.loads(result.stdout)["classes"] == 4


def test_from_one__against_a_list_from_zero_is_refused(toy: Toy, from_one: list[Path], tmp_path: Path) -> None:
    plain = [rewrite(source, tmp_path / "plain", AS_THEY_ARE, named=False) for source in (toy.train_list, toy.val_list)]
    pairs = (
        (from_one[0], plain[1], f"go from 1 to 3, those of list '{plain[1]}' from 0 to 2: one counts from 1"),
        (from_one[0], plain[1], f"Rewrite its list: {rewriting(toy, from_one[0])}"),
        (plain[0], from_one[1], f"counts classes from 1: {rewriting(toy, from_one[1])}"),
    )
    for train, val, says in pairs:
        given = ("--train-list", str(train), "--val-list", str(val), *COLUMNS, "--quiet")
        result = toy.finetune(tmp_path / "run", *given)
        refuse(*result, code=2 if val == plain[1] else 1, says=(says,))
    assert not (tmp_path / "run").exists()


def test_from_one__evaluation(toy: Toy, finetuned: Path, from_one: list[Path], tmp_path: Path) -> None:
    """A class outside the head is refused with the reason; without the highest class it can only be warned of."""
    line = toy.evaluate(finetuned, tmp_path / "out", *COLUMNS, test_list=from_one[1])
    refuse(*line, code=1, says=("class '3', outside the classifier's 3 classes, 0 to 2. If the list counts",))
    refuse(*line, code=1, says=(f"counts classes from 1: {rewriting(toy, from_one[1])}",))
    few = tmp_path / "few.txt"
    few.write_text("".join(text for text in from_one[1].read_text().splitlines(keepends=True) if " 3 " not in text))
    result = succeed(*toy.evaluate(finetuned, tmp_path / "out", *COLUMNS, "--dry-run", test_list=few))
    assert "has no video of class 0, but some of each class from 1 to 2: if it counts classes from 1" in result.stderr
