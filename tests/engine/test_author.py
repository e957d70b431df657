"""The preset that has the authors' quirks, each against what README, Method says of their code."""

import json
import math
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from tests.toy import NUM_TRAIN, Toy, succeed
from vtdl_cli.config import Config, load_config
from vtdl_cli.data.lists import read_list
from vtdl_cli.data.sampling import SHORT_VIDEOS
from vtdl_cli.data.triplets import TripletSampler
from vtdl_cli.engine.build import build_pretraining_clips, build_triplet_sampler, build_trunk, build_vtdl


@pytest.fixture(scope="module")
def config() -> Config:
    return load_config("hmdb51/i3d-author", ["model.width=4", "pretrain.batch_size=2", "method.queue.size=8"])


def test_starts_and_negatives_are_those_of_their_frame_data_set(config: Config) -> None:
    """Oracle: the sampler that is held to their rules and to the shares of their lists (tests/data/test_triplets.py)."""
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
        (["sampling.gap_frames=7"], TripletSampler(16, 4, gap=7)),
        (["sampling.window_frames=128"], TripletSampler(16, 4, window=128)),
        (["own_negative=false"], TripletSampler(16, 4, own_negative=False)),
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


def test_queue_holds_one_key_less_than_there_are_videos() -> None:
    """Oracle: HMDB51's split 1 has 3,570 training videos."""
    assert load_config("hmdb51/i3d-author").method.queue.size == 3570 - 1


def test_first_weights_are_xaviers(config: Config) -> None:
    """Oracle: by hand: within sqrt(2) sqrt(6 / (fan in + fan out)) of the first convolution, 3 x 343 and 4 x 343."""
    torch.manual_seed(0)
    weights = build_trunk(config).state_dict()
    first = next(values for name, values in weights.items() if values.ndim == 5)
    bound = math.sqrt(2 * 6 / (7 * 343))
    assert bound * 0.99 < first.abs().max().item() <= bound


def test_evaluation_takes_clips_at_frames_0_and_10(toy: Toy, finetuned: Path, tmp_path: Path) -> None:
    """Oracle: the mean of two evaluations of one clip each; they report the mean of classes, which is there."""
    scores = []
    for name, starts in (("both", [0, 10]), ("first", [0]), ("second", [10])):
        how = ("--set", f"evaluate.starts={starts}", "--set", f"evaluate.clips={len(starts)}")
        succeed(*toy.evaluate(finetuned, tmp_path / name, *how))
        with h5py.File(tmp_path / name / "scores.h5") as file:
            scores.append(file["scores"][:])
    np.testing.assert_allclose(scores[0], (scores[1] + scores[2]) / 2, atol=1e-5)
    assert (scores[1] != scores[2]).any()
    metrics = json.loads((tmp_path / "both/metrics.json").read_text())
    assert metrics["protocol"] == "video@2 from frames 0, 10"
    assert "mean_class" in metrics


def test_preset_pretrains(toy: Toy, tmp_path: Path) -> None:
    small = ("model.width=4", "pretrain.batch_size=4", "method.queue.size=8", "data.short_side=40", "data.crop_size=32")
    line = [word for text in (*small, "pretrain.epochs=1", "pretrain.precision=fp32") for word in ("--set", text)]
    where = ["--train-list", str(toy.train_list), "--root", str(toy.root), "--out", str(tmp_path / "run")]
    result = succeed("pretrain", "--preset", "hmdb51/i3d-author", *where, "--workers", "0", "--json", *line)
    assert json.loads(result.stdout)["videos"] == NUM_TRAIN
