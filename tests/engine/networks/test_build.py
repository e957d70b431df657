"""What each option builds, and that without it something else is built."""

import math
import pickle
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.toy import NUM_TRAIN, Toy, read_list
from vtdl_cli.config import TrainingSection
from vtdl_cli.data.clips.sampling import fixed_clips, random_clip, uniform_clips
from vtdl_cli.data.lists.video_list import VideoList
from vtdl_cli.engine.networks.build import build_network
from vtdl_cli.engine.networks.clips import build_pretraining_clips, build_test_clips, build_training_clips
from vtdl_cli.engine.networks.machine import build_machine
from vtdl_cli.engine.networks.methods import build_method
from vtdl_cli.engine.train.optimization import ParameterGroup, build_optimizer, build_schedule
from vtdl_cli.method.clip_order import ClipOrder
from vtdl_cli.method.frames import BlockShuffle, Cut, FrameShuffle, MotionEnhancement, TemporalDropout
from vtdl_cli.method.instance_discrimination import InstanceDiscrimination
from vtdl_cli.method.loss import NoiseContrastiveLoss
from vtdl_cli.method.memory import VideoBank
from vtdl_cli.method.pseudo_labels import PseudoLabels
from vtdl_cli.method.tca import TemporalConsistentAugmentation
from vtdl_cli.models.c3d import C3D
from vtdl_cli.models.heads import TemporalConvClassifier
from vtdl_cli.models.i3d import I3D
from vtdl_cli.setting_keys import all_keys
from vtdl_cli.settings import load_config

NUM_CLASSES = 5
PLAIN = "model.width=4"
"""On top of the demo's preset, which has TCA of alpha .5 for each clip, 256 keys, R3D-10, and the defaults for all else."""


@dataclass(frozen=True)
class Built:
    """What one configuration gives: the task, finetuning's network, and the clips of both stages."""

    method: Any
    network: Any
    pretraining: Any
    finetuning: Any


def build(assignments: str, videos: VideoList) -> Built:
    """Of assignments with spaces between them."""
    config = load_config("demo", [PLAIN, *assignments.split()])
    clips = [make(config, videos, 0) for make in (build_pretraining_clips, build_training_clips)]
    return Built(build_method(config, len(videos)), build_network(config, NUM_CLASSES), *clips)


@pytest.fixture(scope="module")
def videos(toy: Toy) -> VideoList:
    return read_list(toy.train_list, root=toy.root)


@pytest.fixture(scope="module")
def plain(videos: VideoList) -> Built:
    return build("", videos)


def look(built: Built, path: str) -> Any:
    """The value at a path of attributes, of a module its class; None where it does not go so far."""
    found: Any = built
    for name in path.split("."):
        found = getattr(found, name, None)
    return type(found) if isinstance(found, nn.Module) else found


