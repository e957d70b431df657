"""One video as pretraining sees it, as a picture: the clips of a triplet, or the clip of a method that takes one."""

from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from vtdl_cli.analysis.strip import Row, draw_strip
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
from vtdl_cli.method.tca import mix_still_frame
from vtdl_cli.runtime import atomic_write, check_new_file, seed_torch

TRIPLET = ("anchor", "positive: the same frames, augmented anew", "negative: another interval of the video")
OWN_FRAME = 2  # TCA's version that mixes a clip with itself
TREATED = {"query": (0,), "key": (1,), "both": (0, 1)}
"""`method.tca.side` -> which of the clips TCA treats."""


def visualize_triplet(
    config: Config, source: ListSource, out: Path, execution: Execution, *, index: int = 0
) -> dict[str, Any]:
    """Draw one video of a list; see `draw_triplet`.

    Returns:
        The video, and the frames that each clip shows.

    Raises:
        UsageError, ListError: something does not fit; nothing has been written.
        UnreadableVideo: the video cannot be decoded.
    """
    check_config(config)
    videos = source.read()
    if not 0 <= index < len(videos):
        raise UsageError(
            f"--index '{index}' is not in list '{source.path}' of {len(videos)} videos. Choose 0 to {len(videos) - 1}"
        )
    check_new_file(out, "--out", overwrite=execution.overwrite, sources=[source.path])
    return {"out": str(out), **draw_triplet(config, videos, out, index=index, seed=execution.seed)}


def draw_triplet(config: Config, videos: VideoList, path: Path, *, index: int = 0, seed: int = 0) -> dict[str, Any]:
    """Write a PNG of one video's anchor, positive and negative, and of what TCA makes of them.

    Methods that take one clip a video have that alone.

    Args:
        config: of pretraining.
        videos: a list.
        path: where to.
        index: which video of the list, from 0.
        seed: of all draws.

    Returns:
        The video, the method, and the frames that each clip shows.

    Raises:
        UsageError: the videos are optical flow.
        UnreadableVideo: it cannot be decoded.
    """
    if config.data.modality == "flow":
        raise UsageError("data.modality 'flow' has no colours to draw. Use a preset of rgb")
    dataset = build_pretraining_clips(config, videos, seed)
    sample = dataset[(0, index)]
    if isinstance(sample, Unreadable):
        raise UnreadableVideo(sample.path, sample.reason)
    numbers, _ = dataset.draw_frames((0, index), sample.num_frames)  # (V, T)
    names = TRIPLET[: len(numbers)] if len(numbers) > 1 else ("clip",)
    batch = [sample, *_donors(config, dataset, index)]
    clips = device_clips(collate(batch), build_machine("cpu", "fp32", 0), config.data.crop_size)  # (V, B, 3, T, R, R)
    rows = [Row(*each) for each in zip(names, map(_pixels, clips), numbers, strict=True)]
    if _has_tca(config):
        seed_torch(seed)
        treated = TREATED[config.method.tca.side]
        rows += [_mix(config, rows[which].name.split(":")[0], clips[which], numbers[which]) for which in treated]
    name, clip = videos.name(index), config.pretrain
    title = f"{name} ({sample.num_frames} frames) as {config.method.name} sees it, seed {seed}: "
    title += f"clips of {clip.clip_len_frames} frames, stride {clip.stride_frames}"
    with atomic_write(path) as temporary:
        draw_strip(rows, title, temporary)
    shown = {row.name.split(":")[0]: row.numbers.tolist() for row in rows[: len(names)]}
    return {"video": name, "method": config.method.name, "num_frames": sample.num_frames, "frames": shown}


def _has_tca(config: Config) -> bool:
    return find_method(config.method.name).task.reads("tca") and config.method.tca.alpha > 0


def _donors(config: Config, dataset: VideoClips, index: int) -> list[VideoSample | Unreadable]:
    """The video whose frame TCA takes, where that is another one: here the list's next."""
    if not _has_tca(config) or config.method.tca.version == OWN_FRAME or len(dataset) == 1:
        return []
    return [dataset[(0, (index + 1) % len(dataset))]]


def _mix(config: Config, name: str, clips: Tensor, numbers: np.ndarray) -> Row:
    """The first of clips (B, 3, T, R, R), whose frames are `numbers` (T,), as TCA draws and mixes it."""
    still, weight, donor = build_tca(config).draw(clips)
    frame = f"frame {numbers[still[0]]}" if donor[0] == 0 else "a frame of the next video"
    told = f"{name} after TCA: {weight[0]:.0%} of {frame} mixed into every one (alpha {config.method.tca.alpha:g})"
    return Row(told, _pixels(mix_still_frame(clips, still, weight, donor)), numbers)


def _pixels(clips: Tensor) -> np.ndarray:
    """The first of clips (B, 3, T, R, R) as frames (T, R, R, 3) uint8."""
    return to_pixels(clips[0]).numpy()
