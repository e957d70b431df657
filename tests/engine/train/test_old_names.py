"""Run folders, checkpoints, presets and command lines of versions whose settings and metrics had other names."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tests.toy import Toy, differences, load, rows, succeed, vtdl, without_times
from vtdl_cli.engine.evaluate import extract
from vtdl_cli.engine.train.meter import RENAMED_METRICS
from vtdl_cli.engine.train.run_folder import PENDING
from vtdl_cli.engine.train.training import Training
from vtdl_cli.setting_keys import RENAMED_KEYS

OLD_METRICS = {new: old for old, new in RENAMED_METRICS.items()}

OLD_PRESET = """
data: {short_side: 36, crop_size: 32, rotation_degrees: 5,
       jitter: {brightness: 0.1, contrast: 0.1, saturation: 0.1, hue: 0.0}}
model: {name: r3d, depth: 10, width: 4, embedding_dim: 16, first_weights: kaiming}
method: {momentum: 0.9, own_negative: true, own_negative_gradient: true,
         tca: {alpha: 0.5, per: sample}, queue: {size: 16}}
pretrain: {clip_len_frames: 4, stride_frames: 2, epochs: 2, batch_size: 4, precision: fp32,
           optimizer: {name: adamw, learning_rate: 1.0e-3, weight_decay: 1.0e-4}, schedule: {name: constant}}
finetune: {clip_len_frames: 4, stride_frames: 2, epochs: 2, batch_size: 5, precision: fp32,
           optimizer: {name: adamw, learning_rate: 1.0e-2, weight_decay: 1.0e-4}, schedule: {name: constant}}
evaluate: {clips: 2, batch_clips: 8}
extract: {clip_len_frames: 4, stride_frames: 2, clips: 2, batch_clips: 8}
"""
"""`tests.toy.PRESET` with the keys of an earlier version."""


@pytest.fixture
def old_toy(toy: Toy, tmp_path: Path) -> Toy:
    """The toy with that preset."""
    preset = tmp_path / "old.yaml"
    preset.write_text(OLD_PRESET)
    return Toy(toy.root, toy.train_list, toy.val_list, preset)


def with_old_metrics(row: dict[str, Any]) -> dict[str, Any]:
    return {OLD_METRICS.get(name, name): value for name, value in row.items()}


def with_old_keys(config: dict[str, Any]) -> dict[str, Any]:
    for old, new in RENAMED_KEYS.items():
        *sections, name = new.split(".")
        section = config
        for each in sections:
            section = section[each]
        section[old.rpartition(".")[2]] = section.pop(name)
    return config


def age(run: Path) -> None:
    """Give the log and the checkpoint of a run the old names."""
    lines = [json.dumps(with_old_metrics(row)) + "\n" for row in rows(run)]
    (run / "metrics.jsonl").write_text("".join(lines))
    content = load(run / "checkpoints/last.pt")
    content["config"], content["sums"] = with_old_keys(content["config"]), with_old_metrics(content["sums"])
    torch.save(content, run / "checkpoints/last.pt")


def renamed(stderr: str) -> dict[str, str]:
    """Old -> new names in the warnings."""
    return dict(re.findall(r"^warning: (?:key |--set )'?([\w.]+)'? is now called '?([\w.]+)'?: ", stderr, re.MULTILINE))


def test_resume__of_a_run_with_the_old_names(
    toy: Toy, old_toy: Toy, pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: a run that never had them. This one is stopped in its second epoch, whose sums have names, too."""
    report, run = Training._report, tmp_path / "run"

    def stop_in_the_second_epoch(training: Training, batch: Any) -> Any:
        return report(training, batch)._replace(signal="SIGTERM" if training.state.step == 4 else "")

    with monkeypatch.context() as patch:
        patch.setattr(Training, "_report", stop_in_the_second_epoch)
        assert vtdl(*toy.pretrain(run)).exit_code == 75
    age(run)
    assert {*RENAMED_METRICS} <= rows(run)[0].keys()
    stderr = succeed(*old_toy.pretrain(run, "--resume", "--set", "pretrain.knn_every=2")).stderr
    assert renamed(stderr) == RENAMED_KEYS
    assert without_times(rows(run)) == without_times(rows(pretrained))
    ours, theirs = (load(folder / "checkpoints/last.pt") for folder in (run, pretrained))
    for part in ("model", "optimizer", "random", "sums", "best"):
        assert differences(ours[part], theirs[part]) == []
    assert not any(name in (run / "metrics.csv").read_text().splitlines()[0].split(",") for name in RENAMED_METRICS)


