"""The only place where the configuration meets classes: each builder turns a section into flat keyword arguments."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from vtdl_cli import ranks
from vtdl_cli.config import Clip, Config, Training
from vtdl_cli.data.datasets import EpochBatches, VideoClips
from vtdl_cli.data.lists.video_list import VideoList
from vtdl_cli.data.loading import Loader, Tell, build_loader
from vtdl_cli.data.sampling import IndexSampler, fixed_clips, random_clip, uniform_clips
from vtdl_cli.data.triplets import TripletSampler
from vtdl_cli.data.video.decoding import FLOW
from vtdl_cli.data.views import FixedViews, RandomViews, Viewer
from vtdl_cli.engine.train.schedule import Schedule, constant, cosine, step_decay, with_warmup
from vtdl_cli.method.clip_order import ORDERS, ClipOrder
from vtdl_cli.method.encoders import EncoderPair
from vtdl_cli.method.frames import BlockShuffle, Cut, FrameShuffle, MotionEnhancement, TemporalDropout
from vtdl_cli.method.instance_discrimination import InstanceDiscrimination
from vtdl_cli.method.loss import NoiseContrastiveLoss, info_nce
from vtdl_cli.method.memory import KeyQueue, VideoBank
from vtdl_cli.method.pseudo_labels import PseudoLabels
from vtdl_cli.method.task import Task
from vtdl_cli.method.tca import TemporalConsistentAugmentation
from vtdl_cli.method.vtdl import VTDL
from vtdl_cli.models.convolution import initialise
from vtdl_cli.models.encoder import Backbone, Encoder
from vtdl_cli.models.heads import EmbeddingHead, LinearClassifier
from vtdl_cli.models.zoo import build_backbone, build_classifier
from vtdl_cli.runtime import Reporter, Silence, default_workers, select_autocast, select_device

MEMORY_FORMAT = torch.channels_last_3d
"""How networks and clips lie in memory.

Against torch's own layout a step was 1.2 to 1.5 times as fast on an H100 in bf16 (all four backbones at preset size),
and 0.94 to 1.64 times as fast on a two-core AVX2 CPU in float32, where R3D-18 lost.
"""

CHANNELS = {"rgb": 3, "flow": 2}
"""Of a frame."""

POSITIVE_AUGMENTATIONS = {"none": nn.Identity, "cut": Cut, "motion": MotionEnhancement}
NEGATIVE_AUGMENTATIONS = {
    "none": nn.Identity,
    "shuffle": FrameShuffle,
    "block_shuffle": BlockShuffle,
    "dropout": TemporalDropout,
}

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class Machine:
    """Where and how a run computes."""

    device: torch.device
    autocast: torch.dtype | None
    workers: int
    tell: Tell = lambda _: None  # of what makes it slower

    def place(self, network: Network) -> Network:
        """Move a network to the device, its weights laid out as convolutions like them there."""
        placed: Network = network.to(self.device).to(memory_format=MEMORY_FORMAT)
        return placed

    def load(self, dataset: VideoClips, order: EpochBatches) -> Loader:
        """A loader with this machine's workers."""
        on_gpu = self.device.type == "cuda"
        return build_loader(dataset, order, workers=self.workers, on_gpu=on_gpu, tell=self.tell)

    @property
    def precision(self) -> str:
        """What it computes in, `float32` or `bfloat16`, whatever was asked for."""
        return str(self.autocast or torch.float32).removeprefix("torch.")

    @property
    def provenance(self) -> dict[str, str]:
        """What of it figures depend on, if only in their last digits."""
        return {"precision": self.precision, "torch_version": str(torch.__version__)}

    def describe(self) -> str:
        """For people: `cpu, float32, 2 workers`."""
        processes = f" in each of {ranks.count()} processes" if ranks.count() > 1 else ""
        return f"{self.device}, {self.precision}, {self.workers} workers{processes}"


def build_machine(device: str, precision: str, workers: int | None, reporter: Reporter = Silence()) -> Machine:
    """Resolve `auto` by what the machine has; of several processes each gets a device of its own."""
    chosen = ranks.join(select_device(device))
    workers = default_workers() if workers is None else workers
    return Machine(chosen, select_autocast(precision, chosen), workers, once(reporter.warn))


