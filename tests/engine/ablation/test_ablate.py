"""`vtdl ablate` on generated videos: two rows, two seeds; stopped, resumed, refused."""

import json
import re
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.engine.ablation.typed import MOCO, SCRATCH, table, words
from tests.toy import NUM_VAL, Toy, files_in, refuse, rows, succeed, vtdl
from vtdl_cli.engine.ablation import cell as cells
from vtdl_cli.engine.ablation import equal_time


def test_ablate__results(done: tuple[Path, dict[str, Any]]) -> None:
    out, result = done
    assert json.loads((out / "ablation.json").read_text()) == result
    assert (out / "ablation.png").read_bytes().startswith(b"\x89PNG")
    metrics = ["knn@1", "linear_top1", "few_shot_linear_top1", "few_shot_finetuned_top1"]
    assert list(result["estimates"]) == list(result["differences"]) == metrics
    assert "4 comparisons" in result["verdict"]
    assert result["against"] == MOCO
    values = table(out)
    for metric in metrics:
        of_row = {row: [values[row, seed, metric] for seed in ("0", "1")] for row in (SCRATCH, MOCO)}
        assert result["estimates"][metric][SCRATCH]["mean"] == pytest.approx(sum(of_row[SCRATCH]) / 2)
        apart = [ours - theirs for ours, theirs in zip(of_row[SCRATCH], of_row[MOCO], strict=True)]
        assert result["differences"][metric][SCRATCH]["mean"] == pytest.approx(sum(apart) / 2)
        if metric.startswith("knn"):
            assert all(value * NUM_VAL / 100 == pytest.approx(round(value * NUM_VAL / 100)) for value in apart)


def test_ablate__each_cell_is_what_the_commands_give(
    done: tuple[Path, dict[str, Any]], toy: Toy, tmp_path: Path
) -> None:
    """Oracle: pretrain, extract and probe typed one by one, with the seed and draws 2 and 3 of seed 1."""
    out, _ = done
    changed = ("--set", "method.intra_video_negative=false", "--set", "method.tca.alpha=0", "--seed", "1")
    succeed(*toy.pretrain(tmp_path / "run", *changed))
    ours, theirs = (rows(run) for run in (out / "cells" / "seed-1" / MOCO / "pretraining", tmp_path / "run"))
    assert [row["loss"] for row in ours] == [row["loss"] for row in theirs]
    for name in ("train", "val"):
        lists = ["--list", str(toy.train_list.with_name(f"{name}.txt")), "--root", str(toy.root), "--workers", "0"]
        succeed("extract", "--weights", str(tmp_path / "run"), *lists, "--out", str(tmp_path / f"{name}.h5"))
    files = ["--train", str(tmp_path / "train.h5"), "--test", str(tmp_path / "val.h5")]
    few = ["--per-class", "2", "--repeats", "2", "--seed", "2"]
    probed = json.loads(succeed("probe", *files, *few, "--json").stdout)
    values = table(out)
    assert values[MOCO, "1", "knn@1"] == probed["knn@1"]
    assert values[MOCO, "1", "few_shot_linear_top1"] == probed["per_class"]["2"]["linear_top1"]["mean"]
    draws = json.loads((out / "ablation.json").read_text())["draws"]["1"][MOCO]
    assert draws["few_shot_linear_top1"] == probed["per_class"]["2"]["linear_top1"]["draws"]
    assert len(draws["few_shot_linear_top1"]) == 2


def test_ablate__rows_of_a_seed_share_the_draws_of_labels(done: tuple[Path, dict[str, Any]]) -> None:
    for seed in (0, 1):
        configs = [done[0] / "cells" / f"seed-{seed}" / row / "finetuning-draw-0.json" for row in (SCRATCH, MOCO)]
        settings = [json.loads(file.read_text())["settings"] for file in configs]
        assert settings[0] == settings[1]
    lists = [done[0] / "cells" / "draws" / f"draw-{draw}.csv" for draw in (0, 2)]
    assert [len(file.read_text().splitlines()) for file in lists] == [7, 7]  # a header, two of three classes
    assert lists[0].read_text() != lists[1].read_text()


