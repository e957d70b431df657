"""Finetuning through the real command on generated videos whose classes differ by colour."""

import json
import math
import shutil
from pathlib import Path

import pytest
import torch

from tests.toy import CLASSES, RUN_FILES, Toy, files_in, load, next_commands, refuse, rows, succeed


def last_of(run: Path) -> dict[str, torch.Tensor]:
    model: dict[str, torch.Tensor] = load(run / "checkpoints/last.pt")["model"]
    return model


def write_list(folder: Path, lines: list[str], classes: tuple[str, ...] | None = CLASSES) -> Path:
    folder.mkdir()
    (folder / "list.txt").write_text("".join(f"{line}\n" for line in lines))
    if classes is not None:
        (folder / "classes.txt").write_text("".join(f"{name}\n" for name in classes))
    return folder / "list.txt"


def test_finetune__writes_a_run_folder(finetuned: Path) -> None:
    assert files_in(finetuned) == {*RUN_FILES, "checkpoints/best.pt"}
    metrics = {"loss", "train_top1", "val_top1", "val_mean_class", "val_macro_f1", "lr", "skipped"}
    assert all(set(row) >= metrics for row in rows(finetuned))


def test_finetune__learns_the_colours(finetuned: Path) -> None:
    """Three classes of equal size: chance is 33%; 8 epochs of 3 steps gave 100% when written."""
    assert max(row["val_top1"] for row in rows(finetuned)) >= 80
    assert rows(finetuned)[-1]["loss"] < 0.5 * rows(finetuned)[0]["loss"]


def test_finetune__best_is_the_first_best_epoch(finetuned: Path) -> None:
    table = rows(finetuned)
    best = max(table, key=lambda row: row["val_top1"])  # the first of equals
    content = load(finetuned / "checkpoints/best.pt")
    assert content["best"]["epoch"] == best["epoch"] == content["epoch"]
    assert content["best"]["val_top1"] == best["val_top1"]
    assert load(finetuned / "checkpoints/last.pt")["epoch"] == 8


def test_finetune__from_nothing_reports_best_and_last(toy: Toy, tmp_path: Path) -> None:
    result = succeed(*toy.finetune(tmp_path / "run", "--weights", "none", "--json", "--set", "finetune.epochs=3"))
    answer, table = json.loads(result.stdout), rows(tmp_path / "run")
    assert answer["weights"] == "none"
    assert answer["best"]["val_top1"] == max(row["val_top1"] for row in table)
    assert answer["last"] == {name: table[-1][name] for name in answer["best"]}
    assert (answer["classes"], answer["val_videos"], answer["skipped"]) == (3, 6, [])
    assert answer["epochs"] == 3


def test_finetune__starts_from_the_weights(toy: Toy, pretrained: Path, tmp_path: Path) -> None:
    """Oracle: by hand. Two starts whose seed is the same differ in their first loss by the backbone alone."""
    one = ("--set", "finetune.epochs=1")
    succeed(*toy.finetune(tmp_path / "with", "--weights", str(pretrained), *one))
    succeed(*toy.finetune(tmp_path / "file", "--weights", str(pretrained / "checkpoints/last.pt"), *one))
    succeed(*toy.finetune(tmp_path / "without", *one))
    losses = {name: rows(tmp_path / name)[0]["loss"] for name in ("with", "file", "without")}
    assert losses["with"] == losses["file"] != losses["without"]


