"""One video as pretraining sees it, as a figure: the clips of a triplet, or the clip of a method that takes one."""

from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from vtdl_cli.analysis.strip import ClipFrames, draw_strip
from vtdl_cli.config import Config
from vtdl_cli.data.clips.augmentation import to_pixels
from vtdl_cli.data.clips.datasets import Unreadable, VideoClips, VideoSample, collate
from vtdl_cli.data.lists.video_list import VideoList
from vtdl_cli.engine.networks.clips import build_pretraining_clips
from vtdl_cli.engine.networks.contrast import build_tca
from vtdl_cli.engine.networks.machine import build_machine, device_clips
from vtdl_cli.engine.networks.methods import check_config, find_method
from vtdl_cli.engine.request import Execution, ListSource
from vtdl_cli.errors import UnreadableVideo, UsageError
from vtdl_cli.locks import lock_file, releasing_locks
from vtdl_cli.method.tca import mix_still_frame
from vtdl_cli.runtime import Reporter, atomic_write, check_new_file, seed_torch
from vtdl_cli.text import counted

TRIPLET = ("anchor", "positive: the same frames, augmented anew", "negative: another interval of the video")
OWN_FRAME = 2  # version of TCA that mixes a clip with itself
TCA_CLIPS = {"query": (0,), "key": (1,), "both": (0, 1)}
"""Clips that TCA augments, by `method.tca.side`."""


@releasing_locks
def visualize_triplet(
    config: Config, source: ListSource, out: Path, execution: Execution, reporter: Reporter, *, index: int = 0
) -> dict[str, Any]:
    """Draw one video of a list; see `draw_triplet`.

    Returns:
        The video, and the frames that each clip shows.

    Raises:
        UsageError, ListError: the list, the index or the output is refused; nothing has been written.
        UnreadableVideo: the video cannot be decoded.
    """
    check_config(config)
    videos = source.read(needs_classes=False)
    if not 0 <= index < len(videos):
        raise UsageError(
            f"--index '{index}' is outside list '{source.path}' of {counted(len(videos), 'video')}. Choose "
            f"0 to {len(videos) - 1}"
        )
    lock_file(out, reporter)
    check_new_file(out, "--out", overwrite=execution.overwrite, sources=[source.path], ending=".png")
    return {"out": str(out), **draw_triplet(config, videos, out, index=index, seed=execution.seed)}


def draw_triplet(config: Config, videos: VideoList, path: Path, *, index: int = 0, seed: int = 0) -> dict[str, Any]:
    """Write a PNG of one video's anchor, positive and negative, and of what TCA makes of them.

    A method that takes one clip of a video has only that one.

    Args:
        config: of pretraining.
        videos: a list.
        path: of the PNG.
        index: of the video in the list, from 0.
        seed: of clips, augmentation and TCA.

    Returns:
        The video, the method, and the frames that each clip shows.

    Raises:
        UsageError: the videos are optical flow.
        UnreadableVideo: the video cannot be decoded.
    """
    if config.data.modality == "flow":
        raise UsageError("data.modality 'flow' has no colours to draw. Use a preset of rgb")
    dataset = build_pretraining_clips(config, videos, seed)
    sample = dataset[(0, index)]
    if isinstance(sample, Unreadable):
        raise UnreadableVideo(sample.path, sample.reason)
    numbers, _ = dataset.draw_frames((0, index), sample.num_frames)  # (V, T)
    names = TRIPLET[: len(numbers)] if len(numbers) > 1 else ("clip",)
    batch = [sample, *_tca_donors(config, dataset, index)]
    clips = device_clips(collate(batch), build_machine("cpu", "fp32", 0), config.data.crop_size)  # (V, B, 3, T, R, R)
    shown = [ClipFrames(*each) for each in zip(names, map(_pixels, clips), numbers, strict=True)]
    frames = {clip.name.split(":")[0]: clip.numbers.tolist() for clip in shown}
    if _has_tca(config):
        seed_torch(seed)
        treated = TCA_CLIPS[config.method.tca.side]
        shown += [_mix(config, list(frames)[which], clips[which], numbers[which]) for which in treated]
    name, clip = videos.sample_name(index), config.pretrain
    title = f"{name} ({counted(sample.num_frames, 'frame')}) as {config.method.name} sees it\n"
    title += f"seed {seed}: clips of {clip.clip_len_frames} frames, stride {sample.strides[0] or clip.stride_frames}"
    with atomic_write(path) as temporary:
        draw_strip(shown, title, temporary)
    return {"video": name, "method": config.method.name, "num_frames": sample.num_frames, "frames": frames}


def _has_tca(config: Config) -> bool:
    return find_method(config.method.name).task.reads("tca") and config.method.tca.alpha > 0


def _tca_donors(config: Config, dataset: VideoClips, index: int) -> list[VideoSample | Unreadable]:
    """Return the video whose frame TCA mixes in, where that is another video: here the next in the list."""
    if not _has_tca(config) or config.method.tca.version == OWN_FRAME or len(dataset) == 1:
        return []
    return [dataset[(0, (index + 1) % len(dataset))]]


def _mix(config: Config, name: str, clips: Tensor, numbers: np.ndarray) -> ClipFrames:
    """Apply TCA to the first of clips (B, 3, T, R, R), with frame numbers (T,)."""
    still, weight, donor = build_tca(config).draw(clips)
    frame = f"frame {numbers[still[0]]}" if donor[0] == 0 else "a frame of the next video"
    name = f"{name} after TCA: {weight[0]:.0%} of {frame} mixed into every frame (alpha {config.method.tca.alpha:g})"
    return ClipFrames(name, _pixels(mix_still_frame(clips, still, weight, donor)), numbers)


def _pixels(clips: Tensor) -> np.ndarray:
    """Convert the first of clips (B, 3, T, R, R) to frames (T, R, R, 3) uint8."""
    return to_pixels(clips[0]).numpy()
