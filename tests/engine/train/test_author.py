"""The preset that has the authors' quirks, each against what method/README says of their code."""

import json
import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from tests.toy import NUM_TRAIN, Toy, read_list, succeed
from vtdl_cli.config import Config
from vtdl_cli.data.clips.sampling import SHORT_VIDEOS, fixed_clips
from vtdl_cli.data.clips.triplets import TripletSampler
from vtdl_cli.engine.networks.build import build_backbone
from vtdl_cli.engine.networks.clips import build_pretraining_clips, build_triplet_sampler
from vtdl_cli.engine.networks.contrast import build_vtdl
from vtdl_cli.settings import load_config

AUTHORS: dict[str, Any] = {
    # clips and triplets: train_temporal_dis.py:284-286; data/dataset.py:71-105, 236-267
    "data.modality": "rgb",
    "pretrain.clip_len_frames": 16,
    "pretrain.stride_frames": 4,
    "method.sampling.window_frames": 128,
    "method.sampling.negative": "shift",
    "method.sampling.threshold_frames": 2,
    "data.short_videos": "restart",
    # basic augmentation, in both stages: data/config.py:33-43, video_transform_PIL_or_np.py:355-358
    "data.short_side": 256,
    "data.crop_size": 224,
    "data.rotation_degrees": 10,
    "data.jitter.brightness": 0.5,
    "data.jitter.contrast": 0.5,
    "data.jitter.saturation": 0.25,
    "data.jitter.hue": 0.5,
    "data.jitter.single_operation": True,
    "pretrain.augment": True,
    "finetune.augment": True,
    # TCA: TC/gen_positive.py:9, TC/basic_augmentation/mixup_methods.py:90-103, train_temporal_dis.py:450
    "method.tca.version": 2,
    "method.tca.side": "query",
    "method.tca.alpha": 0.1,
    "method.tca.per": "batch",
    # negatives: train_temporal_dis.py:451-452, 475-480
    "method.intra_video_negative": True,
    "method.intra_video_negative_gradient": True,
    "method.strong_negative": False,
    "method.negative_augmentation": "none",
    "method.positive_augmentation": "none",
    # network: model/i3d.py:276-289, utils/load_weights.py:26-43
    "model.name": "i3d",
    "model.depth": None,
    "model.width": 64,
    "model.embedding_dim": 128,
    "model.weight_init": "xavier",
    # loss, queue and momentum: NCEAverage.py:181-228, NCECriterion.py:41-46, train_temporal_dis.py:413-419, 483-508
    "method.name": "vtdl",
    "method.loss": "info_nce",
    "method.temperature": 0.07,
    "method.queue.memory": "queue",
    "method.queue.size": 3570 - 1,  # HMDB51's split 1 has 3,570 training videos
    "method.queue.mask_own_video": False,
    "method.momentum": 0.999,
    "method.key_statistics": "batch",
    "method.key_splits": 1,
    "method.margin_weight": 0,
    "method.consistency_weight": 0,
    # pretraining: train_temporal_dis.py:54, 71-80, scripts/TemporalDis; from epochs 121, 161 and 201 counted from 1
    "pretrain.epochs": 240,
    "pretrain.batch_size": 16,
    "pretrain.precision": "fp32",
    "pretrain.optimizer.name": "sgd",
    "pretrain.optimizer.lr": 0.003,
    "pretrain.optimizer.momentum": 0.9,
    "pretrain.optimizer.weight_decay": 1e-4,
    "pretrain.schedule.name": "step",
    "pretrain.schedule.milestones": [120, 160, 200],
    "pretrain.schedule.factor": 0.1,
    "pretrain.schedule.warmup_epochs": 0,
    "pretrain.accumulate_steps": 1,  # train_temporal_dis.py, train_moco: a step a batch, as the backward pass left it
    "pretrain.max_grad_norm": None,
    "pretrain.keep_every": 48,  # the epoch they finetune from: README
    # finetuning: README, option.py, trainer.py
    "finetune.clip_len_frames": 64,
    "finetune.stride_frames": 1,
    "finetune.epochs": 45,
    "finetune.batch_size": 4,
    "finetune.precision": "fp32",
    "finetune.optimizer.name": "sgd",
    "finetune.optimizer.lr": 0.001,
    "finetune.optimizer.momentum": 0.9,
    "finetune.optimizer.weight_decay": 1e-8,
    "finetune.schedule.name": "step",
    "finetune.schedule.milestones": [10, 20, 25, 30, 35, 40],
    "finetune.schedule.factor": 0.3,
    "finetune.schedule.warmup_epochs": 0,
    # trainer.py, train: a step a batch, all of the model in training mode; loss/config.py: one lr; nn.DataParallel
    "finetune.accumulate_steps": 1,
    "finetune.max_grad_norm": None,
    "finetune.backbone_lr_scale": 1,
    "finetune.freeze_stages": 0,
    "finetune.sync_batch_norm": False,
    "finetune.dropout": 0.5,
    "finetune.validate_every": 1,
    "finetune.best_by": "top1",
    "finetune.patience": 0,
    # loss and order: loss/config.py:20; data/dataloader.py:18
    "finetune.label_smoothing": 0.0,
    "finetune.class_weights": "none",
    "finetune.sampling": "shuffle",
    # test: test.py:45-50
    "evaluate.starts": [0, 10],
    # features: feature_extractor.py, option.py:24, 27
    "extract.clip_len_frames": 64,
    "extract.stride_frames": 1,
    "extract.clips": 1,
}
"""What the authors' code does, and where it does it: files under its `src/`."""

