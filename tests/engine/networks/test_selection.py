"""Whether the list that is reported chose the weights, through the real commands."""

import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import pytest
import torch

from tests.engine.report.test_report import text_of
from tests.toy import NUM_VAL, Toy, load, succeed
from vtdl_cli.engine.networks.selection import combine_selected


@pytest.fixture(scope="module")
def test_list(toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Other videos than those that validate: the training list's."""
    folder = tmp_path_factory.mktemp("test_list")
    shutil.copy(toy.train_list.with_name("classes.txt"), folder)
    return Path(shutil.copy(toy.train_list, folder / "test.txt"))


def plan(toy: Toy, weights: Path, out: Path, videos: Path) -> dict[str, Any]:
    line = toy.evaluate(weights, out, "--dry-run", "--json", test_list=videos)
    found: dict[str, Any] = json.loads(succeed(*line).stdout)
    return found


def rewrite(checkpoint: Path, target: Path, **changes: Any) -> Path:
    """A checkpoint with other content; what is None goes."""
    content = load(checkpoint) | changes
    torch.save({name: value for name, value in content.items() if value is not None}, target)
    return target


def test_checkpoints__say_how_the_best_is_chosen(finetuned: Path) -> None:
    selection = load(finetuned / "checkpoints/best.pt")["selection"]
    assert selection["metric"] == "val_top1"
    assert selection["list_sha256"] == load(finetuned / "checkpoints/best.pt")["origin"]["val_list_sha256"]
    assert selection["videos"].shape == (NUM_VAL, 2)


def test_evaluate__on_the_list_that_chose_the_weights_warns(toy: Toy, finetuned: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = succeed(*toy.evaluate(finetuned, out, "--clips", "1", "--quiet"))
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["selected_on_this_list"] is True
    best, last = (finetuned / "checkpoints" / name for name in ("best.pt", "last.pt"))
    assert result.stderr == (
        f"warning: weights '{best}' were chosen on videos of list '{toy.val_list}': this accuracy is "
        f"optimistic. Evaluate on other videos, or use --weights {last}, which was not chosen on any\n"
    )
    with h5py.File(out / "scores.h5") as file:
        assert file.attrs["selected_on_this_list"] == "true"


def test_evaluate__on_other_videos_or_of_the_last_epoch(
    toy: Toy, finetuned: Path, test_list: Path, tmp_path: Path
) -> None:
    for weights, videos in ((finetuned, test_list), (finetuned / "checkpoints/last.pt", toy.val_list)):
        out = tmp_path / weights.name
        assert "chosen" not in succeed(*toy.evaluate(weights, out, "--clips", "1", "--quiet", test_list=videos)).stderr
        assert json.loads((out / "metrics.json").read_text())["selected_on_this_list"] is False


def test_evaluate__finds_the_same_videos_in_another_file(toy: Toy, finetuned: Path, tmp_path: Path) -> None:
    """Another order, a part of them beside others, whole paths under another root."""
    shutil.copy(toy.val_list.with_name("classes.txt"), tmp_path)
    lines, others = toy.val_list.read_text().splitlines(), toy.train_list.read_text().splitlines()
    forms = {"turned": lines[::-1], "mixed": [*others, lines[0]], "whole": [f"{toy.root}/{line}" for line in lines]}
    for name, form in forms.items():
        videos = tmp_path / f"{name}.txt"
        videos.write_text("\n".join(form) + "\n")
        assert plan(toy, finetuned, tmp_path / "out", videos)["selected_on_this_list"] is True, name


def test_evaluate__of_several_lists(toy: Toy, finetuned: Path, test_list: Path, tmp_path: Path) -> None:
    line = toy.evaluate(finetuned, tmp_path / "out", "--list", str(test_list), "--clips", "1", "--json")
    summary = json.loads(succeed(*line).stdout)
    assert summary["selected_on_this_list"] is True
    assert [test["selected_on_this_list"] for test in summary["tests"].values()] == [True, False]


def test_finetune__that_validates_once_has_chosen_nothing(toy: Toy, tmp_path: Path) -> None:
    """Gone on with, the later epoch is the best, even where it does worse: there is nothing to choose between."""
    run, once = tmp_path / "run", ("--set", "finetune.validate_every=0")
    succeed(*toy.finetune(run, *once, "--set", "finetune.epochs=6"))
    more = ("--set", "finetune.epochs=7", "--resume")
    answer = json.loads(succeed(*toy.finetune(run, *once, *more, "--json")).stdout)
    assert answer["best"] == answer["last"]
    assert answer["best"]["epoch"] == load(run / "checkpoints/best.pt")["epoch"] == 7
    assert plan(toy, run, tmp_path / "out", toy.val_list)["selected_on_this_list"] is False


def test_evaluate__older_and_foreign_weights(toy: Toy, finetuned: Path, test_list: Path, tmp_path: Path) -> None:
    """What can be known of checkpoints without the entry: the bytes of the validation list, and the best epoch."""
    best, last = (finetuned / "checkpoints" / name for name in ("best.pt", "last.pt"))
    old = rewrite(best, tmp_path / "best.pt", selection=None)
    rewrite(last, tmp_path / "last.pt", selection=None)
    foreign = rewrite(best, tmp_path / "foreign.pt", selection=None, origin={"converted_from": "their.pth"})
    answers = [
        plan(toy, weights, tmp_path / "out", videos)["selected_on_this_list"]
        for weights, videos in (
            (old, toy.val_list),
            (old, test_list),
            (tmp_path / "last.pt", toy.val_list),
            (foreign, toy.val_list),
        )
    ]
    assert answers == [True, None, False, None]
    stderr = succeed(*toy.evaluate(foreign, tmp_path / "out", "--dry-run")).stderr
    assert f"weights '{foreign}' do not record whether they were chosen on list '{toy.val_list}'" in stderr


def test_evaluate__a_copy_of_the_best_is_known_by_its_epoch(toy: Toy, finetuned: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(finetuned / "checkpoints/best.pt", tmp_path / "mine.pt"))
    assert plan(toy, copy, tmp_path / "out", toy.val_list)["selected_on_this_list"] is True


def test_report__says_that_a_list_chose_the_weights(toy: Toy, finetuned: Path, tmp_path: Path) -> None:
    for name, weights in (("best", finetuned), ("last", finetuned / "checkpoints/last.pt")):
        out = tmp_path / name
        succeed(*toy.evaluate(weights, out, "--clips", "1"))
        succeed("report", str(finetuned), "--results", str(out), "--out", str(tmp_path / f"{name}.html"))
        text = text_of(tmp_path / f"{name}.html")
        assert ("the weights were chosen on these videos" in text) == (name == "best")
        assert "by val_top1" in text


@pytest.mark.parametrize(
    ("answers", "expected"), [([True, None], True), ([False, None], None), ([False, False], False), ([], False)]
)
def test_combine_selected(answers: list[bool | None], expected: bool | None) -> None:
    assert combine_selected(answers) is expected
