"""`vtdl demo`, with few videos and one epoch of everything: that it runs, prints its results, and writes its outputs."""

import json
import shlex
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import h5py
import numpy as np
import pytest
from scipy import stats

from tests.toy import error_lines, files_in, refuse, rows, succeed, vtdl
from vtdl_cli.data.video import motion
from vtdl_cli.data.video.motion import CLASSES
from vtdl_cli.engine.ablation.measures import Measures
from vtdl_cli.engine.demo import demo, videos
from vtdl_cli.engine.demo.comparisons import DRAWS, STEPS
from vtdl_cli.errors import Interrupted

PER_CLASS, TEST_PER_CLASS, NUM_DRAWS = 16, 4, 2
NETWORKS = ["scratch", "scratch-equal-time", "pretrained"]
PROTOCOLS = ("clip@1", "video@10")
SMALL = ("--videos", str(PER_CLASS), "--set", "pretrain.epochs=1", "--set", "finetune.epochs=1", "--set",
         "pretrain.schedule.warmup_epochs=0", "--set", "data.crop_size=16", "--set", "data.short_side=18",
         "--workers", "0", "--jobs", "1")  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def few_draws() -> Any:
    """Two draws of labels for finetuning and two for the probe, to save time."""
    with pytest.MonkeyPatch.context() as patch:
        measures = replace(DRAWS.measures, draws=NUM_DRAWS, finetune_draws=NUM_DRAWS)
        patch.setattr(demo, "DRAWS", replace(DRAWS, measures=measures))
        yield


@pytest.fixture(scope="module")
def shown(
    tmp_path_factory: pytest.TempPathFactory,
    one_torch_thread: None,  # noqa: ARG001
    few_draws: None,  # noqa: ARG001
) -> tuple[Path, dict[str, Any]]:
    """The folder and the JSON of one demo; not to be changed."""
    out = tmp_path_factory.mktemp("demo") / "demo"
    return out, json.loads(succeed("demo", "--out", str(out), *SMALL, "--json").stdout)


def test_demo__each_draw_is_what_was_evaluated(shown: tuple[Path, dict[str, Any]]) -> None:
    """Oracle: the metrics.json of every draw, network and protocol."""
    out, result = shown
    assert json.loads((out / "demo.json").read_text()) == result
    assert list(result["rows"]) == NETWORKS
    for name in NETWORKS:
        for protocol in PROTOCOLS:
            found = result["results"]["0"][name][f"few_shot_finetuned_{protocol}"]
            files = [
                out / "cells" / "seed-0" / name / f"finetuning-draw-{draw}" / protocol / "metrics.json"
                for draw in range(NUM_DRAWS)
            ]
            written = [json.loads(file.read_text()) for file in files]
            assert [each["top1"] for each in written] == found
            assert {each["protocol"] for each in written} == {protocol}
            assert not any(each["selected_on_this_list"] for each in written)
    assert (result["pretraining_videos"], result["test_videos"], result["labelled_videos"]) == (96, 32, 8)
    assert result["chance"] == 100 / len(CLASSES)


def test_demo__estimates_and_verdict_are_over_draws(shown: tuple[Path, dict[str, Any]]) -> None:
    """Oracle: NumPy's mean, and scipy's interval of the paired t test."""
    _, result = shown
    by_row = {name: result["results"]["0"][name] for name in NETWORKS}
    for metric in ("few_shot_linear_top1", "few_shot_finetuned_clip@1", "few_shot_finetuned_video@10"):
        for name in NETWORKS[:: 2 if "linear" in metric else 1]:
            values = by_row[name][metric]
            assert len(values) == NUM_DRAWS
            assert result["estimates"][metric][name]["mean"] == pytest.approx(np.mean(values))
    assert result["estimates"]["knn@1"]["scratch"] == {"mean": by_row["scratch"]["knn@1"][0], "interval": None}
    assert "scratch-equal-time" not in result["estimates"]["knn@1"]  # its features are as random as those of scratch
    pair = [by_row[name]["few_shot_finetuned_video@10"] for name in ("pretrained", "scratch-equal-time")]
    [difference] = result["differences"]["few_shot_finetuned_video@10"].values()
    assert difference["mean"] == pytest.approx(np.mean(np.subtract(*pair)))
    if np.ptp(np.subtract(*pair)):
        interval = stats.ttest_rel(*pair).confidence_interval(0.95)
        assert difference["interval"] == pytest.approx([interval.low, interval.high])
    assert result["verdict"][0].startswith("finetuned, 10 clips: pretrained is ")
    assert f"{NUM_DRAWS} draws of labels" in result["verdict"][0]


def test_demo__labelled_videos_are_training_videos_and_no_test_videos(shown: tuple[Path, dict[str, Any]]) -> None:
    out, result = shown
    lists = out / "lists" / "seed-0"
    train, test = (
        {line.split()[0] for line in (lists / f"{name}_split_1.txt").read_text().splitlines()}
        for name in ("train", "val")
    )
    drawn = [(out / "cells" / "draws" / f"draw-{draw}.csv").read_text().splitlines()[1:] for draw in range(NUM_DRAWS)]
    assert drawn[0] != drawn[1]
    for lines in drawn:
        assert {line.split(",")[0] for line in lines} < train
        assert len(lines) == result["labelled_videos"]
    assert not train & test