TCA = TemporalConsistentAugmentation
JITTER = "pretraining.viewer.jitter"
BLOCK_SHUFFLE, SHIFT, REDRAW = (
    "method.negative_augmentation=block_shuffle",
    "method.sampling.negative=shift",
    "method.sampling.negative=redraw",
)
TABLE: list[tuple[str, str, Any]] = [
    # the method
    ("method.name=instance_discrimination", "method", InstanceDiscrimination),
    ("method.name=instance_discrimination method.queue.size=18", "method.bank.size", 18),
    ("method.name=instance_discrimination method.temperature=0.2", "method.temperature", 0.2),
    ("method.name=instance_discrimination method.loss=nce", "method.criterion", NoiseContrastiveLoss),
    ("method.name=clip_order", "method", ClipOrder),
    ("method.name=pseudo_labels method.clusters=9", "method", PseudoLabels),
    ("method.name=pseudo_labels method.clusters=9", "method.encoder.head.linear.out_features", 9),
    ("method.name=pseudo_labels method.clusters=9 method.relabel_every=7", "method.relabel_every", 7),
    ("method.temperature=0.2", "method.temperature", 0.2),
    ("method.momentum=0.5", "method.encoders.momentum", 0.5),
    ("method.intra_video_negative=false", "method.intra_video_negative", False),
    ("method.intra_video_negative=false", "pretraining.sampler.intra_video_negative", False),
    ("method.intra_video_negative_gradient=false", "method.intra_video_negative_gradient", False),
    (f"{BLOCK_SHUFFLE} method.strong_negative=true", "method.strong_negative", True),
    ("method.positive_augmentation=cut", "method.positive_augmentation", Cut),
    ("method.positive_augmentation=motion", "method.positive_augmentation", MotionEnhancement),
    ("method.negative_augmentation=shuffle", "method.negative_augmentation", FrameShuffle),
    (BLOCK_SHUFFLE, "method.negative_augmentation", BlockShuffle),
    ("method.negative_augmentation=dropout", "method.negative_augmentation", TemporalDropout),
    ("method.loss=nce", "method.criterion", NoiseContrastiveLoss),
    ("method.loss=nce", "method.criterion.num_videos", NUM_TRAIN),
    ("method.margin_weight=0.5", "method.margin_weight", 0.5),
    ("method.consistency_weight=0.5", "method.consistency_weight", 0.5),
    ("method.consistency_weight=0.5 method.consistency_transforms=all", "method.consistency.num_transforms", 16),
    ("method.key_statistics=running", "method.encoders.key_statistics", "running"),
    ("method.key_splits=4", "method.encoders.key_splits", 4),
    (SHIFT, "pretraining.sampler.negative", "shift"),
    (REDRAW, "pretraining.sampler.negative", "redraw"),
    ("method.sampling.gap_frames=9", "pretraining.sampler.gap", 9),
    (f"{SHIFT} method.sampling.threshold_frames=6", "pretraining.sampler.threshold", 6),
    (f"{REDRAW} method.sampling.redraws=8", "pretraining.sampler.redraws", 8),
    ("method.sampling.window_frames=50", "pretraining.sampler.window", 50),
    ("method.tca.version=1", "method.anchor_augmentation.version", 1),
    ("method.tca.version=3", "method.anchor_augmentation.version", 3),
    ("method.tca.alpha=0.2", "method.anchor_augmentation.alpha", 0.2),
    ("method.tca.per=batch", "method.anchor_augmentation.per_sample", False),
    ("method.tca.side=key", "method.anchor_augmentation", nn.Identity),
    ("method.tca.side=key method.tca.version=3", "method.positive_augmentation.0.version", 3),
    ("method.tca.side=key method.tca.per=batch", "method.positive_augmentation.0.per_sample", False),
    ("method.tca.side=both method.tca.alpha=0.2", "method.anchor_augmentation.alpha", 0.2),
    ("method.tca.side=both method.tca.alpha=0.2", "method.positive_augmentation.0.alpha", 0.2),
    ("method.tca.side=both method.positive_augmentation=cut", "method.positive_augmentation.0", TCA),
    ("method.tca.side=both method.positive_augmentation=cut", "method.positive_augmentation.1", Cut),
    ("method.queue.size=18", "method.memory.size", 18),
    ("method.queue.memory=bank", "method.memory", VideoBank),
    ("method.queue.memory=bank method.queue.size=18", "method.memory.size", 18),
    ("method.queue.mask_own_video=false", "method.mask_own_video", False),
    # the network
    ("model.name=c3d model.depth=null", "network.backbone", C3D),
    ("model.name=i3d model.depth=null", "method.trained_backbone", I3D),
    ("model.name=i3d model.depth=null", "network.head", TemporalConvClassifier),
    ("model.name=r2p1d", "network.backbone.layer1.0.conv1.0", nn.Sequential),
    ("model.depth=50", "network.backbone.feature_dim", 128),
    ("finetune.dropout=0.25", "network.head.dropout.p", 0.25),
    ("model.width=6", "method.trained_backbone.feature_dim", 48),
    ("model.embedding_dim=16", "method.encoders.query.head.linear.out_features", 16),
    ("model.embedding_dim=16", "method.memory.keys.shape", torch.Size([256, 16])),
    # the clips
    ("data.rotation_degrees=3", "pretraining.viewer.rotation_degrees", 3),
    ("data.rotation_degrees=3", "finetuning.viewer.rotation_degrees", 3),
    ("data.jitter.brightness=0.1", JITTER, (0.1, 0.5, 0.25, 0.5)),
    ("data.jitter.contrast=0.1", JITTER, (0.5, 0.1, 0.25, 0.5)),
    ("data.jitter.saturation=0.1", JITTER, (0.5, 0.5, 0.1, 0.5)),
    ("data.jitter.hue=0.1", JITTER, (0.5, 0.5, 0.25, 0.1)),
    ("data.jitter.hue=0.1", "finetuning.viewer.jitter", (0.5, 0.5, 0.25, 0.1)),
    ("data.jitter.single_operation=true", "pretraining.viewer.single_operation", True),
    ("data.jitter.single_operation=true", "finetuning.viewer.single_operation", True),
    ("data.modality=flow", JITTER, None),
    ("data.decoder=decord", "pretraining.decoder", "decord"),
    ("data.decoder=decord", "finetuning.decoder", "decord"),
    (f"data.short_videos=restart {SHIFT}", "pretraining.sampler.short_videos", "restart"),
    ("pretrain.augment=false", "pretraining.viewer.augment", False),
    ("finetune.augment=false", "finetuning.viewer.augment", False),
]
"""Assignments, where to look, and what is there."""