OF_OUR_OWN = {
    "data.decoder",  # theirs are pictures
    "data.frame_rate",  # theirs count frames
    "data.max_bad_fraction",
    "evaluate.clips",  # give way to the starts
    "evaluate.batch_clips",
    "pretrain.knn_every",
    "finetune.keep_every",
    *(
        f"{stage}.{key}"
        for stage in ("pretrain", "finetune")
        for key in ("cache_gb", "checkpoint_minutes", "compile", "cuda_graphs", "log_gradients", "trackers")
    ),
    *(f"method.sampling.{key}" for key in ("gap_frames", "redraws")),  # of other rules
    *(f"method.{key}" for key in ("clusters", "relabel_every", "consistency_transforms")),  # of what is off
    "method.key_shuffle",  # of several processes; the authors have one
    "extract.batch_clips",
}
"""Keys of which their code says nothing."""


def flat(section: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Every value by its whole key."""
    values: dict[str, Any] = {}
    for name, value in section.items():
        values |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return values


def test_every_value_is_the_authors() -> None:
    """Oracle: AUTHORS; a key that is in neither table has to be looked up in their code first."""
    found = flat(load_config("hmdb51/i3d-author").to_dict())
    assert {key: found[key] for key in AUTHORS} == AUTHORS
    assert found.keys() - AUTHORS.keys() == OF_OUR_OWN


@pytest.fixture(scope="module")
def config() -> Config:
    return load_config("hmdb51/i3d-author", ["model.width=4", "pretrain.batch_size=2", "method.queue.size=8"])


def test_starts_and_negatives_are_those_of_their_frame_data_set(config: Config) -> None:
    """Oracle: the sampler that is held to their rules and to the shares of their lists (tests/data/clips/test_triplets.py)."""
    authors = TripletSampler(16, 4, "shift", threshold=2, window=128, short_videos="restart")
    assert build_triplet_sampler(config) == authors


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            ["sampling.negative=on_the_fly", "short_videos=sort"],
            TripletSampler(16, 4, "on_the_fly", None, 4, 3, None, "sort"),
        ),
        (["sampling.negative=redraw", "sampling.redraws=5"], TripletSampler(16, 4, "redraw", redraws=5)),
        (["sampling.negative=shift", "sampling.threshold_frames=9"], TripletSampler(16, 4, "shift", threshold=9)),
        (["sampling.gap_frames=7"], TripletSampler(16, 4, "shrink_gap", gap=7)),
        (["sampling.window_frames=128", "sampling.negative=gap"], TripletSampler(16, 4, "gap", window=128)),
        (["intra_video_negative=false"], TripletSampler(16, 4, intra_video_negative=False)),
    ],
)
def test_sampling_is_what_the_settings_say(settings: list[str], expected: TripletSampler) -> None:
    """Oracle: the sampler by hand; the first are those of their video data set."""
    assignments = [("data." if text.startswith("short") else "method.") + text for text in settings]
    assert build_triplet_sampler(load_config("kinetics400/i3d", assignments)) == expected


def test_clips_restart_in_every_stage(config: Config) -> None:
    assert SHORT_VIDEOS[config.data.short_videos](8, 10, 4, 1).tolist() == [8, 9, 0, 1]


def test_jitter_is_one_operation(config: Config, toy: Toy) -> None:
    sample = build_pretraining_clips(config, read_list(toy.train_list, root=toy.root), seed=0)[(0, 0)]
    assert (sample.draws["order"][:, 1:] == -1).all()  # type: ignore[union-attr]


def test_stale_keys_of_its_own_are_among_a_videos_negatives(config: Config) -> None:
    assert not build_vtdl(config, 9).mask_own_video


def test_weight_init_are_xaviers(config: Config) -> None:
    """Oracle: by hand: within sqrt(2) sqrt(6 / (fan in + fan out)) of the first convolution, 3 x 343 and 4 x 343."""
    torch.manual_seed(0)
    weights = build_backbone(config).state_dict()
    first = next(values for name, values in weights.items() if values.ndim == 5)
    bound = math.sqrt(2 * 6 / (7 * 343))
    assert bound * 0.99 < first.abs().max().item() <= bound


def test_evaluation_takes_the_presets_clips(config: Config, toy: Toy, finetuned: Path, tmp_path: Path) -> None:
    """Oracle: the mean of two evaluations of one clip each, at frames 0 and 10, as in the authors' test; they report the
    mean of classes, which is there."""
    both = [f"evaluate.{name}={value}" for name, value in config.to_dict()["evaluate"].items()]
    scores = []
    for name, how in (("both", both), ("first", ["evaluate.starts=[0]"]), ("second", ["evaluate.starts=[10]"])):
        words = [word for text in how for word in ("--set", text)]
        succeed(*toy.evaluate(finetuned, tmp_path / name, "--set", "evaluate.clips=10", *words))
        with h5py.File(tmp_path / name / "scores.h5") as file:
            scores.append(file["scores"][:])
    np.testing.assert_allclose(scores[0], (scores[1] + scores[2]) / 2, atol=1e-5)
    assert (scores[1] != scores[2]).any()
    metrics = json.loads((tmp_path / "both/metrics.json").read_text())
    assert metrics["protocol"] == "video@2 from frames 0, 10"
    assert "mean_class" in metrics


@pytest.mark.parametrize(
    ("num_frames", "starts"),
    [(200, [0, 10]), (75, [0, 10]), (74, [0, 10]), (73, [0, 0]), (64, [0, 0]), (63, [0, 0]), (20, [0, 0])],
)
def test_evaluation_of_a_video_under_74_frames_is_one_clip(config: Config, num_frames: int, starts: list[int]) -> None:
    """Oracle: test.py:45-50 takes 1 + (n - 64) // 10 clips and at most two; of a shorter video its data set restarts."""
    clip = config.finetune
    sampler = fixed_clips(clip.clip_len_frames, clip.stride_frames, config.evaluate.starts, config.data.short_videos)
    expected = [SHORT_VIDEOS["restart"](start, num_frames, 64, 1).tolist() for start in starts]
    assert sampler(num_frames, np.random.default_rng(0)).tolist() == expected


def test_preset_pretrains(toy: Toy, tmp_path: Path) -> None:
    small = ("model.width=4", "pretrain.batch_size=4", "method.queue.size=8", "data.short_side=40", "data.crop_size=32")
    line = [word for text in (*small, "pretrain.epochs=1", "pretrain.precision=fp32") for word in ("--set", text)]
    where = ["--train-list", str(toy.train_list), "--root", str(toy.root), "--out", str(tmp_path / "run")]
    result = succeed("pretrain", "--preset", "hmdb51/i3d-author", *where, "--workers", "0", "--json", *line)
    assert json.loads(result.stdout)["videos"] == NUM_TRAIN
