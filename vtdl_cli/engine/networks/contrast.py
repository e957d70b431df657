"""Build the contrastive methods from the configuration: VTDL with all its options, and instance discrimination."""

from collections.abc import Callable, Iterator

from torch import Tensor, nn

from vtdl_cli import ranks
from vtdl_cli.config import Config
from vtdl_cli.data.clips.triplets import NEGATIVE_RULES
from vtdl_cli.engine.networks.build import build_embedder
from vtdl_cli.errors import UsageError
from vtdl_cli.method.encoders import EncoderPair
from vtdl_cli.method.frames import BlockShuffle, Cut, FrameShuffle, MotionEnhancement, TemporalDropout
from vtdl_cli.method.instance_discrimination import InstanceDiscrimination
from vtdl_cli.method.loss import NoiseContrastiveLoss, info_nce
from vtdl_cli.method.memory import KeyQueue, VideoBank
from vtdl_cli.method.tca import TemporalConsistentAugmentation
from vtdl_cli.method.vtdl import VTDL

POSITIVE_AUGMENTATIONS = {"none": nn.Identity, "cut": Cut, "motion": MotionEnhancement}
NEGATIVE_AUGMENTATIONS = {
    "none": nn.Identity,
    "shuffle": FrameShuffle,
    "block_shuffle": BlockShuffle,
    "dropout": TemporalDropout,
}
OF_SEVERAL_FRAMES = {"positive": ("motion",), "negative": ("shuffle", "block_shuffle", "dropout")}
"""Augmentations that leave a single frame as it is."""


def build_vtdl(config: Config, num_videos: int) -> VTDL:
    """Build the paper's method with its options."""
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
        mask_same_frames=NEGATIVE_RULES[method.sampling.negative].shrinks,
        criterion=build_criterion(config, num_videos),
        margin_weight=method.margin_weight,
        consistency_weight=method.consistency_weight,
        consistency_transforms=method.consistency_transforms,
    )


def build_instance_discrimination(config: Config, num_videos: int) -> InstanceDiscrimination:
    """Build the method of Wu et al. with our encoder."""
    bank = VideoBank(num_videos, config.method.queue.size, config.model.embedding_dim)
    criterion = build_criterion(config, num_videos)
    return InstanceDiscrimination(build_embedder(config), bank, config.method.temperature, criterion)


def build_criterion(config: Config, num_videos: int) -> Callable[[Tensor], Tensor]:
    """Build the contrastive loss: logits -> loss."""
    return NoiseContrastiveLoss(num_videos) if config.method.loss == "nce" else info_nce


def build_encoder_pair(config: Config) -> EncoderPair:
    """Build query and key encoder; several ranks shuffle their keys unless `key_shuffle` is none.

    Raises:
        UsageError: the options need several ranks and there is one, or the other way round.
    """
    method = config.method
    check_ranks(config)
    shuffle = ranks.world_size() > 1 and method.key_shuffle != "none" and method.key_statistics == "batch"
    return EncoderPair(build_embedder(config), method.momentum, method.key_statistics, method.key_splits, shuffle)


def check_ranks(config: Config) -> None:
    """Raise UsageError if options need several ranks and there is one, or the other way round."""
    method = config.method
    if ranks.world_size() == 1 and method.key_shuffle == "devices":
        raise UsageError(
            "method.key_shuffle 'devices' shuffles keys among processes, and there is one. Start several with torchrun,"
            " or --set method.key_shuffle=auto --set method.key_splits=2, which splits the batch in one process"
        )
    if ranks.world_size() > 1 and method.key_splits > 1 and method.key_shuffle != "none":
        raise UsageError(
            f"method.key_splits {method.key_splits} splits the keys of one process, and there are "
            f"{ranks.world_size()}, which shuffle theirs. Leave it out, or --set method.key_shuffle=none"
        )


def build_tca(config: Config) -> TemporalConsistentAugmentation:
    """Build the augmentation of the anchor."""
    tca = config.method.tca
    return TemporalConsistentAugmentation(tca.alpha, per_sample=tca.per == "sample", version=tca.version)