IN_TESTS_OF_THEIR_OWN = {"method.key_shuffle", "method.options", "model.weight_init"}


@pytest.mark.parametrize(("assignments", "path", "expected"), TABLE, ids=str)
def test_option__is_what_is_built(assignments: str, path: str, expected: Any, videos: VideoList, plain: Built) -> None:
    """Oracle: the table, none of which is so already without the options: one that is passed over shows."""
    assert look(plain, path) != expected
    assert look(build(assignments, videos), path) == expected


def test_table__has_every_option() -> None:
    """Oracle: the configuration's own keys."""
    told = {assignment.partition("=")[0] for assignments, _, _ in TABLE for assignment in assignments.split()}
    parts = ("method.", "model.", "data.jitter.", "data.rotation", "pretrain.augment", "finetune.augment")
    keys = {key for key in all_keys() if key.startswith(parts)}
    sections = {key for key in keys if any(other.startswith(f"{key}.") for other in keys)}
    assert keys - sections - told == IN_TESTS_OF_THEIR_OWN


def test_augment__belongs_to_its_own_stage(videos: VideoList) -> None:
    """Oracle: README: the baseline of the published ablation is finetuned without augmentation, and pretraining has it."""
    for assignment, stages in (("pretrain.augment=false", (False, True)), ("finetune.augment=false", (True, False))):
        built = build(assignment, videos)
        assert (built.pretraining.viewer.augment, built.finetuning.viewer.augment) == stages