def test_demo__equal_time_is_pretrainings_and_finetunings(shown: tuple[Path, dict[str, Any]]) -> None:
    """Oracle: the epochs that fit into the logged seconds of pretraining, at the fastest and at the slowest pace.

    Which finetunings are done when they are counted depends on the machine. Each has one epoch, as pretraining has.
    """
    out, result = shown
    cells = out / "cells" / "seed-0"
    [pretraining] = (row["seconds"] for row in rows(cells / "pretrained" / "pretraining"))
    finetunings = [run for row in ("scratch", "pretrained") for run in (cells / row).glob("finetuning-draw-*/")]
    paces = [row["seconds"] for run in finetunings for row in rows(run)]
    least, most = (1 + pretraining / pace for pace in (max(paces), min(paces)))
    longer = [len(rows(cells / "scratch-equal-time" / f"finetuning-draw-{draw}")) for draw in range(NUM_DRAWS)]
    assert len(set(longer)) == 1
    assert round(least) <= longer[0] <= round(most)
    assert result["results"]["0"]["scratch-equal-time"]["few_shot_finetuning_epochs"] == longer
    assert result["training_seconds"]["pretrained"] > pretraining


def test_demo__pictures_and_features(shown: tuple[Path, dict[str, Any]]) -> None:
    _, result = shown
    assert [Path(picture).name for picture in result["pictures"]] == ["results.png", "curves.png", "triplet.png"]
    assert all(Path(picture).read_bytes().startswith(b"\x89PNG") for picture in result["pictures"])
    with h5py.File(result["files"]["val_features"]) as file:
        assert file["features"].shape == (TEST_PER_CLASS * len(CLASSES), 64)


def test_demo__second_run_is_refused_and_a_resumed_one_changes_no_weights(
    shown: tuple[Path, dict[str, Any]],
) -> None:
    out, before = shown
    files = files_in(out)
    weights = {path: path.stat().st_mtime_ns for path in out.rglob("*.pt")}
    assert weights
    refuse("demo", "--out", str(out), *SMALL, code=2, says=("is not empty. Use --resume to continue",))
    after = json.loads(succeed("demo", "--out", str(out), *SMALL, "--resume", "--json").stdout)
    assert {path: path.stat().st_mtime_ns for path in weights} == weights
    assert files_in(out) == files
    assert {**after, "seconds": 0} == {**before, "seconds": 0}


@pytest.fixture(scope="module")
def text(shown: tuple[Path, object]) -> str:
    """What people see at the end of the demo."""
    return succeed("demo", "--out", str(shown[0]), *SMALL, "--resume", "--quiet").stdout


def test_demo__table_for_people(text: str) -> None:
    for words in (
        "top-1 in % on 32 test videos; few-shot: 8 labelled of 96; mean ± half of its 95% interval",
        "scratch-equal-time",
        "Chance: 12.5%",
        "s since it was resumed",
        "intervals cover the choice of labels only",
        "results.png",
        "vtdl prepare-lists",
    ):
        assert words in " ".join(text.split())


@pytest.mark.parametrize(("more", "names"), [((), NETWORKS), (("--ablation",), [row.name for row in STEPS.rows])])
def test_demo__dry_run_leaves_nothing(more: tuple[str, ...], names: list[str], tmp_path: Path) -> None:
    plan = json.loads(succeed("demo", "--out", str(tmp_path / "demo"), "--dry-run", "--json", *more).stdout)
    assert (plan["videos"], plan["chance"]) == (672, 12.5)
    assert list(plan["rows"]) == names
    assert not (tmp_path / "demo").exists()


def test_demo__too_few_videos(tmp_path: Path) -> None:
    result = vtdl("demo", "--out", str(tmp_path / "demo"), "--videos", "3")
    assert result.exit_code == 2
    assert "--videos" in error_lines(result)[0]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--seed", "1"), "was begun with seed '0', now it is '1'"),
        (("--ablation",), "was begun with ablation 'False', now it is 'True'"),
        (("--videos", "17"), "was begun with videos '16', now it is '17'"),
        (("--set", "pretrain.epochs=2"), "was begun with pretrain.epochs '1', now it is '2'"),
    ],
)
def test_demo__refuses_to_resume_with_something_else(
    more: tuple[str, ...], says: str, shown: tuple[Path, object]
) -> None:
    refuse("demo", "--out", str(shown[0]), *SMALL, *more, "--resume", "--quiet", code=2, says=(says,))


