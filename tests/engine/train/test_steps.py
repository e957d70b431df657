"""What the steps of a training are made of: lr, gradients, modes of the network, batches; through the commands."""

from collections.abc import Callable
from functools import partialmethod
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch import nn

from tests.toy import NUM_TRAIN, Toy, load, rows, step_of, succeed, vtdl
from vtdl_cli import ranks
from vtdl_cli.data.clips.datasets import Batch
from vtdl_cli.data.clips.epoch_batches import EpochBatches
from vtdl_cli.engine.networks.inference import forward_videos
from vtdl_cli.engine.networks.methods import build_method
from vtdl_cli.engine.train import finetune as finetuning
from vtdl_cli.engine.train import pretrain as pretraining
from vtdl_cli.engine.train import step, validation
from vtdl_cli.engine.train.meter import Meter
from vtdl_cli.engine.train.rank_batches import RankReport
from vtdl_cli.engine.train.training import Training
from vtdl_cli.metrics import accuracies
from vtdl_cli.models.encoder import PooledFeatures
from vtdl_cli.settings import load_config

STAGES = ("pretrain", "finetune")


def settings(stage: str, *assignments: str) -> list[str]:
    return [word for each in assignments for word in ("--set", f"{stage}.{each}")]


def parameters(checkpoint: Path) -> dict[str, torch.Tensor]:
    """All but statistics of batch norm, and what a method remembers."""
    apart = ("running_mean", "running_var", "num_batches_tracked")
    model = load(checkpoint)["model"]
    return {name: values for name, values in model.items() if not name.endswith(apart) and "memory." not in name}


class Watch:
    """Looks on while a command trains: called before each optimizer step, with what the step is made of."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, look: Callable[[Training, torch.Tensor], None]) -> None:
        self.look, self.train_epoch = look, step.train_epoch
        for module in (pretraining, finetuning):
            monkeypatch.setattr(module, "train_epoch", self.watched)

    def watched(
        self,
        training: Training,
        ddp_model: nn.Module,
        forward: step.Forward,
        after_step: Callable[[], None] = lambda: None,
    ) -> None:
        losses = list[torch.Tensor]()

        def remember(clips: torch.Tensor, batch: Batch) -> tuple[torch.Tensor, Any]:
            loss, metrics = forward(clips, batch)
            losses.append(loss)
            return loss, metrics

        hook = training.state.optimizer.register_step_pre_hook(lambda *_: self.look(training, losses[-1]))
        self.train_epoch(training, ddp_model, remember, after_step)
        hook.remove()


@pytest.mark.parametrize("stage", STAGES)
def test_lr__of_every_step_is_its_own_stages(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    """Oracle: by hand: three steps an epoch rise to .6 over the first epoch, and a tenth of that follows."""
    seen = list[float]()
    Watch(monkeypatch, lambda training, _: seen.extend({each["lr"] for each in training.state.optimizer.param_groups}))
    rule = "schedule={name: step, milestones: [1], factor: 0.1, warmup_epochs: 1}"
    words = settings(stage, "optimizer={name: sgd, lr: 0.6, weight_decay: 0}", rule)
    succeed(*getattr(toy, stage)(tmp_path / "run", *words))
    assert seen == pytest.approx([0, 0.2, 0.4, 0.06, 0.06, 0.06])


@pytest.mark.parametrize("stage", STAGES)
def test_lr__of_zero_moves_nothing(toy: Toy, tmp_path: Path, stage: str) -> None:
    """Oracle: by hand: a step rule of factor 0 after the first epoch. Without momentum the second leaves all as it was."""
    still = "optimizer={name: sgd, lr: 0.01, momentum: 0, weight_decay: 0}"
    words = settings(stage, still, "schedule={name: step, milestones: [1], factor: 0}", "keep_every=1", "epochs=2")
    succeed(*getattr(toy, stage)(tmp_path / "run", *words))
    first, second = (parameters(tmp_path / f"run/checkpoints/epoch_000{epoch}.pt") for epoch in (1, 2))
    key_side = {name for name in first if name.startswith("encoders.key.")}  # still moves towards the query encoder
    assert {name for name in first if not torch.equal(first[name], second[name])} <= key_side


def test_gradients__are_of_one_step(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: autograd, asked for the gradient of each step's loss alone."""
    compared = list[bool]()

    def compare(training: Training, loss: torch.Tensor) -> None:
        weights = [each for each in training.state.model.parameters() if each.requires_grad]
        found = [each.grad.clone() for each in weights if each.grad is not None]
        expected = torch.autograd.grad(loss, weights)
        compared.extend(torch.equal(ours, theirs) for ours, theirs in zip(found, expected, strict=True))

    Watch(monkeypatch, compare)
    monkeypatch.setattr(torch.Tensor, "backward", partialmethod(torch.Tensor.backward, retain_graph=True))
    succeed(*toy.finetune(tmp_path / "run", *settings("finetune", "epochs=1")))
    assert len(compared) == 3 * 38  # steps and weights
    assert all(compared)