def once(tell: Tell) -> Tell:
    """Tell the first text alone: every epoch has loaders of its own, and the same trouble."""
    told: list[str] = []

    def tell_first(text: str) -> None:
        if not told:
            told.append(text)
            tell(text)

    return tell_first


def build_trunk(config: Config) -> Backbone:
    """The backbone alone, with fresh weights."""
    model, channels = config.model, CHANNELS[config.data.modality]
    trunk = build_backbone(model.name, depth=model.depth, width=model.width, in_channels=channels)
    return _with_first_weights(trunk, config)


def _with_first_weights(network: Network, config: Config) -> Network:
    """A network whose convolutions start by the rule that is asked for; by default as each has been built."""
    if config.model.first_weights != "kaiming":
        initialise(network, config.model.first_weights)
    return network


def build_method(config: Config, num_videos: int) -> Task:
    """The pretraining task around a fresh encoder, for a list of `num_videos`."""
    return METHODS[config.method.name](config, num_videos)


def build_embedder(config: Config) -> Encoder:
    """A fresh backbone with the embedding head."""
    trunk = build_trunk(config)
    return Encoder(trunk, EmbeddingHead(trunk.feature_dim, config.model.embedding_dim))


def build_linear(config: Config, num_classes: int) -> Encoder:
    """A fresh backbone with a linear layer, for tasks that make their own labels."""
    trunk = build_trunk(config)
    return Encoder(trunk, LinearClassifier(trunk.feature_dim, num_classes, dropout=0.0))


def build_criterion(config: Config, num_videos: int) -> Callable[[Tensor], Tensor]:
    """From the logits of a contrast to its loss."""
    return NoiseContrastiveLoss(num_videos) if config.method.loss == "nce" else info_nce


def build_vtdl(config: Config, num_videos: int) -> VTDL:
    """The paper's method, with its options."""
    method, dim = config.method, config.model.embedding_dim
    size, has_bank = method.queue.size, method.queue.memory == "bank"
    return VTDL(
        build_encoder_pair(config),
        VideoBank(num_videos, size, dim) if has_bank else KeyQueue(size, dim),
        temperature=method.temperature,
        anchor_augmentation=build_tca(config) if method.tca.side != "key" else nn.Identity(),
        positive_augmentation=build_positive_augmentation(config),
        negative_augmentation=NEGATIVE_AUGMENTATIONS[method.negative_augmentation](),
        own_negative=method.own_negative,
        own_negative_gradient=method.own_negative_gradient,
        strong_negative=method.strong_negative,
        mask_own_video=method.queue.mask_own_video,
        criterion=build_criterion(config, num_videos),
        margin_weight=method.margin_weight,
        consistency_weight=method.consistency_weight,
        consistency_transforms=method.consistency_transforms,
    )


def build_encoder_pair(config: Config) -> EncoderPair:
    """Query and key encoder; several processes deal their keys among themselves, unless told otherwise."""
    method = config.method
    shuffle = ranks.count() > 1 and method.key_shuffle != "none" and method.key_statistics == "batch"
    return EncoderPair(build_embedder(config), method.momentum, method.key_statistics, method.key_splits, shuffle)


def build_instance_discrimination(config: Config, num_videos: int) -> InstanceDiscrimination:
    """Wu et al.'s, with our encoder."""
    bank = VideoBank(num_videos, config.method.queue.size, config.model.embedding_dim)
    criterion = build_criterion(config, num_videos)
    return InstanceDiscrimination(build_embedder(config), bank, config.method.temperature, criterion)


def build_clip_order(config: Config, _num_videos: int) -> ClipOrder:
    """Our classifier over the orders of a clip's blocks."""
    return ClipOrder(build_linear(config, len(ORDERS)))


def build_pseudo_labels(config: Config, num_videos: int) -> PseudoLabels:
    """Our classifier over the clusters of the list's videos."""
    method = config.method
    return PseudoLabels(build_linear(config, method.clusters), num_videos, method.relabel_every)


METHODS: dict[str, Callable[[Config, int], Task]] = {
    "vtdl": build_vtdl,
    "instance_discrimination": build_instance_discrimination,
    "clip_order": build_clip_order,
    "pseudo_labels": build_pseudo_labels,
}
"""`method.name` -> how it is built."""

WITH_EMBEDDING = ("vtdl", "instance_discrimination")
"""Those that train an embedding head: `build_embedder`'s."""