def test_linear_probe__backbone_stays_bit_identical(toy: Toy, pretrained: Path, tmp_path: Path) -> None:
    """Batch-norm statistics are among the tensors that are compared."""
    probe = ("--linear-probe", "--weights", str(pretrained), "--json")
    answer = json.loads(succeed(*toy.finetune(tmp_path / "run", *probe)).stdout)
    ours, theirs = last_of(tmp_path / "run"), last_of(pretrained)
    backbone = {name: tensor for name, tensor in ours.items() if name.startswith("backbone.")}
    assert any("running_var" in name for name in backbone)
    for name, tensor in backbone.items():
        assert torch.equal(tensor, theirs[f"encoders.query.{name}"]), name
    assert answer["parameters"] == 32 * 3 + 3  # the classifier's
    one_epoch = tmp_path / "one"
    succeed(*toy.finetune(one_epoch, *probe[:-1], "--set", "finetune.epochs=1"))
    assert not torch.equal(ours["head.linear.weight"], last_of(one_epoch)["head.linear.weight"])


def test_linear_probe__without_weights_is_refused(toy: Toy, tmp_path: Path) -> None:
    refuse(*toy.finetune(tmp_path / "run", "--linear-probe"), code=2, says=("Give --weights runs/pretrained",))
    assert list(tmp_path.iterdir()) == []


def test_finetune__class_outside_the_head(toy: Toy, tmp_path: Path) -> None:
    """Without classes.txt the training list has as many classes as its largest number makes."""
    train = write_list(tmp_path / "train", ["red/red_0.mp4 0 24", "red/red_1.mp4 1 24"] * 3, classes=None)
    val = write_list(tmp_path / "val", ["red/red_4.mp4 0 24", "", "red/red_5.mp4 2 24"], classes=None)
    columns = ("--list-columns", "path class frames", "--train-list", str(train), "--val-list", str(val))
    says = (f"list '{val}:3' has class '2', outside the classifier's 2 classes, 0 to 1",)
    refuse(*toy.finetune(tmp_path / "run", *columns), code=1, says=says)
    assert not (tmp_path / "run").exists()


def test_finetune__lists_of_other_classes(toy: Toy, tmp_path: Path) -> None:
    val = write_list(tmp_path / "val", ["red/red_4.mp4 0 24"], classes=("red", "green", "blue"))
    says = (
        f"classes of list '{val}' are those of list '{toy.train_list}' in another order: class 0 is 'red' here and",
    )
    refuse(*toy.finetune(tmp_path / "run", "--val-list", str(val)), code=2, says=says)
    assert not (tmp_path / "run").exists()


def test_finetune__resume_with_another_val_list_is_refused(toy: Toy, pretrained: Path, finetuned: Path) -> None:
    line = toy.finetune(finetuned, "--resume", "--quiet", "--weights", str(pretrained), "--set", "finetune.epochs=9")
    refuse(
        *line,
        "--val-list",
        str(toy.train_list),
        code=1,
        says=("cannot resume: the validation list is another: its sha256 was",),
    )
    line = toy.finetune(finetuned, "--resume", "--set", "finetune.epochs=9")
    refuse(*line, code=1, says=(f"cannot resume: weights was '{pretrained}', now it is 'None'",))


def test_finetune__resume_of_a_finished_run(toy: Toy, pretrained: Path, finetuned: Path) -> None:
    more = ("--resume", "--json", "--weights", str(pretrained), "--set", "finetune.epochs=8")
    result = succeed(*toy.finetune(finetuned, *more))
    assert ": nothing to do" in result.stderr
    assert json.loads(result.stdout)["best"]["val_top1"] == max(row["val_top1"] for row in rows(finetuned))


@pytest.mark.parametrize("weights", ["nowhere", "empty"])
def test_finetune__weights_that_are_not_there(toy: Toy, tmp_path: Path, weights: str) -> None:
    (tmp_path / "empty").mkdir()
    line = toy.finetune(tmp_path / "run", "--weights", str(tmp_path / weights))
    refuse(*line, code=1, says=(f"weights '{tmp_path / weights}'",))
    assert not (tmp_path / "run").exists()