def test_resume__logs_a_pending_epoch_under_the_new_names(toy: Toy, pretrained: Path, tmp_path: Path) -> None:
    """A kill after last.pt was written and before its epoch was logged."""
    run = tmp_path / "run"
    shutil.copytree(pretrained, run)
    expected = rows(run)
    age(run)
    *lines, last = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run / "metrics.jsonl").write_text("".join(lines))
    (run / PENDING).write_text(json.dumps([[json.loads(last), {}]]))
    succeed(*toy.pretrain(run, "--resume", "--set", "pretrain.knn_every=2", "--set", "pretrain.keep_every=2"))
    assert rows(run) == expected


def test_finetune__from_a_checkpoint_with_the_old_names(toy: Toy, pretrained: Path, tmp_path: Path) -> None:
    """Oracle: the same command with the checkpoint as it was."""
    old = tmp_path / "old"
    shutil.copytree(pretrained, old)
    age(old)
    for name, weights in (("ours", old), ("theirs", pretrained)):
        succeed(*toy.finetune(tmp_path / name, "--weights", str(weights), "--set", "finetune.epochs=1"))
    ours, theirs = (load(tmp_path / name / "checkpoints/last.pt")["model"] for name in ("ours", "theirs"))
    assert differences(ours, theirs) == []


@pytest.mark.parametrize(("change", "code"), [(lambda _config: None, 0), (lambda old: old["extract"].pop("clips"), 2)])
def test_extract__resumes_with_a_preset_of_old_keys(
    change: Callable[[dict[str, Any]], Any],
    code: int,
    toy: Toy,
    pretrained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The preset is part of a feature file's provenance: other keys mean the same, other values do not."""
    describe = extract._describe_provenance

    def describe_as_before(*arguments: Any) -> dict[str, str]:
        described = describe(*arguments)
        config = with_old_keys(yaml.safe_load(described["preset"]))
        del config["method"]["options"]
        change(config)
        return described | {"preset": yaml.safe_dump(config)}

    with monkeypatch.context() as patch:
        patch.setattr(extract, "_describe_provenance", describe_as_before)
        succeed(*toy.extract(pretrained, tmp_path / "f.h5"))
    result = vtdl(*toy.extract(pretrained, tmp_path / "f.h5", "--resume"))
    assert result.exit_code == code, result.stderr
    assert ("is finished: nothing to do" if code == 0 else "was begun with another preset") in result.stderr


def test_set__with_the_old_keys(toy: Toy, tmp_path: Path) -> None:
    values = {"optimizer.learning_rate": "0.5", "first_weights": "xavier", "own_negative": "true"}
    words = [f"{old}={next((values[each] for each in values if old.endswith(each)), 'true')}" for old in RENAMED_KEYS]
    line = toy.pretrain(tmp_path / "run", "--dry-run", *(word for text in words for word in ("--set", text)))
    assert renamed(succeed(*line).stderr) == RENAMED_KEYS


def test_set__of_a_section_with_an_old_key(toy: Toy, tmp_path: Path) -> None:
    section = "pretrain.optimizer={name: sgd, learning_rate: 0.25, weight_decay: 0}"
    result = succeed(*toy.pretrain(tmp_path / "run", "--set", section, "--set", "pretrain.epochs=1"))
    assert renamed(result.stderr) == {"pretrain.optimizer.learning_rate": "pretrain.optimizer.lr"}
    assert rows(tmp_path / "run")[0]["lr"] == 0.25
