"""Build the clips of a list from the configuration: for pretraining, for finetuning, for tests."""

from collections.abc import Callable, Sequence

from torch import Tensor

from vtdl_cli.config import Clip, Config, TrainingSection
from vtdl_cli.data.clips.datasets import Batch, VideoClips
from vtdl_cli.data.clips.sampling import IndexSampler, SpeedSampler, fixed_clips, random_clip, uniform_clips
from vtdl_cli.data.clips.triplets import TripletSampler
from vtdl_cli.data.clips.views import FixedViews, RandomViews, Viewer
from vtdl_cli.data.clips.windows import Hop, WindowRule
from vtdl_cli.data.lists.video_list import VideoList
from vtdl_cli.data.video.decoding import FLOW
from vtdl_cli.engine.networks.methods import find_method
from vtdl_cli.method.speed import SPEEDS


def build_pretraining_clips(config: Config, videos: VideoList, seed: int) -> VideoClips:
    """Build the clips of each video that the method asks for."""
    sampler = SAMPLERS[find_method(config.method.name).task.sampler](config)
    return _random_clips(config, config.pretrain, videos, sampler, seed)


def build_triplet_sampler(config: Config) -> TripletSampler:
    """Build what draws the frames of a triplet."""
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
        intra_video_negative=config.method.intra_video_negative,
    )


def build_speed_sampler(config: Config) -> SpeedSampler:
    """Build what draws a clip at a random stride."""
    return SpeedSampler(config.pretrain.clip_len_frames, SPEEDS, config.data.short_videos)


SAMPLERS: dict[str, Callable[[Config], IndexSampler]] = {
    "clip": lambda config: _one_clip(config, config.pretrain),
    "pair": lambda config: _one_clip(config, config.pretrain, views=2),
    "speed": build_speed_sampler,
    "triplet": build_triplet_sampler,
}
"""`PretextTask.sampler` -> how clips are drawn."""


def clip_facts(sampler: str, batch: Batch) -> Tensor:
    """Return what a method gets beside the pixels of clips from this `PretextTask.sampler`, (number of facts, B)."""
    return batch.strides.T if sampler == "speed" else batch.other_frames[:, 2:].T


def build_training_clips(config: Config, videos: VideoList, seed: int) -> VideoClips:
    """Build the clips for finetuning: a random one of each video."""
    return _random_clips(config, config.finetune, videos, _one_clip(config, config.finetune), seed)


def _one_clip(config: Config, clip: Clip, views: int = 1) -> IndexSampler:
    return random_clip(clip.clip_len_frames, clip.stride_frames, config.data.short_videos, views=views)


def build_test_clips(
    config: Config, videos: VideoList, clip: Clip, *, clips: int, crops: int = 1, starts: Sequence[int] = ()
) -> VideoClips:
    """Build `clips` clips spread evenly over each video, or at `starts`, in `crops` fixed squares; none is random."""
    sampler = build_test_sampler(config, clip, clips=clips, starts=starts)
    return _clips(config, videos, sampler, FixedViews(config.data.crop_size, crops), seed=0)


def build_test_sampler(config: Config, clip: Clip, *, clips: int, starts: Sequence[int] = ()) -> IndexSampler:
    """Build what chooses the frames of `clips` clips spread evenly over a video, or of those at `starts`."""
    length, stride, short = clip.clip_len_frames, clip.stride_frames, config.data.short_videos
    return fixed_clips(length, stride, starts, short) if starts else uniform_clips(length, stride, clips, short)


def choose_clips(config: Config, clips: int | None) -> tuple[Sequence[int], int]:
    """Return the starts and the number of a video's clips in a test; no starts: they are spread evenly.

    Args:
        config: its `evaluate` section has starts or a number.
        clips: the number that the user asked for, spread evenly; None: as configured.
    """
    starts = [] if clips else config.evaluate.starts
    return starts, len(starts) or clips or config.evaluate.clips


def build_window_rule(config: Config, clip: Clip, hop: Hop | None) -> WindowRule:
    """Build windows of a clip's length that slide over whole videos; None: they adjoin."""
    data = config.data
    return WindowRule(
        clip.clip_len_frames,
        clip.stride_frames,
        hop,
        data.short_videos,
        data.short_side,
        data.crop_size,
        flow=data.modality == "flow",
        frame_rate=data.frame_rate,
    )


def _random_clips(
    config: Config, options: TrainingSection, videos: VideoList, sampler: IndexSampler, seed: int
) -> VideoClips:
    """Build the clips of a training."""
    return _clips(config, videos, sampler, _random_views(config, options.augment), seed, options.cache_gb)


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


def _clips(
    config: Config, videos: VideoList, sampler: IndexSampler, viewer: Viewer, seed: int, cache_gb: float = 0
) -> VideoClips:
    data = config.data
    return VideoClips(
        videos,
        sampler=sampler,
        viewer=viewer,
        short_side=data.short_side,
        decoder=decoder_of(config),
        seed=seed,
        frame_rate=data.frame_rate,
        cache_bytes=cache_gb * 1e9,
    )


def decoder_of(config: Config) -> str:
    """Return the decoder of the videos; optical flow has a reader of its own."""
    return FLOW if config.data.modality == "flow" else config.data.decoder