def next_of(toy: Toy, folder: Path, *more: str) -> str:
    """What is said at the end of a finetuning whose validation list lies in `folder`, from the first word on the list."""
    line = toy.finetune(folder / "run", "--val-list", str(folder / "val_split_1.txt"), "--overwrite", *more)
    said = succeed(*line, "--set", "finetune.epochs=1").stderr.splitlines(keepends=True)
    return "".join(text for text in said if text.startswith(("best.pt", "next: ")))


def test_finetune__next_command_measures_without_bias(toy: Toy, tmp_path: Path) -> None:
    """The list that chose nothing: of the test, else with the last epoch; and it runs as it is printed."""
    for source, name in ((toy.val_list, "val_split_1.txt"), (toy.val_list.with_name("classes.txt"), "classes.txt")):
        shutil.copy(source, tmp_path / name)
    run, val, test = tmp_path / "run", tmp_path / "val_split_1.txt", tmp_path / "test_split_1.txt"
    evaluate = f"next: vtdl evaluate --weights {{}} --list {{}} --root {toy.root} --out {run}/results\n"
    assert next_of(toy, tmp_path) == (
        f"best.pt was chosen on '{val}', and there is no test list beside it; last.pt was not chosen\n"
        + evaluate.format(run / "checkpoints/last.pt", val)
    )
    assert next_of(toy, tmp_path, "--set", "finetune.validate_every=0") == evaluate.format(run, val)
    test.write_text("\n".join(toy.train_list.read_text().splitlines()[:6]) + "\n")
    said = next_of(toy, tmp_path)
    assert said == evaluate.format(run, test)
    (words,) = next_commands(said)
    assert not json.loads(succeed(*words, "--json", "--quiet").stdout)["selected_on_this_list"]


def test_finetune__dry_run_writes_nothing(toy: Toy, pretrained: Path, tmp_path: Path) -> None:
    result = succeed(*toy.finetune(tmp_path / "run", "--weights", str(pretrained), "--dry-run", "--json"))
    assert json.loads(result.stdout)["val_videos"] == 6
    assert list(tmp_path.iterdir()) == []


def test_finetune__logs_the_lr_that_was_used(toy: Toy, tmp_path: Path) -> None:
    """Oracle: half a cosine by hand: 2 epochs of 3 steps, whose last steps begin after 2/3 and 5/3 epochs; the same
    where a run stops after its first epoch and resumes.
    """
    cosine = ("--set", "finetune.schedule={name: cosine}")
    expected = [1e-2 * (1 + math.cos(math.pi * done / 2)) / 2 for done in (2 / 3, 5 / 3)]
    succeed(*toy.finetune(tmp_path / "run", *cosine))
    assert [row["lr"] for row in rows(tmp_path / "run")] == pytest.approx(expected)
    step = ("--set", "finetune.schedule={name: step, milestones: [1], factor: 0.1}")
    succeed(*toy.finetune(tmp_path / "step", *step, "--set", "finetune.epochs=1"))
    succeed(*toy.finetune(tmp_path / "step", *step, "--resume"))
    assert [row["lr"] for row in rows(tmp_path / "step")] == pytest.approx([1e-2, 1e-3])


@pytest.mark.parametrize("epochs", [1, 2])
def test_finetune__a_last_batch_of_one_video(toy: Toy, tmp_path: Path, epochs: int) -> None:
    """12 videos in batches of 11, seen in 16 pixels: the last map is one position, which has no spread."""
    small = ("data.crop_size=16", "finetune.batch_size=11", f"finetune.epochs={epochs}")
    result = succeed(*toy.finetune(tmp_path / "run", *(word for text in small for word in ("--set", text))))
    assert result.stderr.count("batch norm has a single video to normalise over") == 1
    assert "Another finetune.batch_size avoids that" in result.stderr
    model = last_of(tmp_path / "run")
    assert all(values.isfinite().all() for values in model.values())
    assert model["backbone.stem.1.num_batches_tracked"] == 2 * epochs  # whose map is larger
    assert model["backbone.layer4.0.conv1.1.num_batches_tracked"] == epochs


# ---- without a validation list