@pytest.mark.parametrize(
    ("options", "processes", "shuffles"),
    [
        ("", 1, False),
        ("", 2, True),
        ("method.key_shuffle=devices", 2, True),
        ("method.key_shuffle=none", 2, False),
        ("method.key_statistics=running", 2, False),
    ],
)
def test_key_shuffle__needs_several_processes_and_batches_of_keys(
    options: str, processes: int, shuffles: bool, videos: VideoList, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: method/README: ShuffleBN among processes, where there are several and keys go by their batch."""
    for name, value in {"RANK": 0, "LOCAL_RANK": 0, "WORLD_SIZE": processes}.items():
        monkeypatch.setenv(name, str(value))
    assert build(options, videos).method.encoders.key_shuffle == shuffles


def convolutions(network: nn.Module) -> list[nn.Conv3d]:
    return [layer for layer in network.modules() if isinstance(layer, nn.Conv3d)]


def is_uniform(weights: Tensor, bound: float) -> bool:
    """Whether weights lie within a bound that the largest of them comes near, unless they are few."""
    nearest = 0.9 if weights.numel() > 100 else 0.0
    return nearest * bound <= weights.abs().max().item() <= bound


def test_weight_init__is_xavier_in_every_convolution(videos: VideoList) -> None:
    """Oracle: the authors' `weights_init` goes through the whole model, I3D's classifier included: uniform within
    sqrt(2) sqrt(6 / (fan in + fan out)); linear layers keep torch's, within 1 / sqrt(in)."""
    torch.manual_seed(0)
    built = build("model.name=i3d model.depth=null model.weight_init=xavier", videos)
    assert built.network.head.conv3d in convolutions(built.network)
    for network in (built.network, built.method.encoders.query, built.method.encoders.key):
        for layer in convolutions(network):
            fans = math.prod(layer.kernel_size) * (layer.in_channels + layer.out_channels)
            assert is_uniform(layer.weight, math.sqrt(2) * math.sqrt(6 / fans))
    linear = built.method.encoders.query.head.linear
    assert is_uniform(linear.weight, 1 / math.sqrt(linear.in_features))


def test_weight_init__of_a_classifier_is_torchs_by_default(videos: VideoList) -> None:
    """Oracle: torch's documentation: uniform within 1 / sqrt(fan in), here of 64 channels and 7 frames."""
    torch.manual_seed(0)
    built = build("model.name=i3d model.depth=null", videos)
    assert is_uniform(built.network.head.conv3d.weight, 1 / math.sqrt(64 * 7))


# ---- how weights move


def training(assignment: str) -> TrainingSection:
    """The section of finetuning, with one setting of the optimiser or the schedule."""
    return load_config("demo", [PLAIN, f"finetune.{assignment}"]).finetune


def weights_after(options: TrainingSection, gradients: list[float]) -> list[float]:
    """Of a single weight that begins at 2."""
    weight = nn.Parameter(torch.tensor(2.0, dtype=torch.float64))
    optimizer = build_optimizer(options, [ParameterGroup(params=[weight], lr_scale=1.0)])
    found = []
    for gradient in gradients:
        weight.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
        found.append(weight.item())
    return found


def test_sgd__by_hand() -> None:
    """Oracle: by hand: v <- .8 v + (g + .1 w), w <- w - .5 v, for gradients 1 and then 3."""
    options = training("optimizer={name: sgd, lr: 0.5, momentum: 0.8, weight_decay: 0.1}")
    first_v = 1 + 0.1 * 2
    first = 2 - 0.5 * first_v
    second = first - 0.5 * (0.8 * first_v + 3 + 0.1 * first)
    assert weights_after(options, [1, 3]) == pytest.approx([first, second])


def test_adamw__by_hand() -> None:
    """Oracle: Loshchilov and Hutter (arXiv 1711.05101), algorithm 2: decay apart from the gradient's moments."""
    options = training("optimizer={name: adamw, lr: 0.5, weight_decay: 0.1}")
    weight, mean, square, expected = 2.0, 0.0, 0.0, []
    for step, gradient in enumerate([1.0, 3.0], start=1):
        mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
        move = (mean / (1 - 0.9**step)) / (math.sqrt(square / (1 - 0.999**step)) + 1e-8)
        weight = weight - 0.5 * 0.1 * weight - 0.5 * move
        expected.append(weight)
    assert weights_after(options, [1, 3]) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("schedule", "factors"),
    [
        ("{name: constant}", [1, 1, 1, 1]),
        ("{name: step, milestones: [1, 3], factor: 0.5}", [1, 0.5, 0.5, 0.25]),
        ("{name: cosine}", [1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2]),
        ("{name: constant, warmup_epochs: 2}", [0, 0.5, 1, 1]),
    ],
)
def test_schedule__is_the_one_configured(schedule: str, factors: list[float]) -> None:
    """Oracle: by hand, after 0 to 3 of 4 epochs."""
    options = load_config("demo", [PLAIN, "finetune.epochs=4", f"finetune.schedule={schedule}"]).finetune
    assert [build_schedule(options)(epoch) for epoch in range(4)] == pytest.approx(factors)


# ---- what is seen of a video


