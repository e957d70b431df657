"""How the weights are updated: from several batches, at two learning rates, in part, clipped; through the commands."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.toy import NUM_TRAIN, Toy, differences, load, refuse, rows, succeed, vtdl, without_times
from vtdl_cli.data.clips.datasets import Batch
from vtdl_cli.engine.networks import machine
from vtdl_cli.engine.networks.machine import Machine
from vtdl_cli.engine.train import finetune as finetuning
from vtdl_cli.engine.train.rank_batches import RankReport
from vtdl_cli.engine.train.training import Training
from vtdl_cli.models.normalisation import BatchNorm3d

STAGES = ("pretrain", "finetune")
PLAIN = ("optimizer={name: sgd, lr: 0.05, momentum: 0, weight_decay: 0}", "dropout=0", "validate_every=0")


def settings(stage: str, *assignments: str) -> list[str]:
    return [word for each in assignments for word in ("--set", f"{stage}.{each}")]


def model(run: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = load(run / "checkpoints/last.pt")["model"]
    return found


def backbone_of(pretrained: Path) -> dict[str, torch.Tensor]:
    """The weights that finetuning begins from, by their names in a finetuned network."""
    prefix = "encoders.query."
    return {name.removeprefix(prefix): values for name, values in model(pretrained).items() if name.startswith(prefix)}


# ---- several batches


def test_accumulate__of_two_batches_is_one_of_twice_the_size(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: batches of eight. With fixed statistics of batch norm they are the same steps, of 8 and of 4 videos."""

    def fix_statistics(backbone: torch.nn.Module, *_: Any, **__: Any) -> list[torch.nn.Module]:
        return [layer for layer in backbone.modules() if isinstance(layer, BatchNorm3d)]

    monkeypatch.setattr(finetuning, "freeze", fix_statistics)
    momentum = "optimizer={name: sgd, lr: 0.05, momentum: 0.9, weight_decay: 0.01}"
    common = settings("finetune", *PLAIN, momentum, "schedule={name: cosine}")
    one = toy.finetune(tmp_path / "one", *common, *settings("finetune", "batch_size=8"), "--json")
    two = toy.finetune(tmp_path / "two", *common, *settings("finetune", "batch_size=4", "accumulate_steps=2"), "--json")
    plans = [json.loads(succeed(*line).stdout) for line in (one, two)]
    assert [(each["effective_batch_size"], each["steps_per_epoch"]) for each in plans] == [(8, 2)] * 2
    for ours, theirs in zip(*(without_times(rows(tmp_path / name)) for name in ("two", "one")), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5)
    torch.testing.assert_close(model(tmp_path / "two"), model(tmp_path / "one"), rtol=1e-4, atol=1e-6)


def test_accumulate__more_batches_than_there_are(toy: Toy, tmp_path: Path) -> None:
    """Twelve videos: an epoch is one step of all of them."""
    line = toy.finetune(tmp_path / "run", *settings("finetune", "batch_size=5", "accumulate_steps=9"), "--dry-run")
    result = succeed(*line, "--json")
    plan = json.loads(result.stdout)
    assert (plan["effective_batch_size"], plan["steps_per_epoch"]) == (NUM_TRAIN, 1)
    assert "each step accumulates 3 batches of 5 videos: lr 0.01 is for an effective batch of 12" in result.stderr


def test_accumulate__pretraining_warns_of_what_a_large_batch_would_be(toy: Toy, tmp_path: Path) -> None:
    """Twelve videos in batches of four: steps of two batches and of one. The queue gets four keys at a time."""
    result = succeed(*toy.pretrain(tmp_path / "run", *settings("pretrain", "accumulate_steps=2")))
    assert [row["step"] for row in rows(tmp_path / "run")] == [2, 4]
    assert "each step accumulates 2 batches of 4 videos: lr 0.001 is for an effective batch of 8" in result.stderr
    assert (
        "warning: pretrain.accumulate_steps 2 is not the same as a batch of 8: batch norm still normalises over 4 "
        "videos, and keys are enqueued 4 at a time, between the batches of a step."
    ) in result.stderr
    dry = succeed(*toy.pretrain(tmp_path / "dry", *settings("pretrain", "accumulate_steps=9"), "--dry-run"))
    assert "pretrain.accumulate_steps 9 is not the same as a batch of 12: " in dry.stderr  # all of an epoch
    videos = model(tmp_path / "run")["memory.videos"]
    assert sorted(videos.tolist()) == sorted([*range(NUM_TRAIN), *videos[8:12].tolist()])  # 24 keys in 16 slots