def test_finetune__without_a_validation_list(toy: Toy, tmp_path: Path) -> None:
    """The last epoch is the result, and no list selected it; a resumed run does not take a list up midway."""
    line = ["finetune", "--preset", str(toy.preset), "--train-list", str(toy.train_list), "--root", str(toy.root)]
    line += ["--out", str(tmp_path / "run"), "--device", "cpu", "--workers", "0"]
    result = succeed(*line)
    assert "no --val-list: nothing was validated" in result.stderr
    assert files_in(tmp_path / "run") == RUN_FILES
    assert all("val_top1" not in row for row in rows(tmp_path / "run"))
    evaluated = succeed(*toy.evaluate(tmp_path / "run", tmp_path / "results", "--json", "--quiet"))
    assert json.loads(evaluated.stdout)["selected_on_this_list"] is False
    answer = json.loads(succeed(*line, "--resume", "--set", "finetune.epochs=3", "--json", "--quiet").stdout)
    assert (answer["val_videos"], answer["best"], answer["last"]) == (0, {}, {})
    more = ("--val-list", str(toy.val_list), "--resume")
    refuse(*line, *more, code=1, says=("cannot resume: the validation list is another: its sha256 was 'None'",))
    succeed("report", str(tmp_path / "run"), "--out", str(tmp_path / "report.html"))


def test_finetune__warns_of_recordings_in_both_lists(toy: Toy, tmp_path: Path) -> None:
    """By names such as UCF101's. Oracle: by hand: one group of the five is in both lists; then none."""
    clips = {"train": ["g01_c01", "g01_c02", "g02_c01", "g03_c01"], "val": ["g01_c03", "g04_c01", "g05_c01"]}
    for name, ends in clips.items():
        rows_ = [f"v_{end}.mp4 {index % 3} 24" for index, end in enumerate(ends)]
        write_list(tmp_path / name, rows_)
        for end in ends:
            shutil.copy(toy.root / "red/red_0.mp4", tmp_path / f"v_{end}.mp4")
    line = toy.finetune(tmp_path / "run", "--train-list", str(tmp_path / "train/list.txt"), "--root", str(tmp_path))
    line += ["--val-list", str(tmp_path / "val/list.txt"), "--dry-run"]
    said = succeed(*line).stderr
    assert "warning: 1 recording seems to have clips in both" in said
    assert "the first is 'v_g01'. If so, validation is optimistic" in said
    (tmp_path / "val/list.txt").write_text("v_g04_c01.mp4 0 24\nv_g05_c01.mp4 1 24\n")
    assert "recordings" not in succeed(*line).stderr


def test_finetune__warns_of_videos_in_both_lists(toy: Toy, finetuned: Path, tmp_path: Path) -> None:
    """Whoever evaluates on what was trained on is warned as well."""
    said = succeed(*toy.finetune(tmp_path / "run", "--val-list", str(toy.train_list), "--dry-run")).stderr
    assert f"warning: 12 videos are in both lists, '{toy.train_list}' and '{toy.train_list}'; the first is" in said
    line = toy.evaluate(finetuned, tmp_path / "results", "--dry-run")
    assert "were trained on list" not in succeed(*line).stderr
    said = succeed(*line, "--list", str(toy.train_list)).stderr
    assert f"were trained on list '{toy.train_list}': this accuracy says nothing of other videos" in said


@pytest.mark.parametrize("setting", ["pretrain.epochs=3", "method.tca.alpha=0.1"])
def test_finetune__refuses_a_setting_of_pretraining(toy: Toy, tmp_path: Path, setting: str) -> None:
    """It would be kept in the checkpoint as if it had been trained with."""
    says = (f"--set '{setting}' has no effect where nothing is pretrained. Leave it out",)
    refuse(*toy.finetune(tmp_path / "run", "--set", setting), code=2, says=says)
    assert not (tmp_path / "run").exists()
