"""`vtdl ablate --jobs 2`: the same numbers as one part after another, also when it is stopped, killed and resumed."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.engine.ablation.typed import MOCO, SCRATCH, table, words
from tests.toy import Toy, differences, files_in, load, refuse, rows, start, stop_when, succeed
from vtdl_cli.engine.ablation import cell as cells

JOBS = ("--jobs", "2", "--finetune-draws", "1")


def weights(out: Path) -> dict[str, Any]:
    """The networks of all runs of an ablation."""
    return {str(file.relative_to(out)): load(file)["model"] for file in sorted(out.rglob("last.pt"))}


def logged_epochs(out: Path) -> int:
    """Of all runs so far."""
    return sum(len(file.read_text().splitlines()) for file in out.rglob("metrics.jsonl"))


@pytest.mark.slow
def test_ablate__two_jobs_give_the_bits_of_one(done: tuple[Path, dict[str, Any]], toy: Toy, tmp_path: Path) -> None:
    """Oracle: the same ablation part by part, on the same number of threads."""
    out = tmp_path / "out"
    shown = succeed(*words(toy, out, *JOBS))
    assert table(out) == table(done[0])
    assert differences(weights(out), weights(done[0])) == []
    assert len(weights(out)) == 6  # two seeds of one pretraining and two finetunings
    ours, theirs = ({name for name in files_in(each) if "tfevents" not in name} for each in (out, done[0]))
    assert ours == theirs
    result = json.loads((out / "ablation.json").read_text())
    assert result["differences"] == done[1]["differences"]
    lines = shown.stderr.splitlines()
    assert "10 of 10 parts are left: 2 at a time; threads of each: 1, workers: 0" in lines
    assert [line.split()[0] for line in lines if "seed" in line and line[0].isdigit()] == [
        f"{n}/10" for n in range(1, 11)
    ]


@pytest.mark.slow
def test_ablate__two_jobs_stopped_killed_and_resumed(
    done: tuple[Path, dict[str, Any]], toy: Toy, tmp_path: Path
) -> None:
    """Ctrl-C, as a terminal sends it, to all processes; then signal 9 to the first; a child alive would hold its lock."""
    out, typed = tmp_path / "out", words(toy, tmp_path / "out", *JOBS)
    pretraining = out / "cells" / "seed-0" / MOCO / "pretraining" / "metrics.jsonl"
    code, stderr = stop_when(start(*typed, "--quiet"), pretraining.exists, signal.SIGINT, group=True)
    assert code == 75, stderr
    [error] = (line for line in stderr.splitlines() if not line.startswith("warning: "))
    assert error.startswith("error: SIGINT during ")
    assert error.endswith(": saved. Resume with --resume")
    parts = out.glob("cells/seed-*/*/*.json")
    finished = {part: part.stat().st_mtime_ns for part in parts if json.loads(part.read_text())["results"]}
    assert finished
    before = logged_epochs(out)
    code, stderr = stop_when(start(*typed, "--quiet", "--resume"), lambda: logged_epochs(out) > before, signal.SIGKILL)
    assert code == -9, stderr
    succeed(*typed, "--resume")
    assert {part: part.stat().st_mtime_ns for part in finished} == finished
    assert table(out) == table(done[0])
    assert differences(weights(out), weights(done[0])) == []


@pytest.mark.slow
def test_ablate__a_row_that_fails_beside_others_is_named(toy: Toy, tmp_path: Path) -> None:
    file, out = tmp_path / "rows.yaml", tmp_path / "out"
    file.write_text("wild: [pretrain.optimizer.lr=1.0e+30]\n")
    typed = words(toy, out, *JOBS, "--rows", f"{SCRATCH},{file}", "--quiet")
    shown = refuse(*typed, code=1, says=("wild, seed 0: pretraining: loss 'nan' is not finite at step 3",))
    assert len([line for line in shown.stderr.splitlines() if line.startswith("error: ")]) == 1
    assert {row for row, *_ in table(out)} <= {SCRATCH}
    succeed(*words(toy, out, *JOBS, "--rows", SCRATCH, "--seeds", "1", "--resume"))


@pytest.mark.slow
def test_ablate__two_jobs_measure_a_time_once(toy: Toy, tmp_path: Path) -> None:
    """How many epochs depends on the machine's pace: what was measured is what both seeds train."""
    out = tmp_path / "out"
    more = ("--rows", "scratch-equal-time,tca", "--per-class", "1", "--draws", "1")
    result = json.loads(succeed(*words(toy, out, *more, *JOBS, "--json")).stdout)
    [epochs] = json.loads((out / "cells" / "epochs.json").read_text())["scratch-equal-time"].values()
    runs = [out / "cells" / f"seed-{seed}" / "scratch-equal-time" / "finetuning-draw-0" for seed in (0, 1)]
    assert [len(rows(run)) for run in runs] == [epochs] * 2
    trained = [result["results"][seed]["scratch-equal-time"]["few_shot_finetuning_epochs"] for seed in ("0", "1")]
    assert trained == [epochs] * 2


def test_ablate__stopped_while_it_evaluates_is_resumable(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An evaluation saves nothing, and ends as by Ctrl-C; what was computed before is kept all the same."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cells, "measure_top1", interrupt)
    says = "interrupted in scratch, seed 0: finetuning-draw-0: what was done before is saved. Resume with --resume"
    refuse(*words(toy, tmp_path / "out", "--finetune-draws", "1", "--quiet"), code=75, says=(says,))
    assert {row for row, *_ in table(tmp_path / "out")} == set()
