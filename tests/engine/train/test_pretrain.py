"""Pretraining and what surrounds it, through the real command on generated videos."""

import csv
import hashlib
import json
import math
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.toy import (
    NUM_TRAIN,
    RUN_FILES,
    Toy,
    differences,
    error_lines,
    files_in,
    load,
    next_commands,
    refuse,
    rows,
    start,
    step_of,
    stop_when,
    succeed,
    vtdl,
    without_times,
)
from vtdl_cli.settings import load_config

METRICS = {
    "loss",
    "queue_age",
    "positive_logit",
    "queue_logit",
    "intra_video_negative_logit",
    "positive_probability",
    "queue_probability",
    "intra_video_negative_probability",
    "spread",
    "lr",
    "clips_per_second",
    "data_time_share",
    "skipped",
}


# ---- the run folder


def test_pretrain__writes_a_run_folder(pretrained: Path) -> None:
    assert files_in(pretrained) == {*RUN_FILES, "checkpoints/epoch_0002.pt"}
    assert (pretrained / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_pretrain__config_is_the_resolved_one(toy: Toy, pretrained: Path) -> None:
    expected = load_config(str(toy.preset), ["pretrain.knn_every=2", "pretrain.keep_every=2"])
    assert load_config(str(pretrained / "config.yaml")) == expected
    assert load(pretrained / "checkpoints/last.pt")["config"] == expected.to_dict()


def test_pretrain__metrics_of_every_epoch(pretrained: Path) -> None:
    """Oracle: definitions. 12 videos make 3 steps of 4; the shares of the softmax sum to 1."""
    table = rows(pretrained)
    assert [(row["epoch"], row["step"]) for row in table] == [(1, 3), (2, 6)]
    for row in table:
        assert set(row) >= METRICS
        assert all(math.isfinite(value) for value in row.values())
        shares = [row[f"{name}_probability"] for name in ("positive", "queue", "intra_video_negative")]
        assert sum(shares) == pytest.approx(1, abs=1e-5)
        assert abs(row["positive_logit"]) <= 1 / 0.07
        assert 0 <= row["data_time_share"] <= 1
        assert row["lr"] == 1e-3
        assert row["skipped"] == 0


def test_pretrain__knn_is_measured_when_due(pretrained: Path) -> None:
    assert ["knn_top1" in row for row in rows(pretrained)] == [False, True]
    assert 0 <= rows(pretrained)[1]["knn_top1"] <= 100


def test_pretrain__csv_equals_jsonl(pretrained: Path) -> None:
    with (pretrained / "metrics.csv").open() as file:
        table = [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]
    assert table == rows(pretrained)


def test_pretrain__tensorboard_has_the_same_numbers(pretrained: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(pretrained))
    events.Reload()
    read = {event.step: event.value for event in events.Scalars("loss")}
    assert read == pytest.approx({row["step"]: row["loss"] for row in rows(pretrained)})


def test_pretrain__kept_epoch_equals_the_last(pretrained: Path) -> None:
    folder = pretrained / "checkpoints"
    assert differences(load(folder / "epoch_0002.pt"), load(folder / "last.pt")) == []


def test_pretrain__checkpoint_has_its_provenance(toy: Toy, pretrained: Path) -> None:
    content = load(pretrained / "checkpoints/last.pt")
    assert (content["stage"], content["step"], content["epoch"], content["seed"]) == ("pretrain", 6, 2.0, 0)
    assert content["classes"] == ["blue", "green", "red"]
    assert content["versions"]["torch"] == torch.__version__
    assert content["list_sha256"] == hashlib.sha256(toy.train_list.read_bytes()).hexdigest()


def test_pretrain__queue_holds_the_last_keys(pretrained: Path) -> None:
    """Oracle: by hand. 24 keys went into 16 slots: the pointer is at 8, and every slot knows its video."""
    model = load(pretrained / "checkpoints/last.pt")["model"]
    assert int(model["memory.pointer"]) == 24 % 16
    videos = model["memory.videos"]
    assert sorted(torch.cat([videos[12:], videos[:8]]).tolist()) == list(range(NUM_TRAIN))  # all of the second epoch
    assert torch.allclose(model["memory.keys"].norm(dim=1), torch.ones(16), atol=1e-5)


# ---- output


def test_pretrain__piped_lines_are_plain(toy: Toy, tmp_path: Path) -> None:
    jitter = ("--set", "data.jitter={hue: 0.0}")
    result = succeed(*toy.pretrain(tmp_path / "run", "--set", "pretrain.epochs=1", *jitter))
    assert "\x1b" not in result.output
    assert any(line.startswith("pretrain 3/3 loss ") for line in result.stderr.splitlines())
    assert any(line.startswith("epoch 1/1 loss ") for line in result.stderr.splitlines())
    settings = f"--preset {toy.preset} --set 'data.jitter={{hue: 0.0}}'"
    lists = f"--train-list {toy.train_list} --root {toy.root}"
    assert f"next: vtdl finetune {settings} --weights {tmp_path / 'run'} {lists} --out" in result.stderr
    finetune, extract = next_commands(result.stderr)
    assert json.loads(succeed(*finetune, "--workers", "0", "--dry-run", "--json").stdout)["val_videos"] == 0
    assert json.loads(succeed(*extract, "--workers", "0", "--json").stdout)["shape"] == [NUM_TRAIN, 32]
    assert result.stdout.startswith("pretrained")


def test_pretrain__json_is_all_there_is_on_stdout(toy: Toy, tmp_path: Path) -> None:
    result = succeed(*toy.pretrain(tmp_path / "run", "--json"))
    answer = json.loads(result.stdout)
    assert answer["metrics"] == rows(tmp_path / "run")[-1]
    assert (answer["videos"], answer["steps_per_epoch"], answer["skipped"]) == (12, 3, [])
    assert "epoch 2/2" in result.stderr


def test_pretrain__quiet_prints_the_result_only(toy: Toy, tmp_path: Path) -> None:
    result = succeed(*toy.pretrain(tmp_path / "run", "--quiet", "--json"))
    assert result.stderr == ""
    assert json.loads(result.stdout)["epochs"] == 2


def test_pretrain__dry_run_writes_nothing(toy: Toy, tmp_path: Path) -> None:
    answer = json.loads(succeed(*toy.pretrain(tmp_path / "run", "--dry-run", "--json")).stdout)
    assert (answer["epochs"], answer["videos"], answer["batch_size"]) == (2, 12, 4)
    assert answer["clip"] == "4 frames, stride 2, 32 pixels of rgb"
    shares = answer["triplets"]["shrink_gap"]  # 24 frames hold two clips of 7
    assert (shares["forced_start"], shares["anchor_jumps"], shares["negative_jumps"]) == (0, 0, 0)
    assert "metrics" not in answer
    assert list(tmp_path.iterdir()) == []


# ---- options of the method

EVERYTHING = (
    "method.tca.version=3",
    "method.tca.side=both",
    "method.sampling.negative=redraw",
    "data.short_videos=restart",
    "method.sampling.window_frames=20",
    "method.negative_augmentation=block_shuffle",
    "method.strong_negative=true",
    "method.intra_video_negative_gradient=false",
    "method.positive_augmentation=motion",
    "method.queue.memory=bank",
    "method.loss=nce",
    "method.margin_weight=0.5",
    "method.consistency_weight=0.1",
    "method.key_splits=2",
)


@pytest.mark.slow
def test_pretrain__every_option_of_the_method_at_once(toy: Toy, tmp_path: Path) -> None:
    """Stopped after an epoch and resumed: all of their state is in the checkpoint."""
    options = [word for text in EVERYTHING for word in ("--set", text)]
    succeed(*toy.pretrain(tmp_path / "whole", *options))
    process = start(*toy.pretrain(tmp_path / "run", *options, "--set", "pretrain.checkpoint_minutes=1e-6"))
    stop_when(process, lambda: step_of(tmp_path / "run/checkpoints/last.pt") > 0, signal.SIGTERM)
    succeed(*toy.pretrain(tmp_path / "run", *options, "--set", "pretrain.checkpoint_minutes=1e-6", "--resume"))
    whole, resumed = (load(tmp_path / name / "checkpoints/last.pt") for name in ("whole", "run"))
    assert differences(whole["model"], resumed["model"]) == []
    last = rows(tmp_path / "whole")[-1]
    assert np.isfinite(last["loss"])
    assert {"strong_negative_logit", "intra_video_negative_probability", "queue_age"} <= last.keys()


# ---- the same numbers again


@pytest.mark.parametrize("workers", ["0", "2"])
def test_pretrain__repeats_whatever_the_workers(toy: Toy, pretrained: Path, tmp_path: Path, workers: str) -> None:
    """Oracle: the run of the fixture, which also measured kNN and kept an epoch: neither changes the training."""
    succeed(*toy.pretrain(tmp_path / "run", "--workers", workers))
    ours, theirs = load(tmp_path / "run/checkpoints/last.pt"), load(pretrained / "checkpoints/last.pt")
    for part in ("model", "optimizer", "random"):
        assert differences(ours[part], theirs[part]) == []
    assert [row["loss"] for row in rows(tmp_path / "run")] == [row["loss"] for row in rows(pretrained)]


def test_pretrain__another_seed_is_another_run(toy: Toy, pretrained: Path, tmp_path: Path) -> None:
    succeed(*toy.pretrain(tmp_path / "run", "--seed", "1"))
    assert rows(tmp_path / "run")[0]["loss"] != rows(pretrained)[0]["loss"]


def test_pretrain__learns_the_toy(toy: Toy, tmp_path: Path) -> None:
    """Oracle: ln 18 = 2.89, the loss of a network that cannot tell 1 positive from 17 negatives; 1.98 when written."""
    learn = ("--set", "pretrain.epochs=12", "--set", "pretrain.optimizer.lr=5e-3")
    succeed(*toy.pretrain(tmp_path / "run", *learn))
    losses = [row["loss"] for row in rows(tmp_path / "run")]
    assert sum(losses[-3:]) / 3 < 0.8 * math.log(18)


def test_pretrain__in_bf16_learns_as_in_float32(toy: Toy, tmp_path: Path) -> None:
    """Oracle: the same command in float32; the two part company step by step, and weights stay float32 between steps."""
    losses = {}
    for precision in ("bf16", "fp32"):
        succeed(*toy.pretrain(tmp_path / precision, "--set", f"pretrain.precision={precision}"))
        losses[precision] = [row["loss"] for row in rows(tmp_path / precision)]
    assert losses["bf16"] != losses["fp32"]
    assert losses["bf16"][0] == pytest.approx(losses["fp32"][0], rel=0.05)  # after three steps; 2.5% when written
    assert losses["bf16"][1] == pytest.approx(losses["fp32"][1], rel=0.2)
    model = load(tmp_path / "bf16" / "checkpoints" / "last.pt")["model"]
    assert {value.dtype for value in model.values()} <= {torch.float32, torch.int64}


def test_pretrain__loss_that_is_not_finite_stops_it(toy: Toy, tmp_path: Path) -> None:
    wild = "pretrain.optimizer={name: sgd, lr: 1.0e+38, weight_decay: 0.0}"
    result = vtdl(*toy.pretrain(tmp_path / "run", "--set", wild))
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith("error: loss 'nan' is not finite at step ")
    assert "lr 1e+38. Lower pretrain.optimizer.lr" in result.stderr
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_pretrain__weights_none_are_random_ones(toy: Toy, tmp_path: Path) -> None:
    """As in `finetune`."""
    plan = json.loads(succeed(*toy.pretrain(tmp_path / "run", "--weights", "none", "--dry-run", "--json")).stdout)
    assert plan["weights"] == "none"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk that is always full")
@pytest.mark.parametrize("name", ["checkpoints/last.pt", "metrics.jsonl", "curves.png"])
def test_pretrain__full_disk_names_the_file_and_keeps_the_old_one(toy: Toy, tmp_path: Path, name: str) -> None:
    run = tmp_path / "run"
    succeed(*toy.pretrain(run, "--set", "pretrain.epochs=1"))
    before = (run / name).read_bytes()
    (run / name).with_name(f".{Path(name).name}.part").symlink_to("/dev/full")
    (line,) = error_lines(vtdl(*toy.pretrain(run, "--resume", "--quiet")))
    assert line.startswith(f"error: file '{run / name}' could not be written (")
    assert (run / name).read_bytes() == before


# ---- a folder that is in use


def test_run_folder__second_run_is_refused(toy: Toy, pretrained: Path) -> None:
    before = {path: path.read_bytes() for path in pretrained.rglob("*") if path.is_file()}
    refuse(*toy.pretrain(pretrained), code=2, says=(f"run folder '{pretrained}' is not empty. Use --resume",))
    assert before == {path: path.read_bytes() for path in pretrained.rglob("*") if path.is_file()}


def test_run_folder__overwrite_removes_what_a_run_wrote_and_no_more(toy: Toy, tmp_path: Path) -> None:
    run = tmp_path / "run"
    succeed(*toy.pretrain(run, "--set", "pretrain.keep_every=1"))
    others = {"notes.txt", "checkpoints/mine.pt", "metrics.json", "gradients.png"}  # the last two by evaluate and plot
    for name in others:
        (run / name).write_text("mine")
    succeed(*toy.pretrain(run, "--overwrite", "--set", "pretrain.epochs=1"))
    assert files_in(run) == others | {
        "config.yaml",
        "metrics.jsonl",
        "metrics.csv",
        "curves.png",
        "events.out.tfevents",
        "checkpoints/last.pt",
    }
    assert {(run / name).read_text() for name in others} == {"mine"}
    assert len(list(run.glob("events.*"))) == 1
    assert [row["epoch"] for row in rows(run)] == [1]


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_run_folder__is_not_overwritten_by_a_run_that_begins_from_it(
    toy: Toy, pretrained: Path, tmp_path: Path, stage: str
) -> None:
    run = Path(shutil.copytree(pretrained, tmp_path / "run"))
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    for weights in (run, run / "checkpoints/last.pt"):
        line = getattr(toy, stage)(run, "--weights", str(weights), "--overwrite")
        refuse(*line, code=2, says=(f"weights '{weights}' lie in --out '{run}', which --overwrite replaces.",))
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


def test_run_folder__overwrite_that_fails_at_the_start_keeps_the_old_run(toy: Toy, tmp_path: Path) -> None:
    run = tmp_path / "run"
    succeed(*toy.pretrain(run))
    before = files_in(run)
    damaged = tmp_path / "damaged.txt"
    names = [f"bad_{number}.mp4" for number in range(4)]
    for name in names:
        (tmp_path / name).write_bytes(b"no video")
    damaged.write_text("".join(f"{tmp_path / name} 0 9\n" for name in names))
    result = vtdl(
        *toy.pretrain(run, "--overwrite", "--train-list", str(damaged), "--list-columns", "path class frames")
    )
    assert result.exit_code == 1
    assert files_in(run) == before
    assert len(rows(run)) == 2


# ---- resuming


def test_resume__of_a_finished_run_does_nothing(toy: Toy, pretrained: Path) -> None:
    before = (pretrained / "checkpoints/last.pt").read_bytes()
    more = ("--resume", "--set", "pretrain.knn_every=2", "--set", "pretrain.keep_every=2")
    result = succeed(*toy.pretrain(pretrained, *more))
    assert f"run '{pretrained}' is finished at epoch 2.00 of 2: nothing to do" in result.stderr
    assert (pretrained / "checkpoints/last.pt").read_bytes() == before
    assert len(rows(pretrained)) == 2


def test_resume__without_a_checkpoint_starts_from_the_beginning(toy: Toy, tmp_path: Path, pretrained: Path) -> None:
    result = succeed(*toy.pretrain(tmp_path / "run", "--resume"))
    assert "has no checkpoint yet: starting from the beginning" in result.stderr
    assert [row["loss"] for row in rows(tmp_path / "run")] == [row["loss"] for row in rows(pretrained)]


def test_resume__with_more_epochs_equals_one_long_run(toy: Toy, tmp_path: Path) -> None:
    """The preset's lr is constant: twice two epochs are four epochs."""
    for name, epochs in (("long", "4"), ("short", "2")):
        succeed(*toy.pretrain(tmp_path / name, "--set", f"pretrain.epochs={epochs}"))
    result = succeed(*toy.pretrain(tmp_path / "short", "--resume", "--set", "pretrain.epochs=4"))
    assert "resumes at epoch 2.00 of 4" in result.stderr
    ours, theirs = (load(tmp_path / name / "checkpoints/last.pt") for name in ("short", "long"))
    assert differences(ours, theirs) == []
    assert without_times(rows(tmp_path / "short")) == without_times(rows(tmp_path / "long"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (["--seed", "5"], "cannot resume: seed was '0', now it is '5'"),
        (["--set", "pretrain.batch_size=3"], "pretrain.batch_size was '4', now it is '3'"),
        (["--set", "method.tca.alpha=0.1"], "method.tca.alpha was '0.5', now it is '0.1'"),
        (["--set", "model.width=8"], "model.width was '4', now it is '8'"),
        (["--set", "data.decoder=decord"], "data.decoder was 'auto', now it is 'decord'"),
    ],
)
def test_resume__of_another_run_is_refused(toy: Toy, pretrained: Path, change: list[str], says: str) -> None:
    before = files_in(pretrained), (pretrained / "metrics.jsonl").read_text()
    refuse(*toy.pretrain(pretrained, "--resume", *change), code=1, says=(says,))
    assert (files_in(pretrained), (pretrained / "metrics.jsonl").read_text()) == before


def test_resume__the_decoder_that_auto_is_is_no_other_run(toy: Toy, pretrained: Path) -> None:
    """Oracle: the same frames by `test_auto__is_pyav_and_needs_no_decord`."""
    result = succeed(*toy.pretrain(pretrained, "--resume", "--set", "data.decoder=pyav"))
    assert "nothing to do" in result.stderr


def test_resume__of_another_list_is_refused(toy: Toy, pretrained: Path) -> None:
    line = toy.pretrain(pretrained, "--resume", "--train-list", str(toy.val_list), "--set", "pretrain.batch_size=4")
    refuse(*line, code=1, says=("cannot resume: the training list is another: its sha256 was",))


def test_resume__damaged_checkpoint_is_one_line(toy: Toy, tmp_path: Path) -> None:
    folder = tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "last.pt").write_bytes(b"PK\x03\x04 cut short")
    refuse(*toy.pretrain(tmp_path / "run", "--resume"), code=1, says=("last.pt' cannot be read: it is damaged",))


def test_pretrain__a_split_of_one_clip(toy: Toy, tmp_path: Path) -> None:
    """A batch of four, one of which cannot be read: its keys are split into two parts, of two clips and of one, whose map
    of 16 pixels is one position.
    """
    (tmp_path / "broken.mp4").write_bytes(b"")
    lines = [f"{tmp_path / 'broken.mp4'} 0 24", *toy.train_list.read_text().splitlines()[1:]]
    (tmp_path / "list.txt").write_text("\n".join(lines) + "\n")
    (tmp_path / "classes.txt").write_text(toy.train_list.with_name("classes.txt").read_text())
    small = ("data.crop_size=16", "method.key_splits=2", "data.max_bad_fraction=1")
    words = (word for text in small for word in ("--set", text))
    succeed(*toy.pretrain(tmp_path / "run", "--train-list", str(tmp_path / "list.txt"), *words))
    assert [row["skipped"] for row in rows(tmp_path / "run")] == [1, 1]
    assert all(math.isfinite(row["loss"]) for row in rows(tmp_path / "run"))