@pytest.mark.parametrize("stage", STAGES)
def test_resume__between_steps_with_everything_on(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    """Oracle: the run that was not stopped, bit for bit, with the loss scale, which grows after every second step.

    And the run without a loss scale: a power of two, where nothing overflows, changes no bit of the weights.
    """
    words = settings(stage, "batch_size=4", "accumulate_steps=2", "max_grad_norm=0.5", "epochs=3")
    words += settings(stage, "backbone_lr_scale=0.1") if stage == "finetune" else []
    line = getattr(toy, stage)
    succeed(*line(tmp_path / "plain", *words))
    scaler = lambda _: torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=2)  # noqa: E731
    monkeypatch.setattr(Machine, "build_scaler", scaler)
    succeed(*line(tmp_path / "whole", *words))
    report = Training._report

    def stop_in_the_second_epoch(training: Training, batch: Batch) -> RankReport:
        return report(training, batch)._replace(signal="SIGTERM" if training.state.step == 3 else "")

    with monkeypatch.context() as patch:
        patch.setattr(Training, "_report", stop_in_the_second_epoch)
        assert "SIGTERM after step 3 of 6: saved" in vtdl(*line(tmp_path / "run", *words)).stderr
    succeed(*line(tmp_path / "run", *words, "--resume"))
    plain, whole, run = (load(tmp_path / name / "checkpoints/last.pt") for name in ("plain", "whole", "run"))
    assert differences(run, whole) == []
    assert without_times(rows(tmp_path / "run")) == without_times(rows(tmp_path / "whole"))
    assert (whole["scaler"]["scale"], whole["skipped_steps"], plain["scaler"]) == (8 * 1024.0, 0, None)
    assert differences(plain["model"], whole["model"]) == []
    assert [row["skipped_steps"] for row in rows(tmp_path / "run")] == [0, 0, 0]


# ---- learning rates, frozen stages, clipping


def test_backbone_lr_scale__is_a_tenth_of_the_way(toy: Toy, pretrained: Path, tmp_path: Path) -> None:
    """Oracle: by hand: one step of SGD moves the backbone a tenth as far as without the scale, and the head as far."""
    one_step = settings("finetune", *PLAIN, "epochs=1", f"batch_size={NUM_TRAIN}")
    for scale in ("1.0", "0.1"):
        words = settings("finetune", f"backbone_lr_scale={scale}")
        succeed(*toy.finetune(tmp_path / scale, "--weights", str(pretrained), *one_step, *words))
    before, whole, tenth = backbone_of(pretrained), model(tmp_path / "1.0"), model(tmp_path / "0.1")
    for name in whole:
        if name.startswith("head.") or "running" in name or "num_batches" in name:
            assert torch.equal(tenth[name], whole[name])
        else:
            moved = whole[name] - before[name]
            torch.testing.assert_close(tenth[name] - before[name], 0.1 * moved, rtol=1e-2, atol=2e-7)
            assert moved.abs().max() > 1e-5


def test_freeze_stages__leaves_weights_and_statistics_as_they_were(toy: Toy, pretrained: Path, tmp_path: Path) -> None:
    """Oracle: the pretrained network, bit for bit, up to layer2; all of the later layers moves."""
    words = settings("finetune", "freeze_stages=2")
    result = succeed(*toy.finetune(tmp_path / "run", "--weights", str(pretrained), *words))
    assert "frozen, with their batch norm: stem, layer1, layer2" in result.stderr
    before, after = backbone_of(pretrained), model(tmp_path / "run")
    still = {name for name in before if name.startswith("backbone.") and torch.equal(before[name], after[name])}
    frozen = ("backbone.stem.", "backbone.layer1.", "backbone.layer2.")
    assert still == {name for name in before if name.startswith(frozen)}
    succeed(*toy.finetune(tmp_path / "run", "--weights", str(pretrained), *words, "--resume"))