def test_clips__are_of_their_own_stage(videos: VideoList) -> None:
    """Oracle: the settings: how many frames a clip shows, and how far apart, in pretraining, finetuning and testing."""
    stages = {"pretrain": (4, 2), "finetune": (3, 5)}
    given = [f"{s}.{key}={n}" for s, pair in stages.items() for key, n in zip(LENGTHS, pair, strict=True)]
    config = load_config("demo", [PLAIN, *given, "method.name=clip_order", "data.crop_size=24", "data.short_side=30"])
    makers = {"pretrain": build_pretraining_clips, "finetune": build_training_clips}
    for stage, make in makers.items():
        clips = make(config, videos, 5)
        indices, _ = clips.draw_frames((0, 0), 1000)
        assert indices.shape == (1, stages[stage][0])
        assert set(np.diff(indices[0])) == {stages[stage][1]}
        assert (clips.seed, clips.short_side, clips.viewer.crop_size) == (5, 30, 24)
    test: Any = build_test_clips(config, videos, config.finetune, clips=2, crops=3)
    assert test.draw_frames((0, 0), 1000)[0].shape == (2, 3)
    assert (test.short_side, test.viewer.crop_size, test.viewer.crops) == (30, 24, 3)
    starts = build_test_clips(config, videos, config.finetune, clips=2, starts=[0, 10])
    assert starts.draw_frames((0, 0), 1000)[0][:, 0].tolist() == [0, 10]


@pytest.mark.parametrize("method", ["vtdl", "clip_order"])
def test_clips__pickle(videos: VideoList, method: str) -> None:
    """Oracle: the clips that were pickled: workers that are not forked are sent them."""
    config = load_config("demo", [PLAIN, f"method.name={method}"])
    made = [make(config, videos, 5) for make in (build_pretraining_clips, build_training_clips)]
    made += [build_test_clips(config, videos, config.extract, clips=3, starts=starts) for starts in ((), (0, 10, 20))]
    for clips in made:
        copied = pickle.loads(pickle.dumps(clips))
        first: Any = clips[1, 2]
        again: Any = copied[1, 2]
        np.testing.assert_array_equal(first.windows, again.windows)
        np.testing.assert_equal(first.draws, again.draws)
        assert (first.index, first.label) == (again.index, again.label) == (2, int(videos.labels[2]))


LENGTHS = ("clip_len_frames", "stride_frames")


@pytest.mark.parametrize("short_videos", ["loop", "restart"])
def test_short_videos__continue_as_configured(videos: VideoList, short_videos: str) -> None:
    """Oracle: `data.sampling` itself: every maker of clips passes the setting on. Five frames are less than a clip."""
    config = load_config("demo", [PLAIN, "method.name=clip_order", f"data.short_videos={short_videos}"])
    options = config.finetune
    length, stride = options.clip_len_frames, options.stride_frames
    generator = np.random.default_rng(0)
    expected = {
        1: uniform_clips(length, stride, 1, short_videos)(5, generator),
        2: fixed_clips(length, stride, [0, 1], short_videos)(5, generator),
    }
    for clips, starts in ((1, []), (2, [0, 1])):
        made = build_test_clips(config, videos, options, clips=clips, starts=starts)
        np.testing.assert_array_equal(made.draw_frames((0, 0), 5)[0], expected[clips])
    drawn, _ = build_training_clips(config, videos, 0).draw_frames((0, 0), 5)
    again = random_clip(length, stride, short_videos)(5, np.random.default_rng((0, 0, 1)))
    np.testing.assert_array_equal(drawn, again)


def test_machine__is_the_one_configured() -> None:
    for precision, kind in (("fp32", None), ("bf16", torch.bfloat16)):
        machine = build_machine("cpu", precision, 3)
        assert (machine.device.type, machine.autocast, machine.workers) == ("cpu", kind, 3)


def test_machine__lays_weights_out_channels_last() -> None:
    """Oracle: torch's own word on a convolution that has been placed."""
    placed = build_machine("cpu", "fp32", 0).place(nn.Conv3d(2, 4, 3))
    assert placed.weight.is_contiguous(memory_format=torch.channels_last_3d)
    assert not nn.Conv3d(2, 4, 3).weight.is_contiguous(memory_format=torch.channels_last_3d)