@pytest.mark.parametrize("how", ["--resume", "--overwrite"])
def test_demo__refuses_a_folder_of_something_else(how: str, tmp_path: Path) -> None:
    """Nobody's videos and lists are taken for those of a demo."""
    for name in ("videos/wave/mine.mp4", "lists/mine.txt"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("mine")
    says = f"folder '{tmp_path}' is not empty, and holds no demo. Choose another --out"
    refuse("demo", "--out", str(tmp_path), *SMALL, how, code=2, says=(says,))
    assert files_in(tmp_path) == {"videos/wave/mine.mp4", "lists/mine.txt"}


def test_remove_old__deletes_what_a_demo_wrote_and_no_more(tmp_path: Path) -> None:
    made = {"videos/seed-0/a/1.mp4", "lists/seed-0/train.txt", "cells/seed-0/scratch/probes.json", "cells/epochs.json",
            "cells/draws/draw-0.csv", "cells/pace-scratch/last.pt", "demo.json", "triplet.png"}  # fmt: skip
    others = {"videos/mine.mp4", "cells/mine.tif", "notes.txt"}
    for name in made | others:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("text")
    demo.remove_old(tmp_path)
    assert files_in(tmp_path) == others
    assert {path.name for path in tmp_path.iterdir()} == {"videos", "cells", "notes.txt", "lists"}


@pytest.mark.parametrize("content", ["[]", "null", "{", ""])
def test_demo__refuses_a_damaged_folder(content: str, tmp_path: Path) -> None:
    (tmp_path / "videos.json").write_text(content)
    says = f"file '{tmp_path}/videos.json' is damaged. Choose another --out, or remove it and use"
    refuse("demo", "--out", str(tmp_path), *SMALL, "--resume", code=2, says=(says,))


@pytest.mark.parametrize("how", ["--resume", "--overwrite"])
def test_demo__refuses_a_folder_of_an_earlier_version(how: str, tmp_path: Path) -> None:
    (tmp_path / "videos.json").write_text('{"seed": 0, "videos_per_class": 84}\n')
    says = "holds a demo of an earlier version, which had other folders. Choose another --out"
    refuse("demo", "--out", str(tmp_path), *SMALL, how, code=2, says=(says,))
    assert files_in(tmp_path) == {"videos.json"}


def test_demo__stopped_while_videos_are_generated_keeps_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = motion.write_videos

    def interrupted(*arguments: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        write(*arguments)

    monkeypatch.setattr(videos, "write_videos", interrupted)
    result = vtdl("demo", "--out", str(tmp_path / "demo"), *SMALL)
    assert result.exit_code == 75
    assert "SIGINT while videos were generated. Resume with --resume" in result.stderr
    assert not (tmp_path / "demo" / "videos" / "seed-0").exists()


def test_demo__next_commands_run_with_its_own_settings(shown: tuple[Path, dict[str, Any]], text: str) -> None:
    _, result = shown
    commands = [shlex.split(line)[1:] for line in text.splitlines() if line.startswith("vtdl ")]
    finetune, probe, _ = commands
    assert finetune[:3] == ["finetune", "--preset", f"{result['files']['pretraining']}/config.yaml"]
    succeed(*finetune, "--dry-run")
    succeed(*probe)


@pytest.mark.slow
def test_demo__ablation_has_videos_for_each_seed_and_tests_the_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two rows and two seeds of it, with one clip."""
    measures = Measures(draws=1, finetune_draws=1, clips=(1,))
    metrics = ("few_shot_linear_top1", "few_shot_finetuned_clip@1")
    few = replace(
        STEPS,
        rows=[row for row in STEPS.rows if row.name in ("scratch", "moco")],
        num_seeds=2,
        measures=measures,
        columns={metric: metric for metric in metrics},
        tested=metrics,
        pairs=STEPS.pairs[:1],
    )
    monkeypatch.setattr(demo, "STEPS", few)
    out = tmp_path / "demo"
    more = ("--set", "model.width=4", "--quiet")
    shown = succeed("demo", "--ablation", "--out", str(out), *SMALL, *more).stdout
    assert "mean ± half of its 95% interval over 2 seeds" in " ".join(shown.split())
    assert "scratch < moco: " in shown
    assert "(paired t over 2 seeds, 5% after Holm's correction for 2 comparisons)" in shown
    first, second = (next((out / "videos" / f"seed-{seed}").rglob("still_000.mp4")).read_bytes() for seed in (0, 1))
    assert first != second
    result = json.loads((out / "demo.json").read_text())
    found = [result["results"][seed]["moco"]["few_shot_linear_top1"][0] for seed in ("0", "1")]
    assert result["estimates"]["few_shot_linear_top1"]["moco"]["mean"] == pytest.approx(np.mean(found))


def test_demo__jobs_are_those_asked_for_or_one_for_each_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What they compute is tested with `ablate`."""
    started, run = Mock(), Mock(side_effect=Interrupted("here"))
    monkeypatch.setattr(demo, "start_server", started)
    monkeypatch.setattr(demo, "run_grid", run)
    monkeypatch.setattr(demo, "available_cores", lambda: 64)
    for number, (more, jobs) in enumerate(((["--jobs", "3"], 3), ([], 4))):
        typed = ["demo", "--out", str(tmp_path / str(number)), *SMALL[:-2], *more, "--quiet"]
        refuse(*typed, code=75, says=("here",))
        assert started.call_args.args == (jobs,)
        assert run.call_args.args[1] == jobs