def test_max_grad_norm__is_torchs(toy: Toy, pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: torch.nn.utils, given the gradients of a run without clipping: one step of SGD moves by lr times these."""
    line = [*toy.finetune(tmp_path / "run", "--weights", str(pretrained))]
    line += settings("finetune", *PLAIN, "epochs=1", f"batch_size={NUM_TRAIN}")
    gradients = list[torch.Tensor]()
    finetune_epochs = finetuning.finetune_epochs

    def keep(training: Training, *arguments: Any) -> None:
        finetune_epochs(training, *arguments)
        gradients.extend(weight.grad for weight in training.state.model.parameters() if weight.grad is not None)

    with monkeypatch.context() as patch:
        patch.setattr(finetuning, "finetune_epochs", keep)
        succeed(*line)
    norm = torch.nn.utils.get_total_norm(gradients).item()
    succeed(*line, *settings("finetune", f"max_grad_norm={norm / 4}"), "--out", str(tmp_path / "clipped"))
    begin, free, clipped = backbone_of(pretrained), model(tmp_path / "run"), model(tmp_path / "clipped")
    names = [name for name in begin if name.startswith("backbone.") and name.endswith("weight")]
    for name in names:
        torch.testing.assert_close(clipped[name] - begin[name], (free[name] - begin[name]) / 4, rtol=1e-2, atol=2e-7)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["freeze_stages=5", "--weights"], 2, "freeze_stages '5' exceeds the 4 stages after this backbone's stem"),
        (
            ["freeze_stages=1"],
            2,
            "freeze_stages '1' would freeze randomly initialised weights. Give --weights runs/pretrained",
        ),
        (["freeze_stages=1", "--weights", "--linear-probe"], 2, "freeze_stages '1' has no effect with --linear-probe"),
        (
            ["backbone_lr_scale=0.5", "--weights", "--linear-probe"],
            2,
            "has no effect where all of the backbone is frozen",
        ),
        (
            ["backbone_lr_scale=0.5", "--weights", "--set=finetune.freeze_stages=4"],
            2,
            "backbone_lr_scale '0.5' has no effect where",
        ),
        (["backbone_lr_scale=0"], 2, "finetune.backbone_lr_scale '0' in "),
        (["sync_batch_norm=true"], 2, "sync_batch_norm 'True' needs several processes on GPUs, and there is one."),
        (["accumulate_steps=0"], 2, "finetune.accumulate_steps '0' in "),
        (["max_grad_norm=0"], 2, "finetune.max_grad_norm '0' in "),
    ],
)
def test_finetune__refuses_what_does_not_go_together(
    toy: Toy, pretrained: Path, tmp_path: Path, words: list[str], code: int, says: str
) -> None:
    given = [word for each in words[1:] for word in ([each, str(pretrained)] if each == "--weights" else [each])]
    refuse(*toy.finetune(tmp_path / "run", *settings("finetune", words[0]), *given), code=code, says=(says,))
    assert not (tmp_path / "run").exists()


def test_demo__refuses_frozen_stages_before_it_trains(tmp_path: Path) -> None:
    says = ("finetune.freeze_stages '1' would freeze randomly initialised weights",)
    refuse("demo", "--out", str(tmp_path / "demo"), *settings("finetune", "freeze_stages=1"), code=2, says=says)
    assert not (tmp_path / "demo").exists()


def test_ablate__freezes_stages_of_rows_that_pretrain(toy: Toy, tmp_path: Path) -> None:
    line = ("ablate", "--preset", str(toy.preset), "--train-list", str(toy.train_list), "--val-list", str(toy.val_list))
    rest = ("--root", str(toy.root), "--out", str(tmp_path / "out"), "--finetune", "--seeds", "1", "--dry-run")
    succeed(*line, *rest, "--rows", "moco,tca", *settings("finetune", "freeze_stages=1"))
    refuse(
        *line, *rest, "--rows", "scratch,moco", *settings("finetune", "freeze_stages=1"), code=2,
        says=("freeze_stages '1' would freeze randomly initialised weights",),
    )  # fmt: skip
    says = ("freeze_stages '9' exceeds the 4 stages",)
    refuse(*line, *rest, "--rows", "moco,tca", *settings("finetune", "freeze_stages=9"), code=2, says=says)


# ---- fp16 and warm-up


def test_fp16__on_a_cpu_is_reported(toy: Toy, tmp_path: Path) -> None:
    """Oracle: the same run in float32."""
    for precision in ("fp16", "fp32"):
        one_epoch = settings("finetune", f"precision={precision}", "epochs=1")
        result = succeed(*toy.finetune(tmp_path / precision, *one_epoch))
        assert ("warning: precision 'fp16' is for CUDA GPUs: computing in float32" in result.stderr) == (
            precision == "fp16"
        )
    assert differences(model(tmp_path / "fp16"), model(tmp_path / "fp32")) == []


@pytest.mark.parametrize("stage", STAGES)
def test_fp16__halves_its_loss_scale_for_each_skipped_step(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    """Oracle: torch's documentation: the scale begins at 2 ** 16, and does not grow within 2000 steps. torch computes in
    fp16 on CPUs, too, if slowly. Losses are compared with those in float32, of the first epoch: skipped steps soon
    make two trainings of one."""
    words = settings(stage, "max_grad_norm=1")
    succeed(*getattr(toy, stage)(tmp_path / "fp32", *words))
    monkeypatch.setattr(machine, "select_autocast", lambda *_: torch.float16)
    succeed(*getattr(toy, stage)(tmp_path / "fp16", *words))
    content, row = load(tmp_path / "fp16/checkpoints/last.pt"), rows(tmp_path / "fp16")[-1]
    assert content["scaler"]["scale"] == 2.0 ** (16 - content["skipped_steps"])
    assert row["skipped_steps"] == content["skipped_steps"] < row["step"]
    first_loss, expected = (rows(tmp_path / name)[0]["loss"] for name in ("fp16", "fp32"))
    assert first_loss == pytest.approx(expected, rel=0.05)


def test_warmup__longer_than_the_run_is_shortened_and_reported(toy: Toy, tmp_path: Path) -> None:
    """Oracle: by hand: a tenth of one epoch of three steps is over before the second step: the lr is that of the optimizer."""
    words = settings("pretrain", "schedule={name: constant, warmup_epochs: 10}", "epochs=1")
    result = succeed(*toy.pretrain(tmp_path / "run", *words))
    assert (
        "warning: pretrain.schedule.warmup_epochs 10 is not below pretrain.epochs 1: the lr rises over 0.1 epochs "
        "instead. To choose: --set pretrain.schedule.warmup_epochs=0.1"
    ) in result.stderr
    assert rows(tmp_path / "run")[-1]["lr"] == 1e-3


@pytest.mark.parametrize(("milestones", "is_told"), [("[1]", False), ("[2,4]", True)])
def test_milestones__beyond_the_run_are_reported(toy: Toy, tmp_path: Path, milestones: str, is_told: bool) -> None:
    schedule = f"schedule={{name: step, milestones: {milestones}}}"
    said = succeed(*toy.pretrain(tmp_path / "run", *settings("pretrain", schedule, "epochs=2"), "--dry-run")).stderr
    assert ("pretrain.schedule.milestones 2, 4 are not below pretrain.epochs 2: the lr never falls" in said) == is_told


def test_resume__of_a_run_from_before_a_setting_existed(toy: Toy, tmp_path: Path) -> None:
    """Oracle: the run that always had it; the setting's default is what the earlier version did."""
    line = toy.finetune(tmp_path / "run", "--quiet")
    succeed(*line, *settings("finetune", "epochs=1"))
    succeed(*toy.finetune(tmp_path / "whole"))
    last = tmp_path / "run/checkpoints/last.pt"
    content = load(last)
    for name in ("accumulate_steps", "max_grad_norm", "backbone_lr_scale", "freeze_stages", "sync_batch_norm"):
        del content["config"]["finetune"][name]
    del content["scaler"], content["skipped_steps"]
    torch.save(content, last)
    says = ("cannot resume: finetune.max_grad_norm was 'None', now it is '1.0'",)
    refuse(*line, "--resume", *settings("finetune", "max_grad_norm=1"), code=1, says=says)
    succeed(*line, "--resume")
    assert differences(model(tmp_path / "run"), model(tmp_path / "whole")) == []