def test_ablate__stopped_and_resumed_repeats_nothing(
    done: tuple[Path, dict[str, Any]], toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal at the probes of the second cell, then no memory for its finetuning."""
    out, computed = tmp_path / "out", list[str]()
    failures: dict[tuple[str, int], Callable[[], None]] = {("probe", 2): partial(signal.raise_signal, signal.SIGTERM)}

    def counting(name: str) -> Callable[..., Any]:
        compute = getattr(cells, name)

        def count(*arguments: Any, **options: Any) -> Any:
            computed.append(name)
            failures.get((name, computed.count(name)), lambda: None)()
            return compute(*arguments, **options)

        return count

    def full() -> None:
        raise MemoryError

    for name in ("pretrain", "probe", "finetune"):
        monkeypatch.setattr(cells, name, counting(name))
    typed = words(toy, out, "--finetune-draws", "1", "--seeds", "1")
    stopped = vtdl(*typed)
    assert stopped.exit_code == 75
    assert "SIGTERM after moco, seed 0: probes: saved. Resume with --resume" in stopped.stderr
    partial_table = table(out)
    assert {row for row, _, _ in partial_table} == {SCRATCH}
    planned = 2  # finetunings, and one pretraining: the check at the start plans them
    failures[("finetune", planned + 1)] = full
    computed.clear()
    assert vtdl(*typed, "--resume").exit_code == 1
    assert computed == ["finetune", "finetune", "pretrain", "finetune"]
    failures.clear()
    computed.clear()
    succeed(*typed, "--resume")
    assert computed == ["finetune", "finetune", "pretrain", "finetune"]
    whole = {key: value for key, value in table(done[0]).items() if key[1] == "0"}
    assert table(out) == whole
    assert partial_table.items() < whole.items()


def test_ablate__resumed_when_finished_changes_nothing_and_takes_more_rows(
    done: tuple[Path, dict[str, Any]], toy: Toy, tmp_path: Path
) -> None:
    refuse(*words(toy, done[0]), code=2, says=("is not empty. Use --resume",))
    before = {name: (done[0] / name).stat().st_mtime_ns for name in files_in(done[0]) if name.endswith(".pt")}
    shown = succeed(*words(toy, done[0], "--finetune-draws", "1", "--resume", "--quiet")).stdout
    assert {name: (done[0] / name).stat().st_mtime_ns for name in before} == before
    for text in ("few-shot linear probe", "No difference to 'moco'", "training, mean over seeds", "ablation.png"):
        assert text in shown
    more = words(toy, done[0], "--rows", "moco,tca", "--seeds", "3", "--resume", "--dry-run", "--json")
    plan = json.loads(succeed(*more).stdout)
    assert (plan["cells"], plan["cells_done"], plan["pretraining_steps_left"]) == (6, 2, 4 * 6)
    assert plan["pretraining_hours_left"] > 0
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--set", "pretrain.optimizer.lr=0.002"), "was begun with pretrain.optimizer.lr '0.001', now it is '0.002'"),
        (("--draws", "3"), "was begun with draws '2', now it is '3'"),
        (("--set", "extract.clips=1"), "was begun with extract.clips '2', now it is '1'"),
    ],
)
def test_ablate__refuses_to_resume_with_other_settings(
    more: tuple[str, ...], says: str, done: tuple[Path, dict[str, Any]], toy: Toy
) -> None:
    refuse(*words(toy, done[0], *more, "--resume"), code=2, says=(says,))


def test_ablate__equal_time_row_and_lists_of_each_seed(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The epochs are measured in the first seed and kept for the others, whose videos are others.

    Oracle: 2 epochs of 3 s take as long as 3 epochs of 2 s, if the first of those, which includes start-up, is left out.
    """
    seconds = {"tca/pretraining": [3.0, 3.0], "cells/pace-moco-equal-time-pretraining": [9.0, 2.0]}
    monkeypatch.setattr(equal_time, "epoch_seconds", lambda run: seconds.get("/".join(run.parts[-2:]), []))
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "classes.txt").write_text((toy.train_list.parent / "classes.txt").read_text())
    lines = toy.train_list.read_text().splitlines(keepends=True)
    for seed, left_out in ((0, 0), (1, 1)):
        (lists / f"train-{seed}.txt").write_text("".join(lines[:left_out] + lines[left_out + 1 :]))
    options = ["--rows", "moco-equal-time,tca", "--train-list", str(lists / "train-{seed}.txt")]
    out = tmp_path / "out"
    result = json.loads(succeed(*words(toy, out), *options, "--per-class", "1", "--draws", "1", "--json").stdout)
    of_row = [result["results"][seed]["moco-equal-time"]["pretraining_epochs"] for seed in ("0", "1")]
    assert of_row == [3, 3]
    assert len(rows(out / "cells" / "seed-1" / "moco-equal-time" / "pretraining")) == 3
    used = [json.loads((out / "cells" / f"seed-{seed}" / "tca" / "probes.json").read_text()) for seed in (0, 1)]
    assert used[0]["settings"]["train_list_sha256"] != used[1]["settings"]["train_list_sha256"]
    assert not list((out / "cells").glob("pace-*"))


