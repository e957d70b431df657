"""From the configuration to a pretext task."""

from collections.abc import Callable

from torch import Tensor, nn

from vtdl_cli import ranks
from vtdl_cli.config import Config
from vtdl_cli.engine.networks.build import build_embedder, build_linear
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

POSITIVE_AUGMENTATIONS = {"none": nn.Identity, "cut": Cut, "motion": MotionEnhancement}


NEGATIVE_AUGMENTATIONS = {
    "none": nn.Identity,
    "shuffle": FrameShuffle,
    "block_shuffle": BlockShuffle,
    "dropout": TemporalDropout,
}


def build_method(config: Config, num_videos: int) -> Task:
    """The pretraining task around a fresh encoder, for a list of `num_videos`."""
    return METHODS[config.method.name](config, num_videos)


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
        intra_video_negative=method.intra_video_negative,
        intra_video_negative_gradient=method.intra_video_negative_gradient,
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
    shuffle = ranks.world_size() > 1 and method.key_shuffle != "none" and method.key_statistics == "batch"
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