def test_validation__is_what_evaluate_finds(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: `vtdl evaluate` of the same weights with one clip: dropout is off, batch norm uses its running averages."""
    logits = list[np.ndarray]()

    def keep(values: np.ndarray, labels: np.ndarray) -> Any:
        logits.append(values)
        return accuracies(values, labels)

    with monkeypatch.context() as patch:
        patch.setattr(validation, "accuracies", keep)
        succeed(*toy.finetune(tmp_path / "run"))
    succeed(*toy.evaluate(tmp_path / "run/checkpoints/last.pt", tmp_path / "out", "--clips", "1"))
    with h5py.File(tmp_path / "out" / "scores.h5") as file:
        np.testing.assert_allclose(logits[-1], file["clip_logits"][:, 0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("world_size", [1, 4])
def test_inference_clips__are_twice_a_ranks_share_of_a_batch(world_size: int) -> None:
    """Oracle: by hand; each rank forwards them, so that of more ranks each has fewer."""
    training: Any = SimpleNamespace(order=EpochBatches(100, 16, world_size=world_size))
    inference_clips: Any = Training.inference_clips
    assert inference_clips.fget(training) == 32 // world_size


@pytest.mark.parametrize("stage", STAGES)
def test_modes__of_training_and_of_inference(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    """All of the network is in training mode in every step of every epoch, and none of it in inference between them."""
    in_steps, in_inference = list[bool](), list[bool]()

    def watched(network: nn.Module, *arguments: Any, **options: Any) -> Any:
        in_inference.extend(each.training for each in network.modules() if not isinstance(each, PooledFeatures))
        return forward_videos(network, *arguments, **options)

    Watch(monkeypatch, lambda training, _: in_steps.extend(each.training for each in training.state.model.modules()))
    monkeypatch.setattr(pretraining if stage == "pretrain" else validation, "forward_videos", watched)
    words = settings("pretrain", "knn_every=1") if stage == "pretrain" else []
    succeed(*getattr(toy, stage)(tmp_path / "run", *words))
    assert in_steps
    assert all(in_steps)
    assert in_inference
    assert not any(in_inference)


@pytest.mark.parametrize("stage", STAGES)
def test_batches__show_every_video_once_an_epoch_in_another_order(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    """Twelve videos in batches of five: finetuning has a last batch of two, pretraining leaves it out."""
    seen: dict[str, list[list[int]]] = {}
    report = Training._report

    def look(training: Training, batch: Batch) -> RankReport:
        seen.setdefault(training.run.path.name, []).append(batch.index.tolist())
        return report(training, batch)

    monkeypatch.setattr(Training, "_report", look)
    for seed in "01":
        succeed(*getattr(toy, stage)(tmp_path / seed, *settings(stage, "batch_size=5"), "--seed", seed))
    sizes = [5, 5] if stage == "pretrain" else [5, 5, 2]
    for batches in seen.values():
        assert [len(batch) for batch in batches] == sizes * 2
        epochs = [list(chain(*half)) for half in (batches[: len(sizes)], batches[len(sizes) :])]
        assert all(len(set(epoch)) == sum(sizes) for epoch in epochs)
        assert epochs[0] != epochs[1] != sorted(epochs[1])
    assert seen["0"] != seen["1"]


def test_metrics__weigh_every_video_alike(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: by hand: the losses of each epoch's batches of 5, 5 and 2, by their sizes."""
    losses = list[float]()
    Watch(monkeypatch, lambda _, loss: losses.append(loss.item()))
    succeed(*toy.finetune(tmp_path / "run"))
    expected = [np.dot(losses[first : first + 3], [5, 5, 2]) / NUM_TRAIN for first in (0, 3)]
    assert [row["loss"] for row in rows(tmp_path / "run")] == pytest.approx(expected)
    assert [(row["epoch"], row["step"]) for row in rows(tmp_path / "run")] == [(1, 3), (2, 6)]


def test_pace__counts_the_clips_of_an_epoch(pretrained: Path, finetuned: Path) -> None:
    """Oracle: by hand: twelve videos; pretraining sees three clips of each, finetuning one."""
    for run, clips in ((pretrained, 36), (finetuned, 12)):
        counted = [row["clips_per_second"] * row["seconds"] for row in rows(run)]
        assert counted == pytest.approx([clips] * len(counted))


@pytest.mark.parametrize("every", [0, 2])
def test_validation__comes_when_due_and_at_the_end(toy: Toy, tmp_path: Path, every: int) -> None:
    """Oracle: README: every so many epochs, and always after the last."""
    words = settings("finetune", f"validate_every={every}", "epochs=3", "keep_every=2")
    succeed(*toy.finetune(tmp_path / "run", *words))
    assert ["val_top1" in row for row in rows(tmp_path / "run")] == [False, every == 2, True]
    names = {path.name for path in (tmp_path / "run/checkpoints").iterdir()}
    assert names == {"last.pt", "best.pt", "epoch_0002.pt"}


def test_best__is_the_highest_and_of_equals_the_first(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: by hand: of 10, 30, 20, 30 the second."""
    accuracies = iter([10.0, 30.0, 20.0, 30.0])
    monkeypatch.setattr(validation, "accuracies", lambda *_: {"top1": next(accuracies)})
    succeed(*toy.finetune(tmp_path / "run", *settings("finetune", "epochs=4")))
    best = load(tmp_path / "run/checkpoints/best.pt")
    assert (best["epoch"], best["best"]) == (2.0, {"epoch": 2, "val_top1": 30.0})


def test_skipped__are_counted_in_every_epoch_after(toy: Toy, tmp_path: Path) -> None:
    """A broken video is skipped, logged, and known to whoever resumes."""
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    mixed = tmp_path / "mixed.txt"
    mixed.write_text(toy.train_list.read_text() + f"{tmp_path / 'broken.mp4'} 1 24\n")
    given = ("--train-list", str(mixed), "--list-columns", "path class frames")
    line = toy.finetune(tmp_path / "run", *given)
    result = succeed(*line, *settings("finetune", "epochs=1"))
    assert result.stderr.count("warning: skipped video") == 1
    result = succeed(*line, "--resume")
    assert "skipped video" not in result.stderr
    assert [row["skipped"] for row in rows(tmp_path / "run")] == [1, 1]


@pytest.mark.parametrize(("minutes", "step", "saved"), [(15, 6, 3), (1e-6, 4, 3)])
def test_loss__that_is_not_finite_is_found_where_it_is_saved(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minutes: float, step: int, saved: int
) -> None:
    """The bar fetches it only now and then: what is saved is checked first, at an epoch's end and in its middle.

    The loss is invalid in the first step of the second epoch, and finite again after it.
    """
    record, calls = Meter.record, iter(range(6))

    def spoil(meter: Meter, metrics: dict[str, torch.Tensor], *sizes: int) -> None:
        record(meter, metrics | {"loss": metrics["loss"] * (float("nan") if next(calls) == 3 else 1.0)}, *sizes)

    monkeypatch.setattr(Meter, "record", spoil)
    monkeypatch.setattr(Training, "_fetch_fields", lambda _: {})
    result = vtdl(*toy.finetune(tmp_path / "run", *settings("finetune", f"checkpoint_minutes={minutes}")))
    last = tmp_path / "run/checkpoints/last.pt"
    assert result.stderr.splitlines()[-1] == (
        f"error: loss 'nan' is not finite at step {step}, lr 0.01; checkpoint '{last}' was saved before that. "
        "Lower finetune.optimizer.lr, or --set finetune.precision=fp32"
    )
    assert [row["epoch"] for row in rows(tmp_path / "run")] == [1]
    assert step_of(tmp_path / "run/checkpoints/last.pt") == saved


def test_statistics__are_those_of_all_processes_before_validation(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each rank has seen its own part of the batches: they are averaged after an epoch's last step, and when saved."""
    events = list[str]()

    def watched(*arguments: Any, **options: Any) -> Any:
        events.append("validate")
        return forward_videos(*arguments, **options)

    monkeypatch.setattr(ranks, "average_statistics", lambda _: events.append("average"))
    monkeypatch.setattr(validation, "forward_videos", watched)
    succeed(*toy.finetune(tmp_path / "run"))
    assert events == ["average", "validate", "average"] * 2


def test_key_encoder__follows_by_momentum(toy: Toy, tmp_path: Path) -> None:
    """Oracle: by hand: both begin alike; after one step the key is .9 of that and .1 of what the query has become."""
    one_step = settings("pretrain", "epochs=1", f"batch_size={NUM_TRAIN}")
    succeed(*toy.pretrain(tmp_path / "run", *one_step))
    torch.manual_seed(0)
    start = dict(build_method(load_config(str(toy.preset)), NUM_TRAIN).encoders.query.named_parameters())  # type: ignore[union-attr]
    after = load(tmp_path / "run/checkpoints/last.pt")["model"]
    for name, before in start.items():
        query, key = (after[f"encoders.{side}.{name}"] for side in ("query", "key"))
        torch.testing.assert_close(key, 0.9 * before.detach() + 0.1 * query, rtol=1e-5, atol=1e-7)
    assert not torch.equal(query, before)


def test_clusters__are_drawn_when_due_and_not_in_mid_epoch(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: by hand: every second of five epochs begins with new labels; a run that resumes in one has its labels."""
    drawn, relabel, report = list[int](), pretraining.relabel, Training._report

    def look(*arguments: Any, **options: Any) -> None:
        drawn.append(options["seed"])
        relabel(*arguments, **options)

    def stop_in_the_third_epoch(training: Training, batch: Batch) -> RankReport:
        return report(training, batch)._replace(signal="SIGTERM" if training.state.step == 7 else "")

    monkeypatch.setattr(pretraining, "relabel", look)
    options = ("name=pseudo_labels", "clusters=3", "relabel_every=2")
    words = [word for each in options for word in ("--set", f"method.{each}")]
    line = [*toy.pretrain(tmp_path / "run", *words), *settings("pretrain", "epochs=5")]
    with monkeypatch.context() as patch:
        patch.setattr(Training, "_report", stop_in_the_third_epoch)
        assert vtdl(*line).exit_code == 75
    assert drawn == [0, 2]
    succeed(*line, "--resume")
    assert drawn == [0, 2, 4]