@pytest.mark.slow
def test_ablate__scratch_for_equal_time_finetunes_longer_and_is_probed_once(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its finetunings take the time of the other row's pretraining and finetuning, at the pace of such finetunings.

    Oracle: 2 epochs of 3 s and 2 of 1 s are 8 s, in which 8 of 1 s fit, for both draws; no epoch is timed apart. 1 s is
    the median over the row's first finetuning, slower than most for a moment, and those of another row from scratch but
    for one that has just begun.
    """
    seconds = {
        "tca/pretraining": [3.0, 3.0],
        "tca/finetuning-draw-0": [1.0, 5.0],
        "scratch/finetuning-draw-0": [9.0],
        "scratch/finetuning-draw-1": [1.0, 1.0],
    }
    monkeypatch.setattr(equal_time, "epoch_seconds", lambda run: seconds.get("/".join(run.parts[-2:]), []))
    monkeypatch.delattr(equal_time, "finetune")
    out = tmp_path / "out"
    typed = words(toy, out, "--rows", "scratch,scratch-equal-time,tca", "--seeds", "1", "--finetune-draws", "2")
    result = json.loads(succeed(*typed, "--json").stdout)
    row, folder = result["results"]["0"]["scratch-equal-time"], out / "cells" / "seed-0" / "scratch-equal-time"
    assert [len(rows(folder / f"finetuning-draw-{draw}")) for draw in (0, 1)] == [8, 8]
    assert row.keys() == {"few_shot_finetuned_top1", "few_shot_finetuning_epochs", "few_shot_finetuning_seconds"}
    assert row["few_shot_finetuning_epochs"] == 8
    assert result["estimates"]["knn@1"].keys() == {"scratch", "tca"}
    assert result["estimates"]["few_shot_finetuned_top1"].keys() == {"scratch", "scratch-equal-time", "tca"}
    assert len(result["draws"]["0"]["tca"]["few_shot_finetuned_top1"]) == 2
    epochs = out / "cells" / "epochs.json"
    assert json.loads(epochs.read_text()) == {"scratch-equal-time": {"few-shot finetuning": 8}}
    shown = succeed(*typed, "--resume", "--quiet").stdout
    assert re.search(r"scratch-equal-time[\s│]+8 epochs, \d+ s", shown)


@pytest.mark.slow
def test_ablate__scratch_of_other_settings_is_timed(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: 2 epochs of 3 s, 2 of 1 s, and 4 of 2 s in the pilot, the first of 9 s left out: 8 s are 4 epochs."""
    seconds = {
        "tca/pretraining": [3.0, 3.0],
        "tca/finetuning": [1.0, 1.0],
        "cells/pace-longer-finetuning": [9.0, 2.0, 2.0, 2.0],
    }
    monkeypatch.setattr(equal_time, "epoch_seconds", lambda run: seconds.get("/".join(run.parts[-2:]), []))
    file, out = tmp_path / "rows.yaml", tmp_path / "out"
    file.write_text("longer: [scratch, finetune.augment=false, equal time as tca]\n")
    succeed(*words(toy, out, "--rows", f"{file},tca", "--seeds", "1", "--finetune"), "--json")
    assert len(rows(out / "cells" / "seed-0" / "longer" / "finetuning")) == 4
    assert not list((out / "cells").glob("pace-*"))


def test_measured_epochs__of_an_earlier_version(tmp_path: Path) -> None:
    file = tmp_path / "epochs.json"
    file.write_text('{"moco-equal-time": 3}')
    kept = equal_time.MeasuredEpochs(file)
    kept.keep("longer", "finetuning", 5)
    assert (kept.of("moco-equal-time"), kept.of("longer"), kept.of("tca")) == (
        {"pretraining": 3},
        {"finetuning": 5},
        {},
    )


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        (("--rows", "baseline,basic-augmentation"), 2, "are the same in everything that is measured"),
        (("--against", "tca"), 2, "--against 'tca' is not one of the rows scratch, moco"),
        (("--per-class", "5"), 2, "--per-class '5' exceeds the 4 videos of class"),
        (
            ("--set", "pretrain.batch_size=50", "--set", "method.queue.size=50"),
            2,
            "has 12 videos, less than one batch of 50",
        ),
        (("--finetune-draws", "3"), 2, "--finetune-draws '3' exceeds --draws 2"),
        (("--rows", "moco-equal-time"), 2, "which is not a row of --rows that pretrains"),
        (("--rows", "scratch-equal-time,tca"), 2, "to finetune, but nothing is finetuned. Add --finetune or"),
    ],
)
def test_ablate__refuses_before_anything_is_written(
    more: tuple[str, ...], code: int, says: str, toy: Toy, tmp_path: Path
) -> None:
    refuse(*words(toy, tmp_path / "out", *more), code=code, says=(says,))
    assert not (tmp_path / "out").exists()


def test_ablate__refuses_test_videos_among_the_training_videos(toy: Toy, tmp_path: Path) -> None:
    more = ("--val-list", str(toy.train_list))
    refuse(*words(toy, tmp_path / "out", *more), code=1, says=("shares 12 videos with",))


def test_ablate__overwrite_starts_over(toy: Toy, tmp_path: Path) -> None:
    out = tmp_path / "out"
    old = out / "cells" / "seed-0" / SCRATCH / "probes.json"
    old.parent.mkdir(parents=True)
    old.write_text("{}")
    refuse(*words(toy, out, "--resume"), code=1, says=(f"file '{old}' is damaged",))
    (out / "mine.txt").write_text("kept")
    (out / "cells" / "mine.tif").write_text("kept")
    few = ("--rows", SCRATCH, "--seeds", "1", "--overwrite", "--quiet")
    assert "One row: nothing to compare" in succeed(*words(toy, out, *few)).stdout
    assert json.loads(old.read_text())["results"]
    assert (out / "mine.txt").exists()
    assert (out / "cells" / "mine.tif").exists()