def build_positive_augmentation(config: Config) -> nn.Module:
    """Build the augmentation of the positive."""
    extra = POSITIVE_AUGMENTATIONS[config.method.positive_augmentation]()
    return extra if config.method.tca.side == "query" else nn.Sequential(build_tca(config), extra)


def vtdl_mistakes(config: Config) -> Iterator[str]:
    """Yield an error line for each of VTDL's settings that has no effect, or does not go with another one."""
    yield from _negative_mistakes(config)
    yield from _key_mistakes(config)
    yield from _clip_mistakes(config)
    method = config.method
    if method.consistency_transforms != "spatial" and not method.consistency_weight:
        yield "method.consistency_transforms has no effect without a consistency_weight: add one"
    if config.data.modality == "flow" and method.consistency_weight:
        yield "method.consistency_weight rotates frames, and flow would have to rotate too: leave it out"


def triplet_mistakes(config: Config) -> Iterator[str]:
    """Yield an error line for each setting of the triplets that does not go with another one."""
    method, clip = config.method, config.pretrain
    span, window, rule = (
        clip.clip_len_frames * clip.stride_frames,
        method.sampling.window_frames,
        method.sampling.negative,
    )
    if window is not None and window < span:
        yield f"method.sampling.window_frames {window} is shorter than a clip: make it {span} or more"
    if window is not None and NEGATIVE_RULES[rule].shrinks:
        yield f"method.sampling.window_frames has no effect where negative is '{rule}': leave it out"
    has_gaps = method.intra_video_negative and rule == "gap"
    if has_gaps and config.data.short_videos != "loop":
        yield (
            f"data.short_videos '{config.data.short_videos}' does not loop, and method.sampling.negative 'gap' counts "
            "round the loop in short videos: --set data.short_videos=loop, or --set method.sampling.negative=shift"
        )


def _negative_mistakes(config: Config) -> Iterator[str]:
    """Yield mistakes in what is a negative."""
    method = config.method
    has_negatives = method.intra_video_negative or method.strong_negative
    if not (has_negatives or method.intra_video_negative_gradient):
        yield "method.intra_video_negative_gradient=false has no effect without intra_video_negative: leave it out"
    if method.margin_weight and not method.intra_video_negative:
        yield "method.margin_weight needs the intra-video negative: intra_video_negative=true, or leave it out"
    if method.strong_negative and method.negative_augmentation == "none":
        yield "method.strong_negative is the positive itself without a negative_augmentation: choose one"
    if method.negative_augmentation != "none" and not has_negatives:
        yield "method.negative_augmentation has no effect without intra_video_negative or strong_negative: add one"
    of_negatives = [name for name in method.sampling.given() if name != "window_frames"]
    if of_negatives and not method.intra_video_negative:
        yield f"method.sampling.{of_negatives[0]} has no effect without intra_video_negative: leave it out"


def _key_mistakes(config: Config) -> Iterator[str]:
    """Yield mistakes in queue and key encoder."""
    method, batch = config.method, config.pretrain.batch_size
    if method.queue.size < batch and method.queue.memory == "queue":
        yield f"method.queue.size {method.queue.size} holds less than one batch: make it {batch} or more"
    if 2 * method.key_splits > batch and method.key_splits > 1:
        yield f"method.key_splits {method.key_splits} leaves parts of one clip: make it {batch // 2} or less"
    if method.key_statistics == "running":
        idle = {"key_splits": method.key_splits > 1, "key_shuffle": method.key_shuffle == "devices"}
        for name in (name for name, is_set in idle.items() if is_set):
            yield f"method.{name} has no effect where method.key_statistics is 'running': leave it out"


def _clip_mistakes(config: Config) -> Iterator[str]:
    """Yield mistakes in the augmentation of the clips."""
    method, clip = config.method, config.pretrain
    if method.tca.alpha and method.tca.version != 2 and clip.batch_size == 1:
        yield f"method.tca.version {method.tca.version} needs another clip: make pretrain.batch_size 2 or more"
    for name, augmentations in OF_SEVERAL_FRAMES.items():
        chosen = getattr(method, f"{name}_augmentation")
        if chosen in augmentations and clip.clip_len_frames == 1:
            yield (
                f"method.{name}_augmentation '{chosen}' changes nothing in one frame: "
                "make pretrain.clip_len_frames 2 or more"
            )