def build_tca(config: Config) -> TemporalConsistentAugmentation:
    """What happens to the anchor."""
    tca = config.method.tca
    return TemporalConsistentAugmentation(tca.alpha, per_sample=tca.per == "sample", version=tca.version)


def build_positive_augmentation(config: Config) -> nn.Module:
    """What happens to the positive."""
    extra = POSITIVE_AUGMENTATIONS[config.method.positive_augmentation]()
    return extra if config.method.tca.side == "query" else nn.Sequential(build_tca(config), extra)


def build_network(config: Config, num_classes: int) -> Encoder:
    """A fresh backbone with its classifier."""
    trunk = build_trunk(config)
    head = build_classifier(config.model.name, trunk.feature_dim, num_classes, config.finetune.dropout)
    return Encoder(trunk, _with_first_weights(head, config))


def build_optimizer(training: Training, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """SGD or AdamW; the rate is set anew before every step."""
    options = training.optimizer
    if options.name == "adamw":
        return torch.optim.AdamW(parameters, lr=options.learning_rate, weight_decay=options.weight_decay)
    return torch.optim.SGD(
        parameters, lr=options.learning_rate, momentum=options.momentum, weight_decay=options.weight_decay
    )


def build_schedule(training: Training) -> Schedule:
    """From epochs done to a factor on the learning rate."""
    options = training.schedule
    schedules = {
        "constant": constant,
        "step": step_decay(options.milestones, options.factor),
        "cosine": cosine(training.epochs),
    }
    return with_warmup(schedules[options.name], options.warmup_epochs)


def build_pretraining_clips(config: Config, videos: VideoList, seed: int) -> VideoClips:
    """The clips of each video that the method asks for: of VTDL anchor, positive and negative, of others one."""
    is_vtdl = config.method.name == "vtdl"
    sampler = build_triplet_sampler(config) if is_vtdl else _one_clip(config, config.pretrain)
    return _clips(config, videos, sampler, _random_views(config, config.pretrain.augment), seed)


def build_triplet_sampler(config: Config) -> TripletSampler:
    """Which frames the clips of a triplet show."""
    options = config.method.sampling
    return TripletSampler(
        config.pretrain.clip_len_frames,
        config.pretrain.stride_frames,
        negative=options.negative,
        gap=options.gap_frames,
        threshold=options.threshold_frames,
        redraws=options.redraws,
        window=options.window_frames,
        short_videos=config.data.short_videos,
        own_negative=config.method.own_negative,
    )


def build_training_clips(config: Config, videos: VideoList, seed: int) -> VideoClips:
    """One random clip of each video."""
    sampler = _one_clip(config, config.finetune)
    return _clips(config, videos, sampler, _random_views(config, config.finetune.augment), seed)


def _one_clip(config: Config, clip: Clip) -> IndexSampler:
    return random_clip(clip.clip_len_frames, clip.stride_frames, config.data.short_videos)


def build_test_clips(
    config: Config, videos: VideoList, clip: Clip, *, clips: int, crops: int = 1, starts: Sequence[int] = ()
) -> VideoClips:
    """`clips` clips spread evenly over each video, or at `starts`, seen through `crops` fixed squares; no draws."""
    length, stride, go_on = clip.clip_len_frames, clip.stride_frames, config.data.short_videos
    sampler = fixed_clips(length, stride, starts, go_on) if starts else uniform_clips(length, stride, clips, go_on)
    return _clips(config, videos, sampler, FixedViews(config.data.crop_size, crops), seed=0)


def _random_views(config: Config, augment: bool) -> RandomViews:
    jitter = config.data.jitter
    strengths = (jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue)
    has_colours = config.data.modality == "rgb"
    return RandomViews(
        config.data.crop_size,
        config.data.rotation_degrees,
        strengths if has_colours else None,
        augment,
        jitter.single_operation,
    )


def _clips(config: Config, videos: VideoList, sampler: IndexSampler, viewer: Viewer, seed: int) -> VideoClips:
    data = config.data
    return VideoClips(
        videos, sampler=sampler, viewer=viewer, short_side=data.short_side, decoder=decoder_of(config), seed=seed
    )


def decoder_of(config: Config) -> str:
    """What opens the videos: of flow, the reader of its folders."""
    return FLOW if config.data.modality == "flow" else config.data.decoder
